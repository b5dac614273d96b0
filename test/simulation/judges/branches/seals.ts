/**
 * A seal ends reigns of its own line of history only (S32): what fences a reign is an epoch that the control record has allotted to the same
 * line. `main` is also sealed by those who do not recover it, for epochs that nobody may have been given.
 */
import type { Epoch } from '../../../../storage/redo/ids.ts';
import type { Judge } from '../judge.ts';

export class SealsJudge implements Judge {
  readonly name = 'seals';
  readonly verdict = 'correctness';
  /** Reigns that were fenced, for a test to see that there were any. */
  fenced = 0;
  private readonly lines = new Map<Epoch, string>();
  private readonly asked = new Set<Epoch>();
  private readonly found: string[] = [];

  /** The control record has allotted an epoch to a line. */
  allotted(epoch: Epoch, line: string): void {
    this.lines.set(epoch, line);
  }

  /** Nodes are asked to seal `main` for an epoch, by somebody who does not recover it. */
  sealing(epoch: Epoch): void {
    this.asked.add(epoch);
  }

  /** The nodes have told the writer of `reign` that they are sealed. */
  reignFenced(reign: Epoch, by: Epoch, atUs: number): void {
    this.fenced += 1;
    const of = this.lines.get(reign) ?? 'nothing that was allotted';
    const sealer = this.lines.get(by) ?? 'nothing that was allotted';
    if (sealer === of || (of === 'main' && this.asked.has(by))) return;
    this.found.push(`epoch ${reign} of ${of} was fenced by epoch ${by} of ${sealer} at ${atUs} us`);
  }

  violations(): readonly string[] {
    return this.found;
  }
}
