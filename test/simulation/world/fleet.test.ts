/**
 * The whole kit at work under a toy: each region has a writer that counts a number durable when four of its six nodes have
 * synced it. What the toy acknowledges must be on four disks at the end, whatever the faults; and the same seed is the same run.
 */
import { describe, expect, it } from 'vitest';
import type { Address } from '../deployment/topology.ts';
import { FaultScheduler } from '../faults.ts';
import {
  drawOptions,
  type FaultKind,
  faultKinds,
  type ProfileName,
  profileNames,
  type SimulationOptions,
} from '../options.ts';
import type { Process, Runtime } from '../twins/process.ts';
import { Fleet } from './fleet.ts';
import { Trace } from './trace.ts';
import { World } from './world.ts';

type Message = { readonly kind: 'append' | 'ack'; readonly n: number };
type ToyRuntime = Runtime<Message, number, string>;
type ToyProcess = Process<Message, number, string>;

const nodeNames = ['n1', 'n2', 'n3', 'n4', 'n5', 'n6'];
const azOf = (index: number): string => `az${1 + Math.floor(index / 2)}`;

const toyNode = (runtime: ToyRuntime, hasty: boolean): ToyProcess => {
  const owed = new Map<string, { to: Address; n: number }>();
  return {
    onStart: () => {},
    onLink: () => {},
    onMessage: (from, { n }) => {
      if (runtime.disk.append('log', new Uint8Array([n >>> 8, n & 0xff])).kind === 'disk-full') return;
      if (hasty) {
        runtime.send(from, { kind: 'ack', n });
        return;
      }
      owed.set(`${n}`, { to: from, n });
      runtime.disk.sync('log', `${n}`);
    },
    onDisk: (completion) => {
      const ack = owed.get(completion.token);
      if (ack !== undefined) runtime.send(ack.to, { kind: 'ack', n: ack.n });
    },
  };
};

const toyWriter = (runtime: ToyRuntime, region: string, acked: Set<number>): ToyProcess => {
  const nodes = nodeNames.map((name): Address => `${region}/${name}`);
  const votes = new Map<number, Set<Address>>();
  const bus = runtime.connectBus('bus');
  let n = runtime.incarnation * 1000;
  return {
    onStart: () => {
      for (const node of nodes) runtime.dial(node);
      bus.subscribe('toy.>');
      runtime.setTimer('write', 20_000);
    },
    onLink: () => {},
    onTimer: () => {
      n += 1;
      for (const node of nodes) runtime.send(node, { kind: 'append', n });
      bus.publish(`toy.${region}`, n);
      runtime.setTimer('write', 20_000 + runtime.random.below(5_000));
    },
    onMessage: (from, message) => {
      const voters = votes.get(message.n) ?? new Set<Address>();
      votes.set(message.n, voters.add(from));
      if (voters.size >= 4) acked.add(message.n);
    },
    onBus: () => {},
  };
};

type ToyRun = {
  readonly hash: string;
  readonly missing: readonly string[];
  readonly acked: number;
  readonly struck: number;
  readonly downMax: number;
  readonly allUp: boolean;
};

