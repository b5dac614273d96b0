/**
 * A run with branches: `main` and up to three others are written in parallel over faulty nodes; each is taken over, rewound and
 * branched again while nodes die and come back empty, and in the end each reads the same everywhere.
 */
import { EpochTree, type Fork } from '../../../storage/history/epoch-tree.ts';
import type { Floor } from '../../../storage/history/floor.ts';
import type { Recovered, RecoveryGoal } from '../../../storage/quorum/core/recovery.ts';
import type { RewindGoal } from '../../../storage/quorum/core/recovery-types.ts';
import {
  type BranchName,
  branchName,
  type Epoch,
  epoch,
  type Lsn,
  lsn,
  mainBranch,
  type NodeId,
} from '../../../storage/redo/ids.ts';
import type { StorageRequest } from '../../../storage/wire/core/messages.ts';
import { sixNodes } from '../../storage/samples.ts';
import { Caller } from './caller.ts';
import { Cluster, calm, rough } from './cluster.ts';
import { keepWriting, Writer } from './cluster-writer.ts';
import { Collector } from './collector.ts';
import { Takeover } from './takeover.ts';

export type BranchDefect = 'leaks-seals' | 'forgets-branches';

export interface BranchRun {
  /** Points called durable on branches besides `main`. */
  readonly announced: number;
  /** Recoveries of them. */
  readonly reigns: number;
  readonly rewinds: number;
  readonly branches: number;
  readonly wipes: number;
  readonly deleted: number;
  readonly drops: number;
}

/** One branch, as those who write it know it. */
interface Line {
  readonly name: BranchName;
  /** The newest path that is durable, and where it was when its reign began. */
  head: Recovered;
  writer: Writer | null;
}

const actMs = 120;

class Region {
  readonly cluster: Cluster;
  readonly lines: Line[] = [];
  readonly counts = { rewinds: 0, branches: 0, wipes: 0, deleted: 0 };
  private named = 0;
  /** Nobody dies any more. */
  isCalm = false;
  private allotted = 0;
  private readonly busy = new Set<BranchName>();
  private readonly deleted = new Set<BranchName>();
  /** How many of a name were deleted. */
  private readonly generations = new Map<BranchName, number>();

  constructor(seed: number, defect: BranchDefect | null) {
    this.cluster = new Cluster(seed, rough);
    this.cluster.leaksSeals = defect === 'leaks-seals';
  }

  next(branch: BranchName): Epoch {
    const allotted = epoch(++this.allotted);
    const key = branch === mainBranch ? branch : `${branch}#${this.generations.get(branch) ?? 0}`;
    this.cluster.truth.allotted(allotted, key);
    return allotted;
  }

  /** The list of an agent, as of now. */
  list(): void {
    const live = this.lines
      .filter(({ name }) => name !== mainBranch)
      .map(({ head, writer }) => ({ head: head.head, keepFrom: writer?.volume.vdl ?? head.vdl }));
    this.cluster.listed = { knownTo: epoch(this.allotted), live };
  }

  /** Runs one act on a branch after another. */
  act(line: Line, what: (done: () => void) => void): void {
    if (this.busy.has(line.name)) return;
    this.busy.add(line.name);
    what(() => this.busy.delete(line.name));
  }

  /** A name that is used by no branch that lives; now and then it was by one that was deleted. */
  name(): BranchName {
    const free = [...this.deleted].find((name) => !this.lines.some((line) => line.name === name));
    if (free === undefined || this.cluster.dice.perMille(500)) return branchName(`b${++this.named}`);
    this.deleted.delete(free);
    return free;
  }

  forget({ name }: Line): void {
    this.busy.delete(name);
    this.deleted.add(name);
    this.generations.set(name, (this.generations.get(name) ?? 0) + 1);
  }

  get isIdle(): boolean {
    return this.busy.size === 0;
  }

  /**
   * A new reign over a branch; the old writer is stopped, or has to be fenced.
   * @param rewind what the record asks of every recovery until one has done it.
   */
  takeOver(line: Line, done: () => void, dies = false, rewind: RewindGoal | null = null): void {
    const { cluster } = this;
    if (cluster.dice.perMille(500)) line.writer?.stop();
    const goal: RecoveryGoal = {
      kind: 'fork',
      branch: line.name,
      epoch: this.next(line.name),
      ...(rewind !== null && { rewind }),
    };
    const takeover = new Takeover(cluster, goal, dies ? cluster.dice.below(30) : Number.POSITIVE_INFINITY);
    this.until(
      () => takeover.done,
      () => {
        const { outcome } = takeover;
        if (outcome?.kind === 'failed') cluster.fail(`${line.name}: ${outcome.reason}`);
        if (outcome?.kind !== 'recovered') {
          this.takeOver(line, done, false, rewind);
          return;
        }
        const made = outcome.outcome.rewind?.kind;
        if (made === 'done' || made === 'found') this.counts.rewinds += 1;
        line.writer?.stop();
        line.head = outcome.outcome;
        this.write(line);
        done();
      },
      `a recovery of ${line.name} stands still`,
    );
  }

