/** The kinds of drill there are, and what each is for. */
import { z } from 'zod';

export const drillKinds = [
  'region-loss',
  'region-freeze',
  'partition',
  'az-loss',
  'node-loss',
  'writer-loss',
  'agent-loss',
  'nats-loss',
  'slow-link',
  'slow-disk',
  'switchover',
] as const;
export type DrillKind = (typeof drillKinds)[number];

/** One sentence for each kind: what it does. */
export const drillPurpose: Readonly<Record<DrillKind, string>> = {
  'region-loss': 'kill a whole region, fail over to the best survivor, take the region back, move back',
  'region-freeze': 'stop every process of a region (SIGSTOP), fail over, and let the old side wake up again',
  partition: 'cut a region off from the others, and join it again',
  'az-loss': 'kill both storage nodes of one availability zone while writes go on',
  'node-loss': 'kill one storage node while writes go on',
  'writer-loss': 'kill -9 the gateway that writes; its supervisor starts it again',
  'agent-loss': 'kill -9 the agent that ships; SQL goes on and replication resumes',
  'nats-loss': 'kill -9 the NATS server of the primary region',
  'slow-link': 'delay every byte between a region and the others',
  'slow-disk': 'make every flush of one storage node take longer',
  switchover: 'move the primary to another region and back; no request may fail',
};

/** What the region of each kind is; the default when none is named. */
export const drillRegion: Readonly<Record<DrillKind, string>> = {
  'region-loss': 'the region that is lost (default: the primary)',
  'region-freeze': 'the region that freezes (default: the primary)',
  partition: 'the region that is cut off (default: a secondary; the primary is failed over from)',
  'az-loss': 'the region of the zone (default: the primary)',
  'node-loss': 'the region of the node (default: the primary)',
  'writer-loss': 'the region of the gateway (default: the primary, whose gateway writes)',
  'agent-loss': 'the region of the agent (default: the primary, whose agent ships)',
  'nats-loss': 'the region of the server (default: the primary)',
  'slow-link': 'the region whose link is slow (default: a secondary)',
  'slow-disk': 'the region of the node (default: the primary)',
  switchover: 'the region to move to (default: the first secondary)',
};

/** Kinds that break nothing, and so can be run on a deployment that is not on this machine. */
export const safeKinds: readonly DrillKind[] = ['switchover'];

/** Bounds of what a drill is asked for. */
export const drillLimits = {
  loadMax: 5_000,
  loadDefault: 60,
  secondsMax: 3_600,
  secondsDefault: 8,
} as const;

/** Within it a drill that was asked for has begun: a preflight waits for a deployment that is not level yet, and makes a table. */
export const deskStartMs = 40_000;

/** What `POST /v1/drills` takes, and the options of the command. */
export const drillRequestSchema = z
  .strictObject({
    kind: z.enum(drillKinds).describe('What is rehearsed.'),
    region: z
      .string()
      .exactOptional()
      .describe('The region it happens to; each kind has a default. For a switchover: where to.'),
    rtoMs: z.number().min(0).exactOptional().describe('Writes have to be back within this time.'),
    rpoCommits: z.int().min(0).exactOptional().describe('So many acknowledged writes may be lost.'),
    load: z
      .number()
      .min(1)
      .max(drillLimits.loadMax)
      .default(drillLimits.loadDefault)
      .describe('Writes per second, over all regions.'),
    seconds: z
      .number()
      .min(1)
      .max(drillLimits.secondsMax)
      .default(drillLimits.secondsDefault)
      .describe('How long the load runs before the fault, and how long a fault lasts that ends by itself.'),
  })
  .describe('A rehearsal of a fault under a verified load. It breaks processes of a local deployment.');
export type DrillRequest = z.output<typeof drillRequestSchema>;
