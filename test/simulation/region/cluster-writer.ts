/** A writer on a cluster, with a stream of random transactions. */
import type { Fork } from '../../../storage/history/epoch-tree.ts';
import type { Membership } from '../../../storage/members/core/membership.ts';
import { nodesIn, type QuorumSets } from '../../../storage/members/core/quorum-sets.ts';
import type { QuorumEffect, QuorumEvent } from '../../../storage/quorum/core/quorum-writer.ts';
import type { Recovered } from '../../../storage/quorum/core/recovery.ts';
import { Volume } from '../../../storage/quorum/core/writer-volume.ts';
import { type Epoch, type Lsn, lsn, type NodeId, pageNo } from '../../../storage/redo/ids.ts';
import { redoLimits, volumeLimits } from '../../../storage/redo/limits.ts';
import { encodeMtr, type PageChange } from '../../../storage/redo/record.ts';
import type { StorageReply } from '../../../storage/wire/core/messages.ts';
import { commitAt, sixMembers } from '../../storage/samples.ts';
import { Belief } from './belief.ts';
import { Caller } from './caller.ts';
import { type Cluster, tickMs } from './cluster.ts';

/** A writer on the cluster: the volume, its links, and a stream of random transactions. */
export class Writer {
  readonly volume: Volume;
  readonly epoch: Epoch;
  readonly forks: readonly Fork[];
  readonly forkLsn: Lsn;
  fencedBy: Epoch | null = null;
  private stopped: boolean;
  quorumLost = false;
  readonly belief: Belief;
  private readonly cluster: Cluster;
  /** Times the engine is busy and more commits are expected. */
  private gatherings = 0;
  private announcedTo: Lsn;
  private checkedTo: Lsn;
  private readonly caller: Caller;
  private linked: readonly NodeId[] = [];

  /** @param membership what it believes at first. */
  constructor(cluster: Cluster, { head, forks, vdl }: Recovered, membership: Membership = sixMembers) {
    this.cluster = cluster;
    this.stopped = false;
    this.epoch = head;
    this.forks = forks;
    this.forkLsn = vdl;
    this.announcedTo = vdl;
    this.checkedTo = vdl;
    this.caller = new Caller(cluster, (kind, node) => this.step({ kind, node }));
    this.belief = new Belief(this.caller, membership, () => this.useMembers());
    this.linked = nodesIn(this.belief.sets);
    this.volume = new Volume({
      sets: this.counted,
      epoch: head,
      forks,
      forkLsn: vdl,
      nowMs: cluster.nowMs,
    });
    for (const node of this.linked) this.caller.dial(node);
    this.tick();
  }

  /** Links that were there stay; to the others one is made. */
  private useMembers(): void {
    const before = this.linked;
    this.linked = nodesIn(this.belief.sets);
    this.step({ kind: 'members', sets: this.counted });
    for (const node of this.linked) if (!before.includes(node)) this.caller.dial(node);
  }

  /** What it counts by. */
  protected get counted(): QuorumSets {
    return this.belief.sets;
  }

  /** What has to hold what it calls durable. */
  protected get judged(): QuorumSets {
    return this.belief.sets;
  }

  get over(): boolean {
    return this.stopped || this.fencedBy !== null;
  }

  /** The process dies. */
  stop(): void {
    this.stopped = true;
    this.caller.close();
  }

  commit(changes: readonly PageChange[]): Lsn {
    // One to three transactions that committed as a group: only the last of their commits is a point to stop at (S11).
    const commits = Array.from({ length: 1 + (this.volume.lastLsn % 3) }, () => commitAt(this.cluster.nowMs));
    const end = this.volume.commit(encodeMtr(changes, commits, redoLimits.pgBytesMin));
    this.cluster.truth.cpls.add(end);
    if (this.cluster.dice.perMille(this.cluster.faults.gatherPerMille)) this.gather();
    this.flush();
    return end;
  }

  /** The engine is said to be busy for a moment; the batch may leave before it has done. */
  private gather(): void {
    this.gatherings += 1;
    this.cluster.after(this.cluster.dice.below(2 * volumeLimits.gatherMs), () => {
      this.gatherings -= 1;
      if (!this.over) this.flush();
    });
  }

