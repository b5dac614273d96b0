/**
 * One region of storage node cores, driven from one seed, for what needs thousands of runs a minute: messages are late, lost and
 * repeated, disks take their time, and nodes die, lose what was not synced or all of it. Writers, recoveries, coordinators and
 * collectors call them; `judges/storage/truth.ts` judges. Time, chance, links and disks are those of whole deployments.
 */
import { EpochTree, type Fork } from '../../../storage/history/epoch-tree.ts';
import { floorOn } from '../../../storage/history/floor.ts';
import { nodesOf } from '../../../storage/members/core/membership.ts';
import type { StorageNode } from '../../../storage/node/core/node.ts';
import type { Epoch, Lsn, NodeId } from '../../../storage/redo/ids.ts';
import type { RetainRequest } from '../../../storage/wire/core/messages.ts';
import { heldOf, sixNodes } from '../../storage/samples.ts';
import { type LatencyOptions, Topology } from '../deployment/topology.ts';
import { Truth } from '../judges/storage/truth.ts';
import type { DiskOptions } from '../twins/disk.ts';
import { Network, type NetworkOptions } from '../twins/network.ts';
import type { Prng } from '../world/prng.ts';
import { Trace } from '../world/trace.ts';
import { World } from '../world/world.ts';
import { CoreNode } from './core-node.ts';
import type { Envelope } from './rpc.ts';

/** Chances are of a thousand. */
export interface Faults {
  /** That a message, request or reply, is lost. */
  readonly lossPerMille: number;
  /** That it arrives twice. */
  readonly repeatPerMille: number;
  readonly delayMsMax: number;
  /** That a message takes ten times as long, so that it arrives when all has changed. */
  readonly slowPerMille: number;
  /** Every hundred milliseconds, that one who calls cannot reach one or two of the nodes for a while. */
  readonly cutPerMille: number;
  readonly diskMsMax: number;
  /** That a writer expects more commits when it has made one, as long as it takes to gather them. */
  readonly gatherPerMille: number;
}

export const calm: Faults = {
  lossPerMille: 0,
  repeatPerMille: 0,
  delayMsMax: 1,
  slowPerMille: 0,
  cutPerMille: 0,
  diskMsMax: 1,
  gatherPerMille: 0,
};
export const rough: Faults = {
  lossPerMille: 30,
  repeatPerMille: 30,
  delayMsMax: 12,
  slowPerMille: 40,
  cutPerMille: 300,
  diskMsMax: 8,
  gatherPerMille: 300,
};

export const tickMs = 50;
const msUs = 1_000;
/** Cores take no time of 0 for a time. */
const startedAtMs = 1_000;

/** What a collector hears. */
export interface Collecting {
  /** A node is about to drop files, in which the durable path ends at `end`. */
  drops(node: NodeId, end: Lsn): void;
  /** A node answers a page read. */
  reads(node: NodeId, head: Epoch, readPoint: Lsn): void;
}

type Changing<T> = { -readonly [K in keyof T]: T[K] };

export class Cluster {
  readonly seed: number;
  readonly world: World;
  readonly topology: Topology;
  readonly network: Network<Envelope>;
  /** What scenarios, writers and those who break things draw from. */
  readonly dice: Prng;
  readonly disk: Changing<DiskOptions>;
  readonly truth = new Truth({
    holds: (node, frame) => {
      const found = this.node(node);
      return found.onDisk.has(frame) || this.isInImages(found, frame);
    },
    replaced: () => this.replaced,
    hasForked: (node, epoch) => this.node(node).state.forks.some((fork) => fork.epoch === epoch),
    fail: (what) => this.fail(what),
  });
  /** Hears what nodes do with their logs, in runs that collect them. */
  collecting: Collecting | null = null;
  /** A defect: floors are not saved. */
  forgetsFloors = false;
  /** A defect: who seals a branch seals `main` as well. */
  leaksSeals = false;
  /** A defect: a node that starts again takes no notice of its floor. */
  countsFromZero = false;
  /** When disks were replaced by empty ones. */
  readonly wipedAtMs: number[] = [];
  /** The branches that there are besides `main`, as an agent lists them. */
  listed: RetainRequest['branches'] | undefined = undefined;
  private readonly latency: Changing<LatencyOptions>;
  private readonly links: Changing<NetworkOptions>;
  private readonly nodes = new Map<NodeId, CoreNode>();
  private present: Faults = calm;
  private callers = 0;

  constructor(seed: number, faults: Faults = calm) {
    this.seed = seed;
    this.world = new World({ seed, trace: new Trace({ keptLinesMax: 50 }), stepsMax: 20_000_000 });
    const none = { min: 0, max: 0 };
    this.latency = {
      sameRegionUs: { min: 50, max: 200 },
      crossRegionUs: none,
      jitterUs: none,
      spikePerMille: 0,
      spikeUs: none,
      lineBytesPerMs: 0,
    };
    this.links = {
      redialUs: { min: 1_000, max: 4_000 },
      heartbeatUs: { min: 2_000_000, max: 4_000_000 },
      closeNoticeUs: { min: 100, max: 2_000 },
      inFlightBytesMax: 100_000_000,
      bytesPerMs: 0,
      lossPerMille: 0,
      duplicatePerMille: 0,
    };
    this.disk = { syncUs: none, stallPerMille: 0, capacityBytes: Number.MAX_SAFE_INTEGER };
    this.topology = new Topology(this.world, this.latency);
    this.network = new Network(this.topology, 'net', this.links);
    this.dice = this.world.prng('scenario');
    this.faults = faults;
    for (const id of sixNodes) this.add(id);
    this.every(tickMs, () => {
      for (const node of this.nodes.values()) node.step({ kind: 'tick' });
    });
  }

