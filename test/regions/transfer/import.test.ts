import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { BatchLimits } from '../../../regions/transfer/core/import-batch.ts';
import { TransferError } from '../../../regions/transfer/transfer-error.ts';
import { startHarness } from '../../gateway/hrana/hrana-harness.ts';
import { makeAwkwardFile } from './awkward-file.ts';
import { contentsOf } from './contents.ts';
import { type Fate, importFrom, startWire, type Wire } from './transfer-harness.ts';

let directory = '';
const wires: Wire[] = [];

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'sextant-transfer-'));
});
afterEach(async () => {
  for (const wire of wires.splice(0)) await wire.close();
  rmSync(directory, { recursive: true, force: true });
});

const file = (name: string): string => join(directory, name);

function make(name: string, sql: string): string {
  const db = new DatabaseSync(file(name), { enableForeignKeyConstraints: false, defensive: false });
  db.exec(sql);
  db.close();
  return file(name);
}

/** A gateway stand-in, and a wire to it. */
async function target(fateOf: (body: string, at: number) => Fate = () => 'answered') {
  const harness = await startHarness();
  const wire = await startWire(harness.http, fateOf);
  wires.push(wire);
  return { url: wire.url, path: harness.twin.path, wire };
}

const small: BatchLimits = { bytes: 20_000, steps: 3, entries: 100_000 };
const failure = (work: Promise<unknown>): Promise<TransferError> =>
  work.then(
    () => {
      throw new Error('it succeeded');
    },
    (error: unknown) => {
      if (error instanceof TransferError) return error;
      throw error;
    },
  );

const rows = (count: number): string =>
  `CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT); CREATE INDEX t_v ON t (v);
   WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${count}) INSERT INTO t SELECT i, 'row ' || i FROM n;`;

describe('a file arrives as it is', () => {
  test('in one transaction when it is small', async () => {
    makeAwkwardFile(file('a.db'));
    const { url, path, wire } = await target();
    expect(await importFrom(file('a.db'), url)).toMatchObject({ transactions: 1, resumedAt: null });
    expect(contentsOf(path)).toEqual(contentsOf(file('a.db')));
    expect(wire.bodies.filter((body) => body.includes('sextant_import (source'))).toEqual([]);
  });

  test('in many, and nothing of the note of progress is left', async () => {
    makeAwkwardFile(file('a.db'));
    const { url, path } = await target();
    const { transactions } = await importFrom(file('a.db'), url, { limits: small });
    expect(transactions).toBeGreaterThan(20);
    expect(contentsOf(path)).toEqual(contentsOf(file('a.db')));
  });

  test('beside what is there, whose numbers it leaves alone', async () => {
    const { url, path } = await target();
    make('there.db', 'CREATE TABLE other (x); INSERT INTO other VALUES (1); PRAGMA user_version = 9');
    await importFrom(file('there.db'), url);
    makeAwkwardFile(file('a.db'));
    await importFrom(file('a.db'), url, { intoExisting: true });
    const { tables, numbers } = contentsOf(path);
    expect(tables).toEqual({ ...contentsOf(file('a.db')).tables, ...contentsOf(file('there.db')).tables });
    expect(numbers).toEqual([[[9n]], [[0n]]]);
  });
});

describe('what cannot be taken is named before anything is written', () => {
  test.each<[string, string, RegExp]>([
    ['a module', 'CREATE VIRTUAL TABLE f USING fts4(t)', /virtual table f: .*/],
    [
      'a collation',
      "CREATE TABLE t (a TEXT COLLATE binary); PRAGMA writable_schema = ON; UPDATE sqlite_schema SET sql = replace(sql, 'binary', 'nocase_utf8')",
      /table t: .*no such collation sequence: nocase_utf8/,
    ],
    [
      'a row too large',
      'CREATE TABLE t (b); INSERT INTO t VALUES (zeroblob(24000000))',
      /t has one of 24000000/,
    ],
    ['nothing at all', 'PRAGMA user_version = 3', /there is nothing in it/],
  ])('%s', async (_what, sql, message) => {
    // The stand-in knows FTS4, and the gateway does not: a table of that name is in its way here.
    const { url, path } = await target();
    make('blocked.db', 'CREATE TABLE f (x)');
    await importFrom(file('blocked.db'), url);
    const before = contentsOf(path);
    expect((await failure(importFrom(make('a.db', sql), url, { intoExisting: true }))).message).toMatch(
      message,
    );
    expect(contentsOf(path)).toEqual(before);
  });

  test('a database that is not empty', async () => {
    const { url } = await target();
    await importFrom(make('a.db', rows(3)), url);
    expect((await failure(importFrom(file('a.db'), url))).message).toMatch(
      /not empty: it has 2 .* --into-existing/,
    );
  });

  test('every name that is taken', async () => {
    const { url } = await target();
    await importFrom(make('a.db', rows(3)), url);
    const { message } = await failure(importFrom(file('a.db'), url, { intoExisting: true }));
    expect(message).toMatch(/table t: .*\n.*index t_v: /);
  });
});

