/** Passes what the processes say they did to the judges, with the time of the world, and keeps what the end needs. */
import { crc32 } from 'node:zlib';
import type { LossReport as RegionLoss } from '../../../regions/moves/core/loss-report.ts';
import { retentionLimits } from '../../../regions/retention/core/retention-limits.ts';
import type { Fork } from '../../../storage/history/epoch-tree.ts';
import {
  type Epoch,
  type Lsn,
  lsn,
  type NodeId,
  type PageNo,
  epoch as toEpoch,
} from '../../../storage/redo/ids.ts';
import { AgreementJudge } from '../judges/agreement.ts';
import { ConvergenceJudge } from '../judges/convergence.ts';
import { CopiesJudge } from '../judges/copies.ts';
import { FenceJudge } from '../judges/fence.ts';
import type { Judge } from '../judges/judge.ts';
import type { LostRange } from '../judges/losses.ts';
import { ObserversJudge } from '../judges/observers.ts';
import { type Committed, PagesJudge } from '../judges/storage/pages.ts';
import { type Dropped, RetentionJudge } from '../judges/storage/retention.ts';
import type { SimulationOptions } from '../options.ts';
import type { World } from '../world/world.ts';
import { BranchJudges } from './branch-witness.ts';
import { LineJudges, type Point } from './line-judges.ts';
import type { BranchWitness, LineWitness, LogKept, Witness, WriteOutcome } from './sim-types.ts';
import { type Address, processOf, regionOf } from './topology.ts';

type WitnessOptions = Pick<
  SimulationOptions,
  'convergenceUs' | 'regions' | 'clock' | 'sizes' | 'membershipGapUs'
>;

/** What the witness asks of the deployment around it. */
export type WitnessHooks = {
  readonly countCopies: (
    region: string,
    forks: readonly Fork[],
    head: Epoch,
    vdl: Lsn,
  ) => { readonly complete: number; readonly destroyed: number };
  readonly nodeComplete: (address: Address) => void;
  /** The agent of a region has seen the control record of that sequence. */
  readonly agentSaw: (region: string, sequence: number) => void;
  /** What a log file says that a node is about to remove, and who has images of it; null when that cannot be told. */
  readonly dropOf: (address: Address, file: string) => Omit<Dropped, 'at' | 'atUs'> | null;
};

export class SimWitness extends LineJudges implements Witness {
  readonly agreement = new AgreementJudge();
  readonly convergence: ConvergenceJudge;
  readonly copies = new CopiesJudge();
  readonly fence = new FenceJudge();
  readonly observers: ObserversJudge;
  readonly pages = new PagesJudge();
  readonly retention: RetentionJudge;
  readonly branches: BranchJudges;
  readonly counts = {
    sealed: 0,
    dropped: 0,
    refilled: 0,
    rotFound: 0,
    rotHealed: 0,
    issued: 0,
    acked: 0,
    unknown: 0,
    refused: 0,
    forks: 0,
    forwards: 0,
    askedAgain: 0,
    orphans: 0,
    pages: 0,
    wiped: 0,
    stalls: 0,
    suspensions: 0,
    retries: 0,
    spent: 0,
  };
  /** The newest fork that a writer made, with the whole path to it. */
  newest: { readonly region: string; readonly epoch: Epoch; readonly forks: readonly Fork[] } | undefined;
  readonly losses: RegionLoss[] = [];
  protected readonly ofLine = '';
  private readonly hooks: WitnessHooks;
  /** Writes sent after healing. */
  private late: Set<string> | undefined;

  constructor(
    world: World,
    { convergenceUs, regions, clock, sizes, membershipGapUs }: WitnessOptions,
    hooks: WitnessHooks,
  ) {
    super(world, clock.driftPpmMax);
    this.hooks = hooks;
    this.convergence = new ConvergenceJudge(convergenceUs);
    this.observers = new ObserversJudge(regions);
    const { pages, copies } = this;
    const { countCopies } = hooks;
    this.branches = new BranchJudges({ world, pages, copies, countCopies, driftPpmMax: clock.driftPpmMax });
    const { hours, bytes = null } = sizes.retention;
    const isKeptByBytes = hours * 3_600_000_000 > convergenceUs && membershipGapUs === null;
    this.retention = new RetentionJudge(
      isKeptByBytes && bytes !== null ? retentionLimits.awayFactor * bytes : null,
    );
  }

