/** What a stream has of its own comes with its operations and goes back with their answers; engines keep none of it. */
import assert from 'node:assert/strict';
import { afterEach, describe, expect, test } from 'vitest';
import type { Engine } from '../../../gateway/engine/engine.ts';
import { settingNames } from '../../../gateway/sql/stream-settings.ts';
import { freshStream, type StreamState } from '../../../gateway/sql/stream-state.ts';
import {
  always,
  closeEngines,
  code,
  execute,
  limited,
  MemoryVolume,
  openReader,
  openWriter,
  rows,
  run,
  statement,
} from './engine-volume.ts';

afterEach(closeEngines);

/** A session that begins with a state, as one does that comes from elsewhere. */
function sessionWith(engine: Engine, state: StreamState) {
  const session = engine.openSession();
  session.state = state;
  return session;
}

const foreignKeysOff = [{ name: 'foreign_keys', value: '0' }];

describe('settings', () => {
  test('are known, each with the value of a new connection', async () => {
    const { engine } = await openWriter();
    const session = engine.openSession();
    const names = (await rows(session, 'SELECT name FROM pragma_pragma_list')).flat();
    for (const name of settingNames) expect(names).toContain(name);
    // Whatever else a PRAGMA can be given is the volume's, is answered by the engine, or asks for something.
    expect(names.filter((name) => typeof name === 'string' && !settingNames.includes(name)).sort()).toEqual(
      [
        'application_id auto_vacuum cache_spill collation_list compile_options data_version database_list',
        'foreign_key_check foreign_key_list freelist_count function_list hard_heap_limit incremental_vacuum',
        'index_info index_list index_xinfo integrity_check journal_mode locking_mode mmap_size module_list',
        'optimize page_count page_size pragma_list quick_check schema_version shrink_memory soft_heap_limit',
        'table_info table_list table_xinfo temp_store temp_store_directory user_version wal_checkpoint',
      ].flatMap((line) => line.split(' ')),
    );
    for (const name of settingNames) {
      if (name === 'case_sensitive_like') continue;
      const [[value]] = (await rows(session, `PRAGMA ${name}`)) as [[bigint]];
      const { state } = await execute(session, `PRAGMA ${name}=${value}`);
      expect([name, value, state]).toEqual([name, value, null]);
    }
  });

  test('are what SQLite has after scripts, quoted names, skipped steps, failures and transactions', async () => {
    const { engine } = await openWriter();
    const session = engine.openSession();
    const settings = (): unknown => session.state.settings.map(({ name, value }) => `${name}=${value}`);
    await session.sequence('CREATE TABLE t (a UNIQUE); PRAGMA "recursive_triggers" = yes;', null);
    expect(settings()).toEqual(['recursive_triggers=1']);
    await run(session, "PRAGMA main.'cache_size'(-100)");
    expect(settings()).toEqual(['cache_size=-100', 'recursive_triggers=1']);
    const steps = always('SELECT nothing', 'PRAGMA foreign_keys=off', 'PRAGMA recursive_triggers=0');
    await session.batch(
      steps.map((step, index) => (index === 1 ? { ...step, condition: { kind: 'ok', step: 0 } } : step)),
      null,
    );
    expect(settings()).toEqual(['cache_size=-100']);
    await run(session, 'BEGIN');
    await run(session, 'PRAGMA foreign_keys=off');
    expect(settings()).toEqual(['cache_size=-100']);
    await run(session, 'PRAGMA reverse_unordered_selects=1');
    await run(session, 'PRAGMA defer_foreign_keys=1');
    await run(session, 'ROLLBACK');
    expect(settings()).toEqual(['cache_size=-100', 'reverse_unordered_selects=1']);
    await run(session, 'PRAGMA case_sensitive_like=1');
    await run(session, 'PRAGMA secure_delete=fast');
    expect(await rows(session, "SELECT 'a' LIKE 'A'")).toEqual([[0n]]);
    const elsewhere = sessionWith(engine, session.state);
    expect(await rows(elsewhere, "SELECT 'a' LIKE 'A'")).toEqual([[0n]]);
    expect(await rows(elsewhere, 'PRAGMA secure_delete')).toEqual([[2n]]);
    const other = engine.openSession();
    expect(await rows(other, "SELECT 'a' LIKE 'A'")).toEqual([[1n]]);
    expect(await rows(other, 'PRAGMA secure_delete')).toEqual([[0n]]);
    expect(other.state).toBe(freshStream);
  });

  test('of six hundred idle streams hold no connection', async () => {
    const { engine } = await openWriter(limited({ connections: 4, heldConnections: 2, idleConnections: 2 }));
    const streams = Array.from({ length: 600 }, () => engine.openSession());
    await Promise.all(streams.map((session) => run(session, 'PRAGMA foreign_keys=off')));
    await run(engine.openSession(), 'CREATE TABLE t (a)');
    for (const session of streams.slice(0, 3)) {
      expect(session.state.settings).toEqual(foreignKeysOff);
      expect(await rows(session, 'PRAGMA foreign_keys')).toEqual([[0n]]);
      expect(await rows(engine.openSession(), 'PRAGMA foreign_keys')).toEqual([[1n]]);
    }
  });

  test('differ within a crowd of writes, and each runs under its own', async () => {
    const { engine } = await openWriter();
    const setUp = engine.openSession();
    await setUp.sequence('CREATE TABLE p (id INTEGER PRIMARY KEY); CREATE TABLE c (p REFERENCES p)', null);
    const outcomes = await Promise.all(
      Array.from({ length: 40 }, (_, index) => {
        const settings = index % 3 === 0 ? foreignKeysOff : [];
        return execute(sessionWith(engine, { ...freshStream, settings }), 'INSERT INTO c VALUES (7)');
      }),
    );
    expect(outcomes.map(({ outcome }) => outcome.ok)).toEqual(outcomes.map((_, index) => index % 3 === 0));
  });

  test('run on a reader, and are undone with what is refused there', async () => {
    const volume = new MemoryVolume();
    await openWriter({}, volume);
    const { engine } = await openReader(volume);
    const session = engine.openSession();
    const set = await execute(session, 'PRAGMA foreign_keys=off');
    expect(set.state).toEqual({ ...freshStream, settings: foreignKeysOff });
    const refused = await session.sequence('PRAGMA foreign_keys=on; CREATE TABLE t (a)', null);
    expect(refused).toMatchObject({ state: null, outcome: { error: { code: 'SEXTANT_READ_ONLY' } } });
    expect(await rows(session, 'PRAGMA foreign_keys')).toEqual([[0n]]);
  });
});

