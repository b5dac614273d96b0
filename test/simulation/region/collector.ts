/**
 * Collects the logs of a cluster while it works: images are folded, an agent says what is needed, a secondary reads the log and is
 * away now and then, readers keep snapshots. It judges that nothing that was needed was collected.
 */
import { positionOn } from '../../../regions/control/core/survivors.ts';
import { type Neighbour, orderRetention } from '../../../regions/retention/core/retention.ts';
import { commonPoint, durableOn, EpochTree } from '../../../storage/history/epoch-tree.ts';
import { floorOn } from '../../../storage/history/floor.ts';
import {
  type Epoch,
  genesisEpoch,
  type Lsn,
  lsn,
  mainBranch,
  type NodeId,
  regionId,
  zeroLsn,
} from '../../../storage/redo/ids.ts';
import type { RetainedReply, StorageReply } from '../../../storage/wire/core/messages.ts';
import { sixNodes } from '../../storage/samples.ts';
import { Caller } from './caller.ts';
import type { Cluster, Collecting } from './cluster.ts';

export type CollectorDefect =
  /** What a secondary needs is not asked for. */
  | 'ignores-needs'
  /** One node with images passes for four. */
  | 'counts-one-copy'
  /** A floor is never on the disk. */
  | 'forgets-floors'
  /** A node that starts again counts what it holds from the first byte on. */
  | 'counts-from-zero'
  /** The agent's list of branches lacks them: nodes think that they were deleted. */
  | 'forgets-branches';

const secondary = regionId('eu-west-1');
/** A reader keeps a snapshot so long, and folding stays so far behind. */
const readPointMs = 100;
const answerAgeMs = 400;

interface Told {
  readonly head: Epoch;
  readonly vdl: Lsn;
  readonly atMs: number;
}

export class Collector implements Collecting {
  readonly counts = { drops: 0, reads: 0, letGo: 0, shipped: 0, refills: 0 };
  private readonly cluster: Cluster;
  private readonly caller: Caller;
  private readonly defect: CollectorDefect | null;
  private readonly window: number;
  private readonly bytes: number | null;
  private readonly answers = new Map<NodeId, { readonly reply: RetainedReply; readonly atMs: number }>();
  /** What each node was told is durable, oldest first. */
  private readonly told = new Map<NodeId, Told[]>();
  private known: Told[] = [];
  private shipped: { head: Epoch; at: Lsn } = { head: genesisEpoch, at: zeroLsn };
  private levelAtMs = 0;
  private excused = false;
  private awayUntilMs = 0;

  constructor(cluster: Cluster, defect: CollectorDefect | null) {
    const { dice } = cluster;
    this.cluster = cluster;
    this.caller = new Caller(cluster, () => undefined, 'all');
    this.defect = defect;
    this.window = defect === 'ignores-needs' ? 5_000 : dice.pick([100, 300, 5_000]);
    this.bytes = defect === 'ignores-needs' ? 1_500 : dice.pick([null, 1_500, 4_000]);
    cluster.collecting = this;
    cluster.forgetsFloors = defect === 'forgets-floors';
    cluster.countsFromZero = defect === 'counts-from-zero';
    cluster.every(40, () => {
      for (const id of cluster.up) this.fold(id);
    });
    cluster.every(50, () => this.order());
    cluster.every(10, () => this.ship());
    cluster.every(15, () => this.read());
  }

  /** S19, S20: judged from what is on the disks. */
  drops(id: NodeId, end: Lsn): void {
    const { cluster } = this;
    const { durable } = cluster.core(id);
    // Others have images on paths of which this node has not heard.
    const tree = new EpochTree();
    for (const other of sixNodes) tree.addAll(cluster.node(other).state.forks);
    const saved = cluster.node(id).state.floor;
    this.counts.drops += 1;
    cluster.check(saved.lsn >= end, `S20: ${id} drops up to ${end}, and its disk says ${saved.lsn}`);
    const holding = sixNodes.filter((other) =>
      cluster
        .node(other)
        .images.some(({ epoch, lsn: vdl }) => durableOn(tree, { head: epoch, vdl }, durable.head) >= end),
    );
    // A disk that was replaced a moment ago held some when the agent worked out what may go.
    cluster.check(
      holding.length + cluster.replaced >= 4,
      `S19: ${id} drops up to ${end}, and ${holding.length} nodes have images there`,
    );
  }

  /** A page at a read point is made of an image at or below it and of the log between them. */
  reads(id: NodeId, head: Epoch, readPoint: Lsn): void {
    const { cluster } = this;
    const { tree } = cluster.core(id);
    const images = cluster.node(id).images.filter((place) => floorOn(tree, place, head) === place.lsn);
    const from = images.findLast((place) => place.lsn <= readPoint)?.lsn ?? zeroLsn;
    this.checkLog(id, head, from, readPoint, 'serves');
    this.counts.reads += 1;
  }

