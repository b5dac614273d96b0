/** Opens what is to be imported: a SQLite file as it is, anything else by way of a database file made of it. */
import { createReadStream, createWriteStream, mkdtempSync, statSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { type Readable, Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGunzip } from 'node:zlib';
import { runSqlText } from './sql-file.ts';
import { temporary } from './temporary.ts';
import { TransferError } from './transfer-error.ts';

const sqliteMagic = Buffer.from('SQLite format 3\0');
const gzipMagic = Buffer.from([0x1f, 0x8b]);
const pieceBytes = 1024 * 1024;

export type SourceKind = 'SQLite file' | 'SQL text';

/** A file to import, and what to clean up. */
export interface OpenSource {
  readonly db: DatabaseSync;
  readonly kind: SourceKind;
  readonly path: string;
  close(): void;
}

/** Told while a file is being made ready. `ofBytes` is null where it is not known. */
export type ReadyProgress = (what: string, bytes: number, ofBytes: number | null) => void;

async function firstBytes(path: string): Promise<Buffer> {
  const file = await open(path, 'r');
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(sqliteMagic.length), 0, sqliteMagic.length, 0);
    return buffer.subarray(0, bytesRead);
  } finally {
    await file.close();
  }
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** A stream whose first bytes have been looked at and are still in it. */
async function peeked(
  stream: Readable,
): Promise<{ readonly head: Buffer; readonly pieces: AsyncGenerator<Uint8Array> }> {
  const iterator: AsyncIterator<Buffer> = stream[Symbol.asyncIterator]();
  const early: Buffer[] = [];
  let length = 0;
  while (length < sqliteMagic.length) {
    const { value, done } = await iterator.next();
    if (done === true) break;
    early.push(value);
    length += value.length;
  }
  async function* pieces(): AsyncGenerator<Uint8Array> {
    yield* early;
    for (;;) {
      const { value, done } = await iterator.next();
      if (done === true) return;
      yield value;
    }
  }
  return { head: Buffer.concat(early), pieces: pieces() };
}

function counted(onBytes: (bytes: number) => void): Transform {
  let bytes = 0;
  return new Transform({
    transform(piece: Buffer, _encoding, done) {
      bytes += piece.length;
      onBytes(bytes);
      done(null, piece);
    },
  });
}

/** A file is read as it was at one moment, also while a program writes to it. */
function openFile(path: string): DatabaseSync {
  const db = new DatabaseSync(path, { readOnly: true, allowExtension: false });
  try {
    db.exec('BEGIN');
    db.prepare('SELECT count(*) FROM sqlite_schema').get();
    return db;
  } catch (error) {
    db.close();
    const reason = reasonOf(error);
    const hint = reason.includes('malformed database schema')
      ? '. If libSQL wrote the file: SQLite has neither RANDOM ROWID nor vector indexes, so drop what the message names there'
      : '';
    throw new TransferError(`${path} cannot be read as a SQLite database: ${reason}${hint}`);
  }
}

/**
 * @param given a path, or `-` for what is piped in. Which kind it is, its first bytes say, also when it is compressed with gzip.
 * @throws TransferError when it cannot be read.
 */
export async function openSource(given: string, onProgress: ReadyProgress): Promise<OpenSource> {
  const isPiped = given === '-';
  const size = isPiped ? null : sizeOf(given);
  const start = isPiped ? null : await firstBytes(given);
  if (start?.equals(sqliteMagic) === true) return openAs(openFile(given), 'SQLite file', given, () => {});
  if (size === 0) throw new TransferError(`${given} is empty`);
  const directory = temporary(mkdtempSync(join(tmpdir(), 'sextant-import-')));
  const clean = (): void => directory.remove();
  try {
    const made = join(directory.path, 'import.db');
    const raw = isPiped ? process.stdin : createReadStream(given, { highWaterMark: pieceBytes });
    const counting = counted((bytes) => onProgress('reading', bytes, size));
    const first = await peeked(raw.pipe(counting));
    const isPacked = first.head.subarray(0, 2).equals(gzipMagic);
    const { head, pieces } = isPacked ? await peeked(unpacked(first.pieces)) : first;
    if (head.subarray(0, sqliteMagic.length).equals(sqliteMagic)) {
      await pipeline(pieces, createWriteStream(made));
      return openAs(openFile(made), 'SQLite file', given, clean);
    }
    const db = new DatabaseSync(made);
    try {
      await runSqlText(db, inPieces(pieces));
    } finally {
      db.close();
    }
    return openAs(openFile(made), 'SQL text', given, clean);
  } catch (error) {
    clean();
    if (error instanceof TransferError)
      throw new TransferError(`${given === '-' ? 'what is piped in' : given}: ${error.message}`);
    throw new TransferError(`${given} cannot be read: ${reasonOf(error)}`);
  }
}

function sizeOf(path: string): number {
  try {
    const found = statSync(path);
    if (found.isDirectory()) throw new TransferError(`${path} is a directory`);
    return found.size;
  } catch (error) {
    if (error instanceof TransferError) throw error;
    throw new TransferError(`${path} cannot be read: ${reasonOf(error)}`);
  }
}

function unpacked(pieces: AsyncGenerator<Uint8Array>): Readable {
  const gunzip = createGunzip();
  void pipeline(pieces, gunzip).catch((error: unknown) =>
    gunzip.destroy(error instanceof Error ? error : undefined),
  );
  return gunzip;
}

/** Statements are looked for once per piece: small pieces would make a large statement slow. */
async function* inPieces(pieces: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  let waiting: Uint8Array[] = [];
  let bytes = 0;
  for await (const piece of pieces) {
    waiting.push(piece);
    bytes += piece.length;
    if (bytes < pieceBytes) continue;
    yield Buffer.concat(waiting);
    waiting = [];
    bytes = 0;
  }
  if (bytes > 0) yield Buffer.concat(waiting);
}

function openAs(db: DatabaseSync, kind: SourceKind, path: string, clean: () => void): OpenSource {
  return {
    db,
    kind,
    path,
    close: () => {
      db.close();
      clean();
    },
  };
}
