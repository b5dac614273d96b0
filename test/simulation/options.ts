/**
 * What kind of run a seed makes: sizes, delays, and which faults exist at all. In a swarm each run leaves out most kinds
 * of fault, because a run with all of them at once never gets deep into any one of them.
 */
import { defaultLeaseLimits, type LeaseLimits } from '../../regions/control/core/lease.ts';
import { shippingLimits } from '../../regions/replication/core/shipping-limits.ts';
import { retentionDefault, retentionLimits } from '../../regions/retention/core/retention-limits.ts';
import { nodeLimits, quorumBoundsDefault, volumeLimits } from '../../storage/redo/limits.ts';
import type { SimBounds } from './deployment/sim-types.ts';
import type { LatencyOptions } from './deployment/topology.ts';
import type { ClockOptions } from './twins/clock.ts';
import type { DiskOptions } from './twins/disk.ts';
import type { NetworkOptions } from './twins/network.ts';
import { Prng, type Range } from './world/prng.ts';

/** Those that seeds take in turn. */
export const profilesInTurn = ['calm', 'lite', 'swarm', 'region-loss'] as const;
/** `six-regions` runs when it is asked for: it takes several times as long as the others. */
export const profileNames = [...profilesInTurn, 'six-regions'] as const;
export type ProfileName = (typeof profileNames)[number];

export const faultKinds = [
  'crash',
  'power-loss',
  'pause',
  'wipe',
  'rot',
  'live-rot',
  'disk-full',
  'disk-slow',
  'clock-jump',
  'az-loss',
  'region-crash',
  'region-isolation',
  'region-freeze',
  'region-loss',
  'link-break',
  'one-way-cut',
  'pair-cut',
  'clog',
  'slow-region',
  'nats-break',
  'nats-crash',
] as const;
export type FaultKind = (typeof faultKinds)[number];

export type FaultPlan = {
  readonly kind: FaultKind;
  /** Time between two faults of this kind. */
  readonly gapUs: Range;
  /** How long one lasts. */
  readonly lastsUs: Range;
};

/** What the scheduler never exceeds, whatever the plans ask for. */
export type FaultBounds = {
  /** Nodes of one region that are down, frozen or out of disk space at the same time. */
  readonly nodesDownMax: number;
  /** Nodes of one region whose durable bytes were destroyed and that were not reported repaired since. */
  readonly nodesDestroyedMax: number;
  /** Regions that are crashed, isolated or lost at the same time. */
  readonly regionsOutMax: number;
};

/** What each region's client does. */
export type WorkloadOptions = {
  /** Writes it may have open at a time. */
  readonly openMax: number;
  /** Mean pause between two. */
  readonly pauseUs: number;
  /** How many writes in a thousand are large, and how many whole pages such a write may change. */
  readonly largePerMille: number;
  readonly largePagesMax: number;
};

export type SimulationOptions = {
  readonly seed: number;
  readonly profile: ProfileName;
  readonly regions: readonly string[];
  /** How long faults may strike, and how long after healing everything must have converged. */
  readonly faultPhaseUs: number;
  readonly convergenceUs: number;
  readonly stepsMax: number;
  readonly latency: LatencyOptions;
  readonly network: NetworkOptions;
  readonly disk: DiskOptions;
  readonly clock: ClockOptions;
  readonly faults: readonly FaultPlan[];
  readonly bounds: FaultBounds;
  readonly lease: LeaseLimits;
  /** How long one attempt at a recovery may last. In half of the runs so short that attempts are given up in every phase. */
  readonly recoveryMs: Range;
  /** Gateways of each region, any of which may be the writer. */
  readonly gateways: number;
  readonly workload: WorkloadOptions;
  /** Scaled down where writes may be large, so that a few hundred KiB exceed every window and buffer. */
  readonly sizes: SimBounds;
  /** The policy's RPO in milliseconds. `tried`: an operator puts one in force and out again. */
  readonly rpo: number | 'off' | 'tried';
  /** Time between two acts of the operator that let a region go or take it in again; null when all stay. */
  readonly membershipGapUs: Range | null;
  /** Time between two acts of the operator that make or delete a branch, and how many there are at most; null in a run without. */
  readonly branches: { readonly gapUs: Range; readonly liveMax: number } | null;
  /** Whether a failover begins by itself; from three regions on. */
  readonly automatic: boolean;
  /** Time between two planned switchovers. */
  readonly switchoverGapUs: Range;
  /** How many in a thousand isolations and crashes of the primary region the operator answers with a failover. */
  readonly hastyPerMille: number;
  /** Region loss: does the lost region come back in the healing phase? */
  readonly lostRegionReturns: boolean;
};

