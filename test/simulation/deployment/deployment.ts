/**
 * A whole deployment from one seed: regions of six storage nodes, an agent, a gateway and a client, the control
 * bucket and NATS between them, faults and an operator; then healing, convergence, and the final history for the judges.
 */
import type { Branch } from '../../../regions/control/core/branch-list.ts';
import {
  type ControlRecord,
  checkControlStep,
  initialControlRecord,
  policyOf,
  setPolicy,
} from '../../../regions/control/core/control-record.ts';
import { policyLimits } from '../../../regions/control/core/policy.ts';
import { EpochTree, type Fork } from '../../../storage/history/epoch-tree.ts';
import { floorOn } from '../../../storage/history/floor.ts';
import { type Epoch, genesisEpoch, type Lsn, regionId } from '../../../storage/redo/ids.ts';
import { FaultScheduler } from '../faults.ts';
import type { FinalWrite } from '../judges/durability.ts';
import { collectViolations, type Violation } from '../judges/judge.ts';
import type { LossReport, LostRange } from '../judges/losses.ts';
import type { Dropped } from '../judges/storage/retention.ts';
import { describeOptions, drawOptions, type ProfileName, type SimulationOptions } from '../options.ts';
import { SimAgent } from '../processes/agent.ts';
import { SimClient } from '../processes/client.ts';
import { controlKey } from '../processes/control-store.ts';
import { SimGateway, writerName } from '../processes/gateway.ts';
import { SimStorageNode } from '../processes/storage-node.ts';
import { concludeRun, type RunReport, type RunResult } from '../run-seeds.ts';
import { Fleet } from '../world/fleet.ts';
import { Trace, type TracePrinter } from '../world/trace.ts';
import { World } from '../world/world.ts';
import { BranchJudging } from './branch-judging.ts';
import { BranchOperator } from './branch-operator.ts';
import { completeTo, durableFrames, endOn, framesIn, imagesOn, pagesOn, readDisk } from './disk-copy.ts';
import { seenFrame, writesOn } from './sim-disks.ts';
import { type SimFaults, SimOperator } from './sim-operator.ts';
import {
  agentAddress,
  azOf,
  clientAddress,
  type Defect,
  gatewayAddress,
  nodeAddress,
  nodeIds,
  type SimContext,
  type SimFleet,
} from './sim-types.ts';
import { SimWitness } from './sim-witness.ts';
import type { Address } from './topology.ts';

const seconds = 1_000_000;
/** Everything starts before anything breaks. */
const warmUpUs = 1 * seconds;
const keptLinesMax = 60;
const seldomScrubbed = { firstMs: 2_000, restMs: 8_000 };

export type RunChoices = {
  readonly print?: TracePrinter | undefined;
  /** Something broken on purpose. */
  readonly defects?: readonly Defect[] | undefined;
  /** Changes what the seed drew, for a scenario. */
  readonly adjust?: ((options: SimulationOptions) => SimulationOptions) | undefined;
};

/** Makes the run of a seed. The same arguments give the same trace hash. */
export function simulate(seed: number, profile: ProfileName, choices: RunChoices = {}): Promise<RunResult> {
  const drawn = drawOptions(seed, profile);
  const adjusted = choices.adjust === undefined ? drawn : choices.adjust(drawn);
  const options = withoutIdleWork(adjusted);
  const trace = new Trace({ keptLinesMax, ...(choices.print === undefined ? {} : { print: choices.print }) });
  const world = new World({ seed, trace, stepsMax: options.stepsMax });
  return concludeRun(world, describeOptions(options), () =>
    new Deployment(world, options, new Set(choices.defects)).run(),
  );
}

