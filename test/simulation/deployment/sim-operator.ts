/**
 * Plays the operator: puts an RPO in force and out again in runs that begin without, a switchover now and then, a failover with data loss allowed when the primary region is out, and
 * another look later at whether writes have a home. Commands go to the agent of the target region, as the CLI's do.
 */
import {
  type ControlRecord,
  isMember,
  type MoveKind,
  policyOf,
} from '../../../regions/control/core/control-record.ts';
import { regionId } from '../../../storage/redo/ids.ts';
import type { FaultEvent, FaultScheduler } from '../faults.ts';
import type { SimAgent } from '../processes/agent.ts';
import { controlKey } from '../processes/control-store.ts';
import type { Prng, Range } from '../world/prng.ts';
import { agentAddress, type BusPayload, type LinkMessage, type SimFleet } from './sim-types.ts';

const seconds = 1_000_000;
const reviewUs = 2 * seconds;
const patienceUs = 10 * seconds;
const needsSacrifice = ['TARGET_NOT_JOINED', 'SURVIVOR_UNKNOWN'];
const policyGapUs = { min: seconds / 2, max: 3 * seconds };

export class SimOperator {
  readonly counts = { switchovers: 0, failovers: 0, departures: 0, arrivals: 0 };
  private readonly fleet: SimFleet;
  private readonly agents: ReadonlyMap<string, SimAgent>;
  private readonly lost: () => readonly string[];
  private readonly prng: Prng;
  private planning = true;
  private isStuck = false;
  /** Looks in a row that found writes without a home. */
  private needed = 0;

  constructor(fleet: SimFleet, agents: ReadonlyMap<string, SimAgent>, lost: () => readonly string[]) {
    this.fleet = fleet;
    this.agents = agents;
    this.lost = lost;
    this.prng = fleet.world.prng('operator');
  }

  start(): void {
    this.plan();
    this.review();
    if (this.fleet.options.rpo === 'tried') this.tryPolicies();
    if (this.fleet.options.membershipGapUs !== null) this.comeAndGo(this.fleet.options.membershipGapUs);
  }

  /** No more planned moves; what is needed is still done. */
  calmDown(): void {
    this.planning = false;
  }

  /** A fault took place. */
  heard(event: FaultEvent): void {
    const out =
      event.kind === 'region-loss' || event.kind === 'region-crash' || event.kind === 'region-isolation';
    if (!out || event.target !== this.record?.primary) return;
    if (event.kind !== 'region-loss' && !this.prng.perMille(this.fleet.options.hastyPerMille)) return;
    const patience = this.trustsPolicy ? patienceUs : 0;
    this.fleet.world.schedule(
      patience + this.prng.between(seconds / 2, 4 * seconds),
      `operator fails away from ${event.target}`,
      () => {
        if (this.record?.primary === event.target) this.failover(event.target);
      },
    );
  }

  private get record(): ControlRecord | undefined {
    return this.fleet.control.read(controlKey)?.value;
  }

  /** The policy is expected to do it; an operator steps in when it has not for long. */
  private get trustsPolicy(): boolean {
    const { record } = this;
    return record !== undefined && policyOf(record).automatic;
  }

  private plan(): void {
    this.fleet.world.schedule(this.prng.within(this.fleet.options.switchoverGapUs), 'operator plans', () => {
      if (!this.planning) return;
      this.plan();
      const record = this.record;
      const targets = this.fleet.options.regions.filter((region) => region !== record?.primary);
      if (targets.length > 0) this.command(this.prng.pick(targets), 'switchover');
    });
  }

  /** Answers wait when it comes, and some wait when it goes. */
  private tryPolicies(): void {
    this.fleet.world.schedule(this.prng.within(policyGapUs), 'operator decides', () => {
      if (!this.planning) return;
      this.tryPolicies();
      this.decide(this.prng.pick([null, 0, 0, 200]));
    });
  }