  private checkLog(id: NodeId, head: Epoch, from: Lsn, to: Lsn, what: string): void {
    const { cluster } = this;
    const { segment } = cluster.core(id);
    for (let at = from; at < to; ) {
      const run = segment.run(head, at, 4_000, to);
      const isThere = run.frames.every(({ position }) => cluster.node(id).bytesAt(position) !== null);
      if (run.frames.length === 0 || !isThere)
        cluster.fail(`${id} ${what} ${to} of epoch ${head}, and its log lacks ${at}`);
      at = run.end;
    }
  }

  /** Durable images of what was durable a moment ago. */
  private fold(id: NodeId): void {
    const { cluster } = this;
    const { tree, segment, durable } = cluster.core(id);
    const machine = cluster.node(id);
    const { floor } = machine.state;
    cluster.check(
      segment.floor.lsn >= floor.lsn,
      `${id} goes by a floor of ${segment.floor.lsn}, and its disk says ${floor.lsn}`,
    );
    const { nowMs } = cluster;
    const told = this.told.get(id) ?? [];
    this.told.set(id, told);
    told.push({ ...durable, atMs: nowMs });
    const isOn = (place: { readonly head: Epoch; readonly vdl: Lsn }): boolean =>
      floorOn(tree, { epoch: place.head, lsn: place.vdl }, durable.head) === place.vdl;
    // What it was told is older than its images: it has just started.
    if (machine.images.some((place) => place.epoch > durable.head)) return;
    // What a fork left behind has no images any more.
    const kept = machine.images.filter((place) => isOn({ head: place.epoch, vdl: place.lsn }));
    while (told[1] !== undefined && nowMs - told[1].atMs >= readPointMs + 20) told.shift();
    const [old] = told;
    const last = kept.at(-1)?.lsn ?? zeroLsn;
    if (this.refilled(id)) return;
    const isNew =
      old !== undefined &&
      nowMs - old.atMs >= readPointMs + 20 &&
      isOn(old) &&
      old.vdl > last &&
      segment.volumeEnd(durable.head) >= old.vdl &&
      cluster.dice.perMille(500);
    if (isNew) this.checkLog(id, durable.head, last, old.vdl, 'folds');
    const next = isNew ? [...kept, { epoch: old.head, lsn: old.vdl }] : kept;
    // A merge loses the boundaries below the floor.
    machine.images = next.filter((place, at) => place.lsn >= segment.floor.lsn || at === next.length - 1);
  }

  /** A node that needs images gets those of a peer. @returns whether it did. */
  private refilled(id: NodeId): boolean {
    const { cluster } = this;
    const { tree, segment, needsImages, durable, branches } = cluster.core(id);
    if (needsImages === null) return false;
    // Of a branch that leaves below its floor a node holds nothing.
    const held = branches.neededHeads.filter((head) => segment.floorOn(head) !== null);
    const paths = [durable.head, ...held];
    const end = segment.volumeEnd(durable.head);
    const newest = sixNodes
      .flatMap((other) => cluster.node(other).images)
      .filter((place) => paths.every((head) => floorOn(tree, place, head) === place.lsn))
      .filter((place) => place.lsn > end && place.lsn <= durable.vdl)
      .sort((a, b) => a.lsn - b.lsn)
      .at(-1);
    if (newest === undefined) return false;
    // Where there are branches its floor has to follow: below these images it has none for them any more.
    if (cluster.listed !== undefined) cluster.node(id).adopt(newest);
    else cluster.node(id).images = [newest];
    this.counts.refills += 1;
    return true;
  }

  /** The newest path that a node knows, and what is durable on it. */
  private me(): { readonly epoch: Epoch; readonly vdl: Lsn; readonly tree: EpochTree } | null {
    const cores = this.cluster.up.map((id) => this.cluster.core(id));
    const newest = cores.reduce<(typeof cores)[number] | null>(
      (best, core) => (best === null || core.head > best.head ? core : best),
      null,
    );
    if (newest === null || newest.head === genesisEpoch || !newest.tree.has(this.shipped.head)) return null;
    const { head, tree } = newest;
    const vdls = cores.map(({ durable }) => durableOn(tree, durable, head));
    return { epoch: head, vdl: lsn(Math.max(0, ...vdls)), tree };
  }

