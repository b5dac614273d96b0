/**
 * What the disk of a node holds, read from its durable bytes by the judges' own reader: frames of the log, page images with their
 * manifest, and the floor in the state file. What the node believes of itself does not count.
 */
import { crc32 } from 'node:zlib';
import { z } from 'zod';
import { EpochTree, type Fork, forkSchema } from '../../../storage/history/epoch-tree.ts';
import { type Floor, floorOn, floorSchema, noFloor } from '../../../storage/history/floor.ts';
import { chainOf, parseManifest, type RunEntry } from '../../../storage/images/core/manifest.ts';
import {
  decodeFooter,
  decodeIndex,
  footerBytes,
  pageBytes,
} from '../../../storage/images/core/run-format.ts';
import type { FramePosition } from '../../../storage/log/core/held-frames.ts';
import { Segment } from '../../../storage/log/core/segment.ts';
import { framePayload } from '../../../storage/redo/frame.ts';
import {
  type Epoch,
  type Lsn,
  lsn,
  maxLsn,
  minLsn,
  type PageNo,
  pageNo,
  zeroLsn,
} from '../../../storage/redo/ids.ts';
import { decodeRecords } from '../../../storage/redo/record.ts';
import { changed } from '../judges/storage/pages.ts';
import { dataDir } from '../processes/storage-node.ts';
import type { Disk } from '../twins/disk.ts';
import { type ScannedFrame, scanLog } from './log-scan.ts';

/** Images that were found whole. */
type Run = {
  readonly entry: RunEntry;
  readonly at: Floor;
  readonly fuzzyTo: Lsn;
  readonly pages: ReadonlyMap<PageNo, Uint8Array>;
};

/** What a loss of power would leave. */
export type DiskCopy = {
  readonly frames: readonly ScannedFrame[];
  readonly floor: Floor;
  /** Those that it knows, the oldest first. */
  readonly forks: readonly Fork[];
  /** A chain, up to the first run that is not whole. */
  readonly runs: readonly Run[];
  /** Whether `runs` are all that the manifest names. */
  readonly areImagesWhole: boolean;
};

export function readDisk(disk: Disk): DiskCopy {
  return { frames: durableFrames(disk), ...stateOf(disk), ...imagesIn(disk) };
}

/** The frames of a log that a loss of power would leave. */
export function durableFrames(disk: Disk): readonly ScannedFrame[] {
  const logs = disk.files().filter((name) => name.startsWith(`${dataDir}/log/`) && name.endsWith('.log'));
  return logs.flatMap((name) => framesIn(disk, name));
}

/** Those of one log file. */
export function framesIn(disk: Disk, name: string): readonly ScannedFrame[] {
  const number = Number.parseInt(name.slice(`${dataDir}/log/`.length), 10);
  return scanLog(durableBytes(disk, name), number).frames;
}

/**
 * Up to where a disk holds the path to `head` without a gap: by its log from the beginning, or by images at or above its floor and
 * the log above the floor.
 */
export function completeTo(copy: DiskCopy, forks: readonly Fork[], head: Epoch): Lsn {
  const tree = treeOf(copy, forks);
  const byLog = segmentOf(copy, tree, noFloor).volumeEnd(head);
  const floor = floorOn(tree, copy.floor, head);
  if (floor === null || floor === zeroLsn || imagesOn(copy, tree, head) < floor) return byLog;
  const end = segmentOf(copy, tree, copy.floor).volumeEnd(head);
  return end < (copy.runs[0]?.fuzzyTo ?? zeroLsn) ? byLog : maxLsn(byLog, end);
}

/** A path, and what the disk knows besides: its floor and its images may be named by an epoch that left the path further up. */
export function treeOf({ forks: known }: Pick<DiskCopy, 'forks'>, forks: readonly Fork[]): EpochTree {
  const tree = new EpochTree(forks);
  for (const fork of known) tree.add(fork);
  return tree;
}

/** How far frames reach on the path to `head`; null when none lies on it. */
export function endOn(frames: readonly ScannedFrame[], tree: EpochTree, head: Epoch): Lsn | null {
  const ends = frames
    .filter(({ held }) => tree.has(held.epoch) && held.base < tree.visibleUntil(head, held.epoch))
    .map(({ held }) => minLsn(held.end, tree.visibleUntil(head, held.epoch)));
  return ends.length === 0 ? null : lsn(Math.max(...ends));
}

/** The newest place on the path to `head` up to which the images hold everything. */
export function imagesOn({ runs }: DiskCopy, tree: EpochTree, head: Epoch): Lsn {
  return runs.findLast(({ at }) => floorOn(tree, at, head) === at.lsn)?.at.lsn ?? zeroLsn;
}

