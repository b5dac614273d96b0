/**
 * How a writer that statements were sent to stands, by the control records that were seen since. One that was relieved as planned
 * has answered, or is about to answer, all that it began: it is only slow. One that a failover has deposed may be gone for good. Pure.
 */
import type { ControlRecord } from '../../../regions/core.ts';

export type WriterStanding =
  /** The newest record that names a holder names this one. */
  | 'writes'
  /** Another holds the pen. That it was a failover was not seen. */
  | 'replaced'
  /** A failover took the pen away from it. */
  | 'deposed';

/** Writers are told apart by the subject of their gateway, which no two starts share. */
export class WriterStandings {
  private holder: string | null = null;
  private deposed: string | null = null;

  /** A newer record was seen. @param holder the subject of whoever holds the pen in it; null for nobody. */
  saw(holder: string | null, state: ControlRecord['state']): void {
    // A failover begins with a record that names nobody: whoever was named last is meant.
    if (state === 'failing-over') this.deposed = this.holder ?? this.deposed;
    if (holder === null) return;
    this.holder = holder;
    if (this.deposed === holder) this.deposed = null;
  }

  of(writer: string): WriterStanding {
    if (writer === this.deposed) return 'deposed';
    return this.holder === null || this.holder === writer ? 'writes' : 'replaced';
  }
}
