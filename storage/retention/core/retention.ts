/**
 * What a node may let go of its log: where its floor can be, and which log files lie below. The agent of the region says what
 * is needed; what is in the files, and what images there are, only the node knows.
 */
import { durableOn, type EpochTree } from '../../history/epoch-tree.ts';
import { type Floor, floorOn } from '../../history/floor.ts';
import type { Segment } from '../../log/core/segment.ts';
import { type Epoch, type Lsn, maxLsn, minLsn, zeroLsn } from '../../redo/ids.ts';
import type { DurablePoint, RetainRequest } from '../../wire/core/messages.ts';

/** One file of the log. */
export interface LogFileFacts {
  readonly number: number;
  readonly bytes: number;
  /** No frame is added to it any more. */
  readonly isRolled: boolean;
  /** Of the newest commit in it, Unix microseconds; null when it holds none. */
  readonly lastCommitUs: number | null;
}

/** What a node has on its disk besides frames. */
export interface Holdings {
  /** Oldest first. */
  readonly files: readonly LogFileFacts[];
  /** Places at which it holds durable images of every page, ascending. */
  readonly boundaries: readonly Floor[];
  readonly imageBytes: number;
}

export interface RetentionQuestion {
  readonly tree: EpochTree;
  readonly segment: Pick<Segment, 'floor' | 'floorOn' | 'endInFile' | 'volumeEnd'>;
  readonly durable: DurablePoint;
  readonly request: Pick<RetainRequest, 'head' | 'keepFrom' | 'sinceUs' | 'bytesMax' | 'copies' | 'branches'>;
  readonly holdings: Holdings;
  /** Heads of the branches that live: the floor lies on their paths too, and the log stays as far as they lead (S33). */
  readonly alsoOn?: readonly Epoch[];
  /** The newest fork of `main` that the node knows. What lies on the way to it stays, before anybody has said that it is durable (S20). */
  readonly newest?: Epoch;
}

export interface RetentionPlan {
  readonly floor: Floor;
  /** The log files up to this number may go once the floor is saved; 0 for none. */
  readonly through: number;
  /** Where the log would begin if nobody needed more of it than the window asks for. */
  readonly window: Lsn;
}

/**
 * The floor goes to a place where there are durable images here (S19) and on three other nodes (`copies`), below everything that
 * somebody needs (`keepFrom`), on the path that is durable and on that of every branch that lives (S33). It stays when there is no such place above it. Of the log only whole
 * files go, oldest first, and only those that are older than the window or beyond `bytesMax`.
 */
export function planRetention(question: RetentionQuestion): RetentionPlan {
  const { segment, durable, request, holdings } = question;
  const now = segment.floorOn(durable.head);
  // On a path that leaves below the floor there is nothing to vouch for, whatever images there are.
  if (now === null) return dropsNothing(segment);
  // Files go as a prefix (S17): behind one that has to stay nothing can go. What a node caught up with may lie behind newer frames.
  const open = holdings.files.findIndex(({ isRolled }) => !isRolled);
  const rolled = open < 0 ? holdings.files : holdings.files.slice(0, open);
  const old = rolled.slice(0, agedFiles(rolled, request.sinceUs));
  const beyond = rolled.slice(0, filesBeyond(holdings.files, rolled.length, request.bytesMax));
  const endOf = (files: readonly LogFileFacts[]): Lsn =>
    files.reduce((end, { number }) => maxLsn(end, segment.endInFile(durable.head, number)), zeroLsn);
  const oldEnd = endOf(old);
  const beyondEnd = endOf(beyond);
  const allowed = allowedBoundaries(question).filter(({ lsn }) => lsn > now);
  // What is only old goes as far as all of it is old; what is too much goes whole.
  const byAge = allowed.findLast(({ lsn }) => lsn <= oldEnd);
  const bySize =
    beyondEnd === zeroLsn ? undefined : (allowed.find(({ lsn }) => lsn >= beyondEnd) ?? allowed.at(-1));
  const floor = [byAge, bySize].reduce<Floor>(
    (best, found) => (found !== undefined && found.lsn > best.lsn ? found : best),
    segment.floor,
  );
  const wanted = old.length > beyond.length ? old : beyond;
  return {
    floor,
    through: filesBelow(wanted, question, minLsn(floor.lsn, limitOf(question))),
    window: maxLsn(oldEnd, beyondEnd),
  };
}