/** Every page as of `vdl` on the path to `head`, of a disk that is complete up to there. */
export function pagesOn(
  copy: DiskCopy,
  forks: readonly Fork[],
  head: Epoch,
  vdl: Lsn,
): ReadonlyMap<PageNo, Uint8Array> {
  const tree = treeOf(copy, forks);
  const pages = new Map<PageNo, Uint8Array>();
  const fuzzyTo = copy.runs[0]?.fuzzyTo ?? zeroLsn;
  let from: Lsn = zeroLsn;
  for (const { at, pages: images } of copy.runs) {
    if (fuzzyTo > vdl || at.lsn > vdl || floorOn(tree, at, head) !== at.lsn) break;
    for (const [page, bytes] of images) pages.set(page, bytes.slice());
    // Of images of several places the log is read from the lowest on.
    if (from === zeroLsn || at.lsn >= fuzzyTo) from = at.lsn;
  }
  const byPosition = new Map(copy.frames.map((scanned) => [keyOf(scanned.held.position), scanned]));
  const segment = segmentOf(copy, tree, copy.floor);
  for (const { position, end } of segment.run(head, from, Number.MAX_SAFE_INTEGER, vdl).frames) {
    const scanned = byPosition.get(keyOf(position));
    if (scanned === undefined) throw new Error(`no frame lies at ${position.offset}`);
    const { bytes, header } = scanned.frame;
    const decoded = decodeRecords(framePayload(bytes), header.base);
    if (decoded.kind === 'malformed')
      throw new Error(`a frame that checks does not decode: ${decoded.reason}`);
    for (const record of decoded.records) {
      if (record.lsn > end || record.lsn > vdl) break;
      if (record.lsn <= from || record.kind === 'commit' || record.kind === 'shrink') continue;
      pages.set(record.page, changed(pages.get(record.page) ?? null, record));
    }
  }
  return pages;
}

/** An index of the frames on the path of `tree`. */
export function segmentOf({ frames }: DiskCopy, tree: EpochTree, floor: Floor): Segment {
  const segment = new Segment(tree, floor);
  for (const { held } of frames) if (tree.has(held.epoch)) segment.insert(held);
  return segment;
}

export const keyOf = ({ file, offset }: FramePosition): string => `${file}/${offset}`;

const durableBytes = (disk: Disk, name: string): Uint8Array =>
  disk.read(name).subarray(0, disk.durableBytes(name));

/** Of a file that holds a line about itself and a body; undefined where that is not what was written. */
function bodyOf(disk: Disk, name: string): unknown {
  const [line = '', body = ''] = Buffer.from(durableBytes(disk, name)).toString('utf8').split('\n');
  try {
    const { crc32: written } = JSON.parse(line.slice(0, line.lastIndexOf(' ')));
    return written === crc32(body) ? JSON.parse(body) : undefined;
  } catch {
    return undefined;
  }
}

const recordSchema = z.object({
  state: z.object({ floor: floorSchema.optional(), forks: z.array(forkSchema) }),
});

function stateOf(disk: Disk): Pick<DiskCopy, 'floor' | 'forks'> {
  const parsed = recordSchema.safeParse(bodyOf(disk, `${dataDir}/state`));
  if (!parsed.success) return { floor: noFloor, forks: [] };
  const { floor = noFloor, forks } = parsed.data.state;
  return { floor, forks: [...forks].sort((a, b) => a.epoch - b.epoch) };
}

const imagesDir = `${dataDir}/images/`;

/** Those that the manifest names. Where that has rotted, those that a start would find, which makes it anew of what is there. */
function imagesIn(disk: Disk): Pick<DiskCopy, 'runs' | 'areImagesWhole'> {
  const names = disk.files().filter((name) => name.startsWith(imagesDir));
  if (!names.includes(`${imagesDir}manifest`)) return { runs: [], areImagesWhole: true };
  const manifest = parseManifest(bodyOf(disk, `${imagesDir}manifest`));
  if (manifest.kind === 'bad') {
    const found = names.filter((name) => name.endsWith('.run')).map((name) => readRun(disk, name));
    const whole = found.filter((run) => run !== null);
    const chain = chainOf(whole.map(({ entry }) => entry));
    const runs = chain.flatMap((entry) => whole.find((run) => run.entry === entry) ?? []);
    return { runs, areImagesWhole: whole.length === found.length };
  }
  const runs: Run[] = [];
  for (const { file } of manifest.value.runs) {
    const run = readRun(disk, `${imagesDir}${String(file).padStart(10, '0')}.run`);
    if (run === null) break;
    runs.push(run);
  }
  return { runs, areImagesWhole: runs.length === manifest.value.runs.length };
}

/** Null unless every byte is what was written. */
function readRun(disk: Disk, name: string): Run | null {
  const bytes = durableBytes(disk, name);
  const read = decodeFooter(bytes.subarray(-footerBytes), bytes.length);
  if (read.kind === 'bad') return null;
  const { footer } = read;
  const index = decodeIndex(bytes.subarray(footer.pages * pageBytes, -footerBytes), footer);
  if (index === null) return null;
  const pages = new Map<PageNo, Uint8Array>();
  for (const [slot, page] of index.pages.entries()) {
    const image = bytes.subarray(slot * pageBytes, (slot + 1) * pageBytes);
    if (crc32(image) !== index.crcs[slot]) return null;
    pages.set(pageNo(page), image);
  }
  const entry = { ...footer, file: Number.parseInt(name.slice(imagesDir.length), 10) };
  return { entry, at: { epoch: footer.epoch, lsn: footer.to }, fuzzyTo: footer.fuzzyTo ?? zeroLsn, pages };
}
