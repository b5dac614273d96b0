/** How far a region that was taken in has come, out of what `status` says of it from time to time. Pure. */

/** One look at the deployment. */
export interface BootstrapSight {
  /** Durable in the region, in bytes of redo; null while it does not know. */
  readonly vdl: number | null;
  /** Durable in the primary. */
  readonly primaryVdl: number | null;
  /** Whether the region could take over, or is level where it has no gateway. */
  readonly ready: boolean;
  /** Why not; empty when it is. */
  readonly reasons: readonly string[];
}

export interface BootstrapProgress {
  readonly receivedBytes: number;
  /** Null while the primary has not said. */
  readonly totalBytes: number | null;
  /** Over the last ten seconds; null until two looks differ in time. */
  readonly bytesPerSecond: number | null;
  /** Until it has what the primary has now; null while nothing moves. */
  readonly remainingMs: number | null;
  readonly ready: boolean;
  /** Why it is not ready, once nothing has moved for a while; null before. */
  readonly stuck: string | null;
}

const windowMs = 10_000;
const stuckAfterMs = 10_000;
const steadyMs = 3_000;

export class BootstrapWatch {
  private looks: { readonly atMs: number; readonly bytes: number }[] = [];
  private movedAtMs: number | null = null;

  look({ vdl, primaryVdl, ready, reasons }: BootstrapSight, nowMs: number): BootstrapProgress {
    const last = this.looks.at(-1);
    // A region that joins anew says nothing for a moment.
    const receivedBytes = vdl ?? last?.bytes ?? 0;
    if (last === undefined || receivedBytes !== last.bytes) this.movedAtMs = nowMs;
    this.looks = [
      ...this.looks.filter(({ atMs }) => nowMs - atMs <= windowMs),
      { atMs: nowMs, bytes: receivedBytes },
    ];
    const [first] = this.looks;
    const spanMs = first === undefined ? 0 : nowMs - first.atMs;
    const gained = receivedBytes - (first?.bytes ?? 0);
    const bytesPerSecond = spanMs > 0 ? Math.max(0, (gained / spanMs) * 1_000) : null;
    // One large transaction is durable all at once: what stands still has no rate that says how long it takes.
    const isMoving = spanMs >= steadyMs && nowMs - (this.movedAtMs ?? nowMs) < steadyMs;
    const missing = primaryVdl === null ? null : Math.max(0, primaryVdl - receivedBytes);
    const remainingMs =
      missing === 0
        ? 0
        : missing === null || bytesPerSecond === null || bytesPerSecond === 0 || !isMoving
          ? null
          : (missing / bytesPerSecond) * 1_000;
    const isStuck = !ready && nowMs - (this.movedAtMs ?? nowMs) >= stuckAfterMs;
    return {
      receivedBytes,
      totalBytes: primaryVdl,
      bytesPerSecond,
      remainingMs,
      ready,
      stuck: isStuck ? (reasons[0] ?? 'nothing is heard of it') : null,
    };
  }
}