const ms = 1000;
const seconds = 1_000_000;

const regionNames = ['us-east-1', 'eu-west-1', 'ap-northeast-1', 'sa-east-1', 'ap-south-1', 'us-west-2'];

/** Usual gap and duration of each kind, before a run's own scale is applied. */
const usual: Readonly<Record<FaultKind, { readonly gapUs: Range; readonly lastsUs: Range }>> = {
  crash: { gapUs: span(500 * ms, 5 * seconds), lastsUs: span(10 * ms, 3 * seconds) },
  'power-loss': { gapUs: span(seconds, 8 * seconds), lastsUs: span(10 * ms, 3 * seconds) },
  pause: { gapUs: span(seconds, 6 * seconds), lastsUs: span(10 * ms, 8 * seconds) },
  wipe: { gapUs: span(2 * seconds, 8 * seconds), lastsUs: span(100 * ms, 3 * seconds) },
  rot: { gapUs: span(2 * seconds, 8 * seconds), lastsUs: span(10 * ms, seconds) },
  'live-rot': { gapUs: span(seconds, 4 * seconds), lastsUs: span(ms, ms) },
  'disk-full': { gapUs: span(seconds, 5 * seconds), lastsUs: span(100 * ms, 4 * seconds) },
  'disk-slow': { gapUs: span(2 * seconds, 8 * seconds), lastsUs: span(100 * ms, 4 * seconds) },
  'clock-jump': { gapUs: span(seconds, 10 * seconds), lastsUs: span(ms, ms) },
  'az-loss': { gapUs: span(2 * seconds, 8 * seconds), lastsUs: span(100 * ms, 5 * seconds) },
  'region-crash': { gapUs: span(3 * seconds, 12 * seconds), lastsUs: span(200 * ms, 8 * seconds) },
  'region-isolation': { gapUs: span(2 * seconds, 8 * seconds), lastsUs: span(100 * ms, 12 * seconds) },
  'region-freeze': { gapUs: span(2 * seconds, 8 * seconds), lastsUs: span(500 * ms, 9 * seconds) },
  'region-loss': { gapUs: span(seconds, 5 * seconds), lastsUs: span(3600 * seconds, 3600 * seconds) },
  'link-break': { gapUs: span(100 * ms, 2 * seconds), lastsUs: span(ms, ms) },
  'one-way-cut': { gapUs: span(seconds, 5 * seconds), lastsUs: span(10 * ms, 6 * seconds) },
  'pair-cut': { gapUs: span(2 * seconds, 8 * seconds), lastsUs: span(100 * ms, 8 * seconds) },
  clog: { gapUs: span(500 * ms, 5 * seconds), lastsUs: span(ms, seconds) },
  'slow-region': { gapUs: span(seconds, 6 * seconds), lastsUs: span(500 * ms, 5 * seconds) },
  'nats-break': { gapUs: span(500 * ms, 5 * seconds), lastsUs: span(ms, ms) },
  'nats-crash': { gapUs: span(2 * seconds, 8 * seconds), lastsUs: span(200 * ms, 6 * seconds) },
};

/** Six times the usual one: some faults end before it lapses, and a failover may come long before. */
export const longLease: LeaseLimits = {
  renewMs: 3_000,
  ttlMs: 15_000,
  marginMs: 2_000,
  retryMs: 500,
  attemptMs: 1_500,
};

/** What a gateway gives one attempt at a recovery. */
export const usualRecoveryMs = span(15_000, 15_000);

/** Their runs stay what they were: what came later is struck in runs of its own. */
const notInSwarms: readonly FaultKind[] = ['region-loss', 'region-freeze'];

/** Kinds that a profile always has, and kinds that each seed has or has not. */
const kindsOf: Readonly<
  Record<ProfileName, { readonly always: readonly FaultKind[]; readonly may: readonly FaultKind[] }>
> = {
  calm: { always: [], may: [] },
  lite: { always: ['crash'], may: ['pause', 'link-break', 'clog', 'disk-slow', 'nats-break'] },
  swarm: { always: [], may: faultKinds.filter((kind) => !notInSwarms.includes(kind)) },
  'region-loss': {
    always: ['region-loss'],
    may: ['crash', 'pause', 'link-break', 'disk-slow', 'nats-break', 'clock-jump'],
  },
  'six-regions': {
    always: ['pause', 'region-freeze', 'region-isolation'],
    may: [
      'crash',
      'region-crash',
      'pair-cut',
      'one-way-cut',
      'link-break',
      'nats-break',
      'nats-crash',
      'clock-jump',
    ],
  },
};

