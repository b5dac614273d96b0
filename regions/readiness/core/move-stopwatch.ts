/** How long the moves to this region took, as its agent sees them in the control record and in the word of its gateways. */
import type { Epoch, RegionId } from '../../../storage/core.ts';
import type { ControlRecord, MoveKind } from '../../control/core/control-record.ts';

/** Of the newest move of each kind that came to its end since the agent started; null before the first. */
export interface Took {
  /** From the first sight of the move to a gateway that writes. */
  readonly switchoverMs: number | null;
  /** The same of a failover: from deposing the old primary, so without the wait for its lease. */
  readonly promotionMs: number | null;
}

interface Pending {
  readonly id: string;
  readonly kind: MoveKind;
  readonly sinceMs: number;
  /** Under which the region took over; null before it has. */
  readonly epoch: Epoch | null;
}

/** Times are monotonic milliseconds. */
export class MoveStopwatch {
  private readonly region: RegionId;
  private pending: Pending | null = null;
  private tookNow: Took = { switchoverMs: null, promotionMs: null };

  constructor(region: RegionId) {
    this.region = region;
  }

  get took(): Took {
    return this.tookNow;
  }

  /** A newer record was seen. */
  saw({ move, primary, epoch }: ControlRecord, nowMs: number): void {
    if (move !== null) {
      const mine = move.to === this.region;
      if (mine && this.pending?.id === move.id) return;
      this.pending = mine ? { id: move.id, kind: move.kind, sinceMs: nowMs, epoch: null } : null;
      return;
    }
    if (this.pending === null) return;
    // Given up, or overtaken by a move to somebody else.
    if (primary !== this.region) this.pending = null;
    else if (this.pending.epoch === null) this.pending = { ...this.pending, epoch };
  }

  /** A gateway of this region says that it writes under this epoch. */
  wrote(epoch: number, nowMs: number): void {
    const { pending } = this;
    if (pending === null || pending.epoch === null || epoch < pending.epoch) return;
    const ms = Math.round(nowMs - pending.sinceMs);
    this.tookNow =
      pending.kind === 'switchover'
        ? { ...this.tookNow, switchoverMs: ms }
        : { ...this.tookNow, promotionMs: ms };
    this.pending = null;
  }
}