/** Nothing is dropped, and the floor stays. */
export function dropsNothing({ floor }: Pick<Segment, 'floor'>): RetentionPlan {
  return { floor, through: 0, window: zeroLsn };
}

/**
 * Boundaries of images that no merge may take away: the floor, from which older versions are built, and the lowest one above it,
 * which is where the floor goes next. Without that one merges would leave young boundaries only, and the floor would stand still.
 */
export function keptBoundaries(boundaries: readonly Lsn[], floor: Lsn): readonly Lsn[] {
  return [
    ...boundaries.filter((lsn) => lsn === floor),
    ...boundaries.filter((lsn) => lsn > floor).slice(0, 1),
  ];
}

/** The newest durable images along the path to `head`; zero without any. */
export function imagesOn(tree: EpochTree, boundaries: readonly Floor[], head: RetainRequest['head']): Lsn {
  return boundaries.findLast((place) => floorOn(tree, place, head) === place.lsn)?.lsn ?? zeroLsn;
}

/**
 * The newest images here, when they are above all that the log here says without a gap: from there on this node is complete all
 * the same. Null when there are none.
 */
export function ownImages(question: RetentionQuestion): Floor | null {
  const { segment, durable, holdings } = question;
  const own = holdings.boundaries.findLast((place) => place.lsn <= durable.vdl && isOnAll(question, place));
  return own !== undefined && own.lsn > segment.volumeEnd(durable.head) ? own : null;
}

/** How many files from the oldest on hold nothing since `sinceUs`. One without a commit is as old as the one after it. */
function agedFiles(files: readonly LogFileFacts[], sinceUs: number): number {
  let aged = 0;
  for (const [at, { lastCommitUs }] of files.entries()) {
    if (lastCommitUs === null) continue;
    if (lastCommitUs >= sinceUs) break;
    aged = at + 1;
  }
  return aged;
}

/** How many of the `rolled` oldest files have to go until the rest is no longer than `bytesMax`. */
function filesBeyond(files: readonly LogFileFacts[], rolled: number, bytesMax: number | null): number {
  if (bytesMax === null) return 0;
  let left = files.reduce((sum, { bytes }) => sum + bytes, 0);
  let beyond = 0;
  while (beyond < rolled && left > bytesMax) left -= files[beyond++]?.bytes ?? 0;
  return beyond;
}

/**
 * Up to where others let go of the log. A floor may lie above: one that this node took for want of log (`ownImages`), or one from
 * before others lost their images. Nothing above the limit is dropped then either.
 */
function limitOf({ tree, durable, request }: RetentionQuestion): Lsn {
  const told = { head: request.head, vdl: minLsn(request.keepFrom, request.copies) };
  const needed = (request.branches?.live ?? []).map(({ head, keepFrom }) =>
    durableOn(tree, { head, vdl: keepFrom }, durable.head),
  );
  return [durableOn(tree, told, durable.head), ...needed].reduce(minLsn, durable.vdl);
}

/** Whether a place lies on the durable path and on those of all branches that live. */
function isOnAll({ tree, durable, alsoOn = [] }: RetentionQuestion, place: Floor): boolean {
  return [durable.head, ...alsoOn].every((head) => floorOn(tree, place, head) === place.lsn);
}

/** Boundaries that may become the floor, ascending. */
function allowedBoundaries(question: RetentionQuestion): readonly Floor[] {
  const limit = limitOf(question);
  return question.holdings.boundaries.filter(
    (place) => place.lsn > zeroLsn && place.lsn <= limit && isOnAll(question, place),
  );
}

/**
 * The highest number such that no file up to it holds a frame above the floor of the durable path, of the newest one or of a branch
 * that lives. Frames that no path leads to go with the files they are in; a file that holds nothing else waits for the next one.
 */
function filesBelow(
  files: readonly LogFileFacts[],
  { segment, durable, newest = durable.head, alsoOn = [] }: RetentionQuestion,
  floor: Lsn,
): number {
  let through = 0;
  for (const { number } of files) {
    const end = [durable.head, newest, ...alsoOn].reduce(
      (highest, head) => maxLsn(highest, segment.endInFile(head, number)),
      zeroLsn,
    );
    if (end > floor) break;
    if (end > zeroLsn) through = number;
  }
  return through;
}
