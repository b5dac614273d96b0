/**
 * Tells the judges of branches what the control record says, as its store committed it, and at the end what the disks hold: whether each
 * branch is where it belongs, and its final history.
 */
import { branchesOf, branchNamed } from '../../../regions/control/core/branch-list.ts';
import { type ControlRecord, policyOf } from '../../../regions/control/core/control-record.ts';
import { EpochTree } from '../../../storage/history/epoch-tree.ts';
import { floorOn } from '../../../storage/history/floor.ts';
import type { Epoch } from '../../../storage/redo/ids.ts';
import { quorumLimits } from '../../../storage/redo/limits.ts';
import { type HeldBranch, isHeld } from '../judges/branches/held.ts';
import type { LostRange } from '../judges/losses.ts';
import { controlKey } from '../processes/control-store.ts';
import { writerName } from '../processes/gateway.ts';
import type { SimLine } from './branch-witness.ts';
import { completeTo, type DiskCopy, pagesOn, readDisk, treeOf } from './disk-copy.ts';
import { writesOn } from './sim-disks.ts';
import { nodeAddress, nodeIds, type SimFleet } from './sim-types.ts';
import type { SimWitness } from './sim-witness.ts';
import type { Address } from './topology.ts';

/** What was on its way to the nodes when an agent heard of a branch may still have raised their floors. */
const underWayUs = 500_000;
const lookAgainUs = 250_000;

export type BranchJudgingOptions = {
  readonly fleet: SimFleet;
  readonly witness: SimWitness;
  /** Nodes whose bytes a fault has destroyed since they were last complete. */
  readonly destroyed: ReadonlySet<Address>;
  /** Epochs of `main` that a failover began, and where. */
  readonly failovers: ReadonlyMap<Epoch, string>;
  readonly isWritten: (origin: Epoch) => boolean;
};

export class BranchJudging {
  private readonly options: BranchJudgingOptions;
  /** By origin: the sequence of the control record that named it first, and the regions whose agents have seen that. */
  private readonly named = new Map<Epoch, { readonly sequence: number; readonly seenIn: Set<string> }>();
  /** The branches that there were when writing ended; null while it goes on. */
  private writtenLast: ReadonlySet<Epoch> | null = null;

  constructor(options: BranchJudgingOptions) {
    this.options = options;
  }

  /** @param before what was committed before; undefined for the first. */
  recorded(before: ControlRecord | undefined, record: ControlRecord, sequence: number): void {
    const { branches } = this.options.witness;
    const { rpoMs } = policyOf(record);
    if (record.epoch !== before?.epoch) branches.seals.allotted(record.epoch, 'main');
    for (const branch of branchesOf(record)) {
      const known = before === undefined ? undefined : branchNamed(before, branch.name);
      if (known?.epoch === branch.epoch) continue;
      if (known?.origin !== branch.origin) {
        this.named.set(branch.origin, { sequence, seenIn: new Set() });
        branches.began(branch, rpoMs);
      }
      const line = branches.of(branch.origin);
      branches.seals.allotted(branch.epoch, line.name);
      if (branch.by !== null) line.singleWriter.claimed(branch.epoch, writerName(branch.by.incarnation));
    }
    for (const line of branches.all) line.rpo.policy(rpoMs);
  }

  /** A failover has gone to a region: what lies below a branch may be nowhere any more. */
  failedOverTo(region: string): void {
    for (const line of this.live) {
      const { origin, forkLsn } = line.branch;
      const path = line.forks.slice(0, line.forks.findIndex(({ epoch }) => epoch === origin) + 1);
      const complete = this.disksOf(region).filter((copy) => completeTo(copy, path, origin) >= forkLsn);
      if (complete.length < quorumLimits.writeQuorum) line.isUprooted = true;
    }
  }

  /** An agent has seen a control record. A region that has no log of where a branch leaves by then never has the branch. */
  agentSaw(region: string, sequence: number): void {
    for (const [origin, { sequence: first, seenIn }] of this.named) {
      if (sequence < first || seenIn.has(region)) continue;
      seenIn.add(region);
      const line = this.options.witness.branches.of(origin);
      this.options.fleet.world.schedule(underWayUs, `judges look at ${region} for epoch ${origin}`, () => {
        const able = this.disksOf(region).filter(
          (copy) => floorOn(treeOf(copy, line.forks), copy.floor, origin) !== null,
        );
        if (able.length >= quorumLimits.writeQuorum) return;
        line.without.add(region);
        const { held, filled } = this.options.witness.branches;
        if (!filled.has(region)) held.letGo(region, line.name, able.length);
      });
    }
  }

  /** Whether each branch that is written has had a write acknowledged since healing. */
  get haveProgressed(): boolean {
    return this.silent.length === 0;
  }

  /** Nobody writes from now on: a branch that comes later is to be held everywhere, and no write to it can be awaited. */
  writesEnd(): void {
    this.writtenLast = new Set(branchesOf(this.record ?? null).map(({ origin }) => origin));
  }

