/**
 * Which region a failover may go to. Of the regions that are heard, one may hold acknowledged redo that another lacks: to
 * go to the other throws that away for good, so it is refused by name. Whoever is not heard is not asked: nothing here
 * waits for the dead.
 */

import {
  commonPoint,
  type Epoch,
  EpochTree,
  type Fork,
  type Lsn,
  lsn,
  type RegionId,
} from '../../../storage/core.ts';
import { type ControlRecord, epochBefore } from './control-record.ts';

/** What a region's storage nodes hold, as far as is known. */
export interface Held {
  /** The newest reign its nodes know of, and what is durable along its path. */
  readonly epoch: Epoch;
  readonly vdl: Lsn;
  /** The path to `epoch`, oldest first; of a long path only its newest part. */
  readonly forks: readonly Fork[];
}

/** A region that is heard. */
export interface Survivor {
  readonly region: RegionId;
  /** Null while it does not know: unknown is not nothing. */
  readonly held: Held | null;
  /** Whose path it followed last; null when it followed nobody's since its agent started. */
  readonly followed: RegionId | null;
  readonly heardMsAgo: number;
  /** What the region it follows last said was durable there. */
  readonly primaryVdl: Lsn | null;
  /** How long ago it last held all that the region it follows had called durable; null when that is not known. */
  readonly levelMsAgo: number | null;
}

export interface FailoverQuestion {
  readonly target: RegionId;
  readonly record: ControlRecord;
  /** Everybody who is heard, the target included. */
  readonly survivors: readonly Survivor[];
  /** Regions whose redo beyond the target's the operator gives up by name. */
  readonly sacrifice: readonly RegionId[];
}

export type SurvivorCode = 'TARGET_NOT_READY' | 'TARGET_BEHIND' | 'SURVIVOR_UNKNOWN' | 'TARGET_NOT_JOINED';

export type FailoverVerdict =
  | {
      readonly kind: 'possible';
      /** What is durable in the target: where history goes on, unless more arrives meanwhile. */
      readonly vdl: Lsn;
      /** What anybody heard the lost primary call durable in its last reign; null when nobody heard it. */
      readonly primaryVdl: Lsn | null;
    }
  | { readonly kind: 'refused'; readonly code: SurvivorCode; readonly reason: string };

/** Redo of `other` that `mine` lacks, in bytes: what going on from `mine` would throw away. Null when that cannot be told. */
export function bytesBeyond(mine: Held, other: Held): number | null {
  if (mine.epoch === other.epoch) return Math.max(0, other.vdl - mine.vdl);
  const tree = treeOf([...mine.forks, ...other.forks]);
  if (tree === null || !tree.has(mine.epoch) || !tree.has(other.epoch)) return null;
  const shared = commonPoint(tree, { head: other.epoch, lsn: other.vdl }, mine.epoch);
  return Math.max(0, other.vdl - Math.min(shared, mine.vdl));
}

/** How far a region that holds `theirs` has the path of `mine`; null when that cannot be told. */
export function positionOn(theirs: Held | null, mine: Held): Lsn | null {
  const missing = theirs === null ? null : bytesBeyond(theirs, mine);
  return missing === null ? null : lsn(mine.vdl - missing);
}

/** Null when these are not parts of one tree that reaches down to its root. */
function treeOf(forks: readonly Fork[]): EpochTree | null {
  const tree = new EpochTree();
  for (const fork of [...forks].sort((a, b) => a.epoch - b.epoch)) {
    const outcome = tree.add(fork);
    if (outcome === 'conflict' || outcome === 'orphan') return null;
  }
  return tree;
}

/**
 * Whether going on from `mine` throws away history that `other` holds. A newer reign is the newer history: what an older
 * one holds beside it was left behind already. Where the paths cannot be compared the newer reign counts as more.
 */
export function holdsMore(other: Held, mine: Held): boolean {
  if (other.epoch < mine.epoch) return isPrefix(other, mine) && other.vdl > mine.vdl;
  const bytes = bytesBeyond(mine, other);
  return bytes === null ? other.epoch > mine.epoch : bytes > 0;
}

/** Whether all that `older` holds lies on the path that `newer` follows, so that it is history and no orphan. */
function isPrefix(older: Held, newer: Held): boolean {
  const tree = treeOf([...older.forks, ...newer.forks]);
  if (tree === null || !tree.has(older.epoch) || !tree.has(newer.epoch)) return false;
  return commonPoint(tree, { head: older.epoch, lsn: older.vdl }, newer.epoch) === older.vdl;
}

/** The survivor that holds most of what the target lacks, the lost primary and what is given up by name left aside; null when none does. */
export function betterSurvivor(question: FailoverQuestion): Survivor | null {
  const { target, record, survivors, sacrifice } = question;
  const mine = survivors.find(({ region }) => region === target)?.held ?? null;
  let best: { readonly survivor: Survivor; readonly held: Held } | null = null;
  for (const survivor of survivors) {
    const { region, held } = survivor;
    if (held === null || region === target || region === record.primary || sacrifice.includes(region))
      continue;
    if (mine !== null && !holdsMore(held, mine)) continue;
    if (best === null || holdsMore(held, best.held)) best = { survivor, held };
  }
  return best?.survivor ?? null;
}

