import { DatabaseSync } from 'node:sqlite';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { dumpValue } from '../../../regions/transfer/core/dump-value.ts';
import { batchRequest, type ImportStep, takeBatch } from '../../../regions/transfer/core/import-batch.ts';
import {
  type ImportPart,
  importPlan,
  lateIndexBytes,
  type SourceSchema,
  type SourceTable,
} from '../../../regions/transfer/core/import-plan.ts';
import { resumption, troubleOf } from '../../../regions/transfer/core/import-trouble.ts';
import { progressFigures } from '../../../regions/transfer/core/progress.ts';
import { moduleOf } from '../../../regions/transfer/core/schema-words.ts';
import { encodeWireValue, type FileValue } from '../../../regions/transfer/core/wire-value.ts';

const table = (name: string, rows: number): SourceTable => ({
  name,
  sql: `CREATE TABLE ${name} (a)`,
  isShadow: false,
  columns: ['a'],
  rowid: 'rowid',
  rows,
  bytes: rows * 10,
  largestRowBytes: 10,
});

const schema: SourceSchema = {
  tables: [table('full', 5), table('none', 0)],
  objects: [
    { kind: 'trigger', name: 'g', table: 'full', sql: 'CREATE TRIGGER g', bytes: 0 },
    { kind: 'index', name: 'large', table: 'full', sql: 'CREATE INDEX large', bytes: lateIndexBytes + 1 },
    { kind: 'index', name: 'little', table: 'full', sql: 'CREATE INDEX little', bytes: lateIndexBytes },
    { kind: 'view', name: 'v', table: 'v', sql: 'CREATE VIEW v', bytes: 0 },
    { kind: 'virtual', name: 'f', table: 'f', sql: 'CREATE VIRTUAL TABLE f USING fts5(x)', bytes: 0 },
  ],
  sequences: [{ name: 'full', seq: 9n }],
  statistics: [],
  userVersion: 3,
  applicationId: 0,
  notes: [],
};

const shown = (part: ImportPart): string =>
  part.kind === 'rows' ? `rows ${part.table.name}` : part.sql.split(' ').slice(0, 3).join(' ');

test('rows come before all that is in their way, but for an index too large to be made at once', () => {
  expect(importPlan(schema, true).map(shown)).toEqual([
    'CREATE TABLE full',
    'CREATE TABLE none',
    'CREATE INDEX large',
    'rows full',
    'DELETE FROM sqlite_sequence',
    'INSERT INTO sqlite_sequence',
    'CREATE INDEX little',
    'PRAGMA writable_schema =',
    'INSERT INTO sqlite_schema',
    'CREATE TABLE sextant_import_schema',
    'DROP TABLE sextant_import_schema',
    'PRAGMA writable_schema =',
    'CREATE VIEW v',
    'CREATE TRIGGER g',
    'PRAGMA user_version =',
  ]);
});

test('what has numbers of its own keeps them', () => {
  expect(importPlan(schema, false).map(shown)).not.toContain('PRAGMA user_version =');
});

describe('a request takes', () => {
  const step = (at: number, bytes: number, entries = 1, joins = false): ImportStep => ({
    sql: `step ${at}`,
    args: [],
    rows: 1,
    bytes,
    what: '',
    after: { part: at + 1, row: 0 },
    entries,
    joins,
  });
  const take = (
    steps: readonly ImportStep[],
    limits = { bytes: 100, steps: 3, entries: 10 },
  ): readonly number[] => {
    const [left, ahead, sizes] = [steps.values(), { next: null }, [] as number[]];
    let from = { part: 0, row: 0 };
    for (;;) {
      const batch = takeBatch(from, left, ahead, limits);
      if (batch === null) return sizes;
      sizes.push(batch.steps.length);
      expect(batch.isFirst).toBe(sizes.length === 1);
      expect(batch.isLast).toBe(sizes.reduce((sum, size) => sum + size, 0) === steps.length);
      expect(batch.from).toEqual(from);
      from = batch.to;
    }
  };
  test.each<[string, readonly ImportStep[], readonly number[]]>([
    ['nothing of nothing', [], []],
    ['as many steps as it may', [1, 1, 1, 1].map((bytes, at) => step(at, bytes)), [3, 1]],
    ['as many bytes', [60, 40, 1].map((bytes, at) => step(at, bytes)), [2, 1]],
    ['as many entries of indexes', [4, 6, 1].map((entries, at) => step(at, 1, entries)), [2, 1]],
    [
      'what belongs together, beyond every bound',
      [1, 90, 90].map((bytes, at) => step(at, bytes, 1, at > 0)),
      [3],
    ],
    ['one step that is beyond every bound', [5, 500, 5].map((bytes, at) => step(at, bytes)), [1, 1, 1]],
  ])('%s', (_what, steps, sizes) => expect(take(steps)).toEqual(sizes));

  test('a note of progress that follows the one before it, unless it is all there is (R80)', () => {
    const of = (isFirst: boolean, isLast: boolean): readonly string[] => {
      const from = { part: isFirst ? 0 : 4, row: isFirst ? 0 : 70 };
      const request = batchRequest(
        { steps: [step(8, 1)], from, to: { part: 9, row: 0 }, isFirst, isLast },
        'file',
      );
      const { requests } = JSON.parse(request.body) as {
        requests: [{ batch: { steps: { stmt: { sql: string } }[] } }];
      };
      const all = requests[0].batch.steps.map(({ stmt }) => stmt.sql.split(' ').slice(0, 3).join(' '));
      expect(all[request.firstStep]).toBe('step 8');
      expect(all[request.commitStep]).toBe('COMMIT');
      return all;
    };
    const [open, close] = [
      ['PRAGMA foreign_keys =', 'BEGIN IMMEDIATE'],
      ['COMMIT', 'ROLLBACK'],
    ];
    const [make, note, go, end] = [
      'CREATE TABLE sextant_import',
      'INSERT INTO sextant_import',
      'UPDATE sextant_import SET',
      'DROP TABLE sextant_import',
    ];
    expect(of(true, true)).toEqual([...open, 'step 8', ...close]);
    expect(of(true, false)).toEqual([...open, make, note, 'step 8', ...close]);
    expect(of(false, false)).toEqual([...open, go, 'step 8', ...close]);
    expect(of(false, true)).toEqual([...open, go, 'step 8', end, ...close]);
  });
});

