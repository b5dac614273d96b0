/**
 * The floor of a node: a place in the history above which its log is complete as far as it is free of gaps. At and below the
 * floor there are durable images, and the log may be gone. A floor counts for a path only if it lies on that path.
 */
import { z } from 'zod';
import { type Epoch, epoch, genesisEpoch, type Lsn, lsn, zeroLsn } from '../redo/ids.ts';
import { commonPoint, type EpochTree } from './epoch-tree.ts';

/** A consistency point on the path to `epoch`. */
export interface Floor {
  readonly epoch: Epoch;
  readonly lsn: Lsn;
}

/** The log is kept from its first byte on: this floor lies on every path. */
export const noFloor: Floor = { epoch: genesisEpoch, lsn: zeroLsn };

/** A floor as it crosses a wire or a disk, checked and branded. */
export const floorSchema = z
  .strictObject({ epoch: z.int().min(0), lsn: z.int().min(0) })
  .transform((raw): Floor => ({ epoch: epoch(raw.epoch), lsn: lsn(raw.lsn) }));

/** @returns the LSN of the floor when it lies on the path to `head`; null when that path leaves below it, or when `tree` does not know the epoch of the floor. */
export function floorOn(tree: EpochTree, floor: Floor, head: Epoch): Lsn | null {
  if (floor.lsn === zeroLsn) return zeroLsn;
  if (!tree.has(floor.epoch)) return null;
  return commonPoint(tree, { head: floor.epoch, lsn: floor.lsn }, head) === floor.lsn ? floor.lsn : null;
}

/**
 * The floor, when what follows `at` on the path to `head` may have been dropped (S21); null when the log may be asked there.
 * Of a path that leaves below the floor there may still be records of its own, above where it leaves.
 */
export function floorAbove(tree: EpochTree, floor: Floor, head: Epoch, at: Lsn): Floor | null {
  if (floor.lsn === zeroLsn || !tree.has(floor.epoch)) return null;
  const shared = commonPoint(tree, { head: floor.epoch, lsn: floor.lsn }, head);
  return at < shared ? floor : null;
}

/** In words for an operator, such as `LSN 4096 of epoch 3`. */
export const describeFloor = ({ epoch: of, lsn: at }: Floor): string => `LSN ${at} of epoch ${of}`;
