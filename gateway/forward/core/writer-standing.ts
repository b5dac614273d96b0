/**
 * How a writer that statements were sent to stands, by the control records that were seen since. One that was relieved as planned
 * has answered, or is about to answer, all that it began: it is only slow. One that a failover has deposed may be gone for good. Pure.
 */
import type { ControlRecord } from '../../../regions/core.ts';
import type { RegionId } from '../../../storage/core.ts';

export type WriterStanding =
  /** The newest record that names a holder names this one. */
  | 'writes'
  /** Another region holds the pen. That it was a failover was not seen. */
  | 'relieved'
  /** Another start of a gateway of its own region holds the pen: it stopped, died, or was sealed out. */
  | 'replaced'
  /** A failover took the pen away from it. */
  | 'deposed';

/** Another gateway that is the writer. Writers are told apart by the subject of their gateway, which no two starts share. */
export interface RemoteWriter {
  readonly subject: string;
  readonly region: RegionId;
}

export class WriterStandings {
  private holder: RemoteWriter | null = null;
  private deposed: string | null = null;

  /** A newer record was seen. @param holder whoever holds the pen in it; null for nobody. */
  saw(holder: RemoteWriter | null, state: ControlRecord['state']): void {
    // A failover begins with a record that names nobody: whoever was named last is meant.
    if (state === 'failing-over') this.deposed = this.holder?.subject ?? this.deposed;
    if (holder === null) return;
    this.holder = holder;
    if (this.deposed === holder.subject) this.deposed = null;
  }

  of({ subject, region }: RemoteWriter): WriterStanding {
    if (subject === this.deposed) return 'deposed';
    if (this.holder === null || this.holder.subject === subject) return 'writes';
    return this.holder.region === region ? 'replaced' : 'relieved';
  }
}