/**
 * How long ago somebody held all that the primary had called durable, of those who hold nothing that the target lacks. Null
 * when nobody knows.
 */
export function levelMsAgo({ target, survivors }: FailoverQuestion): number | null {
  const mine = survivors.find(({ region }) => region === target)?.held ?? null;
  const ages = survivors.flatMap((survivor) => {
    const { held, levelMsAgo: age, heardMsAgo } = survivor;
    return mine === null || held === null || holdsMore(held, mine) || age === null ? [] : [age + heardMsAgo];
  });
  return ages.length === 0 ? null : Math.min(...ages);
}

/** Judges a failover by what is known now; see `FailoverVerdict`. */
export function judgeFailover(question: FailoverQuestion): FailoverVerdict {
  const { target, record, survivors, sacrifice } = question;
  const me = survivors.find(({ region }) => region === target);
  if (me === undefined || me.held === null) {
    return refused(
      'TARGET_NOT_READY',
      `${target} does not know yet what its own storage nodes hold: fewer than three of the six have answered. ` +
        'Start them, and ask again in a second',
    );
  }
  const mine = me.held;
  const others = survivors.filter(({ region }) => region !== target && !sacrifice.includes(region));
  const better = others
    .flatMap(({ region, held, heardMsAgo }) =>
      held !== null && holdsMore(held, mine) ? [{ region, held, heardMsAgo }] : [],
    )
    .sort((a, b) => (holdsMore(a.held, b.held) ? -1 : holdsMore(b.held, a.held) ? 1 : 0));
  const best = better[0];
  if (best !== undefined) return refused('TARGET_BEHIND', behind(target, mine, best, record.primary));
  const unknown = others.find(({ held, region }) => held === null && region !== record.primary);
  if (unknown !== undefined) {
    return refused(
      'SURVIVOR_UNKNOWN',
      `${unknown.region} is alive and does not know yet what its storage nodes hold, which may be more than ${target} has. ` +
        `Ask again in a second; if its nodes are lost, give up what they hold by name: --sacrifice ${unknown.region}`,
    );
  }
  if (!hasJoined(me, record) && !sacrifice.includes(record.primary))
    return refused('TARGET_NOT_JOINED', notJoined(target, mine, record, heardOf(question)));
  return { kind: 'possible', vdl: mine.vdl, primaryVdl: heardOf(question) };
}

/**
 * Whether the target followed the present primary: its newest reign, or the one before when that was the same region's. A
 * primary that moved away and came back has taken two epochs, so one epoch less proves that it has not moved.
 */
function hasJoined(me: Survivor, record: ControlRecord): boolean {
  if (me.held === null) return false;
  const { epoch } = me.held;
  return epoch >= record.epoch || (epoch === epochBefore(record) && me.followed === record.primary);
}

/** The highest VDL of the lost primary that anybody heard of who follows the newest reign that is known. */
function heardOf({ survivors, record }: FailoverQuestion): Lsn | null {
  let heard: Lsn | null = null;
  for (const { followed, primaryVdl, held } of survivors) {
    if (followed !== record.primary || primaryVdl === null || held === null) continue;
    if (held.epoch < epochBefore(record)) continue;
    if (heard === null || primaryVdl > heard) heard = primaryVdl;
  }
  return heard;
}

function refused(code: SurvivorCode, reason: string): FailoverVerdict {
  return { kind: 'refused', code, reason };
}

function behind(
  target: RegionId,
  mine: Held,
  best: { readonly region: RegionId; readonly held: Held; readonly heardMsAgo: number },
  primary: RegionId,
): string {
  const { region, held, heardMsAgo } = best;
  const bytes = bytesBeyond(mine, held);
  const thrown = bytes === null ? 'all of its newer reign' : `${bytes} B of redo`;
  const said =
    `${region}, heard ${Math.round(heardMsAgo)} ms ago, holds LSN ${held.vdl} of epoch ${held.epoch}; ` +
    `${target} holds LSN ${mine.vdl} of epoch ${mine.epoch}: ${thrown} would be thrown away`;
  // The primary cannot be failed over to: as long as it is alive it ships, and what is missing arrives.
  const out =
    region === primary
      ? `${region} is the primary and its storage is alive: start a gateway there, or wait until ${target} has caught up`
      : `Fail over to ${region}, the better survivor (sextant failover --to ${region} --allow-data-loss), and then switch over to ${target}`;
  return `${said}. ${out}. If ${region} was lost this moment, ask again in three seconds; to give up what it holds, name it: --sacrifice ${region}`;
}

function notJoined(target: RegionId, mine: Held, record: ControlRecord, heard: Lsn | null): string {
  const { primary, epoch } = record;
  const until = heard === null ? '' : `, which was heard at LSN ${heard},`;
  return (
    `${target} has not joined: it holds LSN ${mine.vdl} of epoch ${mine.epoch} and never followed epoch ${epoch} of ${primary}${until} ` +
    `and no region that is heard holds more. Whatever ${primary} has acknowledged since would be thrown away, and what was left ` +
    `behind in ${target} would come back. If ${primary} or a region that follows it can be brought back, do that first; ` +
    `to give up what ${primary} holds, name it: --sacrifice ${primary}`
  );
}
