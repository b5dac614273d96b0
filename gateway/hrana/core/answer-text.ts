/**
 * The text of an answer: JSON that was made here, and, where a result is large, rows that an engine's thread has written already as
 * UTF-8. Those are never turned into text again: 60 MB of it would hold everybody up for half a second. Pure.
 */

/** JSON, in one piece, or in parts whose bytes are UTF-8. */
export type AnswerText = string | readonly (string | Uint8Array)[];

/** One after the other; a text stays one piece where all of them are. */
export function joinText(texts: readonly AnswerText[]): AnswerText {
  if (texts.every((text) => typeof text === 'string')) return texts.join('');
  const parts: (string | Uint8Array)[] = [];
  for (const part of texts.flat()) {
    const last = parts.length - 1;
    const before = parts[last];
    if (typeof part === 'string' && typeof before === 'string') parts[last] = before + part;
    else parts.push(part);
  }
  return parts;
}

/** How long it is: UTF-16 units of what is text, and bytes of what is written. */
export function textLength(text: AnswerText): number {
  return typeof text === 'string' ? text.length : text.reduce((sum, part) => sum + part.length, 0);
}

/** Bytes it takes in UTF-8. */
export function textBytes(text: AnswerText): number {
  if (typeof text === 'string') return Buffer.byteLength(text);
  return text.reduce(
    (sum, part) => sum + (typeof part === 'string' ? Buffer.byteLength(part) : part.length),
    0,
  );
}

/** True when it takes at most `bytesMax` in UTF-8; counts only when it could be close. */
export function fits(text: AnswerText, bytesMax: number): boolean {
  return textLength(text) * 3 <= bytesMax || textBytes(text) <= bytesMax;
}

/** Without so many UTF-16 units at its beginning, which are text. */
export function withoutHead(text: AnswerText, length: number): AnswerText {
  if (typeof text === 'string') return text.slice(length);
  const [head, ...rest] = text;
  return typeof head === 'string' ? [head.slice(length), ...rest] : text;
}

/** In pieces that can be sent one after the other. */
export function sendable(text: AnswerText): readonly Uint8Array[] {
  if (typeof text === 'string') return [Buffer.from(text)];
  return text.map((part) => (typeof part === 'string' ? Buffer.from(part) : part));
}

/** As one text, for an encoding that is made of it. */
export function wholeText(text: AnswerText): string {
  return typeof text === 'string' ? text : Buffer.concat(sendable(text)).toString('utf8');
}

/** Smaller pieces are not worth it, and may lie in memory that others share. */
const ownBytesMin = 128 * 1024;

/** Frees the memory of pieces that nobody will send: garbage waits for a collection, and a few dozen answers are gigabytes. */
export function release(pieces: Iterable<Uint8Array>): void {
  for (const { buffer, byteLength } of pieces) {
    const isOwn = byteLength >= ownBytesMin && byteLength === buffer.byteLength;
    if (isOwn && buffer instanceof ArrayBuffer) buffer.transfer(0);
  }
}

/** As `release`, of what was written for an answer. */
export function releaseText(text: AnswerText): void {
  if (typeof text !== 'string') release(text.filter((part) => typeof part !== 'string'));
}
