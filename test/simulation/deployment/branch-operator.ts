/**
 * Plays the operator of branches: makes them from `main` and from one another, at what is durable now and at older places, and deletes
 * them. There are few names, so that they are used again. Commands go to an agent, as the CLI's do.
 */
import { type Branch, branchesOf } from '../../../regions/control/core/branch-list.ts';
import type { ControlRecord } from '../../../regions/control/core/control-record.ts';
import type { Fork } from '../../../storage/history/epoch-tree.ts';
import { type BranchName, branchName, type Lsn, mainBranch } from '../../../storage/redo/ids.ts';
import type { SimAgent } from '../processes/agent.ts';
import { controlKey } from '../processes/control-store.ts';
import type { Prng, Range } from '../world/prng.ts';
import { agentAddress, type SimFleet } from './sim-types.ts';

const names = ['dev', 'qa', 'hot', 'old', 'one'].map(branchName);
/** An older place is at most so far below what is durable. */
const agedBytes = 4 * 1024;

export class BranchOperator {
  readonly counts = { branchesMade: 0, branchesGone: 0, branchesRefused: 0 };
  private readonly fleet: SimFleet;
  private readonly agents: ReadonlyMap<string, SimAgent>;
  private readonly durable: (branch: Branch | null) => Lsn | undefined;
  private readonly pathTo: (branch: Branch) => readonly Fork[];
  private readonly prng: Prng;
  /** Of its own: where no name is used again a run stays as it was. */
  private readonly again: Prng;
  private planning = true;

  /**
   * @param durable what is durable of a branch in the primary region, or of `main`.
   * @param pathTo the forks that lead to it.
   */
  constructor(
    fleet: SimFleet,
    agents: ReadonlyMap<string, SimAgent>,
    durable: (branch: Branch | null) => Lsn | undefined,
    pathTo: (branch: Branch) => readonly Fork[],
  ) {
    this.fleet = fleet;
    this.agents = agents;
    this.durable = durable;
    this.pathTo = pathTo;
    this.prng = fleet.world.prng('branch operator');
    this.again = fleet.world.prng('names used again');
  }

  start(): void {
    const { branches } = this.fleet.options;
    if (branches !== null) this.plan(branches.gapUs, branches.liveMax);
  }

  /** No more branches come or go. */
  calmDown(): void {
    this.planning = false;
  }

  private plan(gapUs: Range, liveMax: number): void {
    this.fleet.world.schedule(this.prng.within(gapUs), 'operator looks at branches', () => {
      if (!this.planning) return;
      this.plan(gapUs, liveMax);
      const record = this.fleet.control.read(controlKey)?.value;
      if (record === undefined) return;
      const live = branchesOf(record);
      if (live.length > 0 && this.prng.perMille(350)) this.remove(this.prng.pick(live));
      else if (live.length < liveMax) this.create(record, live);
    });
  }

  private create({ primary }: ControlRecord, live: readonly Branch[]): void {
    const free = names.filter((name) => !live.some((branch) => branch.name === name));
    const drawn = this.prng.pick(free);
    const parent = this.prng.pick([null, null, ...live]);
    const name = this.ancestorOf(parent, free) ?? drawn;
    const from = parent?.name ?? mainBranch;
    const isAged = this.prng.perMille(300);
    const at = Math.max(0, (this.durable(parent) ?? 0) - this.prng.below(agedBytes));
    this.ask(primary, { kind: 'create-branch', branch: { name, from, ...(isAged && { at }) } }, () => {
      this.counts.branchesMade += 1;
    });
  }

  /** Half of the time a branch gets the name of one that was deleted and that its own path leads through, where there is one. */
  private ancestorOf(parent: Branch | null, free: readonly BranchName[]): BranchName | undefined {
    const on = parent === null ? [] : this.pathTo(parent).map(({ branch }) => branch);
    const used = free.filter((name) => on.includes(name));
    return used.length > 0 && this.again.perMille(500) ? this.again.pick(used) : undefined;
  }

  /** By any agent: the record decides. */
  private remove({ name }: Branch): void {
    const region = this.prng.pick(this.fleet.options.regions);
    this.ask(region, { kind: 'delete-branch', name }, () => {
      this.counts.branchesGone += 1;
    });
  }

  private ask(region: string, request: Parameters<SimAgent['serve']>[0], done: () => void): void {
    if (this.fleet.host(agentAddress(region)).state !== 'up') return;
    void this.agents
      .get(region)
      ?.serve(request)
      .then((reply) => {
        const answer = reply.kind === 'refused' ? `${reply.code}: ${reply.message}` : reply.kind;
        this.fleet.world.note(`operator: ${JSON.stringify(request)}: ${answer}`);
        if (reply.kind === 'branch') done();
        else this.counts.branchesRefused += 1;
      });
  }
}
