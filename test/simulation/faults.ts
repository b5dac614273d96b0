/**
 * Makes things go wrong on a fleet, by the plans of a run's options and never beyond its bounds, and heals it again.
 *
 * Each kind of fault has its own stream of chance, so that leaving one out changes nothing about the others' draws. A
 * fault that would exceed a bound is skipped and counted. What each kind does to a device is written in that device's header.
 *
 * Bounds (`FaultBounds`): a node counts as down while it is crashed, frozen, or its disk is full, and as destroyed from
 * a wipe or rot on until `repaired` is called for it by whoever can tell (the deployment, when the node says that it is complete
 * again and its disk bears it out: a node believes the indexes of sealed files, and finds rot in them when it reads them again).
 * Cuts between a node and others do not count as down: they delay and never destroy.
 */

import type { Address } from './deployment/topology.ts';
import type { FaultKind, FaultPlan } from './options.ts';
import type { Host } from './twins/process.ts';
import type { Fleet } from './world/fleet.ts';
import type { Prng } from './world/prng.ts';

/** A fault that took place, for whoever plays the operator. */
export type FaultEvent = { readonly kind: FaultKind; readonly target: string; readonly lastsUs: number };

type Active = {
  readonly kind: FaultKind;
  readonly target: string;
  /** Processes that stay dead while it lasts. */
  readonly kills: ReadonlySet<Address>;
  /** Nodes it keeps from serving, and the region it takes out, while it lasts. */
  readonly nodesDown: readonly Address[];
  readonly regionOut: string | undefined;
  readonly end: () => void;
};

export type FaultCounts = Map<FaultKind, { struck: number; skipped: number }>;

export class FaultScheduler<M, P, V> {
  /** How often each kind struck and was skipped; for statistics. */
  readonly counts: FaultCounts = new Map();
  private readonly fleet: Fleet<M, P, V>;
  private readonly observe: (event: FaultEvent) => void;
  private readonly active = new Set<Active>();
  private readonly destroyed = new Set<Address>();
  private readonly lost = new Set<string>();
  private phase: 'idle' | 'striking' | 'healed' = 'idle';

  constructor(fleet: Fleet<M, P, V>, observe: (event: FaultEvent) => void = () => {}) {
    this.fleet = fleet;
    this.observe = observe;
  }

  /** Regions lost for good, unless `healAll` brought them back. */
  get lostRegions(): readonly string[] {
    return [...this.lost];
  }

  /** Begins to strike by the run's plans. */
  start(): void {
    this.phase = 'striking';
    for (const plan of this.fleet.options.faults) {
      this.counts.set(plan.kind, { struck: 0, skipped: 0 });
      this.next(plan, this.fleet.world.prng(`fault ${plan.kind}`));
    }
  }

  /** A node that was wiped or rotted is complete again and may be counted on. */
  repaired(address: Address): void {
    this.destroyed.delete(address);
  }

  /** No more faults; everything that can run runs, except regions lost for good by a run whose lost region stays lost. */
  healAll(): void {
    this.phase = 'healed';
    const { fleet } = this;
    fleet.world.note('heal all');
    for (const fault of [...this.active]) {
      if (fault.kind === 'region-loss' && !fleet.options.lostRegionReturns) continue;
      this.finish(fault);
    }
    fleet.topology.heal();
    for (const region of this.lost) fleet.topology.isolate(region);
    for (const host of fleet.hosts()) {
      if (this.lost.has(host.region)) continue;
      host.disk.setFull(false);
      host.disk.setSlow(1);
      host.resume();
      host.start();
    }
    for (const region of fleet.options.regions) if (!this.lost.has(region)) fleet.startNats(region);
  }

