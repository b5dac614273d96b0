/**
 * Cancel requests that one gateway passes on to all others: behind an endpoint, a request may reach another gateway than the one
 * that runs the statement. Pure.
 */

/** What a client was told when it connected. */
export interface CancelKey {
  readonly processId: number;
  readonly secret: Uint8Array;
}

const idBytes = 4;
/** As PostgreSQL bounds it. */
const secretBytesMax = 256;

export function encodeCancel({ processId, secret }: CancelKey): Uint8Array {
  const bytes = new Uint8Array(idBytes + secret.length);
  new DataView(bytes.buffer).setInt32(0, processId);
  bytes.set(secret, idBytes);
  return bytes;
}

/** Null when it is no such message. */
export function decodeCancel(bytes: Uint8Array): CancelKey | null {
  const secret = bytes.subarray(idBytes);
  if (secret.length === 0 || secret.length > secretBytesMax) return null;
  return { processId: new DataView(bytes.buffer, bytes.byteOffset).getInt32(0), secret };
}

/** How many requests a gateway passes on: whoever sends many of them, without a login, is not to reach every region with each. */
export class CancelAllowance {
  readonly #perSecond: number;
  #left: number;
  #atMs: number | null = null;

  /** @param perSecond also how many may come at once */
  constructor(perSecond: number) {
    this.#perSecond = perSecond;
    this.#left = perSecond;
  }

  /** Whether one more may pass now. */
  take(nowMs: number): boolean {
    const elapsedMs = Math.max(0, nowMs - (this.#atMs ?? nowMs));
    this.#atMs = nowMs;
    this.#left = Math.min(this.#perSecond, this.#left + (elapsedMs * this.#perSecond) / 1_000);
    if (this.#left < 1) return false;
    this.#left -= 1;
    return true;
  }
}