  /** Begins a branch at a point that another one has called durable. */
  fork(line: Line, name: BranchName, at: Lsn, done: (forks: readonly Fork[] | null) => void): void {
    const { cluster } = this;
    const of = this.next(name);
    const forks = [...line.head.forks, { epoch: of, branch: name, parent: line.head.head, forkLsn: at }];
    const seal = { kind: 'seal', branch: name, epoch: of } as const;
    this.ask(seal, 'sealed', (sealed) => {
      if (!sealed) cluster.fail(`${name} could not be sealed for ${of}`);
      this.ask({ kind: 'fork', authority: of, forks }, 'forked', (forked) => done(forked ? forks : null));
    });
  }

  write(line: Line): void {
    const writer = new Writer(this.cluster, line.head);
    line.writer = writer;
    keepWriting(this.cluster, writer, 20);
  }

  /** Asks nodes until four have said yes. @param done hears false when too many have refused. */
  private ask(request: StorageRequest, wanted: string, done: (granted: boolean) => void): void {
    const caller = new Caller(this.cluster, () => undefined, 'all');
    const granted = new Set<NodeId>();
    const refused = new Set<NodeId>();
    const round = (): void => {
      if (granted.size >= 4 || refused.size > 2) {
        caller.close();
        done(granted.size >= 4);
        return;
      }
      for (const node of sixNodes)
        if (!granted.has(node) && !refused.has(node))
          caller.call(node, request, (reply) => {
            if (reply?.kind === wanted) granted.add(node);
            if (reply?.kind === 'refused' && reply.code === 'BELOW_FLOOR') refused.add(node);
          });
      this.cluster.after(70, round);
    };
    round();
  }

  private until(isDone: () => boolean, then: () => void, what: string, leftMs = 30_000): void {
    if (leftMs <= 0) this.cluster.fail(what);
    if (isDone()) then();
    else this.cluster.after(10, () => this.until(isDone, then, what, leftMs - 10));
  }

  /** Kills nodes, and now and then one comes back with an empty disk, when all the others are whole. */
  trouble(): void {
    const { cluster } = this;
    const { dice } = cluster;
    const isWhole = (id: NodeId): boolean => cluster.up.includes(id) && cluster.core(id).care.isWhole;
    cluster.every(40, () => {
      if (this.isCalm) return;
      const [name] = dice.shuffle(sixNodes);
      if (name !== undefined && dice.perMille(20) && sixNodes.every(isWhole)) {
        this.counts.wipes += 1;
        cluster.wipe(name);
        cluster.start(name);
      } else if (cluster.up.length > 4 && dice.perMille(100)) cluster.kill(dice.pick(cluster.up));
      for (const id of sixNodes) if (!cluster.up.includes(id) && dice.perMille(250)) cluster.start(id);
    });
  }
}

/** A point that a branch has durable, on the path that is its newest now. */
function durablePoint(region: Region, { head, writer }: Line): Floor | null {
  const { cluster } = region;
  const tree = new EpochTree(head.forks);
  const vdl = Math.max(head.vdl, writer?.volume.vdl ?? 0);
  const points = cluster.truth.announced.filter(
    ({ epoch: of, vdl: at }) =>
      at <= vdl && tree.has(of) && tree.visibleUntil(head.head, of) >= at && at > tree.startOf(of),
  );
  if (points.length === 0) return null;
  const { epoch: of, vdl: at } = cluster.dice.pick(points.slice(-20));
  return { epoch: of, lsn: at };
}

function branchOff(region: Region, line: Line): void {
  const at = durablePoint(region, line)?.lsn;
  if (at === undefined) return;
  // As the agent has it (S33): one of the nodes that can hold the branch may be lost.
  const { cluster } = region;
  const reach = cluster.up.filter((id) => cluster.core(id).state.floor.lsn <= at);
  if (reach.length < 5) return;
  const name = region.name();
  // The record comes first: from now on every agent lists it.
  const made: Line = { name, head: { ...line.head, vdl: at }, writer: null };
  region.lines.push(made);
  region.act(made, (done) =>
    region.fork(line, name, at, (forks) => {
      const head = forks?.at(-1)?.epoch;
      if (forks === null || head === undefined) {
        region.lines.splice(region.lines.indexOf(made), 1);
        done();
        return;
      }
      region.counts.branches += 1;
      made.head = { ...made.head, head, forks };
      region.takeOver(made, done, cluster.dice.perMille(300));
    }),
  );
}