  get faults(): Faults {
    return this.present;
  }

  set faults(faults: Faults) {
    this.present = faults;
    const { delayMsMax } = faults;
    this.latency.jitterUs = { min: 0, max: delayMsMax * msUs };
    this.latency.spikePerMille = faults.slowPerMille;
    this.latency.spikeUs = { min: 0, max: 9 * delayMsMax * msUs };
    this.links.lossPerMille = faults.lossPerMille;
    this.links.duplicatePerMille = faults.repeatPerMille;
    this.disk.syncUs = { min: 0, max: faults.diskMsMax * msUs };
  }

  get nowMs(): number {
    return startedAtMs + Math.floor(this.world.nowUs / msUs);
  }

  after(delayMs: number, run: () => void): void {
    this.world.schedule(delayMs * msUs, 'later', run);
  }

  every(periodMs: number, run: () => void): void {
    this.after(periodMs, () => {
      run();
      this.every(periodMs, run);
    });
  }

  /** Runs until `done`, or until `limitMs` have passed. @returns whether it was done. */
  runUntil(done: () => boolean, limitMs: number): boolean {
    return this.world.runUntil(done, this.world.nowUs + limitMs * msUs) === 'met';
  }

  runFor(ms: number): void {
    this.world.runFor(ms * msUs);
  }

  fail(what: string): never {
    throw new Error(`seed ${this.seed}, ${this.nowMs} ms: ${what}`);
  }

  check(holds: boolean, what: string): void {
    if (!holds) this.fail(what);
  }

  /** The address of one who calls nodes and is none, never used twice. */
  newCaller(): `r/${string}` {
    this.callers += 1;
    return `r/c${this.callers}`;
  }

  /** Disks that were replaced by empty ones in the last second. */
  get replaced(): number {
    return this.wipedAtMs.filter((atMs) => this.nowMs - atMs < 1_000).length;
  }

  /** Whether images of this node hold what a frame says. */
  private isInImages({ images, state }: CoreNode, frame: string): boolean {
    const bytes = this.truth.frames.get(frame);
    if (bytes === undefined || images.length === 0) return false;
    const { epoch, end } = heldOf(bytes);
    const tree = new EpochTree(state.forks);
    return images.some(
      (place) => end <= place.lsn && tree.has(place.epoch) && tree.visibleUntil(place.epoch, epoch) >= end,
    );
  }

  node(id: NodeId): CoreNode {
    return this.nodes.get(id) ?? this.fail(`no node ${id}`);
  }

  core(id: NodeId): StorageNode {
    return this.node(id).core ?? this.fail(`${id} is down`);
  }

  get up(): readonly NodeId[] {
    return [...this.nodes.values()].filter(({ core }) => core !== null).map(({ id }) => id);
  }

  /** A node more, with an empty disk. */
  add(id: NodeId): void {
    this.nodes.set(id, new CoreNode(this, id));
    this.start(id);
  }

  /** It serves once it has read its disk. */
  start(id: NodeId): void {
    this.node(id).start();
  }

  /** The process dies, or the machine under it: what was not synced may be gone. */
  kill(id: NodeId): void {
    this.node(id).kill(this.dice.perMille(500) ? 'process' : 'power');
  }

  /** The disk is replaced by an empty one. The node stays down. */
  wipe(id: NodeId): void {
    this.wipedAtMs.push(this.nowMs);
    this.node(id).wipe();
  }

  /** Whom a node asks for what it lacks. */
  peersOf(node: CoreNode): readonly NodeId[] {
    const known = node.core?.state.members?.current ?? null;
    const region = known === null ? sixNodes : nodesOf(known).map((member) => member.node);
    return region.filter((id) => id !== node.id);
  }

  /** The bytes of the same history as one node holds them in its log, from its floor on. */
  readFrom(id: NodeId, forks: readonly Fork[], head: Epoch, vdl: Lsn): Uint8Array {
    const frames = new Map<string, Uint8Array>();
    const node = this.node(id);
    const { segment, tree } = this.core(id);
    const floor = floorOn(tree, segment.floor, head) ?? this.fail(`${id} has a floor beside epoch ${head}`);
    for (let from = floor; from < vdl; ) {
      const { frames: run, end } = segment.run(head, from, 3_000, vdl);
      if (run.length === 0) this.fail(`${id} has no frame at ${from}, below ${vdl}`);
      for (const { epoch, base, position } of run)
        frames.set(`${epoch}/${base}`, node.bytesAt(position) ?? this.fail(`${id} dropped ${base}`));
      from = end;
    }
    // What lies below the floor its images say, made of the truth when they were checked.
    const below = (epoch: Epoch, base: number) =>
      tree.visibleUntil(head, epoch) > base && base < floor
        ? this.truth.frames.get(`${epoch}/${base}`)
        : undefined;
    return this.truth.collect(
      forks,
      head,
      vdl,
      (epoch, base) => frames.get(`${epoch}/${base}`) ?? below(epoch, base),
    );
  }
}
