/** The pure parts of a replay: which writes, what they come to together, what is to be done with each row. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Difference } from '../../../regions/compare/core/difference.ts';
import { RowMerge } from '../../../regions/compare/core/row-merge.ts';
import type { SchemaChange } from '../../../regions/compare/core/schema-changes.ts';
import type { Shape } from '../../../regions/compare/core/table-shape.ts';
import { allWrites, writesOf } from '../../../regions/replay/core/chosen-writes.ts';
import { compose } from '../../../regions/replay/core/composed-loss.ts';
import { copiesWanted, judge } from '../../../regions/replay/core/judgement.ts';
import type { LostRow } from '../../../regions/replay/core/lost-row.ts';
import { batchesOf, replayOrder } from '../../../regions/replay/core/replay-order.ts';
import { lostSchema } from '../../../regions/replay/core/schema-left.ts';
import { suspendedTriggers } from '../../../regions/replay/core/target.ts';

const [a, b] = ['ab'.repeat(16), 'cd'.repeat(16)];

describe('writes of a loss', () => {
  const commit = (lsn: number, traceId: string | null) => ({ lsn, commitTimeUs: lsn, traceId });
  const report = {
    orphanEpoch: 3,
    fromLsn: 100,
    toLsn: 160,
    count: 5,
    commits: [commit(160, b), commit(110, a), commit(120, null), commit(130, b), commit(140, b)],
  };

  test.each<[string, string[], { before: string; after: string }[]]>([
    ['the first one', [a], [{ before: '3:109', after: '3:110' }]],
    ['one by its LSN', ['120'], [{ before: '3:119', after: '3:120' }]],
    ['neighbours as one span', [b.toUpperCase()], [{ before: '3:129', after: '3:160' }]],
    [
      'with a gap',
      [a, b],
      [
        { before: '3:109', after: '3:110' },
        { before: '3:129', after: '3:160' },
      ],
    ],
    ['all', [a, b, '120'], [{ before: '3:109', after: '3:160' }]],
  ])('chosen: %s', (_what, names, spans) => expect(writesOf(report, names)).toMatchObject({ spans }));

  test('that are not there are named, with the traces there are', () => {
    expect(writesOf(report, ['121', a])).toEqual({ kind: 'unknown', names: ['121'], traces: [a, b] });
    expect(allWrites(report)).toMatchObject({ spans: [{ before: '3:100', after: '3:160' }], writes: 5 });
  });
});

const shape: Shape = {
  name: 't',
  columns: ['k', 'x', 'y'],
  primaryKey: ['k'],
  rowid: 'rowid',
  before: { key: [], values: [] },
  after: { key: [], values: [] },
};
type Values = readonly string[] | null;
const lostRow = (before: Values, after: Values, keyed = true): LostRow => ({
  shape,
  key: [(before ?? after)?.[0] ?? 'NULL'],
  keyed,
  before,
  after,
});

/** A table as its rows by key, each with a rowid of its own. */
type State = ReadonlyMap<number, { readonly rowid: number; readonly values: readonly string[] }>;

function differing(before: State, after: State): Difference {
  const merge = new RowMerge();
  const rowsOf = (state: State) =>
    [...state.values()]
      .sort((x, y) => x.rowid - y.rowid)
      .map(({ rowid, values }) => ({ key: [`${rowid}`], values }));
  const rows = [...merge.give('before', rowsOf(before), true), ...merge.give('after', rowsOf(after), true)];
  const table = { shape, inserted: 0, changed: 0, deleted: 0, rows, triggers: [] };
  return { schema: [], tables: rows.length === 0 ? [] : [table], notCompared: [] };
}

const step = fc.record({
  key: fc.integer({ min: 1, max: 3 }),
  what: fc.constantFrom('delete', 'replace', 'x', 'y'),
  value: fc.integer({ min: 0, max: 2 }),
});

function history(
  steps: readonly (typeof step extends fc.Arbitrary<infer S> ? S : never)[],
): readonly State[] {
  const states: State[] = [new Map()];
  for (const [at, { key, what, value }] of steps.entries()) {
    const next = new Map(states.at(-1));
    const known = next.get(key);
    if (what === 'delete') next.delete(key);
    else if (what === 'replace' || known === undefined)
      next.set(key, { rowid: 10 + at, values: [`${key}`, `${value}`, `${value}`] });
    else {
      const values = known.values.map((old, column) =>
        column === (what === 'x' ? 1 : 2) ? `${value}` : old,
      );
      next.set(key, { ...known, values });
    }
    states.push(next);
  }
  return states;
}

