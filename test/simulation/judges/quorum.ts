/**
 * A writer gives its reign up for want of a quorum only when there is none. Told what nodes answered to the writer, the judge
 * objects when at least four that it could still reach had persisted more within the limit: slow is not lost.
 */
import type { Epoch, Lsn, NodeId, PgId } from '../../../storage/redo/ids.ts';
import { quorumLimits, volumeLimits } from '../../../storage/redo/limits.ts';
import type { Judge } from './judge.ts';

/** Links that came and went between two looks of the writer are no proof of a quorum. */
const slackMs = 500;

type NodeWord = { readonly scls: Map<PgId, Lsn>; movedAtUs: number; up: boolean };

export class QuorumJudge implements Judge {
  readonly name = 'quorum';
  readonly verdict = 'liveness';
  private readonly nodes = new Map<string, NodeWord>();
  private readonly found: string[] = [];

  /** A node answered the writer of a reign: another gateway of the region may write already. */
  answered(atUs: number, reign: Epoch, node: NodeId, scls: readonly (readonly [PgId, Lsn])[]): void {
    const word = this.word(reign, node);
    word.up = true;
    for (const [pg, scl] of scls) {
      const before = word.scls.get(pg);
      word.scls.set(pg, scl);
      if (before !== undefined && scl > before) word.movedAtUs = atUs;
    }
  }

  /** The writer of a reign cannot reach a node any more. */
  lost(reign: Epoch, node: NodeId): void {
    this.word(reign, node).up = false;
  }

  /** The writer of `region` ends its reign, because it has no quorum as it says. */
  reignEnded(atUs: number, region: string, epoch: Epoch, reason: string): void {
    const sinceUs = atUs - 1_000 * (volumeLimits.quorumLostAfterMs - slackMs);
    const moving = [...this.nodes].filter(
      ([name, word]) => name.startsWith(`${epoch}/`) && word.up && word.movedAtUs > sinceUs,
    );
    if (moving.length < quorumLimits.writeQuorum) return;
    const names = moving.map(([name]) => name.slice(name.indexOf('/') + 1)).join(', ');
    this.found.push(
      `epoch ${epoch} of ${region} ended at ${atUs} us for want of a quorum (${reason}), while ${names} got on`,
    );
  }

  violations(): readonly string[] {
    return this.found;
  }

  private word(reign: Epoch, node: NodeId): NodeWord {
    const name = `${reign}/${node}`;
    const known = this.nodes.get(name) ?? {
      scls: new Map<PgId, Lsn>(),
      movedAtUs: Number.NEGATIVE_INFINITY,
      up: false,
    };
    this.nodes.set(name, known);
    return known;
  }
}
