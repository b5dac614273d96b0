/**
 * From where on branches may leave, as the control record promises it, and the one transition that raises it.
 *
 * R96 Only the primary's agent raises it: on the path of the record's epoch, while nothing moves and no rewind is under way, never
 *     back, and never above the place where a branch of that record leaves. No region orders its nodes to let go of log above it, and
 *     no branch leaves below it. An old record promises less, so that whoever goes by one lets go of less.
 */
import assert from 'node:assert/strict';
import { type Epoch, type Floor, type Lsn, lsn, zeroLsn } from '../../../storage/core.ts';
import { branchesOf } from './branch-list.ts';
import {
  type ControlRecord,
  moveUnderWay,
  next,
  refused,
  rewindUnderWay,
  type Transition,
} from './control-record.ts';
import { type Held, positionOn } from './survivors.ts';

type Promising = Pick<ControlRecord, 'promised'>;

/** What the record promises, as a place among those that regions hold. */
const promisedPlace = ({ epoch, lsn: vdl }: Floor): Held => ({ epoch, vdl, forks: [] });

/** On a path, up to where log may be let go: zero where that cannot be told. */
export function mayLetGoTo({ promised }: Promising, path: Held): Lsn {
  return promised === undefined ? zeroLsn : (positionOn(promisedPlace(promised), path) ?? zeroLsn);
}

/** On a path, from where on a branch may leave: where it cannot be told how the path lies, no lower than the promise itself. */
export function branchesFrom({ promised }: Promising, path: Held): Lsn {
  return promised === undefined ? zeroLsn : (positionOn(promisedPlace(promised), path) ?? promised.lsn);
}

/**
 * Raises the promise to `upTo`, or to the lowest place where a branch leaves. @param by the path of the primary's nodes: `path.vdl` is
 * what is durable there.
 */
export function raisePromise(
  record: ControlRecord,
  by: { readonly region: string; readonly path: Held; readonly upTo: Lsn },
): Transition {
  const { region, path } = by;
  if (record.primary !== region || record.epoch !== path.epoch)
    return refused(
      'not-primary',
      `${record.primary} is the primary region in epoch ${record.epoch}, not ${region} in epoch ${path.epoch}`,
    );
  if (record.move !== null) return moveUnderWay(record.move);
  if (record.rewind !== undefined) return rewindUnderWay(record.rewind);
  const upTo = branchesOf(record).reduce((lowest, { forkLsn }) => Math.min(lowest, forkLsn), Number(by.upTo));
  if (upTo <= branchesFrom(record, path))
    return refused('promised', `log is promised from no later than LSN ${upTo} on already`);
  return next(record, { promised: { epoch: path.epoch, lsn: lsn(upTo) } });
}

export const samePromise = (a: Promising, b: Promising): boolean =>
  a.promised?.epoch === b.promised?.epoch && a.promised?.lsn === b.promised?.lsn;

/** @throws AssertionError when no sequence of transitions leads to such a promise (R96). */
export function checkPromise({ promised, epoch }: Promising & { readonly epoch: Epoch }): void {
  if (promised === undefined) return;
  assert(promised.epoch <= epoch, `R96: a promise of epoch ${promised.epoch}, above ${epoch}`);
}

/** @throws AssertionError when a change of the promise is not the one above (R96). */
export function checkPromiseStep(before: ControlRecord, after: ControlRecord): void {
  const { promised } = after;
  assert(promised !== undefined, 'R96: a promise was taken back');
  assert(promised.epoch === after.epoch, 'R96: a promise of an epoch that does not reign');
  assert(before.move === null && before.rewind === undefined, 'R96: a promise during a move or a rewind');
  if (before.promised?.epoch === promised.epoch)
    assert(promised.lsn > before.promised.lsn, 'R96: a promise went back');
  for (const { name, forkLsn } of branchesOf(after))
    assert(
      promised.lsn <= forkLsn,
      `R96: a promise of LSN ${promised.lsn}, and ${name} leaves at ${forkLsn}`,
    );
}