describe('spans of lost writes', () => {
  const byKey = (rows: readonly LostRow[]) =>
    rows
      .map(({ key, before, after }) => ({ key, before, after }))
      .sort((x, y) => Number(x.key[0]) - Number(y.key[0]));

  test('that follow upon each other come to what lies between their ends', () => {
    fc.assert(
      fc.property(fc.array(step, { minLength: 1, maxLength: 12 }), fc.nat(), (steps, cut) => {
        const states = history(steps).slice(cut % steps.length);
        const spans = states.slice(1).map((after, at) => differing(states[at] ?? new Map(), after));
        const whole = compose([differing(states[0] ?? new Map(), states.at(-1) ?? new Map())]);
        const parts = compose(spans);
        expect(parts.entangled).toEqual([]);
        expect(byKey(parts.rows)).toEqual(byKey(whole.rows));
      }),
    );
  });

  test.each<
    [string, [Values, Values], [Values, Values], { before: Values; after: Values } | 'between' | 'nothing']
  >([
    [
      'other columns',
      [
        ['1', 'a', 'p'],
        ['1', 'b', 'p'],
      ],
      [
        ['1', 'z', 'p'],
        ['1', 'z', 'q'],
      ],
      { before: ['1', 'a', 'p'], after: ['1', 'b', 'q'] },
    ],
    [
      'the same column',
      [
        ['1', 'a', 'p'],
        ['1', 'b', 'p'],
      ],
      [
        ['1', 'c', 'p'],
        ['1', 'd', 'p'],
      ],
      'between',
    ],
    ['a row that was made again', [['1', 'a', 'p'], null], [['1', 'b', 'p'], null], 'between'],
    ['a row that came and went', [null, ['1', 'a', 'p']], [['1', 'a', 'p'], null], 'nothing'],
    [
      'a row that went and came',
      [['1', 'a', 'p'], null],
      [null, ['1', 'b', 'p']],
      { before: ['1', 'a', 'p'], after: ['1', 'b', 'p'] },
    ],
  ])('with a write between them that was not chosen: %s', (_what, first, second, expected) => {
    const span = ([before, after]: [Values, Values]): Difference => {
      const state = (values: Values): State => new Map(values === null ? [] : [[1, { rowid: 1, values }]]);
      return differing(state(before), state(after));
    };
    const { rows, entangled } = compose([span(first), span(second)]);
    if (expected === 'between') expect([rows, entangled]).toMatchObject([[], [{ why: 'between' }]]);
    else expect([rows, entangled]).toMatchObject([expected === 'nothing' ? [] : [expected], []]);
  });

  test('between which the table was altered come to nothing', () => {
    const span = differing(new Map(), new Map([[1, { rowid: 1, values: ['1', 'a', 'p'] }]]));
    const [table] = span.tables;
    if (table === undefined) throw new Error('a table differs');
    const narrow = { ...shape, columns: ['k', 'x'] };
    const other = { ...span, tables: [{ ...table, shape: narrow }] };
    expect(compose([span, other]).entangled).toMatchObject([{ why: 'altered' }]);
  });

  test('say of the schema what it came to in the end', () => {
    const of = (change: SchemaChange['change'], name: string, sql = ''): Difference => ({
      schema: [{ type: 'table', name, table: name, sql, change }],
      tables: [],
      notCompared: [],
    });
    const { schema } = compose([
      of('created', 'gone'),
      of('dropped', 'gone'),
      of('created', 'fresh', 'one'),
      of('altered', 'fresh', 'two'),
      of('dropped', 'old'),
      of('created', 'old', 'again'),
    ]);
    expect(schema.map(({ change, name, sql }) => [change, name, sql])).toEqual([
      ['created', 'fresh', 'two'],
      ['altered', 'old', 'again'],
    ]);
  });
});

describe('a lost row beside what is there now', () => {
  const [old, lost, other] = [
    ['1', 'a', 'p'],
    ['1', 'b', 'p'],
    ['1', 'c', 'p'],
  ];
  test.each<[string, LostRow, Values, string]>([
    ['inserted, nothing there', lostRow(null, lost), null, 'apply'],
    ['inserted, itself there', lostRow(null, lost), lost, 'there'],
    ['inserted, another there', lostRow(null, lost), other, 'key taken'],
    ['inserted, its like there', lostRow(null, ["'a'", '1', '1']), ["'A'", '1', '1'], 'key taken'],
    ['deleted, as it was', lostRow(old, null), old, 'apply'],
    ['deleted, gone', lostRow(old, null), null, 'there'],
    ['deleted, changed since', lostRow(old, null), other, 'changed since'],
    ['deleted, its like there', lostRow(["'a'", '1', '1'], null), ["'A'", '1', '1'], 'there'],
    ['changed, as it was', lostRow(old, lost), old, 'apply'],
    ['changed, as it was where it matters', lostRow(old, lost), ['1', 'a', 'new'], 'apply'],
    ['changed, brought back', lostRow(old, lost), ['1', 'b', 'new'], 'there'],
    ['changed, changed since', lostRow(old, lost), other, 'changed since'],
    ['changed, deleted since', lostRow(old, lost), null, 'deleted since'],
    ['changed in two columns, of which one is back', lostRow(old, ['1', 'b', 'q']), lost, 'changed since'],
    ['without a key, changed elsewhere since', lostRow(old, lost, false), ['1', 'a', 'new'], 'changed since'],
  ])('%s', (_what, row, now, expected) => {
    const verdict = judge(row, now);
    expect(verdict.kind === 'conflict' ? verdict.reason : verdict.kind).toBe(expected);
  });

  test.each<[fork: number, inserted: number, made: number, gone: number, now: number, wanted: number | null]>(
    [
      [0, 2, 0, 0, 0, 2],
      [0, 2, 0, 0, 1, 1],
      [0, 2, 0, 0, 2, 0],
      [0, 2, 0, 0, 5, 0],
      [3, 1, 0, 0, 3, 1],
      [3, 1, 0, 0, 2, null],
      [3, 1, 0, 2, 1, 1],
      [3, 1, 1, 0, 4, 1],
    ],
  )(
    '%i at the fork, %i inserted, %i made, %i gone, %i now: %s are to be inserted',
    (fork, inserted, made, gone, now, wanted) =>
      expect(copiesWanted({ fork, inserted, made, gone, now })).toBe(wanted),
  );
});