const KiB = 1024;

export const usualBounds: SimBounds = {
  quorum: quorumBoundsDefault,
  shipping: shippingLimits,
  fetchBytesMax: nodeLimits.fetchBytesMax,
  log: {},
  pages: {},
  sealer: {},
  scrub: {},
  images: {},
  lowWater: volumeLimits,
  retention: retentionDefault,
  retentionEveryMs: retentionLimits.everyMs,
};

/** As the usual ones are related: a frame fits a message and an append, a window several messages, the receiver a window. */
export function scaledBounds(prng: Prng): SimBounds {
  const frame = prng.pick([8, 16]) * KiB;
  const message = frame + 8 * KiB;
  const windowBytes = prng.pick([5, 8]) * message;
  return {
    quorum: {
      framePayloadBytesMax: frame,
      appendBytesMax: 2 * frame,
      batchBytesMax: prng.pick([2, 4]) * frame,
      resendBytesMax: prng.pick([4, 8]) * frame,
      outstandingBytesMax: windowBytes + message,
    },
    shipping: { ...shippingLimits, windowBytes, messageBytes: message },
    fetchBytesMax: 3 * frame,
    log: {},
    pages: {},
    sealer: {},
    scrub: {},
    images: {},
    lowWater: volumeLimits,
    retention: retentionDefault,
    retentionEveryMs: retentionLimits.everyMs,
  };
}

/**
 * The least a connection buffers where writes are as large as these bounds allow: more than the windows above it leave under way, as
 * in production (`bufferedBytesMax` of a link, `max_pending` of a NATS server).
 */
export const buffersFor = ({ quorum, shipping }: SimBounds): number =>
  quorum.outstandingBytesMax + shipping.windowBytes;

/**
 * Log files that fill up and are sealed and scrubbed, images that are stored and merged, snapshots that age: within the seconds that a
 * run lasts.
 */
export function storageBounds(
  prng: Prng,
): Pick<SimBounds, 'log' | 'pages' | 'images' | 'sealer' | 'scrub' | 'lowWater'> {
  const bounds = {
    log: { fileBytesMax: prng.pick([16, 64, 1024]) * KiB, tailBytesMax: prng.pick([0, 32, 8192]) * KiB },
    pages: { foldPages: prng.pick([2, 16, 4096]), foldBytes: prng.pick([4, 64]) * KiB },
    lowWater: { ...volumeLimits, readPointAgeMs: prng.pick([1_000, 3_000, 60_000]), lowWaterEveryMs: 200 },
    sealer: { everyMs: prng.pick([50, 1_000]), retryMs: 1_000 },
    // A byte that rots is found before the run ends, so that what ends whole is whole.
    scrub: {
      firstMs: prng.pick([100, 2_000]),
      restMs: prng.pick([200, 1_000]),
      busyBytesPerSecond: prng.pick([1, 8]) * 1024 * KiB,
      pieceBytes: prng.pick([4, 64]) * KiB,
      tailBytes: 0,
    },
  };
  // Drawn last: what was drawn before them stays what it was.
  const storeAfterMs = prng.pick([300, 2_000, 60_000]);
  const images = {
    aboveBaseBytesMin: prng.pick([0, 1024 * KiB]),
    smallestBytes: prng.pick([8, 256]) * KiB,
    fanIn: prng.pick([2, 4]),
    runsMax: prng.pick([3, 16]),
  };
  return { ...bounds, pages: { ...bounds.pages, storeAfterMs }, images };
}

/**
 * In half of the runs the log is collected: a window of seconds or a length of some KiB, log files that hold a few dozen writes, and
 * images that are stored soon, so that floors rise several times within a run and who was away for a while is below them.
 */
export function collectionBounds(
  prng: Prng,
): Partial<Pick<SimBounds, 'retention' | 'retentionEveryMs' | 'log' | 'sealer'>> {
  if (prng.perMille(500)) return {};
  const seconds = prng.pick([1, 3, 6, 24 * 3_600]);
  const bytes = prng.pick([8, 32, 128]) * KiB;
  return {
    retention: { hours: seconds / 3_600, ...((seconds > 10 || prng.perMille(500)) && { bytes }) },
    retentionEveryMs: prng.pick([300, 1_000]),
    log: { fileBytesMax: prng.pick([2, 4, 16]) * KiB, tailBytesMax: prng.pick([0, 8]) * KiB },
    sealer: { everyMs: 50, retryMs: 1_000 },
  };
}