describe('counters', () => {
  const counters = 'SELECT changes(), total_changes(), last_insert_rowid()';
  const state: StreamState = {
    ...freshStream,
    counters: { changes: 3, totalChanges: 11, lastInsertRowid: 77n },
  };

  test('answer from the state that is given, on a connection that never wrote', async () => {
    const volume = new MemoryVolume();
    await openWriter({}, volume);
    const { engine } = await openReader(volume);
    const session = sessionWith(engine, state);
    const answer = await session.execute(statement(counters), null);
    assert(answer.outcome.ok);
    expect(answer.outcome.value.rows).toEqual([[3n, 11n, 77n]]);
    expect(answer.state).toBeNull();
  });

  test('are those of the last statement on a connection that a stream comes back to, whatever ran on another meanwhile', async () => {
    const { engine } = await openWriter();
    const session = engine.openSession();
    await session.sequence('CREATE TABLE t (id INTEGER PRIMARY KEY); CREATE TABLE l (c, r)', null);
    await execute(session, 'INSERT INTO t VALUES (500)');
    // Set on a reader, so that the writer meets the setting with the script, and takes another connection for it.
    session.state = { ...session.state, settings: foreignKeysOff };
    await session.sequence(
      'CREATE TABLE n (id INTEGER PRIMARY KEY); INSERT INTO n VALUES (1), (2), (3)',
      null,
    );
    session.state = { ...session.state, settings: [] };
    for (const _ of [1, 2]) {
      await execute(session, 'INSERT INTO l VALUES (changes(), last_insert_rowid())');
      await execute(session, 'INSERT INTO t VALUES (NULL)');
    }
    expect(await rows(session, 'SELECT c, r FROM l')).toEqual([
      [3n, 3n],
      [1n, 501n],
    ]);
  });

  test('go back after statements, groups, batches and scripts, and stay with the stream between engines', async () => {
    const volume = new MemoryVolume();
    const { engine } = await openWriter({}, volume);
    await engine.openSession().sequence('CREATE TABLE t (id INTEGER PRIMARY KEY, a); ', null);
    const session = sessionWith(engine, state);
    const countersAfter = async (sql: string): Promise<unknown> =>
      (await execute(session, sql)).state?.counters;
    expect(await countersAfter('INSERT INTO t (id, a) VALUES (500, 1), (501, 2)')).toEqual({
      changes: 2,
      totalChanges: 13,
      lastInsertRowid: 501n,
    });
    expect(await countersAfter('SELECT * FROM t')).toBeUndefined();
    expect(await countersAfter('DELETE FROM t WHERE a = 9')).toMatchObject({ changes: 0, totalChanges: 13 });
    const script = await session.sequence('INSERT INTO t VALUES (600, 1); UPDATE t SET a = 5;', null);
    expect(script.state?.counters).toEqual({ changes: 3, totalChanges: 17, lastInsertRowid: 600n });
    const batch = await session.batch(always('INSERT INTO t VALUES (700, 1)', counters), null);
    expect(batch.state?.counters).toEqual({ changes: 1, totalChanges: 18, lastInsertRowid: 700n });
    const crowd = await Promise.all(
      Array.from({ length: 30 }, (_, index) =>
        execute(sessionWith(engine, state), `INSERT INTO t (id) VALUES (${1000 + index})`),
      ),
    );
    expect(crowd.map((answer) => answer.state?.counters)).toEqual(
      crowd.map((_, index) => ({ changes: 1, totalChanges: 12, lastInsertRowid: BigInt(1000 + index) })),
    );
    const { engine: other } = await openReader(volume);
    expect(await rows(sessionWith(other, session.state), counters)).toEqual([[1n, 18n, 700n]]);
  });
});

