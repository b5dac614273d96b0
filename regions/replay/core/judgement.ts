/** What is to be done with a lost row, by what is in its place now, and what came of it. */
import type { Literal } from '../../compare/core/literal.ts';
import type { Entanglement } from './composed-loss.ts';
import { isAbout, type LostRow, primaryKeyIn, sameValues } from './lost-row.ts';

export type Reason =
  | 'key taken'
  | 'changed since'
  | 'deleted since'
  | 'no table'
  | 'no column'
  | 'constraint'
  | 'foreign key'
  | 'left out'
  | 'too large'
  | 'changed between'
  | 'altered between';

/** A lost row that is not brought back. */
export interface Conflict {
  readonly row: LostRow;
  readonly reason: Reason;
  /** A sentence for people, without the name of the row. */
  readonly detail: string;
  /** Values of `shape.columns` in its place now; null when nothing is there, or was not looked at. */
  readonly now: readonly Literal[] | null;
}

export type Verdict =
  | { readonly kind: 'apply' }
  | { readonly kind: 'there' }
  | { readonly kind: 'conflict'; readonly reason: Reason; readonly detail: string };

const conflict = (reason: Reason, detail: string): Verdict => ({ kind: 'conflict', reason, detail });
const apply: Verdict = { kind: 'apply' };
const there: Verdict = { kind: 'there' };

/**
 * @param now values of `shape.columns` of the row that SQL finds under its key; null when there is none.
 */
export function judge(row: LostRow, now: readonly Literal[] | null): Verdict {
  const { before, after, key, keyed, shape } = row;
  // A key without regard to case finds its like as well.
  const isIts = now !== null && (!keyed || sameValues(primaryKeyIn(shape, now), key));
  if (before === null) {
    if (now === null) return apply;
    return isIts && sameValues(now, after) ? there : conflict('key taken', 'its key is taken by another row');
  }
  if (after === null) {
    if (!isIts) return there;
    return sameValues(now, before)
      ? apply
      : conflict('changed since', 'the row that was deleted has been changed since');
  }
  if (!isIts) return conflict('deleted since', 'the row has been deleted since');
  const about = now.flatMap((value, at) => (keyed && !isAbout(row, at) ? [] : [{ value, at }]));
  if (about.every(({ value, at }) => value === after[at])) return there;
  if (about.every(({ value, at }) => value === before[at])) return apply;
  return conflict('changed since', 'the row is not what it was before the lost write');
}

/** How many rows there are of the same values. */
export interface Copies {
  /** At the fork. */
  readonly fork: number;
  /** Among the lost rows that are brought back: inserted, made by a change, deleted, or changed into others. */
  readonly inserted: number;
  readonly made: number;
  readonly gone: number;
  readonly now: number;
}

/**
 * How many of the inserted copies are still to be inserted; null when copies that were there at the fork have been deleted since, so
 * that nobody can tell which of them these are. Rows without a key are told apart by nothing else: one like them that somebody else has
 * written since counts as brought back.
 */
export function copiesWanted({ fork, inserted, made, gone, now }: Copies): number | null {
  if (now < fork - gone) return null;
  return Math.max(0, Math.min(inserted, fork + inserted + made - gone - now));
}

/** Why a row could not be brought back that is still what it was. @param missing of its guards that do not hold. */
export function whyNothingChanged(missing: readonly string[]): Omit<Conflict, 'row' | 'now'> {
  return missing.length > 0
    ? { reason: 'foreign key', detail: missing.join('; ') }
    : { reason: 'left out', detail: 'a trigger leaves it out' };
}

/** Why a row is not even tried. */
export const entangledConflict = (row: LostRow, why: Entanglement): Conflict => ({
  row,
  now: null,
  ...(why === 'between'
    ? {
        reason: 'changed between',
        detail: 'a lost write that was not chosen changed it between two that were: choose that as well',
      }
    : {
        reason: 'altered between',
        detail: 'its table was altered between the chosen writes: choose those before and those after apart',
      }),
});