  private order(): void {
    const { cluster, answers } = this;
    const me = this.me();
    if (me === null) return;
    const { nowMs } = cluster;
    const held = { epoch: me.epoch, vdl: me.vdl, forks: me.tree.forksOf(me.epoch) };
    this.known = [...this.known, { head: me.epoch, vdl: me.vdl, atMs: nowMs }].slice(-20);
    const theirs = {
      epoch: this.shipped.head,
      vdl: this.shipped.at,
      forks: me.tree.forksOf(this.shipped.head),
    };
    const neighbour: Neighbour = {
      region: secondary,
      at: positionOn(theirs, held),
      lacksForMs: (nowMs - this.levelAtMs) / 1_000,
    };
    const recent = [...answers].filter(([, { atMs }]) => nowMs - atMs < answerAgeMs);
    const fresh = recent.map(([, { reply }]) => reply);
    const { request, letGo } = orderRetention({
      config: { hours: this.window / 3_600e6, ...(this.bytes !== null && { bytes: this.bytes }) },
      me: held,
      neighbours: [neighbour],
      isSearching: false,
      backup: null,
      answers: new Map(recent.map(([node, { reply }]) => [node, reply])),
      sets: [sixNodes],
      nowUs: nowMs,
    });
    if (letGo.length > 0) {
      this.counts.letGo += 1;
      this.excused = true;
    }
    const { listed } = cluster;
    const sent = {
      ...request,
      ...(listed !== undefined && {
        branches: this.defect === 'forgets-branches' ? { ...listed, live: [] } : listed,
      }),
      ...(this.defect === 'ignores-needs' && { keepFrom: held.vdl }),
      ...(this.defect === 'counts-one-copy' && {
        copies: lsn(
          Math.max(0, ...fresh.filter(({ head }) => head === me.epoch).map(({ images }) => images)),
        ),
      }),
    };
    for (const node of sixNodes)
      this.caller.call(node, sent, (reply) => {
        if (reply?.kind === 'retained') answers.set(node, { reply, atMs: cluster.nowMs });
      });
  }

  /** The secondary reads what is durable, and is away now and then. */
  private ship(): void {
    const { cluster } = this;
    const { dice, nowMs } = cluster;
    const me = this.me();
    if (me === null || nowMs < this.awayUntilMs) return;
    if (dice.perMille(20)) this.awayUntilMs = nowMs + dice.below(dice.perMille(200) ? 1_500 : 700);
    const { head } = this.shipped;
    const from = commonPoint(me.tree, { head, lsn: this.shipped.at }, me.epoch);
    const node = dice.pick(sixNodes);
    const known = { head: me.epoch, vdl: zeroLsn };
    this.caller.call(
      node,
      {
        kind: 'fetch',
        branch: mainBranch,
        head: me.epoch,
        from,
        bytesMax: 4_000,
        waitMs: 0,
        durableOnly: true,
        known,
      },
      (reply) => this.fetched(node, me.epoch, from, reply),
    );
  }

  private fetched(node: NodeId, head: Epoch, from: Lsn, reply: StorageReply | null): void {
    const { cluster } = this;
    // An answer to a question that was asked before it got on.
    if (head < this.shipped.head || (head === this.shipped.head && from < this.shipped.at)) return;
    if (reply?.kind === 'refused' && reply.code === 'BELOW_FLOOR') {
      // One that needed images itself has no log below them; the secondary asks the next.
      const isKept = sixNodes.some((id) => cluster.node(id).state.floor.lsn <= from);
      if (isKept) return;
      if (!this.excused)
        cluster.fail(
          `R60: ${node} and all others refuse ${from} of epoch ${head} to a secondary within its limits`,
        );
      // It gets images from elsewhere.
      this.shipped = { head, at: this.me()?.vdl ?? from };
      this.levelAtMs = cluster.nowMs;
      this.excused = false;
      return;
    }
    if (reply?.kind !== 'fetched') return;
    this.counts.shipped += 1;
    this.shipped = { head, at: reply.next };
    const me = this.me();
    if (me === null || reply.next < me.vdl) return;
    this.levelAtMs = cluster.nowMs;
    this.excused = false;
  }

  /** A snapshot as old as readers keep them, of `main` or of a branch. */
  private read(): void {
    const { cluster } = this;
    const branches = cluster.listed?.live ?? [];
    if (branches.length > 0 && cluster.dice.perMille(500)) {
      const { head } = cluster.dice.pick(branches);
      const node = cluster.dice.pick(cluster.up);
      // A node that learned of the branch when its own log no longer reached there has no copy of it, and says so.
      const { tree, segment, branches: known } = cluster.core(node);
      if (!tree.has(head) || segment.volumeEnd(head) === zeroLsn) return;
      const readPoint = known.durableOn(head);
      this.ask(node, head, readPoint);
      return;
    }
    const me = this.me();
    const points = this.known.filter(
      ({ head, atMs }) => head === me?.epoch && cluster.nowMs - atMs <= readPointMs,
    );
    if (points.length === 0) return;
    const { head, vdl: readPoint } = cluster.dice.pick(points);
    this.ask(cluster.dice.pick(sixNodes), head, readPoint);
  }

  private ask(node: NodeId, head: Epoch, readPoint: Lsn): void {
    const { cluster } = this;
    this.caller.call(node, { kind: 'readPages', head, readPoint, pages: [] }, (reply) => {
      if (reply?.kind === 'refused' && reply.code === 'BELOW_FLOOR')
        cluster.fail(`${node} refuses a reader at ${readPoint} of epoch ${head}: ${reply.reason}`);
    });
  }
}
