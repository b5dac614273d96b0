/**
 * Writes that can be told apart in the log: each changes one to four pages, some in other protection groups, and each
 * changed page carries the name of the write and the number of the part.
 */

import { framePayload, type ReceivedFrame } from '../../../storage/redo/frame.ts';
import { type Epoch, type Lsn, type PageNo, type PgId, pageNo, zeroLsn } from '../../../storage/redo/ids.ts';
import { redoLimits } from '../../../storage/redo/limits.ts';
import { MtrStream, type StoredMtr } from '../../../storage/redo/mtr-stream.ts';
import {
  type Commit,
  decodeRecords,
  encodeMtr,
  type Mtr,
  type PageChange,
} from '../../../storage/redo/record.ts';
import type { FinalWrite } from '../judges/durability.ts';
import type { Prng } from '../world/prng.ts';
import { pgBytes } from './sim-types.ts';

/** One write as a client asks for it. */
export type WrittenParts = {
  readonly writeId: string;
  readonly parts: readonly { readonly page: number; readonly offset: number; readonly whole: boolean }[];
};

/** Pages of three protection groups. */
export const workloadPages: readonly PageNo[] = [1, 2, 3, 257, 258, 513].map(pageNo);
const slotBytes = 32;
const slots = Math.floor(redoLimits.pageBytes / slotBytes);

/** How large writes may be. */
export type WriteSizes = { readonly largePerMille: number; readonly largePagesMax: number };

/** Pages that only large writes change, of the second protection group and the third. */
const largeFirstPage = 300;

/** Draws a write: now and then a large one, of whole pages side by side. */
export function drawWrite(
  prng: Prng,
  writeId: string,
  { largePerMille, largePagesMax }: WriteSizes = { largePerMille: 0, largePagesMax: 0 },
): WrittenParts {
  if (largePerMille > 0 && prng.perMille(largePerMille)) {
    const pages = prng.between(Math.ceil(largePagesMax / 8), largePagesMax);
    const first = largeFirstPage + prng.below(largePagesMax * 2);
    return {
      writeId,
      parts: Array.from({ length: pages }, (_, at) => ({ page: first + at, offset: 0, whole: true })),
    };
  }
  const pages = prng.shuffle(workloadPages).slice(0, prng.pick([1, 1, 2, 3, 4]));
  const parts = pages.map((page) => ({
    page,
    offset: slotBytes * prng.below(slots),
    whole: prng.perMille(20),
  }));
  return { writeId, parts };
}

/** What a write does to pages. */
export function changesOf(write: WrittenParts): readonly PageChange[] {
  return write.parts.map(({ page, offset, whole }, part): PageChange => {
    const label = Buffer.from(`${write.writeId}/${part};`);
    const runs = [{ offset, bytes: label }];
    if (!whole) return { kind: 'pageDelta', page: pageNo(page), runs };
    // Two ways to say all of a page.
    if ((offset / slotBytes) % 2 === 1) return { kind: 'pageAnew', page: pageNo(page), runs };
    const bytes = new Uint8Array(redoLimits.pageBytes);
    bytes.set(label, offset);
    return { kind: 'pageImage', page: pageNo(page), bytes };
  });
}

/** A write that changes more pages has its redo elsewhere than in memory, as that of a gateway has from some size on. */
const residentPages = 24;

/** Its redo. @param stretchBytesMax what one frame of it may hold. */
export function encodeWrite(
  changes: readonly PageChange[],
  commitTimeUs: number,
  stretchBytesMax: number,
): Mtr | StoredMtr {
  const commits: readonly Commit[] = [{ kind: 'commit', commitTimeUs, trace: null }];
  if (changes.length <= residentPages) return encodeMtr(changes, commits, pgBytes);
  const stretches: { readonly pg: PgId; readonly length: number; readonly bytes: Uint8Array }[] = [];
  const stream = new MtrStream({
    pgBytes,
    stretchBytesMax: Math.max(stretchBytesMax, redoLimits.recordBytesMax),
    shrink: null,
    onStretch: (pg, bytes) => stretches.push({ pg, length: bytes.length, bytes: bytes.slice() }),
  });
  for (const change of changes.toSorted((a, b) => a.page - b.page)) stream.add(change);
  stream.finish(commits);
  return {
    stretches,
    byteLength: stream.byteLength,
    commits: commits.length,
    read: async (from, to) => stretches.slice(from, to).map(({ bytes }) => bytes),
  };
}

/** A commit as the log tells it. */
export type LoggedWrite = FinalWrite;

/**
 * The writes in a run of frames along a path, in order. `until` is the LSN where the path leaves a frame's epoch; what
 * lies above is no part of it, and what lies at or below `from` is left out.
 */
export function readWrites(
  frames: readonly { readonly frame: ReceivedFrame; readonly until: Lsn }[],
  through: Lsn,
  from: Lsn = zeroLsn,
): readonly LoggedWrite[] {
  const found = new Map<string, { parts: Set<string>; times: number; epoch: Epoch; lsn: Lsn }>();
  let open: { readonly id: string; readonly part: string }[] = [];
  for (const { frame, until } of frames) {
    const decoded = decodeRecords(framePayload(frame.bytes), frame.header.base);
    if (decoded.kind === 'malformed')
      throw new Error(`a frame that checks does not decode: ${decoded.reason}`);
    for (const record of decoded.records) {
      if (record.lsn > until || record.lsn > through) break;
      if (record.kind === 'shrink' || record.lsn <= from) continue;
      if (record.kind !== 'commit') {
        open.push(labelOf(record));
        continue;
      }
      for (const id of new Set(open.map((part) => part.id))) {
        const write = found.get(id) ?? {
          parts: new Set<string>(),
          times: 0,
          epoch: frame.header.epoch,
          lsn: record.lsn,
        };
        write.times += 1;
        for (const part of open) if (part.id === id) write.parts.add(part.part);
        found.set(id, write);
      }
      open = [];
    }
  }
  return [...found].map(([writeId, { parts, times, epoch, lsn }]) => ({
    writeId,
    parts: parts.size,
    times,
    epoch,
    lsn,
  }));
}

const labelPattern = /([\w-]+)\/(\d+);/;

function labelOf(change: PageChange): { readonly id: string; readonly part: string } {
  const bytes = change.kind === 'pageImage' ? change.bytes : (change.runs[0]?.bytes ?? new Uint8Array(0));
  const match = labelPattern.exec(
    Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1'),
  );
  return { id: match?.[1] ?? '', part: match?.[2] ?? '' };
}
