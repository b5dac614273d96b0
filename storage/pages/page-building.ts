/** Puts pages together out of an image each and the records that an index has planned for it. */
import type { HeldFrame } from '../log/core/held-frames.ts';
import type { FrameReader } from '../log/frame-reader.ts';
import { framePayload } from '../redo/frame.ts';
import { redoLimits } from '../redo/limits.ts';
import { RecordCursor } from '../redo/record-cursor.ts';
import type { RefusalCode } from '../wire/core/messages.ts';
import type { PlannedRecord } from './core/page-index.ts';

export type PagesRefused = { readonly kind: 'refused'; readonly code: RefusalCode; readonly reason: string };

export type PagesRead =
  | { readonly kind: 'pages'; readonly pages: readonly (Uint8Array | null)[] }
  | PagesRefused;

export const refused = (code: RefusalCode, reason: string): PagesRefused => ({
  kind: 'refused',
  code,
  reason,
});

/** What one page is made of. */
export interface PageParts {
  /** Is changed by the records; null where there is none, or none of it matters. */
  readonly image: Uint8Array | null;
  /** Oldest first. */
  readonly records: readonly PlannedRecord[];
}

export type Payloads = ReadonlyMap<HeldFrame, Uint8Array>;

/** Reads the frames of planned records, each once and in the order of the disk. */
export async function payloadsOf(
  frames: FrameReader,
  records: readonly PlannedRecord[],
): Promise<Payloads | PagesRefused> {
  const wanted = [...new Set(records.map(({ frame }) => frame))].sort(
    (a, b) => a.position.file - b.position.file || a.position.offset - b.position.offset,
  );
  const read = await frames.read(wanted);
  if (read.kind === 'bad') return refused('DISK_FAILED', read.reason);
  return new Map(wanted.map((frame, at) => [frame, framePayload(read.frames[at] ?? nothing)]));
}

/** Applies the records to the images. A page without either is not there (S23). */
export function buildPages(parts: readonly PageParts[], payloads: Payloads): PagesRead {
  const pages: (Uint8Array | null)[] = [];
  for (const { image, records } of parts) {
    const page = records.length === 0 ? image : (image ?? new Uint8Array(redoLimits.pageBytes));
    for (const { frame, offset } of records) {
      const cursor = new RecordCursor(payloads.get(frame) ?? nothing, offset);
      if (page === null || !cursor.next() || !cursor.applyTo(page))
        return refused(
          'DISK_FAILED',
          `no change of a page lies where one was indexed, in a frame at ${frame.base}`,
        );
    }
    pages.push(page);
  }
  return { kind: 'pages', pages };
}

const nothing = new Uint8Array(0);
