/**
 * Tells the region's storage nodes every two seconds what of their log is needed, and remembers what they answered. A node that
 * does not answer is asked the next time; while fewer than four have answered nothing is dropped anywhere.
 */
import {
  describeFloor,
  type FetchSource,
  genesisEpoch,
  type Lsn,
  maxLsn,
  type NodeId,
  type RegionClient,
  type RegionId,
  type RetainedReply,
  type Runtime,
  setsOf,
  type Timer,
  zeroLsn,
} from '../../storage/index.ts';
import type { Logger } from '../../telemetry/index.ts';
import { changeControl } from '../control/control-link.ts';
import type { ControlReading, ControlStore, ControlView } from '../control/core/control-port.ts';
import type { ControlRecord } from '../control/core/control-record.ts';
import { branchesFrom, mayLetGoTo, raisePromise } from '../control/core/promised-record.ts';
import { type Held, positionOn, type Survivor } from '../control/core/survivors.ts';
import {
  type BranchNeeds,
  type HeldBytes,
  type Holder,
  isWorthPromising,
  type LetGo,
  type Neighbour,
  orderRetention,
  type Wanted,
} from './core/retention.ts';
import { type RetentionConfig, retentionLimits } from './core/retention-limits.ts';
import type { RetentionReport } from './core/retention-report.ts';

const answerMs = 1_000;

export interface RetentionOptions {
  readonly config: RetentionConfig;
  /** Between two rounds; a simulation asks more often than `retentionLimits` does. */
  readonly retentionEveryMs?: number;
  readonly region: RegionId;
  /** Every region of the deployment. */
  readonly regions: readonly RegionId[];
  /** The region's nodes. */
  readonly links: FetchSource & Pick<RegionClient, 'membership'>;
  /** What regions say of themselves, and what their primary says that they lack. */
  readonly view: {
    readonly record: ControlRecord | null;
    survivors(nowMs: number, withinMs: number): readonly Pick<Survivor, 'region' | 'held' | 'heardMsAgo'>[];
    missing(region: string, nowMs: number): { readonly lagMs: number | null };
  };
  /** What the region's nodes hold; null while that is not known. */
  readonly me: () => Held | null;
  /** In the primary: how far its secondaries are known to be; elsewhere none. */
  readonly lags: () => readonly {
    readonly region: RegionId;
    readonly vdl: Lsn;
    readonly lagMs: number | null;
    /** While it is filled with images: it needs the log from here on. */
    readonly imagesFrom: Lsn | null;
  }[];
  readonly store: ControlStore;
  /** Hears what was written. */
  readonly looked: (reading: ControlReading) => void;
  /** Whether writes that a failover left behind here are still being looked for. */
  readonly isSearching: () => boolean;
  /** What branches need; null while it is not known which there are. */
  readonly branches: () => BranchNeeds | null;
  /** The region's backup, which needs what it lacks; left out without one. */
  readonly backup?: { readonly needs: Wanted | null };
  readonly runtime: Runtime;
  readonly log: Logger;
}

interface Answer {
  readonly reply: RetainedReply;
  readonly atMs: number;
}

export class Retention {
  private readonly options: RetentionOptions;
  private readonly answers = new Map<NodeId, Answer>();
  private readonly timer: Timer;
  private readonly beganAtMs: number;
  private held: readonly HeldBytes[] = [];
  private letGo: readonly LetGo[] = [];
  private floor: Lsn = zeroLsn;
  private asking = false;
  private promising = false;
  private closed = false;

  constructor(options: RetentionOptions) {
    this.options = options;
    this.beganAtMs = options.runtime.nowMs();
    const everyMs = options.retentionEveryMs ?? retentionLimits.everyMs;
    this.timer = options.runtime.every(everyMs, () => void this.round());
  }

  /** What the log was kept for when it was last looked at. */
  get report(): RetentionReport {
    const { hours, bytes } = this.options.config;
    const { floor, held, letGo } = this;
    return { hours, bytes: bytes ?? null, floor, held: [...held], letGo: [...letGo] };
  }

  close(): void {
    this.closed = true;
    this.timer.stop();
  }