/** A branch is deleted: nobody writes there any more, and the next list does not have it. */
function drop(region: Region, line: Line): void {
  line.writer?.stop();
  region.lines.splice(region.lines.indexOf(line), 1);
  region.counts.deleted += 1;
  region.forget(line);
}

/** A branch is taken back to a point of its own, or goes on where its log no longer reaches there (S41). */
function rewind(region: Region, line: Line): void {
  const to = durablePoint(region, line);
  if (to === null) return;
  const goal = { since: region.next(line.name), to };
  region.act(line, (done) => region.takeOver(line, done, region.cluster.dice.perMille(300), goal));
}

/** In the end all is calm: every branch goes on, and reads the same on every node. */
function settle(region: Region, collects: boolean): void {
  const { cluster, lines } = region;
  cluster.check(
    cluster.runUntil(() => region.isIdle, 60_000),
    'a branch is still being taken over',
  );
  cluster.faults = calm;
  region.isCalm = true;
  for (const id of sixNodes) cluster.start(id);
  for (const line of lines) region.act(line, (done) => region.takeOver(line, done));
  cluster.check(
    cluster.runUntil(() => region.isIdle, 60_000),
    'a branch is not taken over when all is calm',
  );
  const ends = lines.map(({ writer }) => writer?.commitRandom() ?? lsn(0));
  const isDurable = (): boolean =>
    lines.every(({ writer }, at) => (writer?.volume.vdl ?? 0) >= (ends[at] ?? 0));
  cluster.check(cluster.runUntil(isDurable, 20_000), 'the last writers got nothing durable');
  // Who lacks something when the writer is gone hears of it from the other nodes.
  cluster.runFor(1_200);
  for (const { name, writer } of lines) if (name !== mainBranch) writer?.stop();
  region.list();
  const behind = () =>
    lines.flatMap(({ name, head: { head } }, at) =>
      sixNodes.flatMap((id) => {
        const { tree, segment } = cluster.core(id);
        // A branch that left below the floor of a node is not there, and never will be (S33).
        const isLeft = collects && tree.has(head) && segment.floorOn(head) === null;
        return isLeft || (tree.has(head) && segment.volumeEnd(head) >= (ends[at] ?? 0))
          ? []
          : [`${name} on ${id}`];
      }),
    );
  cluster.check(
    cluster.runUntil(() => behind().length === 0, 60_000),
    `nodes never caught up: ${behind()}`,
  );
  for (const [at, { name, head }] of lines.entries()) {
    const end = ends[at] ?? lsn(0);
    const truth = Buffer.from(cluster.truth.bytesOf(head.forks, head.head, end));
    const whole = sixNodes.filter((id) => cluster.core(id).segment.volumeEnd(head.head) >= end);
    cluster.check(whole.length >= 4, `${name} is on ${whole.length} nodes`);
    for (const id of whole)
      cluster.check(
        truth.equals(cluster.readFrom(id, head.forks, head.head, end)),
        `${id} reads other bytes of ${name}`,
      );
  }
}

/** @param collects whether logs are collected meanwhile. @throws when anything that must hold does not. */
export function branchReigns(seed: number, collects: boolean, defect: BranchDefect | null = null): BranchRun {
  const region = new Region(seed, defect);
  const { cluster, lines } = region;
  const { dice } = cluster;
  const main: Line = {
    name: mainBranch,
    head: { head: epoch(0), forks: [], vdl: lsn(0), tree: [] },
    writer: null,
  };
  lines.push(main);
  region.act(main, (done) => region.takeOver(main, done));
  cluster.check(
    cluster.runUntil(() => region.isIdle, 30_000),
    'the region is not founded',
  );
  const collector = collects
    ? new Collector(cluster, defect === 'forgets-branches' ? 'forgets-branches' : null)
    : null;
  // Before anybody has heard what is durable, only all six together can say that nothing is.
  cluster.runFor(500);
  region.trouble();
  for (let act = 0; act < 24; act++) {
    cluster.runFor(20 + dice.below(actMs));
    region.list();
    const line = dice.pick(lines);
    const what = dice.pick(['branch', 'branch', 'branch', 'takeOver', 'rewind', 'delete']);
    if (what === 'delete' && line !== main) region.act(line, () => drop(region, line));
    else if (what === 'branch' && lines.length < 4) branchOff(region, line);
    else if (what === 'rewind' && line !== main) rewind(region, line);
    else region.act(line, (done) => region.takeOver(line, done, dice.perMille(300)));
  }
  settle(region, collects);
  const ofBranches = ({ epoch: of }: { readonly epoch: Epoch }): boolean =>
    cluster.truth.ofBranch(of) !== mainBranch;
  return {
    announced: cluster.truth.announced.filter(ofBranches).length,
    reigns: cluster.truth.recovered.filter(({ head }) => ofBranches({ epoch: head })).length,
    ...region.counts,
    drops: collector?.counts.drops ?? 0,
  };
}