  private next(plan: FaultPlan, prng: Prng): void {
    this.fleet.world.schedule(prng.within(plan.gapUs), `fault due ${plan.kind}`, () => {
      if (this.phase !== 'striking') return;
      const lastsUs = prng.within(plan.lastsUs);
      const fault = this.strike(plan.kind, prng);
      const count = this.counts.get(plan.kind);
      if (count !== undefined) count[fault === undefined ? 'skipped' : 'struck'] += 1;
      if (fault !== undefined) this.begin(fault, lastsUs);
      if (plan.kind !== 'region-loss' || fault === undefined) this.next(plan, prng);
    });
  }

  private begin(fault: Active, lastsUs: number): void {
    const { world } = this.fleet;
    world.note(`fault ${fault.kind} ${fault.target} for ${lastsUs} us`);
    this.active.add(fault);
    if (fault.kind === 'region-loss') this.lost.add(fault.target);
    else {
      world.schedule(lastsUs, `fault over ${fault.kind} ${fault.target}`, () => {
        if (this.active.has(fault)) this.finish(fault);
      });
    }
    this.observe({ kind: fault.kind, target: fault.target, lastsUs });
  }

  private finish(fault: Active): void {
    this.active.delete(fault);
    if (fault.kind === 'region-loss') this.lost.delete(fault.target);
    fault.end();
  }

  /** Does one fault of this kind, if there is a target within the bounds. */
  private strike(kind: FaultKind, prng: Prng): Active | undefined {
    switch (kind) {
      case 'crash':
      case 'power-loss':
      case 'pause':
        return this.strikeProcess(kind, prng);
      case 'wipe':
      case 'rot':
        return this.destroy(kind, prng);
      case 'live-rot':
        return this.rotAlive(prng);
      case 'disk-full':
      case 'disk-slow':
        return this.strikeDisk(kind, prng);
      case 'clock-jump':
      case 'link-break':
      case 'nats-break':
        return this.strikeOnce(kind, prng);
      case 'az-loss':
        return this.loseZone(prng);
      case 'region-crash':
      case 'region-isolation':
      case 'region-freeze':
      case 'region-loss':
        return this.strikeRegion(kind, prng);
      case 'pair-cut':
        return this.cutPair(prng);
      case 'one-way-cut':
      case 'clog':
      case 'slow-region':
        return this.strikePaths(kind, prng);
      case 'nats-crash':
        return this.crashNats(prng);
    }
  }

  private strikeProcess(kind: 'crash' | 'power-loss' | 'pause', prng: Prng): Active | undefined {
    const host = this.pickUp(prng, () => true);
    if (host === undefined || !this.mayStop([host])) return undefined;
    if (kind === 'pause') host.pause();
    else host.crash(kind === 'crash' ? 'process' : 'power');
    const end = (): void => (kind === 'pause' ? host.resume() : this.restart([host]));
    return this.fault(kind, host.address, [host], undefined, end);
  }

  private destroy(kind: 'wipe' | 'rot', prng: Prng): Active | undefined {
    const host = this.pickUp(prng, (candidate) => candidate.role === 'node');
    if (host === undefined || !this.mayStop([host]) || !this.mayDestroy(host)) return undefined;
    host.crash('power');
    if (kind === 'wipe') host.disk.wipe();
    else {
      const files = host.disk.files();
      if (files.length > 0) host.disk.rot(prng.pick(files));
    }
    this.destroyed.add(host.address);
    return this.fault(kind, host.address, [host], undefined, () => this.restart([host]));
  }

  /** A bit flips under a node that goes on. */
  private rotAlive(prng: Prng): Active | undefined {
    const host = this.pickUp(prng, (candidate) => candidate.role === 'node');
    if (host === undefined || !this.mayDestroy(host)) return undefined;
    const files = host.disk.files();
    if (files.length === 0 || !host.disk.rot(prng.pick(files))) return undefined;
    this.destroyed.add(host.address);
    return this.fault('live-rot', host.address, [], undefined, () => {});
  }

  private mayDestroy(host: Host<M, P, V>): boolean {
    const others = [...this.destroyed].filter(
      (address) => address !== host.address && this.fleet.host(address).region === host.region,
    );
    return others.length < this.fleet.options.bounds.nodesDestroyedMax;
  }