  private flush(): void {
    this.run(this.volume.flush(this.cluster.nowMs, this.gatherings > 0));
  }

  /** Commits a small transaction on one to three pages of three protection groups. */
  commitRandom(): Lsn {
    const { dice } = this.cluster;
    const changes = Array.from({ length: 1 + dice.below(3) }, (): PageChange => {
      const bytes = Buffer.alloc(1 + dice.below(40), dice.below(256));
      return {
        kind: 'pageDelta',
        page: pageNo(1 + dice.below(768)),
        runs: [{ offset: dice.below(4000), bytes }],
      };
    });
    return this.commit(changes);
  }

  private tick(): void {
    this.cluster.after(tickMs, () => {
      if (this.over) return;
      this.step({ kind: 'tick' });
      this.tick();
    });
  }

  private step(event: QuorumEvent): void {
    if (this.over) return;
    this.run(this.volume.step(event, this.cluster.nowMs));
    this.flush();
  }

  private run(effects: readonly QuorumEffect[]): void {
    for (const effect of effects) this.carryOut(effect);
  }

  private carryOut(effect: QuorumEffect): void {
    const { cluster } = this;
    switch (effect.kind) {
      case 'append': {
        cluster.truth.remember(effect.request.frames);
        const { node } = effect;
        this.belief.call(node, effect.request, (reply) => {
          if (reply?.kind === 'acked') this.step({ kind: 'acked', node, head: reply.head, scls: reply.scls });
          else this.failed(node, reply);
        });
        return;
      }
      case 'notice':
        this.belief.notice(effect.node, effect.request);
        return;
      case 'fork': {
        const { node, forks } = effect;
        this.belief.call(node, { kind: 'fork', authority: this.epoch, forks }, (reply) => {
          if (reply?.kind === 'forked') this.step({ kind: 'forked', node });
          else this.failed(node, reply);
        });
        return;
      }
      case 'durable':
        this.durable(effect.vdl);
        return;
      case 'fenced':
        this.fencedBy = effect.by;
        this.caller.close();
        this.checkFence(effect.by);
        return;
      case 'quorumLost':
        this.quorumLost = true;
        return;
    }
  }

  /** S32: only a newer reign over the same branch ends this one. */
  private checkFence(by: Epoch): void {
    const { cluster, epoch } = this;
    const [mine, theirs] = [epoch, by].map((of) => cluster.truth.ofBranch(of).split('#')[0]);
    cluster.check(mine === theirs, `S32: epoch ${by} of ${theirs} fenced epoch ${epoch} of ${mine}`);
  }

  private failed(node: NodeId, reply: StorageReply | null): void {
    if (reply?.kind === 'refused')
      this.step({ kind: 'refused', node, code: reply.code, sealed: reply.sealed });
    else this.step({ kind: 'unanswered', node });
  }

  private durable(vdl: Lsn): void {
    const { cluster } = this;
    cluster.check(vdl > this.announcedTo, `VDL went from ${this.announcedTo} to ${vdl}`);
    cluster.check(cluster.truth.cpls.has(vdl), `VDL ${vdl} is not the end of a transaction`);
    this.announcedTo = vdl;
    cluster.truth.announce(this.epoch, this.checkedTo, vdl, this.judged);
    // Frames are checked whole: the next check starts at the frame that holds the VDL.
    for (;;) {
      const frame = cluster.truth.frames.get(`${this.epoch}/${this.checkedTo}`);
      if (frame === undefined || this.checkedTo + frame.length - 36 > vdl) return;
      this.checkedTo = lsn(this.checkedTo + frame.length - 36);
    }
  }
}

/** Commits again and again, with less than `pauseMs` in between, until the writer's reign is over. */
export function keepWriting(cluster: Cluster, writer: Writer, pauseMs = 8): void {
  cluster.after(cluster.dice.below(pauseMs), () => {
    if (writer.over) return;
    writer.commitRandom();
    keepWriting(cluster, writer, pauseMs);
  });
}