  /** A region that is not primary leaves, and comes back; all are back once the faults are over. */
  private comeAndGo(gapUs: Range): void {
    this.fleet.world.schedule(this.prng.within(gapUs), 'operator lets regions come and go', () => {
      this.comeAndGo(gapUs);
      const { record } = this;
      if (record === undefined) return;
      const { regions } = this.fleet.options;
      const [absent] = regions.filter((region) => !isMember(record, regionId(region)));
      if (absent !== undefined) return this.changeRegions({ add: absent });
      const leaving = this.prng.pick(regions.filter((region) => region !== record.primary));
      if (this.planning) this.changeRegions({ remove: leaving });
    });
  }

  /** By any agent that is there, that of a region that has left included. */
  private changeRegions(change: { readonly add: string } | { readonly remove: string }): void {
    const { world, options } = this.fleet;
    void this.agent(this.prng.pick(options.regions))
      ?.serve({ kind: 'change-regions', change })
      .then((reply) => {
        if (reply.kind !== 'regions') return;
        world.note(`operator: ${JSON.stringify(change)}`);
        if ('add' in change) this.counts.arrivals += 1;
        else this.counts.departures += 1;
      });
  }

  /** By any agent that is there: the record decides. */
  private decide(rpoMs: number | null): void {
    const region = this.prng.pick(this.fleet.options.regions);
    void this.agent(region)?.serve({ kind: 'change-policy', change: { rpoMs } });
  }

  /** Without another region nothing could be answered; what was tried ends with the faults. */
  private reviewPolicy(record: ControlRecord, lost: readonly string[]): void {
    const { rpo, regions } = this.fleet.options;
    const alone = regions.length - lost.length < 2;
    if (policyOf(record).rpoMs !== null && (alone || (rpo === 'tried' && !this.planning))) this.decide(null);
  }

  /** Writes must have a home: a primary region that is gone for good, or a move to one, is failed away from. */
  private review(): void {
    this.fleet.world.schedule(reviewUs, 'operator looks', () => {
      this.review();
      const record = this.record;
      const lost = this.lost();
      if (record !== undefined) this.reviewPolicy(record, lost);
      if (record === undefined || record.state === 'failing-over') return;
      const needed = lost.includes(record.primary) || (record.move !== null && lost.includes(record.move.to));
      this.needed = needed ? this.needed + 1 : 0;
      const patience = this.trustsPolicy ? patienceUs / reviewUs : 0;
      if (needed && this.needed > patience) this.failover(record.primary);
    });
  }

  /** The best of the regions that are there, by what is durable in them; now and then another one. */
  private failover(from: string): void {
    const lost = this.lost();
    const able = this.fleet.options.regions.filter(
      (region) => region !== from && !lost.includes(region) && this.agent(region) !== undefined,
    );
    if (able.length === 0) return;
    const best = [...able].sort((left, right) => {
      const a = this.agent(left)?.durable;
      const b = this.agent(right)?.durable;
      return (b?.epoch ?? 0) - (a?.epoch ?? 0) || (b?.vdl ?? 0) - (a?.vdl ?? 0);
    });
    const target = this.prng.perMille(800) ? (best[0] ?? from) : this.prng.pick(able);
    this.command(target, 'failover');
  }

  /** Regions that are lost for good are given up by name once a failover was refused for what they may hold. */
  private command(target: string, kind: MoveKind): void {
    const { world } = this.fleet;
    const sacrifice = this.isStuck ? [...this.lost()] : [];
    const request =
      kind === 'switchover' ? { kind, target } : { kind, target, allowDataLoss: true, sacrifice };
    void this.agent(target)
      ?.serve(request)
      .then((reply) => {
        this.isStuck = kind === 'failover' && reply.kind === 'refused' && needsSacrifice.includes(reply.code);
        if (reply.kind === 'refused') world.note(`operator: ${kind} to ${target} refused: ${reply.code}`);
        if (reply.kind !== 'operation') return;
        world.note(`operator: ${kind} to ${target}`);
        if (kind === 'switchover') this.counts.switchovers += 1;
        else this.counts.failovers += 1;
      });
  }

  private agent(region: string): SimAgent | undefined {
    return this.fleet.host(agentAddress(region)).state === 'up' ? this.agents.get(region) : undefined;
  }
}

/** The scheduler of a deployment. */
export type SimFaults = FaultScheduler<LinkMessage, BusPayload, ControlRecord>;
