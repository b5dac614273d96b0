/** Writes a database behind a gateway to a file: under a name of its own first, which becomes the file's when all is there. */
import { once } from 'node:events';
import {
  closeSync,
  createWriteStream,
  existsSync,
  fsyncSync,
  linkSync,
  mkdtempSync,
  openSync,
  renameSync,
  unlinkSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import type { Writable } from 'node:stream';
import { dumpLines } from './dump.ts';
import { type ExportListener, exportPages, type ReadPoint } from './export-pages.ts';
import type { SqlLink } from './sql-link.ts';
import { survey } from './survey.ts';
import { temporary } from './temporary.ts';
import { TransferError } from './transfer-error.ts';

export type ExportFormat = 'sqlite' | 'sql';

export interface ExportOptions {
  /** A path, or `-` for SQL text on stdout. */
  readonly to: string;
  readonly format: ExportFormat;
  /** An existing file is replaced. */
  readonly force: boolean;
}

export interface FileListener extends ExportListener {
  /** The pages are here; what follows is done on this machine. */
  local(what: string, rows: number, ofRows: number): void;
}

const textPieceBytes = 256 * 1024;
/** Rows between two signs of progress. */
const rowsPerSight = 1_000;

function systemError(error: unknown, what: string): TransferError {
  return error instanceof TransferError
    ? error
    : new TransferError(`${what}: ${error instanceof Error ? error.message : String(error)}`);
}

/** @returns what the file shows. @throws TransferError when it cannot be written, or is there already. */
export async function exportFile(
  link: SqlLink,
  options: ExportOptions,
  listener: FileListener,
): Promise<ReadPoint> {
  const { to, format, force } = options;
  const isPiped = to === '-';
  if (isPiped && format === 'sqlite')
    throw new TransferError('a SQLite file cannot be written to a pipe: name a file, or use --format sql');
  if (!isPiped && !force && existsSync(to)) throw new TransferError(`${to} exists: --force replaces it`);
  // Beside the file: it is renamed, which cannot be done from one file system to another.
  const own = isPiped ? null : temporary(join(dirname(to), `.${basename(to)}.${process.pid}.partial`));
  const folder = format === 'sql' ? temporary(mkdtempSync(join(tmpdir(), 'sextant-export-'))) : null;
  try {
    const pages = folder === null ? (own?.path ?? '') : join(folder.path, 'export.db');
    const readPoint = await exportPages(link, pages, listener);
    if (folder === null) check(pages, listener);
    else
      await writeText(
        pages,
        own === null ? process.stdout : createWriteStream(own.path, { flush: true }),
        listener,
      );
    if (own !== null) publish(own.path, to, force);
    return readPoint;
  } catch (error) {
    throw systemError(error, isPiped ? 'the text cannot be written' : `${to} cannot be written`);
  } finally {
    own?.remove();
    folder?.remove();
  }
}

/** What was copied is a database. */
function check(path: string, listener: FileListener): void {
  listener.local('checking', 0, 0);
  const db = new DatabaseSync(path, { readOnly: true });
  try {
    const [first] = Object.values(db.prepare('PRAGMA quick_check(1)').get() ?? {});
    if (first !== 'ok')
      throw new TransferError(`the copy does not pass PRAGMA quick_check: ${String(first)}`);
  } finally {
    db.close();
  }
}

async function writeText(from: string, to: Writable, listener: FileListener): Promise<void> {
  const db = new DatabaseSync(from, { readOnly: true });
  const failed = new Promise<never>((_resolve, reject) => to.once('error', reject));
  // It is waited for below; without this a failure in between would end the process.
  failed.catch(() => {});
  try {
    const source = survey(db, () => {});
    const ofRows = source.tables.reduce((sum, { rows }) => sum + rows, 0);
    let rows = 0;
    const onRow = (): void => {
      rows += 1;
      if (rows % rowsPerSight === 0) listener.local('writing SQL', rows, ofRows);
    };
    let piece = '';
    const write = async (): Promise<void> => {
      if (!to.write(piece)) await Promise.race([once(to, 'drain'), failed]);
      piece = '';
    };
    for (const line of dumpLines(db, source, onRow)) {
      piece += line;
      if (piece.length >= textPieceBytes) await write();
    }
    await write();
    // Flushed with `flush` when it is a file; stdout stays open.
    if (to !== process.stdout) await Promise.race([new Promise<void>((resolve) => to.end(resolve)), failed]);
    if (to !== process.stdout) await Promise.race([once(to, 'close'), failed]);
  } finally {
    db.close();
  }
}

/** Gives the finished file its name, and flushes that. */
function publish(from: string, to: string, force: boolean): void {
  if (force) renameSync(from, to);
  else {
    // Unlike a rename this fails when somebody has made the file meanwhile.
    linkSync(from, to);
    unlinkSync(from);
  }
  const directory = openSync(dirname(to), 'r');
  try {
    fsyncSync(directory);
  } finally {
    closeSync(directory);
  }
}