test.each<[string | null, boolean, string]>([
  [null, false, 'again'],
  ['SEXTANT_COMMIT_UNKNOWN', false, 'again'],
  ['SEXTANT_MOVE_IN_PROGRESS', true, 'again'],
  ['SEXTANT_TRANSACTION_TOO_LARGE', false, 'smaller'],
  ['SQLITE_INTERRUPT', false, 'smaller'],
  ['SQLITE_CONSTRAINT', true, 'moved'],
  ['SQLITE_CONSTRAINT', false, 'stop'],
  ['AUTH_SCOPE_MISSING', false, 'stop'],
])('after %s (at the note: %s) an import does this: %s', (code, isNote, trouble) =>
  expect(troubleOf(code, isNote)).toBe(trouble),
);

describe('where an import goes on (R80)', () => {
  const note = { source: 'file', part: 3, row: 400 };
  const last = { isFirst: false, isLast: true };
  test.each<[string, Parameters<typeof resumption>, ReturnType<typeof resumption>]>([
    ['where the note says', [{ objects: 3, ours: 2, note }, 'file', null], { kind: 'at', part: 3, row: 400 }],
    [
      'at the beginning, when nothing is there',
      [{ objects: 1, ours: 0, note: null }, 'file', last],
      { kind: 'at', part: 0, row: 0 },
    ],
    [
      'nowhere: the last request ended it',
      [{ objects: 2, ours: 2, note: null }, 'file', last],
      { kind: 'done' },
    ],
    [
      'nowhere: the note is gone, and it had not ended',
      [{ objects: 2, ours: 2, note: null }, 'file', { isFirst: false, isLast: false }],
      { kind: 'lost' },
    ],
    [
      'nowhere: it is the import of another file',
      [{ objects: 2, ours: 2, note }, 'other', null],
      { kind: 'foreign' },
    ],
  ])('%s', (_what, given, expected) => expect(resumption(...given)).toEqual(expected));
});

test('values arrive as they are stored', () => {
  const wire = (value: FileValue): { type: string; value: string; base64: string } =>
    JSON.parse(encodeWireValue(value).json);
  fc.assert(fc.property(fc.double({ noNaN: true }), (value) => Object.is(wire(value).value, value)));
  fc.assert(fc.property(fc.string({ unit: 'binary' }), (value) => wire(value).value === value));
  fc.assert(
    fc.property(fc.bigInt(-(2n ** 63n), 2n ** 63n - 1n), (value) => BigInt(wire(value).value) === value),
  );
  fc.assert(
    fc.property(fc.uint8Array(), (value) =>
      Buffer.from(value).equals(Buffer.from(wire(value).base64, 'base64')),
    ),
  );
});

test('literals of a dump are what SQLite reads', () => {
  const db = new DatabaseSync(':memory:');
  const read = (value: FileValue): unknown => {
    const statement = db.prepare(`SELECT ${dumpValue(value)}, typeof(${dumpValue(value)})`);
    statement.setReadBigInts(true);
    return Object.values(statement.get() ?? {});
  };
  const exactly = (value: FileValue, type: string): void => {
    expect(read(value)).toEqual([value, type]);
  };
  fc.assert(
    fc.property(fc.double({ noNaN: true }), (value) => void exactly(value, 'real')),
    { numRuns: 2_000 },
  );
  fc.assert(fc.property(fc.string({ unit: 'binary' }), (value) => void exactly(value, 'text')));
  fc.assert(fc.property(fc.bigInt(-(2n ** 63n), 2n ** 63n - 1n), (value) => void exactly(value, 'integer')));
  for (const value of [0, -0, 1, -(2n ** 63n), 'a\0b', "it's"])
    exactly(value, typeof value === 'string' ? 'text' : typeof value === 'bigint' ? 'integer' : 'real');
  exactly(null, 'null');
  db.close();
});

test.each<[string, string | null]>([
  ['CREATE VIRTUAL TABLE words USING fts5(a, b)', 'fts5'],
  ['CREATE VIRTUAL TABLE IF NOT EXISTS main."odd ""one" USING "RTree"(id, x, y)', 'rtree'],
  ['create virtual table [a b] using geopoly', 'geopoly'],
  ["CREATE VIRTUAL TABLE 'quoted' USING fts5(a)", 'fts5'],
  ["CREATE TABLE t (a DEFAULT 'CREATE VIRTUAL TABLE t USING fts5')", null],
])('the module of %s is %s', (sql, name) => expect(moduleOf(sql)).toBe(name));

test('what is left is told by how fast it went', () => {
  expect(progressFigures({ bytes: 250, ofBytes: 1_000, elapsedMs: 500 })).toEqual({
    share: 0.25,
    bytesPerSecond: 500,
    remainingMs: 1_500,
  });
  expect(progressFigures({ bytes: 0, ofBytes: 10, elapsedMs: 0 }).remainingMs).toBeNull();
  expect(progressFigures({ bytes: 0, ofBytes: 0, elapsedMs: 10 }).share).toBe(1);
});
