/** What retention works on: the files of the log, and the places at which there are durable images. */
import type { Floor } from '../history/floor.ts';
import type { DropResult, HotLog } from '../log/hot-log.ts';
import type { Holdings, LogFileFacts } from './core/retention.ts';

export interface LogFilesPort {
  /** Oldest first. */
  readonly facts: readonly LogFileFacts[];
  /** Removes the oldest files, up to this number. A read of one under way fails, and is not called damage. */
  dropThrough(number: number): Promise<DropResult>;
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
export const noImagePoints: ImagePoints = { boundaries: [], bytes: 0 };

/** The files of a node's log. One without its index holds frames that somebody may yet want to know one by one: it stays. */
export function logFilesOf(log: Pick<HotLog, 'files' | 'dropThrough'>): LogFilesPort {
  return {
    get facts() {
      return log.files.map(({ number, bytes, sealed, lastCommitUs }) => ({
        number,
        bytes,
        isRolled: sealed,
        lastCommitUs,
      }));
    },
    dropThrough: (number) => log.dropThrough(number),
  };
}

export const holdingsOf = ({ files, images }: KeptParts): Holdings => ({
  files: files.facts,
  boundaries: images.boundaries,
  imageBytes: images.bytes,
});
