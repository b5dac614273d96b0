/**
 * Several messages as one: `id u32 LE | length u32 LE | message`, back to back. What asks for an answer is answered under its id,
 * in a bundle again, together with whatever else is ready then. Pure.
 */
import { viewOf } from '../../../storage/core.ts';
import type { Decoded } from './forward-messages.ts';

export interface Piece {
  readonly id: number;
  readonly message: Uint8Array;
}

const headBytes = 8;

/** What a message takes in a bundle. */
export const pieceBytes = (message: Uint8Array): number => headBytes + message.length;

export function joinPieces(pieces: readonly Piece[]): Uint8Array {
  const joined = new Uint8Array(pieces.reduce((sum, { message }) => sum + pieceBytes(message), 0));
  const view = viewOf(joined);
  let at = 0;
  for (const { id, message } of pieces) {
    view.setUint32(at, id, true);
    view.setUint32(at + 4, message.length, true);
    joined.set(message, at + headBytes);
    at += pieceBytes(message);
  }
  return joined;
}

/** Views into `bytes`, not copies. */
export function splitPieces(bytes: Uint8Array): Decoded<readonly Piece[]> {
  const view = viewOf(bytes);
  const pieces: Piece[] = [];
  for (let at = 0; at < bytes.length; ) {
    if (at + headBytes > bytes.length) return { kind: 'malformed', reason: 'a bundle cut short' };
    const from = at + headBytes;
    const end = from + view.getUint32(at + 4, true);
    if (end > bytes.length) return { kind: 'malformed', reason: 'a message of a bundle cut short' };
    pieces.push({ id: view.getUint32(at, true), message: bytes.subarray(from, end) });
    at = end;
  }
  return { kind: 'ok', value: pieces };
}

/** Cuts what waits into bundles of at most `bytesMax`, in its order; what is larger than that by itself is alone in one. */
export function bundlesOf<T>(
  waiting: readonly T[],
  bytesOf: (item: T) => number,
  bytesMax: number,
): readonly (readonly T[])[] {
  const bundles: T[][] = [];
  let last: T[] | undefined;
  let bytes = 0;
  for (const item of waiting) {
    const own = bytesOf(item);
    if (last === undefined || bytes + own > bytesMax) {
      last = [];
      bundles.push(last);
      bytes = 0;
    }
    last.push(item);
    bytes += own;
  }
  return bundles;
}
