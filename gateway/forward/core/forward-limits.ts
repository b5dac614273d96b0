/** Bounds of what is forwarded to the writer of another gateway. Units last. */

export interface ForwardLimits {
  /** Bytes of one forwarding message, below the NATS server's `max_payload`. */
  readonly forwardPartBytes: number;
  /** One forwarded request, or one answer. */
  readonly forwardCallBytes: number;
  /** Answers and unfinished requests the writer keeps for all forwarding gateways together. */
  readonly forwardHeldBytes: number;
  /** Forwarded requests under way or kept at the writer. */
  readonly forwardCalls: number;
  /** The writer says "still running" at least this often. */
  readonly forwardHoldMs: number;
  /** An answer nobody fetches is kept this long. */
  readonly forwardKeepMs: number;
  /** A writer that says nothing for this long is given up, and what it was doing is unknown. */
  readonly forwardSilenceMs: number;
}

const mebibyte = 1024 * 1024;

export const defaultForwardLimits: ForwardLimits = {
  forwardPartBytes: 512 * 1024,
  forwardCallBytes: 64 * mebibyte,
  forwardHeldBytes: 256 * mebibyte,
  forwardCalls: 10_000,
  forwardHoldMs: 400,
  forwardKeepMs: 30_000,
  forwardSilenceMs: 5_000,
};

/** Room for headers in a message. */
const headerRoom = 4 * 1024;

/**
 * Most of a call or of an answer that one message takes, in bytes.
 * @param payloadBytesMax of the NATS server; 0 while it is not known.
 */
export function partBytesOf({ forwardPartBytes }: ForwardLimits, payloadBytesMax: number): number {
  const most = payloadBytesMax === 0 ? forwardPartBytes : payloadBytesMax - headerRoom;
  return Math.max(1_024, Math.min(forwardPartBytes, most));
}

/** What is wrong with them, in one sentence, or null. */
export function forwardLimitsProblem(limits: ForwardLimits): string | null {
  if (limits.forwardHoldMs * 2 > limits.forwardSilenceMs)
    return 'forwardSilenceMs must be at least twice forwardHoldMs';
  if (limits.forwardKeepMs < limits.forwardSilenceMs)
    return 'forwardKeepMs must not be below forwardSilenceMs';
  if (limits.forwardCallBytes > limits.forwardHeldBytes)
    return 'forwardCallBytes must not exceed forwardHeldBytes';
  return null;
}
