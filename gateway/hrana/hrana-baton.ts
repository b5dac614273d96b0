/** Batons: what an HTTP client shows to go on with its stream. Unguessable, tied to this process, single use. */
import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';

export interface Baton {
  readonly streamId: number;
  /** Counts the requests of the stream; a baton is good for exactly one. */
  readonly seq: number;
}

export interface BatonMint {
  issue(baton: Baton): string;
  /** The content of a baton that this mint issued, else null. */
  read(text: string): Baton | null;
}

const headBytes = 16;
const macBytes = 32;
const textLength = ((headBytes + macBytes) * 4) / 3;

/** A mint with a key of its own: batons of other processes, or of this one before a restart, do not pass. */
export function createBatonMint(key: Uint8Array = randomBytes(32)): BatonMint {
  const mac = (head: Uint8Array) => createHmac('sha256', key).update(head).digest();
  return {
    issue: ({ streamId, seq }) => {
      const head = Buffer.alloc(headBytes);
      head.writeBigUInt64BE(BigInt(streamId), 0);
      head.writeBigUInt64BE(BigInt(seq), 8);
      return Buffer.concat([head, mac(head)]).toString('base64url');
    },
    read: (text) => {
      if (text.length !== textLength) return null;
      const bytes = Buffer.from(text, 'base64url');
      if (bytes.length !== headBytes + macBytes) return null;
      const head = bytes.subarray(0, headBytes);
      if (!timingSafeEqual(bytes.subarray(headBytes), mac(head))) return null;
      return { streamId: Number(head.readBigUInt64BE(0)), seq: Number(head.readBigUInt64BE(8)) };
    },
  };
}
