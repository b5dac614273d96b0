/**
 * The volume under a simulated gateway's writer role: production reigns, with their gate, over this region's nodes. Where a real
 * gateway has SQL engines there are page changes that carry the name of their write.
 */
import type { EngineCommitEvent } from '../../../gateway/engine/commit-events.ts';
import { Reign, type ReignPort, type ReignStart } from '../../../gateway/reign/reign.ts';
import type { BranchVolume, RegionVdlWatcher, RoleVolume } from '../../../gateway/reign/role-volume.ts';
import type { EndReason } from '../../../regions/control/writer/core/writer-role-events.ts';
import type { NodeLinks } from '../../../storage/client/node-links.ts';
import { type Epoch, type Lsn, lsn } from '../../../storage/redo/ids.ts';
import { volumeLimits } from '../../../storage/redo/limits.ts';
import type { LineWitness, SimContext, SimRuntime } from '../deployment/sim-types.ts';
import { changesOf, encodeWrite, type WrittenParts } from '../deployment/sim-workload.ts';
import type { RuntimeTwin } from '../ports/runtime.ts';
import { placeOf } from './drivers.ts';
import type { RegionLinks } from './region-links.ts';

const gatherMs = 3;

/** How a write ended that was executed here. */
export type Executed =
  | { readonly kind: 'committed'; readonly epoch: Epoch; readonly lsn: Lsn }
  | { readonly kind: 'unknown' };

interface OpenReign {
  readonly reign: Reign;
  readonly line: LineWitness;
  readonly port: ReignPort;
  /** Ends the watch of its nodes. */
  readonly unwatch: () => void;
  /** When each write that has no answer yet was executed. */
  readonly executedAtMs: number[];
}

export class SimVolume implements RoleVolume, BranchVolume {
  /** Transactions begin and commit at one moment here: no thread holds a drain up. */
  readonly writer = { stuckMs: 0, abandon: (): void => undefined };
  private readonly runtime: SimRuntime;
  private readonly context: SimContext;
  private readonly time: RuntimeTwin;
  private readonly links: RegionLinks;
  private readonly region: string;
  private watcher: RegionVdlWatcher = () => undefined;
  private open: OpenReign | null = null;
  private gathering = false;
  private namedUntilMs = 0;

  constructor(
    runtime: SimRuntime,
    context: SimContext,
    time: RuntimeTwin,
    links: RegionLinks,
    region: string,
  ) {
    this.runtime = runtime;
    this.context = context;
    this.time = time;
    this.links = links;
    this.region = region;
  }

  /** The reign that takes writes, unless the role holds them back. */
  get reign(): Reign | null {
    return this.open?.reign.isOver === false ? this.open.reign : null;
  }

  watchRegionVdl(watcher: RegionVdlWatcher): void {
    this.watcher = watcher;
  }

  /** What is durable in this region has moved, as its log says. */
  regionVdl(head: Epoch, vdl: Lsn): void {
    this.watcher(head, vdl);
  }

  openWriter(start: ReignStart): Reign {
    const { region, context } = this;
    const { witness, defects } = context;
    const { epoch, forks, vdl } = start;
    // Only the defect that ignores the lease leaves a reign open that the role has ended.
    if (this.open !== null) this.end(this.open);
    const line = witness.line(forks);
    line.forked(region, epoch, forks);
    const port: ReignPort = {
      ...start.port,
      mayAcknowledge: () => this.mayAcknowledge(start.port),
      fenced: (by) => {
        if (defects.has('ignore-lease') && this.open?.reign.epoch === epoch) this.end(this.open);
        witness.reignFenced(epoch, by);
        start.port.fenced(by);
      },
      quorumLost: (reason) => {
        line.quorumLost(region, epoch, reason);
        start.port.quorumLost(reason);
      },
    };
    const reign = new Reign({
      region: this.witnessed(line, epoch),
      // The defect opens a gate that knows of no policy.
      start: { ...start, port, rpoMs: defects.has('ignores-rpo') ? null : start.rpoMs },
      engines: {
        isMoreComing: () => this.gathering,
        framed: () => undefined,
        committed: () => undefined,
        durable: (durable) => line.primaryDurable(region, epoch, durable),
        freed: () => undefined,
        appended: () => undefined,
      },
      recordFacts: false,
      place: placeOf(this.time, context),
    });
    if (defects.has('ignores-rpo')) reign.demand = () => undefined;
    const unwatch = this.links.watch({
      onNodeUp: () => undefined,
      onNodeDown: (node) => line.nodeLost(epoch, node),
    });
    this.open = { reign, line, port, unwatch, executedAtMs: [] };
    line.primaryDurable(region, epoch, vdl);
    return reign;
  }

