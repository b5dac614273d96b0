/** What retention works on: the files of the log, and the places at which there are durable images. */
import type { Floor } from '../history/floor.ts';
import type { Holdings, LogFileFacts } from './core/retention.ts';

export type FilesDropped =
  | { readonly kind: 'ok' }
  /** Some or all of the files are still there; the same may be asked again. */
  | { readonly kind: 'failed'; readonly message: string };

export interface LogFilesPort {
  /** Oldest first. */
  readonly facts: readonly LogFileFacts[];
  /** Removes the oldest files, up to this number. A read of one under way fails, and is not called damage. */
  dropThrough(number: number): Promise<FilesDropped>;
}

export interface ImagePoints {
  /** Where this node holds durable images of every page, ascending. */
  readonly boundaries: readonly Floor[];
  /** On the disk. */
  readonly bytes: number;
}

export interface KeptParts {
  readonly files: LogFilesPort;
  readonly images: ImagePoints;
}

/** Of a node whose images do not outlive its process: its log is kept whole. */
export const nothingKept: KeptParts = {
  files: { facts: [], dropThrough: () => Promise.resolve({ kind: 'ok' }) },
  images: { boundaries: [], bytes: 0 },
};

export const holdingsOf = ({ files, images }: KeptParts): Holdings => ({
  files: files.facts,
  boundaries: images.boundaries,
  imageBytes: images.bytes,
});
