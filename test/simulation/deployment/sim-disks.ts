/** What the judges want to know of the disks of a region: the writes in a log, and each frame. */

import { crc32 } from 'node:zlib';
import type { Fork } from '../../../storage/history/epoch-tree.ts';
import { type Epoch, type Lsn, zeroLsn } from '../../../storage/redo/ids.ts';
import type { SeenFrame } from '../judges/agreement.ts';
import { type DiskCopy, keyOf, segmentOf, treeOf } from './disk-copy.ts';
import type { ScannedFrame } from './log-scan.ts';
import { type LoggedWrite, readWrites } from './sim-workload.ts';

/** Where the log of a disk begins on the path to `head`, and the writes from there up to `vdl`. */
export function writesOn(
  copy: DiskCopy,
  forks: readonly Fork[],
  head: Epoch,
  vdl: Lsn,
): { readonly from: Lsn; readonly writes: readonly LoggedWrite[] } {
  const tree = treeOf(copy, forks);
  const segment = segmentOf(copy, tree, copy.floor);
  const byPosition = new Map(copy.frames.map((scanned) => [keyOf(scanned.held.position), scanned]));
  const from = segment.floorOn(head) ?? zeroLsn;
  const along = segment.run(head, from, Number.MAX_SAFE_INTEGER, vdl).frames.map((held) => {
    const scanned = byPosition.get(keyOf(held.position));
    if (scanned === undefined) throw new Error(`no frame lies at ${held.position.offset}`);
    return { frame: scanned.frame, until: tree.visibleUntil(head, held.epoch) };
  });
  return { from, writes: readWrites(along, vdl, from) };
}

/** What the agreement judge wants to know of a frame. */
export function seenFrame(at: string, { frame }: ScannedFrame): SeenFrame {
  const { epoch, pg, base, end } = frame.header;
  return { at, epoch, pg, base, end, crc: crc32(frame.bytes) };
}