  /** The record was seen to name this gateway: to a defect that proves as much as a compare-and-set. */
  namedUntil(untilMs: number): void {
    this.namedUntilMs = untilMs;
  }

  private mayAcknowledge(port: ReignPort): boolean {
    const { defects } = this.context;
    if (defects.has('ignore-lease') || defects.has('gate-stays-open')) return true;
    const believes = defects.has('reopen-unproved') && this.time.nowMs() < this.namedUntilMs;
    return believes || port.mayAcknowledge();
  }

  /** @param reason of a reign of `main`. */
  closeWriter(reign: Reign, reason?: EndReason): void {
    this.runtime.note(`reign ${reign.epoch} ends: ${reason ?? 'with its role'}`);
    const ignores = this.context.defects.has('ignore-lease');
    if (ignores && reason === 'deposed') return;
    if (this.open?.reign === reign) this.end(this.open);
  }

  /** There is no engine to be started, and none that rests. */
  warmWriter(): void {}

  wakeWriter(_opened: () => void): void {}

  settledChanges(): Promise<void> {
    return Promise.resolve();
  }

  /** Commits a write of its own transaction; `done` is called when its answer may leave. */
  execute(reign: Reign, write: WrittenParts, done: (executed: Executed) => void): void {
    const times = this.context.defects.has('apply-twice') && write.parts.length === 4 ? 2 : 1;
    const changes = changesOf(write);
    for (let time = 0; time < times; time += 1) {
      const mtr = encodeWrite(
        changes,
        this.runtime.wallUs(),
        this.context.bounds.quorum.framePayloadBytesMax,
      );
      const commit: EngineCommitEvent = { mtr, lsn: lsn(reign.lastLsn + mtr.byteLength), commits: [] };
      reign.commit(commit);
      this.open?.line.committed({
        epoch: reign.epoch,
        lsn: commit.lsn,
        writeId: write.writeId,
        changes,
      });
    }
    const at = reign.lastLsn;
    const executedAtMs = this.time.nowMs();
    const waiting = this.open?.executedAtMs ?? [];
    waiting.push(executedAtMs);
    // The defect asks the gate about what was durable before the write.
    const seen = this.context.defects.has('answers-early') ? reign.vdl : at;
    reign.settle(seen, (release) => {
      waiting.splice(waiting.indexOf(executedAtMs), 1);
      done(release === 'free' ? { kind: 'committed', epoch: reign.epoch, lsn: at } : { kind: 'unknown' });
    });
    this.gather(reign);
  }

  /** The defect counts the age of what waits, as was once done, whether it gets on or not. */
  endByAge(): void {
    const oldest = this.open?.executedAtMs[0];
    if (this.open === null || oldest === undefined || !this.context.defects.has('age-ends-reign')) return;
    if (this.time.nowMs() - oldest <= volumeLimits.quorumLostAfterMs) return;
    this.open.port.quorumLost('the defect: a record is old');
  }

  private end(open: OpenReign): void {
    this.open = null;
    open.unwatch();
    open.reign.close();
  }

  /** Now and then the writer says that more is coming, and a crowd's batch waits for it. */
  private gather(reign: Reign): void {
    if (this.gathering || !this.runtime.random.perMille(100)) return;
    this.gathering = true;
    this.time.after(gatherMs, () => {
      this.gathering = false;
      reign.gathered();
    });
  }

  /** This region's nodes; what they answer to the writer is told to the judges. */
  private witnessed(line: LineWitness, epoch: Epoch): NodeLinks {
    const { links } = this;
    return {
      get membership() {
        return links.membership;
      },
      get nodes() {
        return links.nodes;
      },
      azOf: (node) => links.azOf(node),
      watch: (watcher) => links.watch(watcher),
      notify: (node, request) => links.notify(node, request),
      ask: (node, request, timeoutMs, done) =>
        links.ask(node, request, timeoutMs, (answer) => {
          if (answer.kind === 'acked' && this.reign !== null) line.appendAnswered(epoch, node, answer.scls);
          done(answer);
        }),
    };
  }
}
