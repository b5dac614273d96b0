/**
 * Copies a database out of a gateway, page by page, at one read point (R81). The result is the database itself: every value, rowid,
 * index and shadow table is as it is there.
 */
import { closeSync, fsyncSync, openSync, writeSync } from 'node:fs';
import { failureIn, type LinkFailure, type SqlLink, type WireAnswer } from './sql-link.ts';
import { TransferError } from './transfer-error.ts';

/** Bytes of pages in one answer: in base64 a tenth of what a gateway answers at most. */
const answerBytes = 4 * 1024 * 1024;
/** A copy whose transaction was lost begins anew at a newer read point. */
const attemptsMax = 3;

/** What a copy shows: everything up to this LSN and nothing beyond. */
export interface ReadPoint {
  readonly lsn: number;
  /** When the newest commit in it was made, ISO 8601; null when the gateway has seen no commit since it began to follow the log. */
  readonly committedAt: string | null;
}

export interface ExportSight {
  readonly bytes: number;
  readonly ofBytes: number;
}

export interface ExportListener {
  begun(readPoint: ReadPoint): void;
  progress(sight: ExportSight): void;
  note(text: string): void;
}

const integerOf = (value: WireAnswer | undefined): number =>
  value?.type === 'integer' ? Number(value.value) : 0;

function positionOf(value: WireAnswer | undefined, gateway: string): ReadPoint {
  const found = value?.type === 'text' ? /^(\d+)(?: (.+))?$/.exec(value.value) : null;
  if (found === null)
    throw new TransferError(
      `${gateway} does not know PRAGMA sextant_position: is it a gateway of this version?`,
    );
  return { lsn: Number(found[1]), committedAt: found[2] ?? null };
}

/** What a new volume holds: not even a header. */
const isEmpty = (pages: number): boolean => pages === 0;

const codesOfReadOnly = ['BLOCKED', 'SQLITE_AUTH'];

/** The transaction is gone; anything else would fail again. */
const isPassing = ({ code }: LinkFailure): boolean =>
  code === null ||
  ['STREAM_EXPIRED', 'BATON_INVALID', 'SQLITE_INTERRUPT', 'SQLITE_BUSY', 'TRANSACTION_BUSY'].includes(code) ||
  code.startsWith('SEXTANT_');

/**
 * Writes the database to `path`, which is made or overwritten, and flushes it.
 * @throws TransferError when the gateway does not answer, or three times lost the transaction that the copy is made in.
 */
export async function exportPages(link: SqlLink, path: string, listener: ExportListener): Promise<ReadPoint> {
  for (let attempt = 1; ; attempt += 1) {
    const file = openSync(path, 'w');
    try {
      const done = await copy(link, file, listener);
      if ('lsn' in done) return done;
      const { message, code } = done;
      if (!isPassing(done) || attempt === attemptsMax || done.isFirst)
        throw new TransferError(
          done.isFirst
            ? message
            : `the copy was cut off (${message}), ${attempt} of ${attemptsMax} times. What there is of it is removed`,
          code ?? undefined,
        );
      listener.note(`the copy was cut off (${message}): it begins anew, at a newer read point`);
    } finally {
      closeSync(file);
    }
  }
}

type Cut = LinkFailure & { readonly isFirst: boolean };

async function copy(link: SqlLink, file: number, listener: ExportListener): Promise<ReadPoint | Cut> {
  const opened = await link.askOn(null, [
    { sql: 'BEGIN TRANSACTION READONLY' },
    { sql: 'SELECT count(*) FROM sqlite_schema' },
    { sql: 'PRAGMA sextant_position' },
    { sql: 'PRAGMA page_count' },
    { sql: 'PRAGMA page_size' },
  ]);
  const refused = failureIn(opened);
  if (refused !== null) return { ...refused, isFirst: true };
  if (opened.kind === 'failed') return { ...opened, isFirst: true };
  const [, , position, count, size] = opened.rows.map((rows) => rows?.[0]?.[0]);
  const readPoint = positionOf(position, link.gateway);
  const [pages, pageBytes] = [integerOf(count), integerOf(size)];
  if (isEmpty(pages)) throw new TransferError('there is nothing to export: the database has no table yet');
  listener.begun(readPoint);
  let { baton } = opened;
  const pagesAtOnce = Math.max(1, Math.floor(answerBytes / pageBytes));
  for (let first = 1; first <= pages; first += pagesAtOnce) {
    const last = Math.min(pages, first + pagesAtOnce - 1);
    const answer = await link.askOn(baton, [{ sql: pagesSql(first, last) }]);
    const failure = failureIn(answer);
    if (failure !== null) {
      if (codesOfReadOnly.includes(failure.code ?? ''))
        throw new TransferError(
          `${failure.message}; an export needs to read sqlite_dbpage`,
          failure.code ?? undefined,
        );
      return { ...failure, isFirst: false };
    }
    if (answer.kind === 'failed') return { ...answer, isFirst: false };
    baton = answer.baton;
    const bytes = Buffer.concat((answer.rows[0] ?? []).map(([data]) => pageOf(data)));
    if (bytes.length !== (last - first + 1) * pageBytes)
      throw new TransferError(`${link.gateway} left out pages between ${first} and ${last}`);
    writeSync(file, bytes, 0, bytes.length, (first - 1) * pageBytes);
    listener.progress({ bytes: last * pageBytes, ofBytes: pages * pageBytes });
  }
  await link.askOn(baton, [{ sql: 'ROLLBACK' }]);
  fsyncSync(file);
  return readPoint;
}

/** The table of pages is asked for each by its number: a range would make it go through all of them. */
const pagesSql = (first: number, last: number): string =>
  `WITH RECURSIVE n(page) AS (SELECT ${first} UNION ALL SELECT page + 1 FROM n WHERE page < ${last}) ` +
  'SELECT p.data FROM n CROSS JOIN sqlite_dbpage p WHERE p.pgno = n.page ORDER BY n.page';

const pageOf = (value: WireAnswer | undefined): Buffer =>
  Buffer.from(value?.type === 'blob' ? value.base64 : '', 'base64');
