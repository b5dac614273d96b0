/**
 * What fits one message of a NATS server: it refuses what is larger than its `max_payload`, and says how large that is when a
 * client connects. Whoever sends in parts cuts them to fit.
 */
import { redoLimits } from '../../../storage/core.ts';

const KiB = 1024;

export const payloadLimits = {
  /** Kept free for what says what a message carries: mostly the epochs of its path, some 60 bytes each. */
  headerBytes: 64 * KiB,
  /** What a frame has beside its payload. */
  frameHeaderBytes: 36,
} as const;

/** The least that a server must take: a frame of redo, which is never parted, and what says what it is. */
export const maxPayloadBytesMin =
  redoLimits.framePayloadBytesMax + payloadLimits.frameHeaderBytes + payloadLimits.headerBytes;

/** How much redo, or how many bytes of pages, one message may carry. @param maxPayloadBytes 0 while no server has said. */
export function bodyBytesFor(maxPayloadBytes: number): number {
  if (maxPayloadBytes === 0) return Number.MAX_SAFE_INTEGER;
  return Math.max(redoLimits.pageBytes, maxPayloadBytes - payloadLimits.headerBytes);
}

/** Why a server does not do, in words with the way out; null when it does. */
export function payloadProblem(maxPayloadBytes: number): string | null {
  if (maxPayloadBytes === 0 || maxPayloadBytes >= maxPayloadBytesMin) return null;
  return `the NATS server takes messages of at most ${maxPayloadBytes} bytes, and a frame of redo may need ${maxPayloadBytesMin}: set its max_payload to ${maxPayloadBytesMin} or more (1 MiB is its default), and start it again, since clients that are connected hear of the new value only then`;
}
