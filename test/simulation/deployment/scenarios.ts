/** Runs made for one purpose: few kinds of fault, struck hard, where a certain promise is most at risk. */
import { defaultLeaseLimits } from '../../../regions/control/core/lease.ts';
import {
  buffersFor,
  drawOptions,
  type FaultKind,
  type FaultPlan,
  longLease,
  type SimulationOptions,
  scaledBounds,
  usualBounds,
  usualRecoveryMs,
} from '../options.ts';
import { Prng, type Range } from '../world/prng.ts';

export type Scenario = (options: SimulationOptions) => SimulationOptions;

const ms = 1000;
const seconds = 1_000_000;

const plan = (kind: FaultKind, gapUs: Range, lastsUs: Range): FaultPlan => ({ kind, gapUs, lastsUs });
const between = (min: number, max: number): Range => ({ min, max });
const small = { largePerMille: 0, largePagesMax: 0 };
const busy = { ...small, openMax: 8, pauseUs: 15 * ms };

/** One region that loses power again and again while its disks are slow to sync. */
export const blackouts: Scenario = (options) => ({
  ...options,
  branches: null,
  regions: options.regions.slice(0, 1),
  gateways: 1,
  faultPhaseUs: 5 * seconds,
  workload: busy,
  disk: { ...options.disk, syncUs: between(2 * ms, 6 * ms) },
  bounds: { ...options.bounds, nodesDownMax: 6 },
  faults: [plan('region-crash', between(600 * ms, 1200 * ms), between(100 * ms, 300 * ms))],
});

/** One region whose writer dies with redo under way to nodes that are out of reach for a moment. */
export const interruptedWrites: Scenario = (options) => ({
  ...options,
  branches: null,
  regions: options.regions.slice(0, 1),
  gateways: 1,
  faultPhaseUs: 6 * seconds,
  workload: busy,
  faults: [
    plan('crash', between(50 * ms, 300 * ms), between(10 * ms, 60 * ms)),
    plan('clog', between(20 * ms, 80 * ms), between(50 * ms, 900 * ms)),
  ],
});

/** One region whose nodes fold what is a second old, store every other image, and die now and then. */
export const foldedPages: Scenario = (options) => ({
  ...options,
  branches: null,
  regions: options.regions.slice(0, 1),
  gateways: 1,
  faultPhaseUs: 8 * seconds,
  workload: { ...busy, pauseUs: 30 * ms },
  sizes: {
    ...options.sizes,
    log: { fileBytesMax: 16 * 1024, tailBytesMax: 0 },
    pages: { foldPages: 1, foldBytes: 2 * 1024 },
    lowWater: { ...options.sizes.lowWater, readPointAgeMs: 1_000, lowWaterEveryMs: 200 },
  },
  faults: [plan('crash', between(1 * seconds, 3 * seconds), between(100 * ms, 600 * ms))],
});

/** One region whose log files are small and sealed early, under nodes that die in the middle of it and disks that rot. */
export const rottingLogs: Scenario = (options) => ({
  ...foldedPages(options),
  sizes: {
    ...foldedPages(options).sizes,
    sealer: { everyMs: 50, retryMs: 500 },
    scrub: { firstMs: 300, restMs: 300, busyBytesPerSecond: 1024 * 1024, pieceBytes: 4 * 1024, tailBytes: 0 },
  },
  faults: [
    plan('live-rot', between(50 * ms, 300 * ms), between(1 * ms, 1 * ms)),
    plan('rot', between(2 * seconds, 4 * seconds), between(10 * ms, 200 * ms)),
    plan('crash', between(400 * ms, 1_500 * ms), between(10 * ms, 300 * ms)),
    plan('power-loss', between(1 * seconds, 2 * seconds), between(10 * ms, 300 * ms)),
    plan('disk-full', between(2 * seconds, 4 * seconds), between(100 * ms, 600 * ms)),
  ],
});

/** Logs of a second and some KiB: floors rise all the time. */
const collected = (sizes: SimulationOptions['sizes']): SimulationOptions['sizes'] => ({
  ...sizes,
  retention: { hours: 1 / 3_600, bytes: 4 * 1024 },
  retentionEveryMs: 300,
  log: { fileBytesMax: 2 * 1024, tailBytesMax: 0 },
  pages: { storeAfterMs: 300, foldPages: 16, foldBytes: 4 * 1024 },
  sealer: { everyMs: 50, retryMs: 500 },
  lowWater: { ...sizes.lowWater, readPointAgeMs: 2_000, lowWaterEveryMs: 100 },
});