class Deployment {
  private readonly world: World;
  private readonly options: SimulationOptions;
  private readonly fleet: SimFleet;
  private readonly witness: SimWitness;
  private readonly faults: SimFaults;
  private readonly operator: SimOperator;
  private readonly branches: BranchJudging;
  private readonly branchOperator: BranchOperator;
  private areWritten = true;
  private readonly agents = new Map<string, SimAgent>();
  private readonly clients = new Map<string, SimClient>();
  /** Nodes whose durable bytes a fault destroyed and that were not seen complete since. */
  private readonly destroyed = new Set<Address>();
  /** Which region wrote which epoch, and which epochs a failover began. */
  private readonly writers = new Map<Epoch, string>();
  private readonly failovers = new Map<Epoch, string>();
  private readonly stalls: string[] = [];

  constructor(world: World, options: SimulationOptions, defects: ReadonlySet<Defect>) {
    this.world = world;
    this.options = options;
    this.fleet = new Fleet(world, options);
    this.witness = new SimWitness(world, options, {
      countCopies: (region, forks, head, vdl) => this.countCopies(region, forks, head, vdl),
      nodeComplete: (address) => this.repaired(address),
      dropOf: (address, file) => this.dropOf(address, file),
      agentSaw: (region, sequence) => this.branches.agentSaw(region, sequence),
    });
    const { fleet, witness, destroyed, failovers } = this;
    this.branches = new BranchJudging({ fleet, witness, destroyed, failovers, isWritten });
    this.faults = new FaultScheduler(this.fleet, (event) => {
      if (['wipe', 'rot', 'live-rot'].includes(event.kind)) this.destroyed.add(addressOf(event.target));
      this.operator.heard(event);
    });
    this.operator = new SimOperator(this.fleet, this.agents, () => this.faults.lostRegions);
    this.branchOperator = new BranchOperator(
      this.fleet,
      this.agents,
      (branch) => this.durable(branch),
      ({ origin }) => witness.branches.of(origin).forks,
    );
    this.build({
      cluster: 'sim',
      regions: options.regions,
      witness: this.witness,
      bounds: options.sizes,
      recoveryMs: options.recoveryMs,
      branches: options.branches === null ? null : { goesOn: () => this.areWritten, isWritten },
      defects,
    });
  }

  async run(): Promise<RunReport> {
    const { world, options, fleet, witness } = this;
    const [first] = options.regions;
    if (first === undefined) throw new Error('a deployment has a region');
    this.watchControl();
    fleet.control.bootstrap(controlKey, firstRecord(first, options));
    fleet.startAll();
    await this.forward(warmUpUs);
    this.faults.start();
    this.operator.start();
    this.branchOperator.start();
    await this.forward(options.faultPhaseUs);
    this.operator.calmDown();
    this.branchOperator.calmDown();
    this.faults.healAll();
    const live = options.regions.filter((region) => !this.faults.lostRegions.includes(region));
    const deadlineUs = world.nowUs + options.convergenceUs;
    witness.healed(live);
    await this.converge(live, deadlineUs);
    witness.convergence.finish(world.nowUs);
    this.judgeEnd(live);
    this.branches.judgeEnd(live);
    const violations: Violation[] = [...collectViolations(witness.judges)];
    for (const text of this.stalls) violations.push({ judge: 'progress', verdict: 'liveness', text });
    return { violations, stats: this.stats() };
  }

  private build(context: SimContext): void {
    const { fleet, options } = this;
    for (const region of options.regions) {
      for (const node of nodeIds) {
        fleet.add({
          address: nodeAddress(region, node),
          role: 'node',
          az: azOf(node),
          boot: (runtime) => new SimStorageNode(runtime, context, node),
          usesPromises: true,
        });
      }
      fleet.add({
        address: agentAddress(region),
        role: 'agent',
        az: 'az2',
        usesPromises: true,
        boot: (runtime) => {
          const agent = new SimAgent(runtime, context, options.lease);
          this.agents.set(region, agent);
          return agent;
        },
      });
      const gateways = ['g1', 'g2'].slice(0, options.gateways);
      for (const [index, gateway] of gateways.entries()) {
        fleet.add({
          address: gatewayAddress(region, gateway),
          role: 'gateway',
          az: index === 0 ? 'az3' : 'az1',
          usesPromises: true,
          boot: (runtime) => new SimGateway(runtime, context, gateway, options.lease),
        });
      }
      fleet.add({
        address: clientAddress(region),
        role: 'client',
        az: 'az1',
        boot: (runtime) => {
          const client = new SimClient(runtime, {
            ...options.workload,
            region,
            gateway: gatewayAddress(region, gateways.at(-1) ?? 'g1'),
            onIssued: (writeId, parts) => this.witness.issued(writeId, parts),
            onOutcome: (writeId, outcome) => this.witness.outcome(region, writeId, outcome),
          });
          this.clients.set(region, client);
          return client;
        },
      });
    }
  }

