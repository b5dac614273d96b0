/** Which version each process of a deployment runs, and what that means for an upgrade that is under way, or about to begin (R59). */
import { compareVersions, skewOf } from '../../../storage/core.ts';
import type { GatewayReport, RegionReport } from './report.ts';

/** By process, as metrics name them: `agent`, `gateway/g1`, `storage/n1`. Null where it does not say. */
export type Versions = Readonly<Record<string, string | null>>;

/** Of a region's processes that are heard. */
export function versionsOf(report: RegionReport | null, gateways: readonly GatewayReport[]): Versions {
  const nodes = report?.nodes.filter(({ state }) => state !== 'down') ?? [];
  return Object.fromEntries([
    ...nodes.map(({ id, version = null }) => [`storage/${id}`, version] as const),
    ...(report === null ? [] : [['agent', report.version ?? null] as const]),
    ...gateways.map(({ gateway, version = null }) => [`gateway/${gateway}`, version] as const),
  ]);
}

/** A region as far as its versions go. */
export interface RegionVersions {
  readonly name: string;
  /** Left out by a gateway of an older version. */
  readonly versions?: Versions;
}

/** One process, in words: `storage/n2 of eu-west-1`. */
interface Running {
  readonly process: string;
  readonly version: string;
}

/** What the versions of a deployment are. */
export type VersionMix =
  | { readonly kind: 'unknown' }
  | { readonly kind: 'one'; readonly version: string; readonly processes: number }
  /** An upgrade is under way, and everything works together. */
  | { readonly kind: 'mixed'; readonly text: string }
  /** Some refuse each other. */
  | { readonly kind: 'apart'; readonly text: string };

const namesMax = 4;

function named(running: readonly Running[]): string {
  const names = running.slice(0, namesMax).map(({ process }) => process);
  const more = running.length - names.length;
  return `${names.join(', ')}${more > 0 ? ` and ${more} more` : ''}`;
}

/** Who runs what, the oldest first: `0.1.0 (20 processes), 0.2.0 (storage/n1 of eu-west-1)`. Few are named, many counted. */
function listed(groups: readonly (readonly Running[])[]): string {
  const largest = Math.max(...groups.map(({ length }) => length));
  return groups
    .map((group) => {
      const who = group.length === largest && largest > namesMax ? `${group.length} processes` : named(group);
      return `${group[0]?.version} (${who})`;
    })
    .join(', ');
}

const runningIn = (regions: readonly RegionVersions[]): readonly Running[] =>
  regions.flatMap(({ name, versions }) =>
    Object.entries(versions ?? {}).flatMap(([process, version]) =>
      version === null ? [] : [{ process: `${process} of ${name}`, version }],
    ),
  );

/** What all processes that say their version run, and whether that goes together. */
export function versionMix(regions: readonly RegionVersions[]): VersionMix {
  const running = runningIn(regions);
  const versions = [...new Set(running.map(({ version }) => version))].toSorted(compareVersions);
  const groups = versions.map((version) => running.filter((one) => one.version === version));
  const [oldest = []] = groups;
  const newest = groups.at(-1) ?? [];
  const [first] = oldest;
  const [last] = newest;
  if (first === undefined || last === undefined) return { kind: 'unknown' };
  if (groups.length === 1) return { kind: 'one', version: first.version, processes: running.length };
  const skew = skewOf(last.version, first.version);
  if (skew.kind !== 'far') return { kind: 'mixed', text: listed(groups) };
  const text = `${named(newest)} ${newest.length === 1 ? 'runs' : 'run'} ${last.version}, ${skew.words} of ${first.version}, which ${named(oldest)} ${oldest.length === 1 ? 'runs' : 'run'}`;
  return { kind: 'apart', text };
}

/**
 * Why processes of `version` could not join the deployment, before any is started; null when they could. It has to be said while
 * nothing is broken: each process that joined would refuse, and be refused by, those it has to talk to.
 */
export function joinRefusal(version: string, regions: readonly RegionVersions[]): string | null {
  const far = runningIn(regions).filter((one) => skewOf(version, one.version).kind === 'far');
  const [first] = far;
  if (first === undefined) return null;
  const skew = skewOf(version, first.version);
  return `${version} is ${skew.kind === 'far' ? skew.words : ''} of ${first.version}, which ${named(far)} ${far.length === 1 ? 'runs' : 'run'}`;
}
