/**
 * Rows that have been written as text travel behind the JSON of an answer, after the line break that JSON has none of, and are
 * neither written nor read again on the way. A result says how many bytes of them are its own. Only who allowed text in its call
 * gets any: gateways of older versions do not. Pure.
 */
import type { RowsText } from '../../sql/row-text.ts';

const lineBreak = 0x0a;

/** Collects what comes behind the JSON. */
export class TailWriter {
  private readonly parts: Uint8Array[] = [];

  /** @returns what the result says instead of its rows. */
  add({ parts }: RowsText): { readonly textBytes: number } {
    this.parts.push(...parts);
    return { textBytes: parts.reduce((sum, { length }) => sum + length, 0) };
  }

  /** The whole message. */
  behind(json: string): Uint8Array {
    if (this.parts.length === 0) return Buffer.from(json);
    return Buffer.concat([Buffer.from(json), Uint8Array.of(lineBreak), ...this.parts]);
  }
}

/** Gives back what a `TailWriter` took, in the same order. */
export class TailReader {
  /** The JSON before it, UTF-8. */
  readonly json: Uint8Array;
  private left: Uint8Array;

  constructor(message: Uint8Array) {
    const end = message.indexOf(lineBreak);
    this.json = end < 0 ? message : message.subarray(0, end);
    this.left = end < 0 ? message.subarray(0, 0) : message.subarray(end + 1);
  }

  /** @returns null when the message is shorter than it says. */
  take(textBytes: number): RowsText | null {
    if (textBytes > this.left.length) return null;
    const parts = [this.left.subarray(0, textBytes)];
    this.left = this.left.subarray(textBytes);
    return { parts };
  }
}