describe('temporary objects and attached databases', () => {
  test('keep a stream where it is, until the last of them is gone', async () => {
    const { engine } = await openWriter(limited({ connections: 3, heldConnections: 2, idleConnections: 1 }));
    const session = engine.openSession();
    const holds = async (sql: string): Promise<boolean> => (await execute(session, sql)).holds;
    expect(await holds('CREATE TABLE t (a)')).toBe(false);
    expect(await holds('CREATE TEMP TABLE t (a INTEGER PRIMARY KEY AUTOINCREMENT)')).toBe(true);
    expect(await holds('INSERT INTO t VALUES (1)')).toBe(true);
    expect(await holds("ATTACH ':memory:' AS side")).toBe(true);
    expect(await holds('DROP TABLE t')).toBe(true);
    expect(await rows(session, 'SELECT count(*) FROM t')).toEqual([[0n]]);
    expect(await holds('DETACH side')).toBe(false);
    expect(await holds('BEGIN')).toBe(false);
    expect(await holds('CREATE TEMP VIEW v AS SELECT 1')).toBe(true);
    expect(await holds('ROLLBACK')).toBe(false);
    expect(await holds('CREATE TABLE temp.u (a)')).toBe(true);
    await session.sequence('BEGIN; DROP TABLE u', null);
    expect(await holds('ROLLBACK')).toBe(true);
    expect(await holds('DROP TABLE u')).toBe(false);
    expect(await holds('CREATE VIRTUAL TABLE temp.f USING fts5(a)')).toBe(true);
    expect(await holds('DROP TABLE f')).toBe(false);
    expect(await holds('CREATE TEMP TABLE broken AS SELECT nothing')).toBe(false);
    expect(await holds('VACUUM')).toBe(false);
  });
});

