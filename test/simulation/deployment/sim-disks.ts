/** What the disks of a region really hold, read from their durable bytes and not from what the nodes say. */

import { crc32 } from 'node:zlib';
import { EpochTree, type Fork } from '../../../storage/history/epoch-tree.ts';
import { type FramePosition, Segment } from '../../../storage/log/core/segment.ts';
import { type Epoch, type Lsn, zeroLsn } from '../../../storage/redo/ids.ts';
import type { SeenFrame } from '../judges/agreement.ts';
import { dataDir } from '../processes/storage-node.ts';
import type { Disk } from '../twins/disk.ts';
import { type ScannedFrame, scanLog } from './log-scan.ts';
import { type LoggedWrite, readWrites } from './sim-workload.ts';

/** The frames of a log that a loss of power would leave. */
export function durableFrames(disk: Disk): readonly ScannedFrame[] {
  const logs = disk.files().filter((name) => name.startsWith(`${dataDir}/log/`) && name.endsWith('.log'));
  return logs.flatMap((name) => {
    const number = Number.parseInt(name.slice(`${dataDir}/log/`.length), 10);
    return scanLog(disk.read(name).subarray(0, disk.durableBytes(name)), number).frames;
  });
}

/** Up to where a disk holds the path to `head` without a gap. */
export function completeTo(frames: readonly ScannedFrame[], forks: readonly Fork[], head: Epoch): Lsn {
  const { segment } = build(frames, forks);
  return segment.volumeEnd(head);
}

/** The writes along the path to `head`, up to `vdl`, as one disk has them. */
export function writesOn(
  frames: readonly ScannedFrame[],
  forks: readonly Fork[],
  head: Epoch,
  vdl: Lsn,
): readonly LoggedWrite[] {
  const { tree, segment, byPosition } = build(frames, forks);
  const run = segment.run(head, zeroLsn, Number.MAX_SAFE_INTEGER, vdl);
  const along = run.frames.map((held) => {
    const scanned = byPosition.get(keyOf(held.position));
    if (scanned === undefined) throw new Error(`no frame lies at ${held.position.offset}`);
    return { frame: scanned.frame, until: tree.visibleUntil(head, held.epoch) };
  });
  return readWrites(along, vdl);
}

/** What the agreement judge wants to know of a frame. */
export function seenFrame(at: string, { frame }: ScannedFrame): SeenFrame {
  const { epoch, pg, base, end } = frame.header;
  return { at, epoch, pg, base, end, crc: crc32(frame.bytes) };
}

const keyOf = ({ file, offset }: FramePosition): string => `${file}/${offset}`;

function build(frames: readonly ScannedFrame[], forks: readonly Fork[]) {
  const tree = new EpochTree(forks);
  const segment = new Segment(tree);
  const byPosition = new Map<string, ScannedFrame>();
  for (const scanned of frames) {
    if (!tree.has(scanned.held.epoch)) continue;
    byPosition.set(keyOf(scanned.held.position), scanned);
    segment.insert(scanned.held);
  }
  return { tree, segment, byPosition };
}