  private strikeDisk(kind: 'disk-full' | 'disk-slow', prng: Prng): Active | undefined {
    const host = this.pickUp(prng, (candidate) => candidate.role === 'node');
    if (host === undefined) return undefined;
    if (kind === 'disk-slow') {
      host.disk.setSlow(prng.pick([5, 50, 500]));
      return this.fault(kind, host.address, [], undefined, () => host.disk.setSlow(1));
    }
    if (!this.mayStop([host])) return undefined;
    host.disk.setFull(true);
    return this.fault(kind, host.address, [host], undefined, () => host.disk.setFull(false));
  }

  private strikeOnce(kind: 'clock-jump' | 'link-break' | 'nats-break', prng: Prng): Active | undefined {
    const host = this.pickUp(prng, () => true);
    if (host === undefined) return undefined;
    if (kind === 'clock-jump') host.clock.jump(prng.between(-5_000_000, 5_000_000));
    if (kind === 'nats-break') {
      this.fleet.bus.breakLinks(host.address);
      this.fleet.control.breakLinks(host.address);
    }
    if (kind === 'link-break') {
      const mine = this.fleet.network
        .openLinks()
        .filter((link) => link.from === host.address || link.to === host.address);
      if (mine.length === 0) return undefined;
      this.fleet.network.break(prng.pick(mine).id);
    }
    return this.fault(kind, host.address, [], undefined, () => {});
  }

  private loseZone(prng: Prng): Active | undefined {
    const region = prng.pick(this.fleet.options.regions);
    const victims = this.victims(region);
    const zones = [...new Set(victims.map((host) => host.az))];
    if (zones.length === 0) return undefined;
    const az = prng.pick(zones);
    const hosts = victims.filter((host) => host.az === az);
    if (!this.mayStop(hosts)) return undefined;
    for (const host of hosts) host.crash('power');
    return this.fault('az-loss', `${region}@${az}`, hosts, undefined, () => this.restart(hosts));
  }

  private strikeRegion(
    kind: 'region-crash' | 'region-isolation' | 'region-freeze' | 'region-loss',
    prng: Prng,
  ): Active | undefined {
    const { fleet } = this;
    if (fleet.options.regions.length < 2 && kind !== 'region-crash') return undefined;
    // Mostly the region whose loss hurts, if the plan is to lose one for good.
    const first = fleet.options.regions.slice(0, 1);
    const region = prng.pick(kind === 'region-loss' && prng.perMille(700) ? first : fleet.options.regions);
    const out = [...this.active].filter((fault) => fault.regionOut !== undefined);
    if (out.length >= fleet.options.bounds.regionsOutMax) return undefined;
    if (kind === 'region-isolation') {
      const rules = fleet.topology.isolate(region);
      return this.fault(kind, region, [], region, () => {
        for (const rule of rules) fleet.topology.removeRule(rule);
      });
    }
    const hosts = this.victims(region);
    if (kind === 'region-freeze') return this.freezeRegion(region, hosts);
    for (const host of hosts) host.crash('power');
    fleet.crashNats(region);
    return this.fault(kind, region, hosts, region, () => {
      fleet.startNats(region);
      this.restart(hosts);
    });
  }

  /** Every process stands still, and so do the links of the region's NATS server: what they were sent arrives when they go on. */
  private freezeRegion(region: string, hosts: readonly Host<M, P, V>[]): Active {
    const { topology } = this.fleet;
    const frozen = hosts.filter((host) => host.state === 'up');
    for (const host of frozen) host.pause();
    const rules = topology.isolate(region);
    return this.fault('region-freeze', region, frozen, region, () => {
      for (const rule of rules) topology.removeRule(rule);
      for (const host of frozen) host.resume();
    });
  }