describe('the order of rows', () => {
  const staff: Shape = { ...shape, name: 'staff', columns: ['id', 'boss'], primaryKey: ['id'] };
  const key = { child: 'STAFF', from: ['Boss'], parent: 'staff', to: ['id'] };
  const person = (id: number, boss: number): readonly string[] => [`${id}`, `${boss}`];
  const row = (before: Values, after: Values): LostRow => ({ ...lostRow(before, after), shape: staff });

  test('has whoever is referred to first, and deleted last', () => {
    const chain = Array.from({ length: 20_000 }, (_, at) => person(at, at + 1));
    const inserted = replayOrder(
      chain.map((values) => row(null, values)),
      [key],
    );
    expect(inserted.map(({ after }) => after?.[0])).toEqual(chain.map(([id]) => id).reverse());
    const deleted = replayOrder(
      chain.toReversed().map((values) => row(values, null)),
      [key],
    );
    expect(deleted.map(({ before }) => before?.[0])).toEqual(chain.map(([id]) => id));
  });

  test('has each row once, whatever refers to what, and batches lose none', () => {
    const any = fc.tuple(
      fc.integer({ min: 0, max: 9 }),
      fc.integer({ min: 0, max: 9 }),
      fc.constantFrom(0, 1, 2),
    );
    fc.assert(
      fc.property(fc.array(any), fc.integer({ min: 1, max: 5 }), (people, rows) => {
        const all = people.map(([id, boss, kind]) =>
          row(kind === 0 ? null : person(id, boss), kind === 2 ? null : person(id, boss + 1)),
        );
        const ordered = replayOrder(all, [key]);
        expect(new Set(ordered)).toEqual(new Set(all));
        expect(ordered).toHaveLength(all.length);
        const batches = batchesOf(ordered, { rows, chars: 12 });
        expect(batches.flat()).toEqual(ordered);
        for (const batch of batches) expect(batch.length).toBeLessThanOrEqual(rows);
      }),
    );
  });
});

test.each<[sql: string, suspended: boolean]>([
  ['CREATE TRIGGER g AFTER INSERT ON t BEGIN INSERT INTO audit VALUES(1); END', true],
  ["CREATE TRIGGER g BEFORE INSERT ON t BEGIN SELECT raise (ABORT, 'no'); END", false],
  ['CREATE TRIGGER g AFTER INSERT ON t BEGIN INSERT INTO "Found"(rowid) VALUES(1); END', false],
  ['CREATE TRIGGER g AFTER INSERT ON t BEGIN INSERT INTO found_log VALUES(1); END', true],
  ['CREATE TRIGGER g AFTER INSERT ON t BEGIN INSERT INTO praise(a) VALUES(1); END', true],
])('of triggers only those that write rows are suspended: %s', (sql, suspended) => {
  const objects = [
    { type: 'trigger' as const, name: 'g', table: 'T', sql },
    { type: 'trigger' as const, name: 'h', table: 'other', sql },
  ];
  expect(suspendedTriggers({ objects, virtual: ['found'] }, ['t']).map(({ name }) => name)).toEqual(
    suspended ? ['g'] : [],
  );
});

test('a lost change of the schema is there once it is what the lost write made it', () => {
  const change = (kind: SchemaChange['change'], name: string, sql: string): SchemaChange => ({
    type: 'table',
    name,
    table: name,
    sql,
    change: kind,
  });
  const now = [{ type: 'table' as const, name: 'T', table: 'T', sql: 'CREATE TABLE t(a,\n b)' }];
  const left = lostSchema(
    [
      change('created', 't', 'CREATE TABLE t(a, b)'),
      change('altered', 't', 'CREATE TABLE t(a, b, c)'),
      change('dropped', 't', ''),
      change('dropped', 'gone', ''),
      change('created', 'fresh', 'CREATE TABLE fresh(a)'),
    ],
    { objects: now },
  );
  expect(left.map(({ isThere }) => isThere)).toEqual([true, false, false, true, false]);
  expect(left.map(({ wayOut }) => wayOut)).toEqual([
    '',
    expect.stringContaining('there is one of this name'),
    expect.stringContaining('DROP TABLE "t"'),
    '',
    expect.stringContaining('make it, and run the replay again: CREATE TABLE fresh(a)'),
  ]);
});