const runToy = (options: SimulationOptions, hasty = false): ToyRun => {
  const world = new World({ seed: options.seed, trace: new Trace(), stepsMax: options.stepsMax });
  const fleet = new Fleet<Message, number, string>(world, options);
  const acked = new Map(options.regions.map((region) => [region, new Set<number>()]));
  for (const region of options.regions) {
    for (const [index, name] of nodeNames.entries()) {
      fleet.add({
        address: `${region}/${name}`,
        role: 'node',
        az: azOf(index),
        boot: (runtime) => toyNode(runtime, hasty),
      });
    }
    const ofRegion = acked.get(region) ?? new Set();
    fleet.add({
      address: `${region}/g1`,
      role: 'gateway',
      az: 'az1',
      boot: (runtime) => toyWriter(runtime, region, ofRegion),
    });
  }
  fleet.startAll();
  const faults = new FaultScheduler(fleet);
  faults.start();
  let downMax = 0;
  const endUs = world.nowUs + Math.min(options.faultPhaseUs, 10_000_000);
  while (world.nowUs < endUs) {
    world.runFor(10_000);
    for (const region of options.regions) {
      const nodes = fleet.hosts(region).filter((host) => host.role === 'node');
      const down = nodes.filter((host) => host.state !== 'up').length;
      // A whole region may go down at once; the bound is about the others.
      if (down < nodes.length) downMax = Math.max(downMax, down);
    }
  }
  faults.healAll();
  world.runFor(3_000_000);
  const missing: string[] = [];
  for (const [region, numbers] of acked) {
    const disks = fleet.hosts(region).filter((host) => host.role === 'node');
    const logs = disks.map((host) => {
      const bytes = host.disk.read('log');
      const found = new Set<number>();
      for (let at = 0; at + 1 < bytes.length; at += 2)
        found.add(((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0));
      return found;
    });
    for (const number of numbers) {
      if (logs.filter((log) => log.has(number)).length < 4) missing.push(`${region} ${number}`);
    }
  }
  let total = 0;
  for (const numbers of acked.values()) total += numbers.size;
  let struck = 0;
  for (const count of faults.counts.values()) struck += count.struck;
  const lost = new Set(faults.lostRegions);
  const allUp = fleet.hosts().every((host) => lost.has(host.region) || host.state === 'up');
  return { hash: world.trace.hash(), missing, acked: total, struck, downMax, allUp };
};

const seeds = (count: number): number[] => Array.from({ length: count }, (_, index) => index);
/** Destroying faults are the repair's business, which the toy does not have; torn entries shift its two-byte slots. */
const gentle = (seed: number, profile: ProfileName): SimulationOptions => {
  const options = drawOptions(seed, profile);
  const harmful = ['wipe', 'rot', 'live-rot', 'power-loss', 'az-loss', 'region-crash', 'region-loss'];
  return { ...options, faults: options.faults.filter((fault) => !harmful.includes(fault.kind)) };
};

describe('fleet', () => {
  it('makes the same run of the same seed, and another of another', { timeout: 60_000 }, () => {
    for (const profile of profileNames) {
      const first = runToy(drawOptions(5, profile));
      expect(runToy(drawOptions(5, profile)).hash).toBe(first.hash);
      expect(runToy(drawOptions(6, profile)).hash).not.toBe(first.hash);
    }
  });

  it('keeps what a careful toy acknowledged on four disks, and everything is up after healing', {
    timeout: 60_000,
  }, () => {
    let struck = 0;
    for (const seed of seeds(8)) {
      const run = runToy(gentle(seed, 'swarm'));
      expect([seed, run.missing, run.allUp]).toEqual([seed, [], true]);
      expect(run.acked).toBeGreaterThan(50);
      struck += run.struck;
    }
    expect(struck).toBeGreaterThan(20);
  });

  it('finds out a toy that acknowledges before its sync', { timeout: 60_000 }, () => {
    const options = {
      ...drawOptions(1, 'calm'),
      regions: ['us-east-1'],
      disk: { syncUs: { min: 100_000, max: 100_000 }, stallPerMille: 0, capacityBytes: 1e9 },
    };
    const zones = {
      kind: 'region-crash' as const,
      gapUs: { min: 500_000, max: 500_000 },
      lastsUs: { min: 100_000, max: 100_000 },
    };
    const run = runToy({ ...options, faults: [zones] }, true);
    expect(run.missing.length).toBeGreaterThan(0);
  });

  it('never exceeds the bound of nodes down, and heals all but what is lost for good', {
    timeout: 60_000,
  }, () => {
    for (const profile of ['lite', 'swarm', 'region-loss'] as const) {
      for (const seed of seeds(4)) {
        const options = drawOptions(seed, profile);
        const run = runToy({
          ...options,
          faults: faultKinds
            .filter((kind) => !kind.startsWith('region-'))
            .map((kind) => ({
              kind,
              gapUs: { min: 10_000, max: 300_000 },
              lastsUs: { min: 10_000, max: 2_000_000 },
            })),
        });
        expect(run.downMax).toBeLessThanOrEqual(options.bounds.nodesDownMax);
        expect(run.allUp).toBe(true);
        expect(run.struck).toBeGreaterThan(50);
      }
    }
  });
});

describe('options', () => {
  it('draws calm without faults, and swarms in which each kind is sometimes there and sometimes not', () => {
    const swarms = seeds(60).map((seed) => drawOptions(seed, 'swarm').faults.map((fault) => fault.kind));
    const elsewhere: readonly FaultKind[] = ['region-loss', 'region-freeze'];
    for (const kind of faultKinds.filter((candidate) => !elsewhere.includes(candidate))) {
      const having = swarms.filter((kinds) => kinds.includes(kind)).length;
      expect(having).toBeGreaterThan(5);
      expect(having).toBeLessThan(55);
    }
    for (const seed of seeds(20)) {
      expect(drawOptions(seed, 'calm').faults).toEqual([]);
      expect(drawOptions(seed, 'region-loss').faults[0]?.kind).toBe('region-loss');
      expect(drawOptions(seed, 'region-loss').regions.length).toBeGreaterThanOrEqual(3);
      const { regions, automatic, faults } = drawOptions(seed, 'six-regions');
      expect([regions.length, automatic, faults.map(({ kind }) => kind)]).toMatchObject([
        6,
        true,
        expect.arrayContaining(['pause', 'region-freeze']),
      ]);
    }
  });
});