  /** The truth about the control record, as the store committed it. */
  private watchControl(): void {
    let before: ControlRecord | undefined;
    this.fleet.control.onCommit(({ value, sequence }) => {
      this.witness.controlRecord('the store', sequence, value.epoch);
      if (before !== undefined) checkControlStep(before, value);
      this.witness.rpo.policy(policyOf(value).rpoMs);
      if (value.holder !== null && value.epoch !== (before?.epoch ?? genesisEpoch)) {
        this.writers.set(value.epoch, value.primary);
        this.witness.singleWriter.claimed(value.epoch, writerName(value.holder.incarnation));
        if (before?.state === 'failing-over') this.failed(value);
      }
      this.branches.recorded(before, value, sequence);
      before = value;
    });
  }

  private failed({ epoch, primary }: ControlRecord): void {
    this.failovers.set(epoch, primary);
    this.branches.failedOverTo(primary);
  }

  /** Of a branch, or of `main`, in the primary region. */
  private durable(branch: Branch | null): Lsn | undefined {
    const { witness, fleet } = this;
    if (branch !== null) return witness.branches.of(branch.origin).vdl;
    return witness.points.get(fleet.control.read(controlKey)?.value.primary ?? '')?.vdl;
  }

  private async forward(durationUs: number): Promise<void> {
    const { world } = this;
    if ((await world.runUntilSettled(() => false, world.nowUs + durationUs)) === 'budget')
      this.stalls.push(`the step budget was spent at ${this.world.nowUs} us`);
  }

  /** Clients write until every region has seen one write through, then stop; then all have to meet. */
  private async converge(live: readonly string[], deadlineUs: number): Promise<void> {
    const { world, witness } = this;
    const writing = new Set(live);
    await world.runUntilSettled(() => {
      for (const region of writing) if (witness.convergence.hasProgressed(region)) writing.delete(region);
      return writing.size === 0 && this.branches.haveProgressed;
    }, deadlineUs);
    for (const client of this.clients.values()) client.stop();
    this.areWritten = false;
    this.branches.writesEnd();
    await world.runUntilSettled(
      () => live.every((region) => this.clients.get(region)?.idle === true),
      deadlineUs,
    );
    witness.convergence.quiet(world.nowUs);
    let sinceUs = world.nowUs;
    // Something held back may still arrive: they have to stay together for a while.
    await world.runUntilSettled(() => {
      if (!witness.level(live)) sinceUs = world.nowUs;
      return (
        world.nowUs - sinceUs > seconds && witness.convergence.converged() && this.unhealed(live).length === 0
      );
    }, deadlineUs);
    await this.branches.settle(live, deadlineUs);
    for (const address of this.unhealed(live))
      this.stalls.push(`the disk of ${address} was destroyed in part, and what was on it did not come back`);
  }