  /** Resolves when every region that is there has every branch, or when the time is over. */
  async settle(live: readonly string[], deadlineUs: number): Promise<void> {
    const { world } = this.options.fleet;
    while (world.nowUs < deadlineUs && !this.held(live).every(isHeld))
      await world.runUntilSettled(() => false, Math.min(deadlineUs, world.nowUs + lookAgainUs));
  }

  judgeEnd(live: readonly string[]): void {
    const { witness, fleet } = this.options;
    const { held } = witness.branches;
    for (const line of this.silent) held.silent(line.name);
    for (const what of this.held(live)) {
      held.held(what);
      const { region, head, vdl, complete, destroyed } = what;
      if (region === this.record?.primary)
        witness.copies.counted({
          region,
          atUs: fleet.world.nowUs,
          when: 'end',
          head,
          vdl,
          complete,
          destroyed,
        });
    }
    for (const line of this.expected) {
      for (const region of live) this.judgePages(line, region);
      this.judgeHistory(line);
    }
  }

  /** For the end of a run: what there was to be judged. */
  get counts(): Readonly<Record<string, number>> {
    const { all } = this.options.witness.branches;
    return {
      branches: all.length,
      branchReigns: all.reduce((sum, { writers }) => sum + writers.size, 0),
      branchAcked: all.reduce((sum, { acked }) => sum + acked, 0),
      uprooted: all.filter(({ isUprooted }) => isUprooted).length,
    };
  }

  private get record(): ControlRecord | undefined {
    return this.options.fleet.control.read(controlKey)?.value;
  }

  /** The branches that the record names. */
  private get live(): readonly SimLine[] {
    return branchesOf(this.record ?? null).map(({ origin }) => this.options.witness.branches.of(origin));
  }

  /** Those of them that the primary region has. */
  private get expected(): readonly SimLine[] {
    const primary = this.record?.primary ?? '';
    return this.live.filter(({ isUprooted, without }) => !isUprooted && !without.has(primary));
  }

  private get silent(): readonly SimLine[] {
    return this.expected.filter(
      ({ branch, hasProgressed }) =>
        this.options.isWritten(branch.origin) &&
        !hasProgressed &&
        (this.writtenLast === null || this.writtenLast.has(branch.origin)),
    );
  }

  private disksOf(region: string): readonly DiskCopy[] {
    return nodeIds.map((node) => readDisk(this.options.fleet.host(nodeAddress(region, node)).disk));
  }

  private held(live: readonly string[]): readonly HeldBranch[] {
    const lines = this.expected;
    if (lines.length === 0) return [];
    return live.flatMap((region) => {
      const copies = nodeIds.map((node) => {
        const address = nodeAddress(region, node);
        return { address, copy: readDisk(this.options.fleet.host(address).disk) };
      });
      return lines.flatMap((line): readonly HeldBranch[] => {
        if (line.without.has(region)) return [];
        const lacking = copies.filter(({ copy }) => !isWhole(copy, line));
        const destroyed = lacking.filter(({ address }) => this.options.destroyed.has(address)).length;
        const complete = copies.length - lacking.length;
        const { name: branch, head, vdl } = line;
        return [{ region, branch, head, vdl, complete, destroyed }];
      });
    });
  }

  /** Every page of the branch on every disk that holds all of it. */
  private judgePages(line: SimLine, region: string): void {
    const { pages: model } = this.options.witness;
    const { forks, head, vdl } = line;
    for (const [at, copy] of this.disksOf(region).entries()) {
      if (!isWhole(copy, line)) continue;
      const pages = pagesOn(copy, forks, head, vdl);
      for (const page of model.pages) {
        const content = pages.get(page) ?? null;
        model.shown({ at: `${region}/${nodeIds[at]} on disk`, head, readPoint: vdl, page, content });
      }
    }
  }

  /** Read from the log of one disk of the primary region that holds all of it. */
  private judgeHistory(line: SimLine): void {
    const { forks, head, vdl, branch } = line;
    const whole = this.disksOf(this.record?.primary ?? '').find((copy) => isWhole(copy, line));
    // Without a whole copy the judge of copies has objected.
    if (whole === undefined) return;
    const report = { epoch: head, reason: 'failover', ranges: this.lostOf(line), count: undefined } as const;
    line.durability.lossReported(report);
    line.singleWriter.lossReported(report);
    const { writes } = writesOn(whole, forks, head, vdl);
    line.durability.final(writes.filter(({ epoch }) => epoch >= branch.origin));
    line.isJudged = true;
  }

  /** What a failover may have taken: of the reigns before it that another region wrote, what the path to the end has left. */
  private lostOf({ forks, head, writers }: SimLine): readonly LostRange[] {
    const tree = new EpochTree(forks);
    return [...writers].flatMap(([epoch, region]) => {
      const isLost = [...this.options.failovers].some(([failover, to]) => failover > epoch && to !== region);
      if (!isLost || epoch === head) return [];
      return [{ epoch, afterLsn: tree.visibleUntil(head, epoch), throughLsn: undefined }];
    });
  }
}

function isWhole(copy: DiskCopy, { forks, head, vdl }: SimLine): boolean {
  return copy.forks.some(({ epoch }) => epoch === head) && completeTo(copy, forks, head) >= vdl;
}
