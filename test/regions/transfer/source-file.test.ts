import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { gzipSync } from 'node:zlib';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { dumpLines } from '../../../regions/transfer/dump.ts';
import { openSource } from '../../../regions/transfer/source-file.ts';
import { survey } from '../../../regions/transfer/survey.ts';
import { makeAwkwardFile } from './awkward-file.ts';
import { contentsOf } from './contents.ts';

let directory = '';
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'sextant-source-'));
  // What is made on the way is looked for there.
  vi.stubEnv('TMPDIR', directory);
});
afterEach(() => {
  vi.unstubAllEnvs();
  rmSync(directory, { recursive: true, force: true });
});

const file = (name: string): string => join(directory, name);
const write = (name: string, content: string | Buffer): string => {
  writeFileSync(file(name), content);
  return file(name);
};

/** The text of a file's dump. */
function dumpOf(path: string): string {
  const db = new DatabaseSync(path, { readOnly: true });
  try {
    return [
      ...dumpLines(
        db,
        survey(db, () => {}),
        () => {},
      ),
    ].join('');
  } finally {
    db.close();
  }
}

/** What is read of a source, saved as a file. */
async function readBack(path: string) {
  const source = await openSource(path, () => {});
  try {
    source.db.exec('COMMIT');
    source.db.exec(`VACUUM INTO '${file('read.db')}'`);
  } finally {
    source.close();
  }
  return { kind: source.kind, ...contentsOf(file('read.db')) };
}

const messageOf = (work: Promise<unknown>): Promise<string> =>
  work.then(
    () => 'it succeeded',
    (error: unknown) => (error instanceof Error ? error.message : String(error)),
  );

test('a dump makes the database that it was made of', async () => {
  makeAwkwardFile(file('a.db'));
  const { kind, ...read } = await readBack(write('a.sql', dumpOf(file('a.db'))));
  expect(kind).toBe('SQL text');
  expect(read).toEqual(contentsOf(file('a.db')));
});

test('what is compressed is what is in it', async () => {
  makeAwkwardFile(file('a.db'));
  const expected = contentsOf(file('a.db'));
  for (const [content, kind] of [
    [readFileSync(file('a.db')), 'SQLite file'],
    [Buffer.from(dumpOf(file('a.db'))), 'SQL text'],
  ] as const) {
    expect(await readBack(write('packed', gzipSync(content)))).toEqual({ kind, ...expected });
    rmSync(file('read.db'));
  }
});

test('the sqlite3 shell reads a dump, and its own dump is read', async (context) => {
  if (spawnSync('sqlite3', ['--version']).status !== 0) return context.skip('there is no sqlite3 here');
  const shell = (path: string, input: string, ...args: string[]) =>
    spawnSync('sqlite3', [path, ...args], { input, encoding: 'utf8' });
  makeAwkwardFile(file('a.db'));
  expect(shell(file('b.db'), dumpOf(file('a.db'))).stderr).toBe('');
  expect(contentsOf(file('b.db'))).toEqual(contentsOf(file('a.db')));
  // The shell's dump holds no rowids, and cannot hold every text.
  const plain = new DatabaseSync(file('plain.db'));
  plain.exec(
    "CREATE TABLE t (a PRIMARY KEY, b); INSERT INTO t VALUES ('x;y', x'00ff'), (1.5, NULL); CREATE VIEW v AS SELECT 1",
  );
  plain.close();
  const dump = shell(file('plain.db'), '', '.dump').stdout;
  const { kind, ...read } = await readBack(write('shell.sql', dump));
  expect(kind).toBe('SQL text');
  expect(read).toEqual(contentsOf(file('plain.db')));
});

test('a statement larger than the pieces that are read is one statement', async () => {
  const long = 'abc;\n'.repeat(700_000);
  await readBack(
    write('long.sql', `CREATE TABLE t (a); INSERT INTO t VALUES ('${long}'); INSERT INTO t VALUES (2)`),
  );
  const { tables } = contentsOf(file('read.db'));
  expect(tables.t).toHaveLength(2);
});

test.each<[string, string | Buffer, RegExp]>([
  [
    'fails',
    'CREATE TABLE t (a); INSERT INTO u VALUES (1)',
    /statement 2 fails \(no such table: u\): INSERT INTO u/,
  ],
  ['is cut off', 'BEGIN; CREATE TABLE t (a); INSERT INTO t VALUES (1);', /ends within a transaction/],
  [
    'is cut off in a statement',
    "CREATE TABLE t (a); INSERT INTO t VALUES ('x",
    /statement 2 fails \(unrecognized token/,
  ],
  ['is a script of the shell', '.open other.db\nCREATE TABLE t (a);', /commands of the sqlite3 shell/],
  ['names another file', "ATTACH 'other.db' AS o; CREATE TABLE o.t (a)", /not authorized/],
  ['is no UTF-8', Buffer.from([0x43, 0xff, 0xfe, 0x3b]), /not UTF-8/],
  ['is empty', '', /is empty/],
  ['is a database that is cut off', Buffer.from('SQLite format 3\0'), /cannot be read as a SQLite database/],
])('a file that %s is refused with the reason', async (_what, content, message) => {
  expect(await messageOf(openSource(write('given', content), () => {}))).toMatch(message);
  expect(existsSync(file('other.db'))).toBe(false);
  expect(readdirSync(directory).filter((name) => name.startsWith('sextant-import-'))).toEqual([]);
});

test('a file is read as it was when it was opened', async () => {
  const writer = new DatabaseSync(file('busy.db'));
  writer.exec('PRAGMA journal_mode = WAL; CREATE TABLE t (a); INSERT INTO t VALUES (1)');
  const source = await openSource(file('busy.db'), () => {});
  writer.exec('INSERT INTO t VALUES (2)');
  expect(survey(source.db, () => {}).tables[0]?.rows).toBe(1);
  source.close();
  writer.close();
});