  private async round(): Promise<void> {
    const { config, links, isSearching, backup, runtime } = this.options;
    if (this.asking || this.closed) return;
    this.asking = true;
    const me = this.options.me();
    if (me === null || me.epoch === genesisEpoch) {
      this.asking = false;
      return;
    }
    const { request, held, letGo, floor, wanted } = orderRetention({
      config,
      me,
      neighbours: this.neighbours(me),
      isSearching: isSearching(),
      backup: backup?.needs ?? null,
      branches: this.options.branches(),
      bound: this.bound(me),
      answers: this.fresh(),
      sets: setsOf(links.membership),
      nowUs: runtime.wallUs(),
    });
    this.tell(letGo);
    this.held = held;
    this.letGo = letGo;
    this.floor = floor;
    void this.promise(me, wanted);
    await Promise.all(
      links.nodes.map(async (node) => {
        const reply = await links.request(node, request, answerMs);
        if (reply.kind === 'retained') this.answered(node, reply);
      }),
    );
    this.asking = false;
  }

  /** R96: what the record has not promised to be without is kept in every region. */
  private bound(me: Held): Holder {
    const { view, region } = this.options;
    const { record } = view;
    const reason = record?.primary === region ? 'control record' : `primary ${record?.primary ?? 'unknown'}`;
    return { reason, at: record === null ? zeroLsn : mayLetGoTo(record, me) };
  }

  /** The primary promises to be without its log up to `wanted`; the nodes are told in a later round, by the record that says so. */
  private async promise(me: Held, wanted: Lsn): Promise<void> {
    const { view, region, store, runtime, looked, log } = this.options;
    const { record } = view;
    if (this.promising || record?.primary !== region) return;
    if (!isWorthPromising(branchesFrom(record, me), wanted, me.vdl)) return;
    this.promising = true;
    const raise = ({ record: now }: ControlView) => raisePromise(now, { region, path: me, upTo: wanted });
    const changed = await changeControl(store, raise, runtime);
    this.promising = false;
    if (this.closed) return;
    if (changed.kind === 'changed') looked({ kind: 'record', view: changed.view });
    else log.debug({ reason: changed.reason }, 'from where on branches may leave stays as it is');
  }

  /** A region's own word counts for more than what its primary remembers of it, as long as it is young. */
  private neighbours(me: Held): readonly Neighbour[] {
    const { region, regions, view, lags, runtime } = this.options;
    const nowMs = runtime.nowMs();
    const heard = view.survivors(nowMs, Number.POSITIVE_INFINITY);
    return regions
      .filter((name) => name !== region)
      .map((name): Neighbour => {
        const own = heard.find((survivor) => survivor.region === name);
        const lane = lags().find((lag) => lag.region === name && lag.vdl > zeroLsn);
        // R64: what it is being filled with begins there.
        const filling = lags().find((lag) => lag.region === name)?.imagesFrom ?? null;
        if (filling !== null) return { region: name, at: filling, lacksForMs: 0 };
        const silentMs = own?.heardMsAgo ?? nowMs - this.beganAtMs;
        const told = positionOn(own?.held ?? null, me);
        const acked = lane?.vdl ?? null;
        return {
          region: name,
          // A region that is away may have stored more than it last told of.
          at:
            silentMs > retentionLimits.youngMs && told !== null
              ? maxLsn(told, acked ?? told)
              : (told ?? acked),
          lacksForMs: view.missing(name, nowMs).lagMs ?? lane?.lagMs ?? silentMs,
        };
      });
  }

  /** Of nodes that the region has now. */
  private fresh(): ReadonlyMap<NodeId, RetainedReply> {
    const { links, runtime } = this.options;
    const since = runtime.nowMs() - retentionLimits.answerAgeMs;
    const fresh = new Map<NodeId, RetainedReply>();
    for (const node of links.nodes) {
      const answer = this.answers.get(node);
      if (answer !== undefined && answer.atMs >= since) fresh.set(node, answer.reply);
    }
    return fresh;
  }

  private answered(node: NodeId, reply: RetainedReply): void {
    const before = this.answers.get(node)?.reply.floor.lsn ?? reply.floor.lsn;
    this.answers.set(node, { reply, atMs: this.options.runtime.nowMs() });
    if (reply.floor.lsn > before)
      this.options.log.debug({ node, from: describeFloor(reply.floor) }, 'a node keeps its log from here on');
  }

  /** Each change once. */
  private tell(letGo: readonly LetGo[]): void {
    const { log } = this.options;
    const known = new Set(this.letGo.map(({ region }) => region));
    for (const { region, reason } of letGo) {
      if (known.delete(region)) continue;
      log.warn({ holder: region, reason }, 'the log is kept for it no longer: it may need images');
    }
    for (const region of known) log.info({ holder: region }, 'the log is kept for it again');
  }
}