  private judgeEnd(live: readonly string[]): void {
    const { witness, fleet, world } = this;
    for (const host of fleet.hosts()) {
      if (host.role !== 'node') continue;
      for (const frame of durableFrames(host.disk)) witness.agreement.frame(seenFrame(host.address, frame));
    }
    const { newest } = witness;
    const primary = fleet.control.read(controlKey)?.value.primary;
    const point = primary === undefined ? undefined : witness.points.get(primary);
    if (newest === undefined || primary === undefined || point === undefined || point.epoch !== newest.epoch)
      return;
    const { forks } = newest;
    if (witness.convergence.converged()) {
      for (const region of live) {
        const counted = this.countCopies(region, forks, newest.epoch, point.vdl);
        witness.copies.counted({
          region,
          atUs: world.nowUs,
          when: 'end',
          head: newest.epoch,
          vdl: point.vdl,
          ...counted,
        });
      }
    }
    if (witness.convergence.converged()) this.judgePages(live, forks, newest.epoch, point.vdl);
    const copies = nodeIds.map((node) => readDisk(fleet.host(nodeAddress(primary, node)).disk));
    const whole = copies.find((copy) => completeTo(copy, forks, newest.epoch) >= point.vdl);
    // Without a whole copy the count above has objected already.
    if (whole === undefined) return;
    const report = this.lossReport(forks);
    witness.durability.lossReported(report);
    witness.singleWriter.lossReported(report);
    // What the log does not say any more is in pages, which were compared with the model.
    const { from, writes } = writesOn(whole, forks, newest.epoch, point.vdl);
    witness.durability.final(together(witness.pages.writesOn(newest.epoch, from), writes));
  }

  /** Every page of every disk that is complete. */
  private judgePages(live: readonly string[], forks: readonly Fork[], head: Epoch, vdl: Lsn): void {
    const { pages: model } = this.witness;
    for (const region of live) {
      for (const node of nodeIds) {
        const at = nodeAddress(region, node);
        const copy = readDisk(this.fleet.host(at).disk);
        if (completeTo(copy, forks, head) < vdl) continue;
        const pages = pagesOn(copy, forks, head, vdl);
        for (const page of model.pages)
          model.shown({ at: `${at} on disk`, head, readPoint: vdl, page, content: pages.get(page) ?? null });
      }
    }
  }

  /** What the regions reported, and for a region that stays lost what the failover could say: everything above the fork. */
  private lossReport(forks: readonly Fork[]): LossReport {
    const tree = new EpochTree(forks);
    const path = new Set<Epoch>(forks.map((fork) => fork.epoch));
    const listed = this.witness.lostCommits(path);
    const lost = new Set(this.faults.lostRegions);
    const estimated: LostRange[] = [];
    for (const failover of this.failovers.keys()) {
      if (!path.has(failover)) continue;
      for (const [epoch, region] of this.writers) {
        if (epoch >= failover || !lost.has(region)) continue;
        estimated.push({ epoch, afterLsn: tree.visibleUntil(failover, epoch), throughLsn: undefined });
      }
    }
    const isListed = this.witness.losses.every(({ unlistedTo }) => unlistedTo === undefined);
    const count = estimated.length > 0 || !isListed ? undefined : listed.length;
    return {
      epoch: forks.at(-1)?.epoch ?? genesisEpoch,
      reason: 'failover',
      ranges: [...listed, ...estimated],
      count,
    };
  }

  private countCopies(
    region: string,
    forks: readonly Fork[],
    head: Epoch,
    vdl: Lsn,
  ): { complete: number; destroyed: number } {
    let complete = 0;
    let destroyed = 0;
    for (const node of nodeIds) {
      const address = nodeAddress(region, node);
      if (completeTo(readDisk(this.fleet.host(address).disk), forks, head) >= vdl) complete += 1;
      else if (this.destroyed.has(address)) destroyed += 1;
    }
    return { complete, destroyed };
  }

