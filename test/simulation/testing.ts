/** Small worlds for the simulator's own tests. */

import { type LatencyOptions, Topology } from './deployment/topology.ts';
import type { NetworkOptions } from './twins/network.ts';
import { Trace } from './world/trace.ts';
import { World } from './world/world.ts';

export const makeWorld = (seed: number, stepsMax = 1_000_000): World =>
  new World({ seed, trace: new Trace(), stepsMax });

export const latency: LatencyOptions = {
  sameRegionUs: { min: 100, max: 300 },
  crossRegionUs: { min: 10_000, max: 40_000 },
  lineBytesPerMs: 0,
  jitterUs: { min: 0, max: 2_000 },
  spikePerMille: 50,
  spikeUs: { min: 1_000, max: 50_000 },
};

export const networkOptions: NetworkOptions = {
  redialUs: { min: 20_000, max: 50_000 },
  heartbeatUs: { min: 1_000_000, max: 2_000_000 },
  closeNoticeUs: { min: 100, max: 5_000 },
  inFlightBytesMax: 1_000_000,
  bytesPerMs: 0,
  lossPerMille: 0,
  duplicatePerMille: 0,
};

export const makeTopology = (seed: number): Topology => new Topology(makeWorld(seed), latency);