  get judges(): readonly Judge[] {
    return [
      this.durability,
      this.agreement,
      this.monotonic,
      this.convergence,
      this.singleWriter,
      this.copies,
      this.fence,
      this.quorum,
      this.rpo,
      this.observers,
      this.pages,
      this.retention,
      ...this.branches.judges,
    ];
  }

  /** Do all of `regions` stand at the same point? */
  level(regions: readonly string[]): boolean {
    const [first, ...others] = regions.map((region) => this.points.get(region));
    return (
      first !== undefined && others.every((point) => point?.epoch === first.epoch && point.vdl === first.vdl)
    );
  }

  issued(writeId: string, parts: number): void {
    this.counts.issued += 1;
    this.durability.issued(writeId, parts);
    this.late?.add(writeId);
  }

  /** Faults are over, and `regions` are there. */
  healed(regions: readonly string[]): void {
    this.late = new Set();
    this.convergence.heal(this.world.nowUs, regions);
    this.branches.healed();
  }

  /** What a client was told. */
  outcome(client: string, writeId: string, outcome: WriteOutcome): void {
    switch (outcome.kind) {
      case 'committed': {
        const { epoch, lsn: position, region } = outcome;
        this.counts.acked += 1;
        this.durability.acknowledged({ writeId, epoch, lsn: position, region, atUs: this.world.nowUs });
        if (this.late?.has(writeId) === true) this.convergence.progress(this.world.nowUs, client);
        return;
      }
      case 'refused':
        this.counts.refused += 1;
        this.durability.refused(writeId);
        return;
      case 'unknown':
        this.counts.unknown += 1;
        return;
      case 'retry':
        throw new Error('a client was told what is between gateways');
    }
  }

  acknowledged(ack: Parameters<Witness['acknowledged']>[0]): void {
    this.singleWriter.acknowledged({ ...ack, atUs: this.world.nowUs });
    this.rpo.acknowledged(ack.epoch, ack.lsn);
  }

  committed(commit: Committed): void {
    this.rpo.committed(commit.epoch, commit.lsn, this.world.nowUs);
    this.pages.committed(commit);
  }

  forking(region: string, epoch: Epoch, forks: readonly Fork[]): void {
    const last = forks.at(-1);
    if (last === undefined) throw new Error('a fork has a path');
    const { parent, forkLsn: vdl } = last;
    this.rpo.forking(region, epoch);
    this.pages.forks(forks);
    this.retention.forks(forks);
    this.branches.forking(forks);
    this.monotonic.recovered(parent, vdl);
    this.monotonic.recovered(epoch, vdl);
    const { complete, destroyed } = this.hooks.countCopies(region, forks, epoch, vdl);
    this.copies.counted({
      region,
      atUs: this.world.nowUs,
      when: 'recovered',
      head: epoch,
      vdl,
      complete,
      destroyed,
    });
  }

  forked(region: string, epoch: Epoch, forks: readonly Fork[]): void {
    const last = forks.at(-1);
    if (last === undefined) throw new Error('a fork has a path');
    this.counts.forks += 1;
    this.world.note(`${region} forked epoch ${epoch} from (${last.parent}, ${last.forkLsn})`);
    this.singleWriter.forked(epoch, last.parent, last.forkLsn);
    this.rpo.forked(region, epoch, last.parent, last.forkLsn);
    if (this.newest === undefined || epoch > this.newest.epoch) this.newest = { region, epoch, forks };
  }

  line(forks: readonly Fork[]): LineWitness {
    return this.branches.byPath(forks) ?? this;
  }

  branch(origin: Epoch): BranchWitness {
    return this.branches.of(origin);
  }

  reignFenced(reign: Epoch, by: Epoch): void {
    this.branches.seals.reignFenced(reign, by, this.world.nowUs);
  }

  sealing(epoch: Epoch): void {
    this.branches.seals.sealing(epoch);
  }

  recoveryTimedOut(mayHaveForked: boolean): void {
    if (mayHaveForked) this.counts.spent += 1;
    else this.counts.retries += 1;
  }

  sawLife(at: string, of: string, isRenewal: boolean): void {
    this.observers.sawLife(at, of, isRenewal, this.world.nowUs);
  }