  private strikePaths(kind: 'one-way-cut' | 'clog' | 'slow-region', prng: Prng): Active | undefined {
    const { fleet } = this;
    const host = this.pickUp(prng, () => true);
    if (host === undefined) return undefined;
    const selectors = fleet.options.regions.length > 1 ? [host.address, host.region] : [host.address];
    const chosen = prng.pick(kind === 'slow-region' ? [host.region] : selectors);
    const from = chosen;
    const to = chosen === host.region ? `!${host.region}` : '*';
    const effect =
      kind === 'one-way-cut'
        ? { kind: 'cut' as const }
        : kind === 'clog'
          ? { kind: 'clog' as const }
          : { kind: 'slow' as const, factor: prng.pick([3, 10]) };
    const inbound = prng.perMille(500);
    const rule = fleet.topology.addRule({ from: inbound ? to : from, to: inbound ? from : to, effect });
    return this.fault(kind, chosen, [], undefined, () => fleet.topology.removeRule(rule));
  }

  /** One region hears nothing of another one, which others hear. */
  private cutPair(prng: Prng): Active | undefined {
    const { fleet } = this;
    const { regions } = fleet.options;
    if (regions.length < 3) return undefined;
    const from = prng.pick(regions);
    const to = prng.pick(regions.filter((region) => region !== from));
    const rule = fleet.topology.addRule({ from, to, effect: { kind: 'cut' } });
    return this.fault('pair-cut', `${from}/${to}`, [], undefined, () => fleet.topology.removeRule(rule));
  }

  private crashNats(prng: Prng): Active | undefined {
    const region = prng.pick(this.fleet.options.regions);
    if (!this.fleet.bus.serverIsUp(region)) return undefined;
    this.fleet.crashNats(region);
    return this.fault('nats-crash', region, [], undefined, () => {
      const out = [...this.active].some(
        (fault) =>
          fault.regionOut === region && fault.kind !== 'region-isolation' && fault.kind !== 'region-freeze',
      );
      if (!out) this.fleet.startNats(region);
    });
  }

  private fault(
    kind: FaultKind,
    target: string,
    hosts: readonly Host<M, P, V>[],
    regionOut: string | undefined,
    end: () => void,
  ): Active {
    const nodesDown = hosts.filter((host) => host.role === 'node').map((host) => host.address);
    const dies = kind !== 'pause' && kind !== 'region-freeze' && kind !== 'disk-full';
    const kills = new Set(dies ? hosts.map((host) => host.address) : []);
    return { kind, target, kills, nodesDown, regionOut, end };
  }

  /** Restarts what no other fault still holds down. */
  private restart(hosts: readonly Host<M, P, V>[]): void {
    for (const host of hosts) if (!this.heldDown(host)) host.start();
  }

  private heldDown(host: Host<M, P, V>): boolean {
    return [...this.active].some((fault) => fault.kills.has(host.address));
  }

  /** Would stopping these hosts keep every region within `nodesDownMax`? Regions that are out do not count. */
  private mayStop(hosts: readonly Host<M, P, V>[]): boolean {
    const down = new Set<Address>();
    for (const fault of this.active) for (const address of fault.nodesDown) down.add(address);
    for (const host of hosts) if (host.role === 'node') down.add(host.address);
    const regions = new Set(hosts.map((host) => host.region));
    for (const region of regions) {
      const count = [...down].filter((address) => this.fleet.host(address).region === region).length;
      if (count > this.fleet.options.bounds.nodesDownMax) return false;
    }
    return true;
  }

  /** Clients are the test's own eyes; no fault kills them. */
  private victims(region: string): readonly Host<M, P, V>[] {
    return this.fleet.hosts(region).filter((host) => host.role !== 'client');
  }

  private pickUp(prng: Prng, wanted: (host: Host<M, P, V>) => boolean): Host<M, P, V> | undefined {
    const able = this.fleet
      .hosts()
      .filter((host) => host.state === 'up' && host.role !== 'client' && wanted(host));
    return able.length === 0 ? undefined : prng.pick(able);
  }
}
