/** When a log object is cut, when a new image set is due, and what of a backup is not needed any more. */
import {
  commonPoint,
  type Epoch,
  EpochTree,
  type Fork,
  type Lsn,
  lsn,
  minLsn,
} from '../../../storage/core.ts';
import { type BackupLimits, backupLimits } from './backup-config.ts';
import type { Filling, ImageSet, Manifest, Place } from './manifest.ts';
import { type LogObject, setOfName } from './object-names.ts';

const pageBytes = 4096;

/** Whether what was gathered leaves as an object. @param ageMs since the first of it came. */
export const isCut = (bytes: number, ageMs: number, limits: BackupLimits = backupLimits): boolean =>
  bytes >= limits.objectBytes || (bytes > 0 && ageMs >= limits.objectMs);

/** Why a new image set is due; null while none is. @param setAgeMs since the last one was finished; null when that is not known. */
export function whySetDue(
  { sets, through, gaps }: Pick<Manifest, 'sets' | 'through' | 'gaps'>,
  setAgeMs: number | null,
  limits: BackupLimits = backupLimits,
): string | null {
  const last = sets.at(-1);
  if (last === undefined) return 'there is none';
  if (gaps.some(({ to }) => to > last.from)) return 'a stretch of the log is missing since the last one';
  const logBytes = through - last.to;
  if (logBytes > Math.max(last.pages * pageBytes, limits.setLogBytesMin))
    return 'the log since the last one is longer than the database';
  if (logBytes > 0 && setAgeMs !== null && setAgeMs >= limits.setEveryMs) return 'the last one is a day old';
  return null;
}

/** What becomes of a backup when its region follows another head: it goes on from where the paths part. */
export interface Turned {
  /** All that are known by now. */
  readonly forks: readonly Fork[];
  readonly through: Lsn;
  readonly sets: readonly ImageSet[];
  readonly filling: Filling | null;
}

/**
 * R66: the backup follows the path of the region. What lies in the store beyond a fork stays there, and is no part of the path.
 * @returns null when the two histories contradict each other: then it is another deployment's backup, or an older life's.
 */
export function turnTo(
  manifest: Pick<Manifest, 'head' | 'forks' | 'through' | 'sets' | 'filling'>,
  to: { readonly head: Epoch; readonly forks: readonly Fork[] },
): Turned | null {
  const tree = new EpochTree(manifest.forks);
  for (const fork of to.forks) {
    const added = tree.add(fork);
    if (added === 'conflict' || added === 'orphan') return null;
  }
  const common = (place: Place): Lsn => (tree.has(place.head) ? commonPoint(tree, place, to.head) : lsn(0));
  const isOn = (set: Pick<ImageSet, 'head' | 'to'>): boolean =>
    common({ head: set.head, lsn: set.to }) === set.to;
  return {
    forks: tree.all(),
    through: minLsn(manifest.through, common({ head: manifest.head, lsn: manifest.through })),
    sets: manifest.sets.filter(isOn),
    filling: manifest.filling !== null && isOn(manifest.filling) ? manifest.filling : null,
  };
}

export interface Unneeded {
  readonly sets: readonly ImageSet[];
  /** Sets that stay. */
  readonly kept: readonly ImageSet[];
  /** Names of log objects and of parts of sets that are no part of anything any more. */
  readonly names: readonly string[];
}

/**
 * What may be deleted: sets older than the newest one that is at least `keepDays` old, and the log below that. Days are counted
 * back from the newest commit in the backup, or from the clock where that is behind it: one clock that jumps ahead deletes nothing.
 */
export function unneeded(
  { sets, throughUs, filling }: Pick<Manifest, 'sets' | 'throughUs' | 'filling'>,
  objects: readonly LogObject[],
  parts: readonly string[],
  { keepDays, nowUs }: { readonly keepDays: number; readonly nowUs: number },
): Unneeded {
  const horizonUs = Math.min(nowUs, throughUs ?? 0) - keepDays * 86_400e6;
  const oldest = sets.findLastIndex(({ commitUs }) => commitUs !== null && commitUs <= horizonUs);
  const kept = oldest <= 0 ? sets : sets.slice(oldest);
  const gone = oldest <= 0 ? [] : sets.slice(0, oldest);
  const from = kept[0]?.from ?? lsn(0);
  const known = new Set([...kept.map(({ id }) => id), ...(filling === null ? [] : [filling.id])]);
  const names = [
    ...objects.filter(({ to }) => kept.length > 0 && to <= from).map(({ name }) => name),
    ...parts.filter((name) => !known.has(setOfName(name) ?? '')),
  ];
  return { sets: gone, kept, names };
}