describe('R80: every row arrives once, whatever is lost on the way', () => {
  const fate = fc.constantFrom<Fate>('answered', 'lost', 'unanswered', { refused: 'SEXTANT_COMMIT_UNKNOWN' });

  test('requests, answers, and the process that imports', { timeout: 60_000 }, async () => {
    make('a.db', rows(400));
    const expected = contentsOf(file('a.db'));
    const trials = fc.record({
      fates: fc.array(fate, { maxLength: 10 }),
      /** After so many requests a process is killed. */
      deaths: fc.array(fc.integer({ min: 1, max: 25 }), { maxLength: 2 }),
      patienceMs: fc.constantFrom(0, 3_000),
    });
    const property = fc.asyncProperty(trials, async ({ fates, deaths, patienceMs }) => {
      const lives = [...deaths];
      let left = lives.shift() ?? Number.POSITIVE_INFINITY;
      const { url, path } = await target((_body, at) => {
        left -= 1;
        return left < 0 ? 'lost' : (fates[at] ?? 'answered');
      });
      for (let runs = 1; ; runs += 1) {
        const run = importFrom(file('a.db'), url, {
          limits: small,
          patienceMs: left === Number.POSITIVE_INFINITY ? patienceMs : 0,
        });
        const isDone = await run.then(
          () => true,
          () => false,
        );
        left = lives.shift() ?? Number.POSITIVE_INFINITY;
        if (isDone) break;
        expect(runs).toBeLessThan(20);
      }
      expect(contentsOf(path)).toEqual(expected);
    });
    await fc.assert(property, { numRuns: 20, interruptAfterTimeLimit: 40_000 });
  });

  test('two that import the same file at once', async () => {
    make('a.db', rows(2_000));
    const { url, path } = await target();
    const both = await Promise.allSettled([1, 2].map(() => importFrom(file('a.db'), url, { limits: small })));
    expect(both.map(({ status }) => status)).toContain('fulfilled');
    expect(contentsOf(path)).toEqual(contentsOf(file('a.db')));
  });

  test('a failover that takes back what was acknowledged', async () => {
    make('a.db', rows(2_000));
    const { url, path } = await target((body, at) => {
      // The writer of a new reign is without the newest commits.
      if (at === 12) {
        const db = new DatabaseSync(path, { timeout: 1_000 });
        db.exec('DELETE FROM t WHERE id > 600; UPDATE sextant_import SET row = 600');
        db.close();
      }
      return body === '' ? 'lost' : 'answered';
    });
    await importFrom(file('a.db'), url, { limits: small });
    expect(contentsOf(path)).toEqual(contentsOf(file('a.db')));
  });

  test('requests that are too large become smaller', async () => {
    make('a.db', rows(3_000));
    const notes: string[] = [];
    const { url, path } = await target((body) =>
      body.length > 8_000 && body.includes('INSERT INTO')
        ? { refused: 'SEXTANT_TRANSACTION_TOO_LARGE' }
        : 'answered',
    );
    // Rows of one statement stay together, so that the least request is one statement.
    const limits = { bytes: 6_000_000, steps: 8, entries: 100_000 };
    const { message } = await failure(importFrom(file('a.db'), url, { limits, notes }));
    expect(notes.filter((text) => text.includes('half as large')).length).toBeGreaterThan(2);
    expect(message).toMatch(/TOO_LARGE.*the same command goes on there/s);
    expect(contentsOf(path, ['sextant_import']).schema).toHaveLength(1);
  });
});

test('an import that was cut off is not mixed with that of another file', async () => {
  make('a.db', rows(2_000));
  let down = false;
  const { url } = await target((_body, at) => (down || at > 4 ? 'lost' : 'answered'));
  const cut = await failure(importFrom(file('a.db'), url, { limits: small, patienceMs: 300 }));
  expect(cut.message).toMatch(/the same command goes on/);
  down = true;
  expect((await failure(importFrom(file('a.db'), url, { patienceMs: 0 }))).message).toMatch(
    /does not answer/,
  );
});
