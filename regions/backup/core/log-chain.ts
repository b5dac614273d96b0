/**
 * Which log objects together hold a stretch of a path. Uploads that were cut off, other heads, and places where a failover turned
 * back leave objects that overlap or leave the path: each is used as far as it lies on it.
 */
import { commonPoint, type Epoch, EpochTree, type Fork, type Lsn, minLsn } from '../../../storage/core.ts';
import type { Gap, ImageSet, Manifest } from './manifest.ts';
import type { LogObject } from './object-names.ts';

/** Part of an object: what of it lies in (from, to]. */
export interface LogPiece {
  readonly object: LogObject;
  readonly from: Lsn;
  readonly to: Lsn;
}

export type LogChain =
  | { readonly kind: 'whole'; readonly pieces: readonly LogPiece[] }
  /** The store has nothing of what follows `gap.from`; the next object that could go on begins at `gap.to`. */
  | { readonly kind: 'gap'; readonly gap: Gap; readonly pieces: readonly LogPiece[] };

/** The log in (from, to] along the path to `head`. */
export function logChain(
  objects: readonly LogObject[],
  { head, forks }: { readonly head: Epoch; readonly forks: readonly Fork[] },
  from: Lsn,
  to: Lsn,
): LogChain {
  const tree = new EpochTree(forks);
  const ends = objects
    .flatMap((object) => {
      if (!tree.has(object.head)) return [];
      return [
        { object, end: minLsn(object.to, commonPoint(tree, { head: object.head, lsn: object.to }, head)) },
      ];
    })
    .filter(({ object, end }) => end > object.from && end > from)
    .sort((a, b) => a.object.from - b.object.from);
  const pieces: LogPiece[] = [];
  let at = from;
  let next = 0;
  /** Of those that begin at or below `at`, the one that reaches furthest. */
  let best: (typeof ends)[number] | null = null;
  while (at < to) {
    for (let one = ends[next]; one !== undefined && one.object.from <= at; one = ends[next]) {
      if (best === null || one.end > best.end) best = one;
      next += 1;
    }
    if (best === null || best.end <= at)
      return { kind: 'gap', gap: { from: at, to: minLsn(ends[next]?.object.from ?? to, to) }, pieces };
    const end = minLsn(best.end, to);
    pieces.push({ object: best.object, from: at, to: end });
    at = end;
  }
  return { kind: 'whole', pieces };
}

/** The sets that lie on the path of the manifest, the newest first. */
export function setsOnPath({ head, forks, sets }: Manifest): readonly ImageSet[] {
  const tree = new EpochTree(forks);
  return sets
    .filter(
      (set) => tree.has(set.head) && commonPoint(tree, { head: set.head, lsn: set.to }, head) === set.to,
    )
    .sort((a, b) => b.to - a.to);
}

export type RestorePlan =
  | { readonly kind: 'plan'; readonly set: ImageSet; readonly pieces: readonly LogPiece[] }
  | { readonly kind: 'impossible'; readonly reason: string };

/** From what a database is put together as it was at `target`: the newest image set at or below it, and the log above that. */
export function restorePlan(manifest: Manifest, objects: readonly LogObject[], target: Lsn): RestorePlan {
  const impossible = (reason: string): RestorePlan => ({ kind: 'impossible', reason });
  if (target > manifest.through)
    return impossible(`the backup ends at LSN ${manifest.through}, before LSN ${target}`);
  const sets = setsOnPath(manifest);
  let missing: string | null = null;
  for (const set of sets.filter(({ to }) => to <= target)) {
    const chain = logChain(objects, manifest, set.from, target);
    if (chain.kind === 'whole') return { kind: 'plan', set, pieces: chain.pieces };
    missing ??= `the log from LSN ${chain.gap.from} to ${chain.gap.to} is not in the store`;
  }
  const oldest = sets.at(-1);
  if (oldest === undefined) return impossible('the backup has no whole image set yet');
  return impossible(
    missing ?? `LSN ${target} is older than the backup reaches: its oldest image set is of LSN ${oldest.to}`,
  );
}