/** The same for what has to be in images before: they are made soon after, and snapshots are short. */
function soonInImages({
  pages,
  lowWater,
}: Pick<SimBounds, 'pages' | 'lowWater'>): Pick<SimBounds, 'pages' | 'lowWater'> {
  const { storeAfterMs = 2_000 } = pages;
  return {
    pages: { ...pages, storeAfterMs: Math.min(storeAfterMs, 2_000) },
    lowWater: { ...lowWater, readPointAgeMs: Math.min(lowWater.readPointAgeMs, 3_000) },
  };
}

function span(min: number, max: number): Range {
  return { min, max };
}

/** Is `text` the name of a profile? */
export function isProfileName(text: string): text is ProfileName {
  return profileNames.some((name) => name === text);
}

/** The options of a run: the same for the same seed and profile, for ever as long as this file does not change. */
export function drawOptions(seed: number, profile: ProfileName): SimulationOptions {
  const options = drawUsual(seed, profile);
  return profile === 'six-regions' ? withPolicy(options) : options;
}

/** Nobody but the policy fails over, unless it has not for long; clocks drift, in half of the runs as much as the lease bears. */
function withPolicy(options: SimulationOptions): SimulationOptions {
  const prng = Prng.fromSeed(options.seed).stream('six regions');
  return {
    ...options,
    regions: regionNames,
    automatic: true,
    hastyPerMille: 0,
    clock: { ...options.clock, driftPpmMax: prng.stream('drift').pick([20_000, 100_000]) },
    bounds: { ...options.bounds, regionsOutMax: prng.stream('out').pick([1, 2]) },
  };
}

function drawUsual(seed: number, profile: ProfileName): SimulationOptions {
  const prng = Prng.fromSeed(seed).stream(`options ${profile}`);
  const calm = profile === 'calm';
  const large = prng.stream('large').perMille(300);
  const regions = regionNames.slice(
    0,
    prng.stream('regions').pick(profile === 'region-loss' ? [3, 3, 3, 4] : [1, 2, 2, 3, 3, 3]),
  );
  return {
    seed,
    profile,
    regions,
    faultPhaseUs: prng.stream('length').between(5, calm ? 7 : 14) * seconds,
    convergenceUs: 60 * seconds,
    stepsMax: 5_000_000,
    latency: drawLatency(prng.stream('latency'), calm),
    network: drawNetwork(prng.stream('network')),
    disk: drawDisk(prng.stream('disk'), calm),
    clock: calm
      ? { offsetUsMax: 0, driftPpmMax: 0 }
      : {
          offsetUsMax: prng.stream('clock').pick([0, 5 * ms, 2 * seconds]),
          // A tenth is less than the lease bears.
          driftPpmMax: prng.stream('drift').pick([200, 200, 100_000]),
        },
    faults: drawFaults(prng.stream('faults'), profile),
    bounds: drawBounds(prng.stream('bounds'), profile),
    lease: prng.stream('lease').pick([defaultLeaseLimits, defaultLeaseLimits, longLease]),
    recoveryMs: prng.stream('recovery').pick([usualRecoveryMs, span(20, 400)]),
    gateways: prng.stream('gateways').pick([1, 1, 2]),
    sizes: drawSizes(prng, large),
    workload: {
      largePerMille: large ? prng.stream('large share').pick([10, 40]) : 0,
      largePagesMax: 80,
      openMax: prng.stream('open').pick([1, 3, 8]),
      // A region is lost with more redo under way, for there to be something to report.
      pauseUs: prng
        .stream('pause')
        .pick(profile === 'region-loss' ? [40 * ms, 150 * ms] : [60 * ms, 250 * ms, 350 * ms, 500 * ms]),
    },
    membershipGapUs: null,
    branches: drawBranches(prng.stream('branches')),
    rpo: prng.stream('rpo').pick(['off', 'tried', 0, 0, 300]),
    automatic: prng.stream('automatic').perMille(500),
    switchoverGapUs: span(3 * seconds, 10 * seconds),
    hastyPerMille: 400,
    lostRegionReturns: prng.stream('return').perMille(500),
  };
}

