/**
 * Which versions of Sextant run side by side (S63): those of one minor version, and of the one before it and the one after it. So
 * a deployment is upgraded process by process, one minor version at a time. Pure.
 */

/** How a version stands to another one. `far` is said in words: `2 minor versions ahead`. */
export type Skew =
  | { readonly kind: 'same' }
  /** One minor version: they work together. */
  | { readonly kind: 'near'; readonly words: string }
  /** They do not know each other, and neither has to understand the other. */
  | { readonly kind: 'far'; readonly words: string }
  /** One of the two is no version, or was not told: a process from before versions were. */
  | { readonly kind: 'unknown' };

interface Release {
  readonly major: number;
  readonly minor: number;
}

const releasePattern = /^(\d{1,6})\.(\d{1,6})\.\d{1,6}(?:[-+][\w.+-]{0,48})?$/;

function releaseOf(version: string): Release | null {
  const [, major, minor] = releasePattern.exec(version) ?? [];
  return major === undefined || minor === undefined ? null : { major: Number(major), minor: Number(minor) };
}

function words(count: number, what: 'major' | 'minor'): string {
  const many = Math.abs(count);
  return `${many} ${what} version${many === 1 ? '' : 's'} ${count > 0 ? 'ahead' : 'behind'}`;
}

/** How `version` stands to `own`. Patches change nothing that another process sees. */
export function skewOf(version: string | null | undefined, own: string): Skew {
  const [theirs, mine] = [releaseOf(version ?? ''), releaseOf(own)];
  if (theirs === null || mine === null) return { kind: 'unknown' };
  const [majors, minors] = [theirs.major - mine.major, theirs.minor - mine.minor];
  if (majors !== 0) return { kind: 'far', words: words(majors, 'major') };
  if (minors === 0) return { kind: 'same' };
  return { kind: Math.abs(minors) === 1 ? 'near' : 'far', words: words(minors, 'minor') };
}

/** Below zero when `version` is the older of the two; what is no version comes first. */
export function compareVersions(version: string, other: string): number {
  const [one, two] = [releaseOf(version), releaseOf(other)];
  if (one === null || two === null) return Number(one !== null) - Number(two !== null);
  return one.major - two.major || one.minor - two.minor;
}

/** Why a process of `own` version has no link with one of `version`, in one sentence; null when it may have one. */
export function versionRefusal(version: string | null | undefined, own: string): string | null {
  const skew = skewOf(version, own);
  if (skew.kind !== 'far') return null;
  return `this process runs Sextant ${own}, and the caller ${version}, ${skew.words}: upgrade one minor version at a time, every process before the next`;
}
