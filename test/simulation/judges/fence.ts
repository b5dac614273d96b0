/**
 * What a fence promises (R28): whoever says that a region's storage is sealed against a reign had the word of three of its nodes
 * that a seal above that reign is on their disks. Two would leave its writer a quorum of four.
 */
import { fencingSeals } from '../../../regions/moves/core/region-fence.ts';
import type { Epoch } from '../../../storage/redo/ids.ts';
import type { Judge } from './judge.ts';

export class FenceJudge implements Judge {
  readonly name = 'fence';
  readonly verdict = 'correctness';
  /** Fences that were acted on, for a test to see that there were any. */
  fences = 0;
  private readonly found: string[] = [];
  /** By region and node, the newest epoch it said it is sealed for. */
  private readonly seals = new Map<string, Map<string, Epoch>>();

  /** A node said that it has persisted a seal for `epoch`. */
  sealed(region: string, node: string, epoch: Epoch): void {
    const nodes = this.seals.get(region) ?? new Map<string, Epoch>();
    this.seals.set(region, nodes);
    const before = nodes.get(node);
    if (before === undefined || before < epoch) nodes.set(node, epoch);
  }

  /** The agent of `region` says that nothing becomes durable there under `reign` any more. */
  fenced(region: string, reign: Epoch, atUs: number): void {
    this.fences += 1;
    const above = [...(this.seals.get(region)?.values() ?? [])].filter((epoch) => epoch > reign).length;
    if (above >= fencingSeals) return;
    this.found.push(
      `${region} was called fenced against epoch ${reign} at ${atUs} us, and ${above} of its nodes had said that they are sealed`,
    );
  }

  violations(): readonly string[] {
    return this.found;
  }
}
