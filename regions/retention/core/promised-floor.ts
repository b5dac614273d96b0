/**
 * From where on a region promises that a branch may leave. The primary makes branches at or above what it promises, and other
 * regions let nothing go above that: so a branch finds its log in a region that has not heard of it yet (R96).
 */
import { type Lsn, lsn, maxLsn, zeroLsn } from '../../../storage/core.ts';
import type { Held } from '../../control/core/survivors.ts';
import { positionOn } from './retention.ts';

/** Where so many nodes have the pages that a branch needs, one of them may be lost for good: a node below whose floor it leaves never holds it. */
const nodesToTell = 5;

/** From here on five nodes can tell pages, of those that answered. */
export function branchFloor(floors: readonly number[]): Lsn {
  const ascending = [...floors].sort((a, b) => a - b);
  return lsn(ascending[nodesToTell - 1] ?? ascending.at(-1) ?? zeroLsn);
}

/**
 * What `branchFloor` of the region's nodes is at least, now and later: a node that did not say its floor may have all of its log.
 * @param floors one of each node; undefined of one that did not answer.
 */
export function promisedFloor(floors: readonly (number | undefined)[]): Lsn {
  return floors.length < nodesToTell ? zeroLsn : branchFloor(floors.map((floor) => floor ?? zeroLsn));
}

/** A place on a path: `vdl` of `Held` is where it is. */
export type Promised = Held;

/** The higher of two promises on the path of the newer one. */
export function higherPromise(known: Promised | null, news: Promised): Promised {
  if (known === null) return news;
  const upTo = { ...news, vdl: maxLsn(known.vdl, news.vdl) };
  return (positionOn(known, upTo) ?? zeroLsn) > news.vdl ? known : news;
}
