/** What goes wrong with files: what PostgreSQL is told by errno, and what ends the engine instead. */
import type { SqlError } from '../../../sql/sql.ts';

export type FileErrorCode =
  | 'EEXIST'
  | 'EFBIG'
  | 'EINVAL'
  | 'EISDIR'
  | 'ENAMETOOLONG'
  | 'ENOENT'
  | 'ENOTDIR'
  | 'ENOTEMPTY'
  | 'EPERM';

/** An error that PostgreSQL knows how to take: nothing has changed, and it goes on with the error number of `code`. */
export class FileError extends Error {
  override readonly name = 'FileError';
  readonly code: FileErrorCode;

  constructor(code: FileErrorCode, detail: string) {
    super(`${code}: ${detail}`);
    this.code = code;
  }
}

/**
 * An error that PostgreSQL must not try to take: a page is missing, the volume is full or damaged. A file operation may be
 * half done, so the engine and its changes are to be thrown away. `error` is what the client is told.
 */
export class VolumeFault extends Error {
  override readonly name: string = 'VolumeFault';
  readonly error: SqlError;

  constructor(error: SqlError) {
    super(error.message);
    this.error = error;
  }
}

/** The volume cannot give a page now: storage does not answer, or the operation was stopped. */
export class PageUnavailable extends VolumeFault {
  override readonly name = 'PageUnavailable';
}