/** In two runs of five there are branches. */
function drawBranches(prng: Prng): SimulationOptions['branches'] {
  if (!prng.perMille(400)) return null;
  const gapUs = prng.pick([span(300 * ms, 2 * seconds), span(seconds, 4 * seconds)]);
  return { gapUs, liveMax: prng.pick([1, 2, 4]) };
}

function drawSizes(prng: Prng, large: boolean): SimBounds {
  const sizes = {
    ...(large ? scaledBounds(prng.stream('sizes')) : usualBounds),
    ...storageBounds(prng.stream('storage')),
  };
  const collection = collectionBounds(prng.stream('collection'));
  return { ...sizes, ...collection, ...(collection.retention !== undefined && soonInImages(sizes)) };
}

function drawLatency(prng: Prng, calm: boolean): LatencyOptions {
  return {
    sameRegionUs: span(100, prng.pick([300, 1000])),
    crossRegionUs: span(10 * ms, prng.pick([30 * ms, 120 * ms])),
    jitterUs: span(0, calm ? 50 : prng.pick([50, 500, 5 * ms])),
    spikePerMille: calm ? 0 : prng.pick([0, 1, 20]),
    spikeUs: span(5 * ms, 200 * ms),
    lineBytesPerMs: 0,
  };
}

function drawNetwork(prng: Prng): NetworkOptions {
  return {
    redialUs: span(50 * ms, 500 * ms),
    heartbeatUs: span(seconds, 4 * seconds),
    closeNoticeUs: span(100, 20 * ms),
    inFlightBytesMax: prng.pick([256 * 1024, 4 * 1024 * 1024, 64 * 1024 * 1024]),
    bytesPerMs: prng.pick([0, 0, 20_000, 125_000]),
    lossPerMille: 20,
    duplicatePerMille: 10,
  };
}

function drawDisk(prng: Prng, calm: boolean): DiskOptions {
  return {
    syncUs: span(100, prng.pick([400, 2 * ms])),
    stallPerMille: calm ? 0 : prng.pick([0, 1, 10]),
    capacityBytes: 1024 * 1024 * 1024,
  };
}

function drawFaults(prng: Prng, profile: ProfileName): readonly FaultPlan[] {
  const { always, may } = kindsOf[profile];
  const chosen = [...always, ...may.filter((kind) => prng.stream(`has ${kind}`).perMille(350))];
  return chosen.map((kind) => {
    const { gapUs, lastsUs } = usual[kind];
    // Some runs are three times busier, some three times quieter than usual.
    const tenths = profile === 'lite' ? 30 : prng.stream(`rate ${kind}`).pick([3, 10, 10, 30]);
    const gap = span(Math.floor((gapUs.min * tenths) / 10), Math.floor((gapUs.max * tenths) / 10));
    return { kind, gapUs: kind === 'region-loss' ? gapUs : gap, lastsUs };
  });
}

function drawBounds(prng: Prng, profile: ProfileName): FaultBounds {
  // With more than two nodes down nothing can be written; that is allowed in a swarm, for no byte is destroyed by it.
  const nodesDownMax = profile === 'swarm' ? prng.pick([2, 2, 3, 6]) : 2;
  return { nodesDownMax, nodesDestroyedMax: 1, regionsOutMax: 1 };
}

function describeRetention({ hours, bytes }: SimBounds['retention']): string {
  const window = `${Math.round(hours * 3_600)} s`;
  return bytes === undefined ? window : `${window} or ${bytes / KiB} KiB`;
}

/** One line that says what a run is, printed before it starts. */
export function describeOptions(options: SimulationOptions): string {
  const faults = options.faults.map((fault) => fault.kind).join(',') || 'none';
  const { nodesDownMax, nodesDestroyedMax, regionsOutMax } = options.bounds;
  return [
    `seed ${options.seed}`,
    `profile ${options.profile}`,
    `regions ${options.regions.length}`,
    `${options.faultPhaseUs / seconds} s`,
    `faults ${faults}`,
    `large ${options.workload.largePerMille}/1000`,
    `window ${describeRetention(options.sizes.retention)}`,
    `rpo ${options.rpo}`,
    ...(options.automatic ? ['automatic'] : []),
    ...(options.branches === null ? [] : [`branches ${options.branches.liveMax}`]),
    `bounds ${nodesDownMax}/${nodesDestroyedMax}/${regionsOutMax}`,
  ].join(', ');
}