  /** How far the frames of a log file reach on the path of its region, and who has images there; null when it holds none of that. */
  private dropOf(address: Address, file: string): Omit<Dropped, 'at' | 'atUs'> | null {
    const { newest, points } = this.witness;
    const { region, disk } = this.fleet.host(address);
    const head = points.get(region)?.epoch;
    if (head === undefined || !newest?.forks.some(({ epoch }) => epoch === head)) return null;
    const tree = new EpochTree(newest.forks);
    const end = endOn(framesIn(disk, file), tree, head);
    if (end === null) return null;
    const nodes = nodeIds.map((node) => nodeAddress(region, node));
    const holding = nodes.filter((node) => imagesOn(readDisk(this.fleet.host(node).disk), tree, head) >= end);
    const destroyed = nodes.filter((node) => !holding.includes(node) && this.destroyed.has(node));
    const floor = floorOn(tree, readDisk(disk).floor, head);
    return { end, floor, holding: holding.length, destroyed: destroyed.length };
  }

  /** Nodes of regions that live whose disks lack what a fault took. */
  private unhealed(live: readonly string[]): readonly Address[] {
    return [...this.destroyed].filter((address) => live.includes(this.fleet.host(address).region));
  }

  /** Whether a disk holds everything that is durable in its region, and images as they were written, whatever its node believes. */
  private holdsAll(address: Address): boolean {
    const { newest, points } = this.witness;
    const host = this.fleet.host(address);
    const point = points.get(host.region);
    // A path that is not known yet will be soon.
    if (point === undefined || !newest?.forks.some(({ epoch }) => epoch === point.epoch)) return false;
    const copy = readDisk(host.disk);
    // A whole log makes up for no image: the peers drop theirs where four disks have images (S19).
    return copy.areImagesWhole && completeTo(copy, newest.forks, point.epoch) >= point.vdl;
  }

  private repaired(address: Address): void {
    if (!this.destroyed.has(address) || !this.holdsAll(address)) return;
    this.destroyed.delete(address);
    this.world.note(`${address} is complete again`);
    this.faults.repaired(address);
  }

  private stats(): Readonly<Record<string, number>> {
    let struck = 0;
    for (const count of this.faults.counts.values()) struck += count.struck;
    return {
      ...this.witness.counts,
      ...this.witness.retention.counts,
      heldToRpo: this.witness.rpo.judged,
      automatic: this.witness.observers.begun,
      fences: this.witness.fence.fences,
      ...this.operator.counts,
      ...(this.options.branches !== null && { ...this.branchOperator.counts, ...this.branches.counts }),
      faults: struck,
    };
  }
}

/** Three branches of four; the others are only read. */
const isWritten = (origin: Epoch): boolean => origin % 4 !== 0;

/** A region that is alone has no other to wait for. Where nothing rots, disks are read again seldom: that is a fifth of a run. */
function withoutIdleWork(options: SimulationOptions): SimulationOptions {
  const rots = options.faults.some(({ kind }) => kind === 'rot' || kind === 'live-rot');
  const { sizes } = options;
  return {
    ...options,
    ...(options.regions.length < 2 && { rpo: 'off' }),
    ...(!rots && { sizes: { ...sizes, scrub: { ...sizes.scrub, ...seldomScrubbed } } }),
  };
}

function firstRecord(primary: string, { rpo, automatic, regions }: SimulationOptions): ControlRecord {
  const record = initialControlRecord(regionId(primary));
  const decided = setPolicy(record, {
    rpoMs: typeof rpo === 'number' ? rpo : null,
    automatic: automatic && regions.length >= policyLimits.automaticRegionsMin,
  });
  return decided.kind === 'next' ? decided.record : record;
}

/** A write that is told twice was applied twice. */
function together(below: readonly FinalWrite[], above: readonly FinalWrite[]): readonly FinalWrite[] {
  const writes = new Map(below.map((write) => [write.writeId, write]));
  for (const write of above) {
    const known = writes.get(write.writeId)?.times ?? 0;
    writes.set(write.writeId, { ...write, times: write.times + known });
  }
  return [...writes.values()];
}

function addressOf(target: string): Address {
  const slash = target.indexOf('/');
  return `${target.slice(0, slash)}/${target.slice(slash + 1)}`;
}