/** One region that keeps little log, whose nodes are wiped, or away for longer than it is kept. */
export const collectedLogs: Scenario = (options) => ({
  ...options,
  branches: null,
  regions: options.regions.slice(0, 1),
  gateways: 1,
  faultPhaseUs: 12 * seconds,
  workload: { ...busy, pauseUs: 30 * ms },
  sizes: collected(options.sizes),
  faults: [
    plan('wipe', between(2 * seconds, 4 * seconds), between(100 * ms, 500 * ms)),
    plan('crash', between(1 * seconds, 3 * seconds), between(500 * ms, 4 * seconds)),
    plan('power-loss', between(1 * seconds, 3 * seconds), between(100 * ms, 3 * seconds)),
  ],
});

/** The same with branches, which hold the log of nodes that are wiped or away. */
export const collectedBranches: Scenario = (options) => ({
  ...collectedLogs(options),
  branches: { gapUs: between(200 * ms, 900 * ms), liveMax: 4 },
});

/** Regions that keep little log and are away for a while, as branches are made from a while ago. */
export const branchesUnheard: Scenario = (options) => ({
  ...regionsAway(options),
  membershipGapUs: null,
  branches: { gapUs: between(200 * ms, 900 * ms), liveMax: 4 },
});

/** Regions that keep little log, of which one or another is away for longer than that, or leaves and is taken in again. */
export const regionsAway: Scenario = (options) => ({
  ...options,
  branches: null,
  regions: ['us-east-1', 'eu-west-1', 'ap-northeast-1'],
  gateways: 1,
  faultPhaseUs: 20 * seconds,
  workload: { ...small, openMax: 3, pauseUs: 80 * ms },
  sizes: collected(options.sizes),
  rpo: 'off',
  automatic: false,
  hastyPerMille: 300,
  membershipGapUs: between(4 * seconds, 7 * seconds),
  faults: [
    plan('region-isolation', between(2 * seconds, 5 * seconds), between(3 * seconds, 7 * seconds)),
    plan('region-crash', between(4 * seconds, 9 * seconds), between(2 * seconds, 5 * seconds)),
    plan('crash', between(1 * seconds, 3 * seconds), between(100 * ms, 2 * seconds)),
  ],
});

/** The same with images that follow soon and a somewhat longer log: a failover may fork below the floors of the nodes that it leaves. */
export const forksBelowFloors: Scenario = (options) => {
  const { sizes, ...away } = regionsAway(options);
  const lowWater = { ...sizes.lowWater, readPointAgeMs: 800 };
  return { ...away, sizes: { ...sizes, lowWater, retention: { hours: 1 / 3_600, bytes: 8 * 1024 } } };
};

/** Regions that are away for a moment: shorter than the log is kept for them, longer than it is kept by itself. */
export const regionsBehind: Scenario = (options) => ({
  ...regionsAway(options),
  sizes: { ...collected(options.sizes), retention: { hours: 24, bytes: 12 * 1024 } },
  hastyPerMille: 0,
  switchoverGapUs: between(60 * seconds, 60 * seconds),
  membershipGapUs: null,
  faults: [plan('region-isolation', between(500 * ms, 2 * seconds), between(1500 * ms, 3 * seconds))],
});

/** One region whose writers die again and again, and whose recoveries are given up before slow nodes have answered. */
export const hastyRecoveries: Scenario = (options) => ({
  ...options,
  branches: null,
  regions: options.regions.slice(0, 1),
  gateways: 2,
  faultPhaseUs: 8 * seconds,
  workload: busy,
  recoveryMs: between(20, 300),
  disk: { ...options.disk, syncUs: between(5 * ms, 40 * ms) },
  faults: [
    plan('crash', between(50 * ms, 300 * ms), between(50 * ms, 500 * ms)),
    plan('clog', between(20 * ms, 80 * ms), between(50 * ms, 900 * ms)),
  ],
});

/** Regions cut off for longer than a lease, while their own clients go on writing. */
export const isolation: Scenario = (options) => ({
  ...options,
  branches: null,
  regions: ['us-east-1', 'eu-west-1', 'ap-northeast-1'],
  gateways: 1,
  faultPhaseUs: 26 * seconds,
  workload: { ...small, openMax: 3, pauseUs: 200 * ms },
  rpo: 'off',
  lease: defaultLeaseLimits,
  hastyPerMille: 1000,
  faults: [plan('region-isolation', between(2 * seconds, 4 * seconds), between(18 * seconds, 20 * seconds))],
});

