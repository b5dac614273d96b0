/**
 * Who can reach whom, and how long it takes: places of endpoints, latency between them, and the rules that faults
 * add and remove. `network.ts` (process links) and `bus.ts` (NATS) share one topology, so that isolating a region
 * isolates it for both.
 *
 * Selectors: `*` everyone, `us-east-1` a region, `!us-east-1` everyone outside it, `us-east-1/n1` a process,
 * `us-east-1@az2` an availability zone. What follows `#` in an address names a second endpoint of the same process.
 */
import assert from 'node:assert/strict';
import type { Prng, Range } from '../world/prng.ts';
import type { World } from '../world/world.ts';

/** `region/process`, such as `us-east-1/n1`, with `#name` for further endpoints of the process. */
export type Address = `${string}/${string}`;

/** The region part of an address. */
export const regionOf = (address: Address): string => address.slice(0, address.indexOf('/'));

/** The process part of an address, without region and endpoint. */
export const processOf = (address: Address): string => {
  const end = address.indexOf('#');
  return address.slice(address.indexOf('/') + 1, end < 0 ? undefined : end);
};

export type RuleEffect =
  /** Nothing gets through; heartbeats miss it, so links crossing it break after a while. */
  | { readonly kind: 'cut' }
  /** Nothing gets through for now, too briefly for heartbeats; links keep what was sent. */
  | { readonly kind: 'clog' }
  /** Everything takes `factor` times as long; of several such rules the slowest counts. */
  | { readonly kind: 'slow'; readonly factor: number };

/** One direction of trouble between two selectors. */
export type Rule = { readonly from: string; readonly to: string; readonly effect: RuleEffect };
export type RuleId = number;

export type LatencyOptions = {
  /** One way between two processes of a region; each region draws its base from here once. */
  readonly sameRegionUs: Range;
  /** One way between two regions; each ordered pair draws its base from here once. */
  readonly crossRegionUs: Range;
  /** Added to each message, drawn anew. */
  readonly jitterUs: Range;
  /** How many messages in a thousand are late by `spikeUs`. */
  readonly spikePerMille: number;
  readonly spikeUs: Range;
  /** What all that goes from one region to another shares, bytes a millisecond; 0 is unlimited. Nothing is dropped: it waits. */
  readonly lineBytesPerMs: number;
};

export class Topology {
  readonly world: World;
  private readonly options: LatencyOptions;
  private readonly pairs: Prng;
  private readonly zones = new Map<string, string>();
  private readonly baseUs = new Map<string, number>();
  /** Until when the line from one region to another is taken. */
  private readonly takenUntilUs = new Map<string, number>();
  private readonly rules = new Map<RuleId, Rule>();
  private readonly listeners: ((added: RuleId | undefined) => void)[] = [];
  private nextRule: RuleId = 1;

  constructor(world: World, options: LatencyOptions) {
    this.world = world;
    this.options = options;
    this.pairs = world.prng('region distances');
  }

  /** Says in which zone a process stands. */
  place(address: Address, az: string): void {
    this.zones.set(`${regionOf(address)}/${processOf(address)}`, az);
  }

  /** Calls `listener` after every change of the rules, with the rule when one was added. */
  onChange(listener: (added: RuleId | undefined) => void): void {
    this.listeners.push(listener);
  }

  addRule(rule: Rule): RuleId {
    const id = this.nextRule;
    this.nextRule += 1;
    this.rules.set(id, rule);
    this.world.note(`net rule ${id}: ${rule.effect.kind} ${rule.from} > ${rule.to}`);
    for (const listener of this.listeners) listener(id);
    return id;
  }

  removeRule(id: RuleId): void {
    if (!this.rules.delete(id)) return;
    this.world.note(`net rule ${id} removed`);
    for (const listener of this.listeners) listener(undefined);
  }

  /** Removes every rule. */
  heal(): void {
    for (const id of [...this.rules.keys()]) this.removeRule(id);
  }

  /** Cuts `region` from everyone else, both ways; the rules are returned for healing it. */
  isolate(region: string): readonly RuleId[] {
    return [
      this.addRule({ from: region, to: `!${region}`, effect: { kind: 'cut' } }),
      this.addRule({ from: `!${region}`, to: region, effect: { kind: 'cut' } }),
    ];
  }

  /** Does rule `id` still stand and apply to messages from `from` to `to`? */
  ruleApplies(id: RuleId, from: Address, to: Address): boolean {
    const rule = this.rules.get(id);
    return rule !== undefined && this.matches(rule, from, to);
  }

  /** Is rule `id` there, and a cut? */
  isCut(id: RuleId): boolean {
    return this.rules.get(id)?.effect.kind === 'cut';
  }

  /** What stops messages from `from` to `to` now. */
  blockage(from: Address, to: Address): 'open' | 'clog' | 'cut' {
    let found: 'open' | 'clog' = 'open';
    for (const rule of this.rules.values()) {
      if (rule.effect.kind === 'slow' || !this.matches(rule, from, to)) continue;
      if (rule.effect.kind === 'cut') return 'cut';
      found = 'clog';
    }
    return found;
  }

  /** Draws the time one message takes. */
  latencyUs(from: Address, to: Address, prng: Prng): number {
    let latencyUs = this.distanceUs(from, to) + prng.within(this.options.jitterUs);
    if (prng.perMille(this.options.spikePerMille)) latencyUs += prng.within(this.options.spikeUs);
    // The slowest stretch decides: troubles that met by chance do not multiply into minutes.
    let slowest = 1;
    for (const rule of this.rules.values()) {
      if (rule.effect.kind === 'slow' && this.matches(rule, from, to))
        slowest = Math.max(slowest, rule.effect.factor);
    }
    return latencyUs * slowest;
  }

  /** Takes the line between two regions for a message of so many bytes. @returns when all of it has left. */
  leavesAtUs(from: Address, to: Address, bytes: number): number {
    const { nowUs } = this.world;
    const { lineBytesPerMs } = this.options;
    const [left, right] = [regionOf(from), regionOf(to)];
    if (lineBytesPerMs === 0 || left === right) return nowUs;
    const pair = `${left}>${right}`;
    const startsUs = Math.max(nowUs, this.takenUntilUs.get(pair) ?? 0);
    const endsUs = startsUs + Math.floor((bytes * 1000) / lineBytesPerMs);
    this.takenUntilUs.set(pair, endsUs);
    return endsUs;
  }

  private distanceUs(from: Address, to: Address): number {
    const left = regionOf(from);
    const right = regionOf(to);
    const pair = left === right ? left : `${left}>${right}`;
    const known = this.baseUs.get(pair);
    if (known !== undefined) return known;
    const { sameRegionUs, crossRegionUs } = this.options;
    const drawn = this.pairs.stream(pair).within(left === right ? sameRegionUs : crossRegionUs);
    this.baseUs.set(pair, drawn);
    return drawn;
  }

  private matches(rule: Rule, from: Address, to: Address): boolean {
    return this.selects(rule.from, from) && this.selects(rule.to, to);
  }

  private selects(selector: string, address: Address): boolean {
    assert(selector !== '', 'an empty selector');
    if (selector === '*') return true;
    const region = regionOf(address);
    if (selector.startsWith('!')) return selector.slice(1) !== region;
    const process = `${region}/${processOf(address)}`;
    if (selector.includes('/')) return selector === process || selector === address;
    const at = selector.indexOf('@');
    if (at >= 0)
      return selector.slice(0, at) === region && selector.slice(at + 1) === this.zones.get(process);
    return selector === region;
  }
}