describe('PRAGMA sextant_read', () => {
  test('is noted by a writer, and goes back with the state', async () => {
    const { engine } = await openWriter();
    const session = engine.openSession();
    const answer = await session.batch(always("PRAGMA sextant_read='global'", 'PRAGMA sextant_read'), null);
    expect(answer).toMatchObject({ state: { readPreference: 'global' } });
    assert(answer.outcome.ok);
    expect(answer.outcome.value[1]).toMatchObject({
      ok: true,
      value: { columns: [{ name: 'sextant_read' }], rows: [['global']] },
    });
    expect(await code(session, "PRAGMA sextant_read='perhaps'")).toBe('SQLITE_ERROR');
  });

  test('stops an operation on a reader that is to wait for more, with everything undone', async () => {
    const volume = new MemoryVolume();
    await run((await openWriter({}, volume)).engine.openSession(), 'CREATE TABLE t (a)');
    const { engine } = await openReader(volume);
    const batch = always('BEGIN READONLY', "PRAGMA sextant_read='global'", 'SELECT * FROM t');
    const session = engine.openSession();
    const raised = await session.batch(batch, null);
    expect(raised).toMatchObject({
      outcome: { ok: false, error: { code: 'SEXTANT_READ_RAISED' } },
      state: { readPreference: 'global', settings: [] },
      autocommit: true,
    });
    const again = await session.batch(batch, null);
    expect(again).toMatchObject({ outcome: { ok: true }, state: null, autocommit: false });
    await run(session, 'COMMIT');
    expect((await execute(session, "PRAGMA sextant_read='eventual'")).state?.readPreference).toBe('eventual');
  });

  test('comes before the first read of a transaction on a reader, or is refused', async () => {
    const volume = new MemoryVolume();
    await run((await openWriter({}, volume)).engine.openSession(), 'CREATE TABLE t (a)');
    const { engine } = await openReader(volume);
    const session = engine.openSession();
    await run(session, 'BEGIN TRANSACTION READONLY');
    const raised = await execute(session, "PRAGMA sextant_read='global'");
    expect(raised).toMatchObject({
      outcome: { error: { code: 'SEXTANT_READ_RAISED' } },
      state: { readPreference: 'global' },
      autocommit: false,
    });
    expect(await rows(session, "PRAGMA sextant_read='global'")).toEqual([['global']]);
    await run(session, "PRAGMA sextant_read='eventual'");
    await run(session, 'SELECT * FROM t');
    const { outcome } = await execute(session, "PRAGMA sextant_read='session'");
    expect(outcome).toMatchObject({
      ok: false,
      error: { code: 'SQLITE_ERROR', message: expect.stringContaining('before the first read') },
    });
    expect(await rows(session, 'SELECT * FROM t')).toEqual([]);
  });
});

test('PRAGMAs that the engine answers are named as SQLite names them', async () => {
  const { engine } = await openWriter();
  const session = engine.openSession();
  const answers: unknown[] = [];
  for (const name of ['journal_mode', 'locking_mode', 'encoding', 'cache_spill', 'sextant_read']) {
    const { columns, rows: found } = await run(session, `PRAGMA ${name}`);
    answers.push([columns.map((column) => column.name), found]);
  }
  expect(answers).toEqual([
    [['journal_mode'], [['memory']]],
    [['locking_mode'], [['normal']]],
    [['encoding'], [['UTF-8']]],
    [['cache_spill'], [['0']]],
    [['sextant_read'], [['session']]],
  ]);
  expect(await run(session, "PRAGMA encoding='UTF-8'")).toMatchObject({ columns: [], rows: [] });
});

test('sqlite_dbpage cannot be written, nor other streams’ statements be read', async () => {
  const { engine } = await openWriter();
  const session = engine.openSession();
  await run(session, 'CREATE TABLE t (a)');
  expect(await code(session, 'UPDATE sqlite_dbpage SET data = zeroblob(4096) WHERE pgno = 2')).toBe(
    'BLOCKED',
  );
  expect(await code(session, 'DELETE FROM sqlite_dbpage')).toBe('BLOCKED');
  expect(await code(session, 'SELECT sql FROM sqlite_stmt')).toBe('BLOCKED');
  expect(await code(session, 'SELECT count(*) FROM SQLite_Stmt')).toBe('BLOCKED');
  expect(await rows(session, 'SELECT count(*) FROM sqlite_dbpage')).not.toEqual([]);
});

test('changes() counts what a virtual table does, also where another stream has left the same number', async () => {
  const { engine } = await openWriter({ limits: { idleConnections: 1 } });
  const [other, mine] = [engine.openSession(), engine.openSession()];
  await run(other, 'CREATE TABLE t (a)');
  await run(other, 'INSERT INTO t VALUES (1)');
  await run(mine, 'CREATE VIRTUAL TABLE words USING fts5 (x)');
  expect(await rows(mine, 'SELECT changes()')).toEqual([[1n]]);
});