/** The same, where answers wait for another region: the clients of one that is cut off get none. */
export const isolationUnderRpo: Scenario = (options) => ({ ...isolation(options), rpo: 0 });

/** The same with a bound that a cut soon exceeds. */
export const isolationUnderBound: Scenario = (options) => ({ ...isolation(options), rpo: 300 });

/** As `isolation`, with a lease long enough that a failover could come before it lapses. */
export const isolationUnderLongLease: Scenario = (options) => ({
  ...isolation(options),
  lease: longLease,
});

/** What the profile of six regions draws: processes and whole regions that freeze, clocks that drift, and the policy. */
export const sixRegions: Scenario = ({ seed }) => drawOptions(seed, 'six-regions');

/**
 * A region that hears nothing of another one, which the third hears, under a lease that is renewed so seldom that its renewals
 * are no sign of life: alone it takes a primary for lost that is not.
 */
export const deafRegions: Scenario = (options) => ({
  ...isolation(options),
  lease: longLease,
  automatic: true,
  hastyPerMille: 0,
  faults: [plan('pair-cut', between(1 * seconds, 2 * seconds), between(5 * seconds, 8 * seconds))],
});

/** Primaries that freeze for long, one process of them at a time, and failovers soon after: their storage is sealed meanwhile. */
export const frozenPrimaries: Scenario = (options) => ({
  ...isolation(options),
  automatic: false,
  faults: [
    plan('pause', between(50 * ms, 300 * ms), between(2 * seconds, 4 * seconds)),
    plan('region-isolation', between(3 * seconds, 5 * seconds), between(2 * seconds, 4 * seconds)),
  ],
});

/** One region with a standby gateway, where processes freeze for longer than a lease. */
export const frozenWriters: Scenario = (options) => ({
  ...options,
  branches: null,
  regions: options.regions.slice(0, 1),
  gateways: 2,
  faultPhaseUs: 26 * seconds,
  workload: { ...small, openMax: 8, pauseUs: 50 * ms },
  lease: defaultLeaseLimits,
  network: { ...options.network, heartbeatUs: between(13 * seconds, 14 * seconds) },
  faults: [plan('pause', between(500 * ms, 1500 * ms), between(11 * seconds, 12 * seconds))],
});

/** One region with a standby gateway, which doubts writers that are frozen or cut off for less than a lease, and live on. */
export const doubtedWriters: Scenario = (options) => ({
  ...options,
  branches: null,
  regions: options.regions.slice(0, 1),
  gateways: 2,
  faultPhaseUs: 14 * seconds,
  workload: { ...small, openMax: 8, pauseUs: 20 * ms },
  lease: defaultLeaseLimits,
  faults: [
    plan('pause', between(200 * ms, 900 * ms), between(300 * ms, 2_600 * ms)),
    plan('clog', between(100 * ms, 400 * ms), between(200 * ms, 2_000 * ms)),
  ],
});

/** Regions leave and come back again and again, while the primary moves and processes and regions crash. */
export const comingAndGoing: Scenario = (options) => ({
  ...options,
  branches: null,
  regions: ['us-east-1', 'eu-west-1', 'ap-northeast-1'],
  gateways: 1,
  faultPhaseUs: 14 * seconds,
  workload: { ...small, openMax: 3, pauseUs: 100 * ms },
  rpo: 'off',
  automatic: false,
  switchoverGapUs: between(1 * seconds, 3 * seconds),
  membershipGapUs: between(300 * ms, 1500 * ms),
  hastyPerMille: 0,
  faults: [
    plan('region-crash', between(2 * seconds, 5 * seconds), between(300 * ms, 1500 * ms)),
    plan('crash', between(300 * ms, 900 * ms), between(50 * ms, 500 * ms)),
    plan('region-isolation', between(3 * seconds, 6 * seconds), between(500 * ms, 2 * seconds)),
  ],
});

/**
 * Writes of two regions meet in one of them, while connections to NATS break all the time, gateways die and the primary moves. A
 * forwarded write of many pages travels in several parts. What its redo has to fit is as small as everywhere for large ones under
 * even seeds, and what it is in production under odd ones, with buffers of that size.
 */
