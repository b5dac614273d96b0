/**
 * Nothing goes back.
 *
 * 1. In the control record a higher sequence never carries a lower epoch, and a sequence has one content.
 * 2. The head epoch of a region never decreases, nor, within an epoch, its durable LSN (VDL). A writer that was replaced may
 *    hear late what its nodes had stored for it; that is news of the past as long as the newer history holds it.
 * 3. Region VDL ≤ shipped VDL ≤ primary VDL, each of the same epoch, at every moment. The region of the writer is bound
 *    by the primary VDL only. One that wrote the epoch and follows it now, as with a branch after a failover, may find on its own
 *    nodes what it never knew to be durable, and is not bound.
 *
 * Facts are told in the order in which they took place, so the primary's VDL before what was shipped of it. Whoever recovers
 * an epoch reports the recovered durable point with `recovered`, because it may exceed what the dead writer knew.
 */
import type { Epoch, Lsn } from '../../../storage/redo/ids.ts';
import type { Judge } from './judge.ts';

export class MonotonicJudge implements Judge {
  readonly name = 'monotonic';
  readonly verdict = 'correctness';
  private readonly found: string[] = [];
  private readonly controlEpochs = new Map<number, Epoch>();
  private readonly primaryVdl = new Map<Epoch, Lsn>();
  /** Where the newest recovery of an epoch left it. */
  private readonly left = new Map<Epoch, Lsn>();
  /** What the writer of an epoch said last itself: a recovery may know more than a writer that lives on. */
  private readonly told = new Map<Epoch, Lsn>();
  private readonly shippedVdl = new Map<string, Lsn>();
  /** Who wrote an epoch. */
  private readonly writers = new Map<Epoch, string>();
  private readonly heads = new Map<string, { readonly epoch: Epoch; readonly vdl: Lsn }>();

  /** Someone saw the control record; also stale reads may be told. */
  controlRecord(observer: string, sequence: number, epoch: Epoch): void {
    const known = this.controlEpochs.get(sequence);
    if (known !== undefined) {
      if (known !== epoch) {
        this.found.push(`${observer} saw epoch ${epoch} in control record ${sequence}, others saw ${known}`);
      }
      return;
    }
    for (const [other, otherEpoch] of this.controlEpochs) {
      const [low, high] = other < sequence ? [otherEpoch, epoch] : [epoch, otherEpoch];
      if (low <= high) continue;
      this.found.push(`the control record went from epoch ${low} back to ${high} (${observer}, ${sequence})`);
      break;
    }
    this.controlEpochs.set(sequence, epoch);
  }

  /** The writer, or whoever recovered its epoch, holds that `vdl` is durable in its region. */
  primary(epoch: Epoch, vdl: Lsn): void {
    const known = this.primaryVdl.get(epoch);
    if (known === undefined || vdl > known) this.primaryVdl.set(epoch, vdl);
    else if (vdl < (this.told.get(epoch) ?? known))
      this.found.push(`the primary VDL of epoch ${epoch} went from ${known} back to ${vdl}`);
    this.told.set(epoch, vdl);
  }

  /** A recovery found that `vdl` of `epoch` is durable, which may be more than its dead writer knew. */
  recovered(epoch: Epoch, vdl: Lsn): void {
    const known = this.primaryVdl.get(epoch);
    if (known === undefined || vdl > known) this.primaryVdl.set(epoch, vdl);
    this.left.set(epoch, vdl);
  }

  /** The agent told `region` that `vdl` of `epoch` is durable at the primary. A resent, older VDL is no offence. */
  shipped(region: string, epoch: Epoch, vdl: Lsn): void {
    const primary = this.primaryVdl.get(epoch);
    if (primary === undefined || vdl > primary) {
      this.found.push(
        `${vdl} of epoch ${epoch} was shipped to ${region}; the primary VDL was ${primary ?? 'unknown'}`,
      );
    }
    const key = `${region} ${epoch}`;
    const known = this.shippedVdl.get(key);
    if (known === undefined || vdl > known) this.shippedVdl.set(key, vdl);
  }

  /** A region says what is durable in it. `writes` is true for the region of the writer. */
  durable(region: string, epoch: Epoch, vdl: Lsn, writes: boolean): void {
    const before = this.heads.get(region);
    if (before !== undefined && epoch < before.epoch && writes && vdl <= (this.left.get(epoch) ?? -1)) return;
    if (before !== undefined && epoch < before.epoch) {
      this.found.push(`${region} went from epoch ${before.epoch} back to ${epoch}`);
    } else if (before !== undefined && epoch === before.epoch && vdl < before.vdl) {
      this.found.push(`the VDL of ${region} in epoch ${epoch} went from ${before.vdl} back to ${vdl}`);
    } else {
      this.heads.set(region, { epoch, vdl });
    }
    if (writes) this.writers.set(epoch, region);
    else if (this.writers.get(epoch) === region) return;
    const bound = writes ? this.primaryVdl.get(epoch) : this.shippedVdl.get(`${region} ${epoch}`);
    if (bound === undefined || vdl > bound) {
      const what = writes ? 'the primary VDL' : 'what was shipped to it';
      this.found.push(
        `the VDL of ${region} in epoch ${epoch} is ${vdl}, above ${what} (${bound ?? 'nothing'})`,
      );
    }
  }

  violations(): readonly string[] {
    return this.found;
  }
}