  heardShort(at: string, of: string): void {
    this.observers.heardShort(at, of, this.world.nowUs);
  }

  beganFailover(by: string, primary: string): void {
    this.observers.beganFailover(by, primary, this.world.nowUs);
  }

  sealed(region: string, node: NodeId, epoch: Epoch): void {
    this.fence.sealed(region, node, epoch);
  }

  fenced(region: string, reign: Epoch): void {
    this.fence.fenced(region, reign, this.world.nowUs);
  }

  leaseSuspended(): void {
    this.counts.suspensions += 1;
  }

  ranForward(): void {
    this.counts.forwards += 1;
  }

  askedAgain(): void {
    this.counts.askedAgain += 1;
  }

  stalled(_from: string, _to: string): void {
    this.counts.stalls += 1;
  }

  lossReported(report: RegionLoss): void {
    const { region, orphanEpoch, epoch, fromLsn, toLsn, count } = report;
    this.counts.orphans += count;
    this.world.note(
      `${region} reports ${count} commits in (${fromLsn}, ${toLsn}] of epoch ${orphanEpoch} lost under epoch ${epoch}`,
    );
    this.losses.push(report);
  }

  controlRecord(observer: string, sequence: number, epoch: Epoch): void {
    this.monotonic.controlRecord(observer, sequence, epoch);
    const address = observer as Address;
    if (processOf(address) === 'agent') this.hooks.agentSaw(regionOf(address), sequence);
  }

  pageRead(at: string, head: Epoch, readPoint: Lsn, page: PageNo, content: Uint8Array | null): void {
    this.counts.pages += 1;
    this.agreement.page({ at, head, readPoint, page, crc: content === null ? -1 : crc32(content) });
    if (this.pages.knows(head)) this.pages.shown({ at, head, readPoint, page, content });
  }

  nodeLevel(address: Address, head: Epoch, end: Lsn, hydrated: boolean): void {
    const point = this.points.get(address.slice(0, address.indexOf('/')));
    if (point !== undefined && hydrated && head === point.epoch && end >= point.vdl)
      this.hooks.nodeComplete(address);
  }

  logDrops(address: Address, file: string): void {
    const drop = this.hooks.dropOf(address, file);
    if (drop !== null) this.retention.dropped({ at: address, atUs: this.world.nowUs, ...drop });
  }

  logKept({ sealed, dropped, found, healed, refilled }: LogKept): void {
    this.counts.sealed += sealed;
    this.counts.dropped += dropped;
    this.counts.refilled += refilled;
    this.counts.rotFound += found;
    this.counts.rotHealed += healed;
  }

  snapshotRefused(region: string, head: Epoch, readPoint: Lsn, nodes: number): void {
    this.retention.refusedSnapshot({ region, atUs: this.world.nowUs, head, readPoint, nodes });
  }

  filling(to: string): void {
    this.branches.filling(to);
    const primary = this.newest === undefined ? undefined : this.points.get(this.newest.region);
    const holds = this.points.get(to);
    if (primary !== undefined) this.retention.filling({ to, atUs: this.world.nowUs, primary, holds });
  }

  nodeWiped(_address: Address): void {
    this.counts.wiped += 1;
  }

  /** Every commit that the regions listed as lost under an epoch of the path to the end. */
  lostCommits(path: ReadonlySet<number>): readonly LostRange[] {
    const ranges = new Map<string, LostRange>();
    for (const { epoch, orphanEpoch, commits, fromLsn, unlistedTo } of this.losses) {
      if (!path.has(epoch)) continue;
      if (unlistedTo !== undefined)
        ranges.set(`${orphanEpoch} unlisted ${fromLsn}`, {
          epoch: toEpoch(orphanEpoch),
          afterLsn: lsn(fromLsn),
          throughLsn: lsn(unlistedTo),
        });
      for (const { lsn: position } of commits) {
        ranges.set(`${orphanEpoch} ${position}`, {
          epoch: toEpoch(orphanEpoch),
          afterLsn: lsn(position - 1),
          throughLsn: lsn(position),
        });
      }
    }
    return [...ranges.values()];
  }

  protected override moved(region: string, { epoch, vdl }: Point): void {
    this.convergence.position(this.world.nowUs, region, epoch, vdl);
  }
}
