/** What a drill reads in the status of a deployment, and what it concludes: whether all is well, and whether a fault is seen. */
import { z } from 'zod';
import type { Sign } from './drill-plan.ts';

export const statusSightSchema = z.looseObject({
  cluster: z.string(),
  epoch: z.number(),
  primary: z.string().nullable(),
  state: z.string(),
  regions: z.array(
    z.looseObject({
      name: z.string(),
      role: z.string(),
      epoch: z.number().nullish(),
      vdl: z.number().nullish(),
      lagBytes: z.number().nullish(),
      lagMs: z.number().nullish(),
      ageMs: z.number().nullish(),
      ready: z.boolean(),
      trouble: z.string().nullish(),
      writer: z.string().nullish(),
      /** Where it takes PostgreSQL clients; left out where SQLite keeps the databases. */
      postgres: z.string().nullish(),
      nodes: z.array(z.looseObject({ id: z.string(), az: z.string(), state: z.string() })),
    }),
  ),
});
/** `GET /v1/status`, as far as a drill needs it. */
export type StatusSight = z.output<typeof statusSightSchema>;

/** A region whose word is older than this has fallen silent; regions report four times a second. */
const silentAfterMs = 1_000;

/** Why a deployment is not as a drill should find or leave it; empty when all is well. */
export function unwell(status: StatusSight): readonly string[] {
  const reasons: string[] = [];
  if (status.primary === null) reasons.push('no primary is known');
  for (const region of status.regions) {
    const down = region.nodes.filter(({ state }) => state !== 'up').map(({ id, state }) => `${id} ${state}`);
    if (region.role === 'offline') reasons.push(`${region.name} is offline`);
    else if (!region.ready) reasons.push(`${region.name} is not ready`);
    else if ((region.lagBytes ?? 1) !== 0)
      reasons.push(`${region.name} is ${region.lagBytes ?? 'an unknown number of'} bytes behind`);
    else if (down.length > 0) reasons.push(`${region.name}: ${down.join(', ')}`);
    else if (typeof region.trouble === 'string') reasons.push(`${region.name}: ${region.trouble}`);
  }
  if (reasons.length === 0 && status.state !== 'stable') reasons.push(`the state is ${status.state}`);
  return reasons;
}

/** As `unwell`, while writes go on: then a secondary is always some bytes behind, and only may not be late. */
export function unwellUnderLoad(status: StatusSight, lagMsMax: number): readonly string[] {
  const regions = status.regions.map((region) =>
    typeof region.lagMs === 'number' && region.lagMs <= lagMsMax ? { ...region, lagBytes: 0 } : region,
  );
  return unwell({ ...status, regions });
}

/** What else a drill sees: addresses that answer, and how often processes were started again. */
export interface OutsideSight {
  /** Regions whose gateway and agent have not answered a few times in a row. */
  readonly dumb: readonly string[];
  /** Restarts of each process, where a supervisor says so. */
  readonly restarts: Readonly<Record<string, number>>;
}

/** How far a region lags, in milliseconds; 0 where nobody says. */
const lagOf = (status: StatusSight | null, region: string): number =>
  status?.regions.find(({ name }) => name === region)?.lagMs ?? 0;

/** Lag moves by itself: that much of a delay has to be seen. */
const lagShare = 0.7;

/** What tells of the fault, in words; null while nothing does. @param before as it was before the fault. */
export function signSeen(
  sign: Sign,
  status: StatusSight | null,
  outside: OutsideSight,
  before: OutsideSight & { readonly status: StatusSight | null },
): string | null {
  switch (sign.kind) {
    case 'none':
      return 'nothing is broken';
    case 'process-restarted': {
      const [now = 0, was = 0] = [outside.restarts[sign.process], before.restarts[sign.process]];
      return now > was ? `${sign.process} was started again` : null;
    }
    case 'region-silent': {
      const region = status?.regions.find(({ name }) => name === sign.region);
      if (outside.dumb.includes(sign.region)) return `gateway and agent of ${sign.region} do not answer`;
      if (region === undefined) return null;
      if (region.role === 'offline') return `${sign.region} is offline for the others`;
      return (region.ageMs ?? 0) >= silentAfterMs
        ? `the others have not heard ${sign.region} for ${region.ageMs} ms`
        : null;
    }
    case 'nodes-down': {
      const region = status?.regions.find(({ name }) => name === sign.region);
      const down = region?.nodes.filter(({ id, state }) => sign.nodes.includes(id) && state === 'down') ?? [];
      return down.length === sign.nodes.length
        ? `status says that ${down.map(({ id }) => id).join(' and ')} of ${sign.region} ${down.length === 1 ? 'is' : 'are'} down`
        : null;
    }
    case 'node-behind': {
      const node = status?.regions
        .find(({ name }) => name === sign.region)
        ?.nodes.find(({ id }) => id === sign.node);
      return node !== undefined && node.state !== 'up'
        ? `status says that ${sign.node} of ${sign.region} is ${node.state}`
        : null;
    }
    case 'lag-above': {
      const [was, now] = [lagOf(before.status, sign.region), lagOf(status, sign.region)];
      return now >= was + lagShare * sign.ms
        ? `status says that ${sign.region} lags ${Math.round(now)} ms, after ${Math.round(was)} before`
        : null;
    }
  }
}

/** Survivors of a lost region that may take over: those that are ready, the one that holds most first. */
export function heirs(status: StatusSight, lost: string): readonly string[] {
  return status.regions
    .filter(({ name, role }) => name !== lost && role !== 'offline')
    .toSorted((a, b) => (b.vdl ?? 0) - (a.vdl ?? 0))
    .map(({ name }) => name);
}
