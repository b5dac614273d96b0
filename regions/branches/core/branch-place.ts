/** Where a branch leaves: what a person asked for, held against the path that it leaves. */
import {
  type BranchName,
  type Epoch,
  EpochTree,
  type Fork,
  genesisEpoch,
  type Lsn,
  lsn,
  zeroLsn,
} from '../../../storage/core.ts';
import type { Held } from '../../control/core/survivors.ts';
import { type Place, parsePlace } from '../../place/core/place.ts';

/** What this region holds of the line of history that a branch is to leave. */
export interface Source {
  readonly head: Epoch;
  /** The path to `head`. */
  readonly forks: readonly Fork[];
  readonly vdl: Lsn;
  /** Pages can be told from here on. */
  readonly floor: Lsn;
}

/** Where so many nodes have the pages that a branch needs, one of them may be lost for good: a node below whose floor it leaves never holds it. */
const nodesToTell = 5;

/** From here on five nodes can tell pages, of those that answered. */
export function branchFloor(floors: readonly number[]): Lsn {
  const ascending = [...floors].sort((a, b) => a - b);
  return lsn(ascending[nodesToTell - 1] ?? ascending.at(-1) ?? zeroLsn);
}

/** What a region holds of `main`; null while the path to where it stands is not known, as for a moment after the start of its agent. */
export function sourceOfMain(held: Held | null, floor: Lsn): Source | null {
  if (held === null) return null;
  const { epoch: head, forks, vdl } = held;
  if (head !== genesisEpoch && !forks.some(({ epoch }) => epoch === head)) return null;
  return { head, forks, vdl, floor };
}

export type PlaceRefusal = { readonly kind: 'refused'; readonly code: string; readonly reason: string };

/** Reads `--at`: a place on the path that the branch leaves. */
export function wishOf(at: string | number): Exclude<Place, { kind: 'path' }> | PlaceRefusal {
  const place = parsePlace(String(at));
  if (place !== null && place.kind !== 'path') return place;
  return refused(
    'BAD_REQUEST',
    `at: ${JSON.stringify(at)} is neither an LSN nor a time with its zone, such as 2026-11-29T12:00:00Z`,
  );
}

/** Why a branch cannot leave at `at`; null when it can. */
export function placeProblem(at: Lsn, from: string, { vdl, floor }: Source): PlaceRefusal | null {
  if (at > vdl)
    return refused(
      'BEYOND_DURABLE',
      `${from} is durable up to LSN ${vdl}, and a branch at ${at} would begin beyond that`,
    );
  if (at >= floor) return null;
  return refused(
    'BELOW_FLOOR',
    `${from} is kept from LSN ${floor} on, and a branch at ${at} would begin below that: choose a later place, ` +
      'or keep more of the log for the next time (retention.hours)',
  );
}

/**
 * The epoch that a branch leaves at `at`: that of the path whose record is the last one at or below. An epoch of the same name is one
 * of a branch that was deleted, and a fork from it would pass for one that goes on with that branch (R70): then it is the next
 * epoch of the path with another name, which leaves the same log below `at`.
 */
export function parentAt(at: Lsn, name: BranchName, { head, forks }: Source): Epoch {
  if (at === zeroLsn) return genesisEpoch;
  const tree = new EpochTree(forks);
  const step = tree.path(head).find(({ from, until }) => from < at && at <= until);
  const along = tree.forksOf(head);
  const other = along.find(({ epoch, branch }) => epoch >= (step?.epoch ?? head) && branch !== name);
  return other?.epoch ?? head;
}

function refused(code: string, reason: string): PlaceRefusal {
  return { kind: 'refused', code, reason };
}