export const brokenForwards: Scenario = (options) => ({
  ...options,
  ...forwardSizes(options),
  branches: null,
  regions: ['us-east-1', 'eu-west-1'],
  gateways: 1,
  faultPhaseUs: 8 * seconds,
  workload: { largePerMille: 200, largePagesMax: 40, openMax: 6, pauseUs: 40 * ms },
  rpo: 'off',
  automatic: false,
  hastyPerMille: 0,
  switchoverGapUs: between(2 * seconds, 4 * seconds),
  faults: [
    plan('nats-break', between(50 * ms, 300 * ms), between(1 * ms, 1 * ms)),
    plan('nats-crash', between(2 * seconds, 4 * seconds), between(200 * ms, 800 * ms)),
    plan('crash', between(1 * seconds, 3 * seconds), between(100 * ms, 600 * ms)),
  ],
});

function forwardSizes({ seed, network }: SimulationOptions): Pick<SimulationOptions, 'sizes' | 'network'> {
  if (seed % 2 === 0) return { network, sizes: scaledBounds(Prng.fromSeed(seed).stream('broken forwards')) };
  const inFlightBytesMax = Math.max(network.inFlightBytesMax, buffersFor(usualBounds));
  return { network: { ...network, inFlightBytesMax }, sizes: usualBounds };
}

/** Switchovers again and again, while regions crash in the middle of them. */
export const brokenSwitchovers: Scenario = (options) => ({
  ...options,
  branches: null,
  regions: ['us-east-1', 'eu-west-1', 'ap-northeast-1'],
  gateways: 1,
  faultPhaseUs: 10 * seconds,
  workload: { ...small, openMax: 3, pauseUs: 100 * ms },
  switchoverGapUs: between(300 * ms, 900 * ms),
  hastyPerMille: 0,
  faults: [
    plan('region-crash', between(500 * ms, 1500 * ms), between(300 * ms, 2 * seconds)),
    plan('crash', between(200 * ms, 600 * ms), between(50 * ms, 500 * ms)),
  ],
});

/**
 * Branches come and go while processes die and the primary moves, and agents often tell their nodes which there are: also between a
 * fork and the look that sees it.
 */
export const branchesInRegions: Scenario = (options) => ({
  ...options,
  regions: ['us-east-1', 'eu-west-1'],
  gateways: 1,
  faultPhaseUs: 8 * seconds,
  convergenceUs: 20 * seconds,
  workload: { ...small, openMax: 2, pauseUs: 200 * ms },
  rpo: 'off',
  automatic: false,
  hastyPerMille: 0,
  switchoverGapUs: between(2 * seconds, 4 * seconds),
  branches: { gapUs: between(150 * ms, 500 * ms), liveMax: 5 },
  sizes: { ...options.sizes, retentionEveryMs: 100 },
  faults: [
    plan('crash', between(500 * ms, 1500 * ms), between(50 * ms, 500 * ms)),
    plan('link-break', between(300 * ms, 1 * seconds), between(1 * ms, 1 * ms)),
  ],
});

/** Transactions several times as large as every window and buffer on their way, while agents and nodes are killed. */
export const largeTransactions: Scenario = (options) => ({
  ...options,
  branches: null,
  regions: ['us-east-1', 'eu-west-1', 'ap-northeast-1'],
  gateways: 1,
  faultPhaseUs: 8 * seconds,
  sizes: scaledBounds(Prng.fromSeed(options.seed).stream('large transactions')),
  workload: { largePerMille: 100, largePagesMax: 100, openMax: 2, pauseUs: 250 * ms },
  hastyPerMille: 0,
  faults: [plan('crash', between(500 * ms, 2 * seconds), between(50 * ms, 500 * ms))],
});

/** No fault, and lines between regions that take seconds for a window of redo. */
export const narrowLines: Scenario = (options) => ({
  ...largeTransactions(options),
  workload: { largePerMille: 300, largePagesMax: 80, openMax: 2, pauseUs: 500 * ms },
  latency: { ...options.latency, spikePerMille: 0, lineBytesPerMs: 60 },
  disk: { ...options.disk, stallPerMille: 0 },
  lease: defaultLeaseLimits,
  rpo: 'off',
  faults: [],
});

/** The same where the way to each node is so slow that a transaction takes longer than a quorum may stand still. */
export const slowLargeTransactions: Scenario = (options) => ({
  ...largeTransactions(options),
  regions: options.regions.slice(0, 1),
  faultPhaseUs: 20 * seconds,
  recoveryMs: usualRecoveryMs,
  workload: { largePerMille: 400, largePagesMax: 150, openMax: 1, pauseUs: seconds },
  network: { ...options.network, bytesPerMs: 80 },
  disk: { ...options.disk, stallPerMille: 0 },
  faults: [],
});
