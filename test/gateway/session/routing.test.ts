import { describe, expect, it } from 'vitest';
import {
  asksForWriter,
  classOfOperation,
  leavesTransaction,
  mayCommit,
  opensReadTransaction,
  type Route,
  route,
  type SessionPlace,
  type WriterPlace,
} from '../../../gateway/session/core/routing.ts';
import type { SqlOperation } from '../../../gateway/sql/operation.ts';
import { classOfStatement, factsOf, type StatementClass } from '../../../gateway/sql/statement-facts.ts';

const idle: Record<WriterPlace, Record<StatementClass, Route>> = {
  here: { read: 'reader', write: 'writer', unclear: 'reader' },
  draining: { read: 'reader', write: 'wait', unclear: 'reader' },
  suspended: { read: 'reader', write: 'wait', unclear: 'reader' },
  elsewhere: { read: 'reader', write: 'forward', unclear: 'reader' },
  nowhere: { read: 'reader', write: 'wait', unclear: 'reader' },
};

const execute = (sql: string): SqlOperation => ({
  kind: 'execute',
  statement: { sql, args: [], namedArgs: [], wantRows: true },
});
const batch = (...texts: string[]): SqlOperation => ({
  kind: 'batch',
  steps: texts.map((sql) => ({
    condition: null,
    statement: { sql, args: [], namedArgs: [], wantRows: true },
  })),
});

describe('routing', () => {
  it('follows one table outside transactions, in which a draining writer begins nothing that could write (G11)', () => {
    for (const [writer, row] of Object.entries(idle) as [WriterPlace, Record<StatementClass, Route>][]) {
      for (const [kind, where] of Object.entries(row) as [StatementClass, Route][]) {
        expect([writer, kind, route('idle', kind, writer)]).toEqual([writer, kind, where]);
      }
    }
  });

  it('keeps a stream where its transaction, or what else cannot travel, lives, whatever the writer does (G10)', () => {
    const places: readonly Exclude<SessionPlace, 'idle'>[] = ['reader', 'writer', 'remote'];
    for (const place of places) {
      for (const writer of Object.keys(idle) as WriterPlace[]) {
        for (const kind of ['read', 'write', 'unclear'] as const)
          expect(route(place, kind, writer)).toBe(place);
      }
    }
  });

  it('tells from the words what reads, what writes, and what only the engine can tell', () => {
    const classes: Record<string, StatementClass> = {
      'SELECT 1': 'read',
      '  /* hello */ select 1': 'read',
      'EXPLAIN INSERT INTO t VALUES (1)': 'read',
      'VALUES (1)': 'read',
      COMMIT: 'read',
      'BEGIN TRANSACTION READONLY': 'read',
      BEGIN: 'write',
      'BEGIN IMMEDIATE': 'write',
      'BEGIN DEFERRED TRANSACTION': 'write',
      'SAVEPOINT a': 'write',
      'insert into t values (1)': 'write',
      '-- note\nUPDATE t SET a = 1': 'write',
      'CREATE TABLE t (a)': 'write',
      'CREATE TEMP TABLE t (a)': 'unclear',
      'INSERT INTO temp.t VALUES (1)': 'unclear',
      'WITH a AS (SELECT 1) INSERT INTO t SELECT * FROM a': 'unclear',
      'PRAGMA user_version = 3': 'unclear',
      'PRAGMA table_info(t)': 'unclear',
    };
    for (const [sql, kind] of Object.entries(classes))
      expect([sql, classOfStatement(sql)]).toEqual([sql, kind]);
    expect(classOfOperation(batch('BEGIN TRANSACTION READONLY', 'SELECT 1', 'COMMIT'))).toBe('read');
    expect(classOfOperation(batch('SELECT 1', 'DELETE FROM t'))).toBe('write');
    expect(classOfOperation({ kind: 'sequence', sql: 'SELECT 1; DELETE FROM t' })).toBe('unclear');
  });

  it('asks the writer when a reader refuses a write or does not know a name, and for nothing else', () => {
    expect(asksForWriter({ code: 'SEXTANT_READ_ONLY', message: '' })).toBe('writes');
    expect(asksForWriter({ code: 'SQLITE_ERROR', message: 'no such table: t' })).toBe('schema');
    expect(asksForWriter({ code: 'SQLITE_ERROR', message: 'table t has no column named c' })).toBe('schema');
    expect(asksForWriter({ code: 'SQLITE_ERROR', message: 'near "SELEC": syntax error' })).toBeNull();
    expect(asksForWriter({ code: 'SQLITE_CONSTRAINT', message: 'no such table' })).toBeNull();
  });

  it('tells the same of a text every time, however many others came between', () => {
    const first = factsOf('PRAGMA foreign_keys = on');
    for (let n = 0; n < 2_000; n++)
      expect(factsOf(`INSERT INTO t VALUES (${n})`)).toMatchObject({ word: 'INSERT', kind: 'write' });
    expect(factsOf('PRAGMA foreign_keys = on')).toEqual(first);
    expect(first).toEqual({ word: 'PRAGMA', kind: 'unclear', travels: false });
  });

  it('calls a lost answer unknown only when a commit could be behind it', () => {
    expect(mayCommit(execute('INSERT INTO t VALUES (1)'), false)).toBe(true);
    expect(mayCommit(execute('SELECT 1'), false)).toBe(false);
    expect(mayCommit(execute('INSERT INTO t VALUES (1)'), true)).toBe(false);
    expect(mayCommit(execute('COMMIT'), true)).toBe(true);
    expect(mayCommit({ kind: 'sequence', sql: 'SELECT 1' }, true)).toBe(true);
    expect(mayCommit({ kind: 'describe', sql: 'INSERT INTO t VALUES (1)' }, false)).toBe(false);
    // The stock client opens its transactions with a batch.
    expect(mayCommit(batch('BEGIN IMMEDIATE', 'INSERT INTO t VALUES (1)'), false)).toBe(false);
    expect(mayCommit(batch('BEGIN', 'INSERT INTO t VALUES (1)', 'COMMIT', 'ROLLBACK'), false)).toBe(true);
    expect(mayCommit(batch('BEGIN', 'ROLLBACK', 'INSERT INTO t VALUES (1)'), false)).toBe(true);
    expect(mayCommit(batch('SAVEPOINT a', 'INSERT INTO t VALUES (1)', 'RELEASE a'), false)).toBe(true);
  });

  it('knows which operations leave a transaction open, and which of those only read', () => {
    expect(leavesTransaction(execute('BEGIN'))).toBe(true);
    expect(leavesTransaction(batch('BEGIN', 'INSERT INTO t VALUES (1)'))).toBe(true);
    expect(leavesTransaction(batch('BEGIN', 'INSERT INTO t VALUES (1)', 'COMMIT'))).toBe(false);
    expect(leavesTransaction(batch('COMMIT', 'BEGIN'))).toBe(true);
    expect(leavesTransaction(execute('SELECT 1'))).toBe(false);
    expect(opensReadTransaction(execute('BEGIN TRANSACTION READONLY'))).toBe(true);
    expect(opensReadTransaction(batch('BEGIN TRANSACTION READONLY', 'SELECT 1', 'COMMIT'))).toBe(false);
    expect(opensReadTransaction(execute('BEGIN IMMEDIATE'))).toBe(false);
  });
});
