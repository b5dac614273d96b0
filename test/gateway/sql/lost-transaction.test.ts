import { describe, expect, it } from 'vitest';
import { operationWhileLost, type WhileLost, whileLost } from '../../../gateway/sql/lost-transaction.ts';
import type { SqlOperation } from '../../../gateway/sql/operation.ts';

const refused: WhileLost = { kind: 'refuse', ends: false };
const refusedAtLast: WhileLost = { kind: 'refuse', ends: true };
const rolledBack: WhileLost = { kind: 'rolledBack' };
const runs: WhileLost = { kind: 'run' };

const statement = (sql: string) => ({ sql, args: [], namedArgs: [], wantRows: true });
const execute = (sql: string): SqlOperation => ({ kind: 'execute', statement: statement(sql) });
const batch = (...sqls: readonly string[]): SqlOperation => ({
  kind: 'batch',
  steps: sqls.map((sql) => ({ condition: null, statement: statement(sql) })),
});
const sequence = (sql: string): SqlOperation => ({ kind: 'sequence', sql });
const describes = (sql: string): SqlOperation => ({ kind: 'describe', sql });

describe('while a transaction is lost', () => {
  const statements: readonly (readonly [string, WhileLost])[] = [
    ['INSERT INTO t VALUES (1)', refused],
    ['SELECT 1', refused],
    ['', refused],
    ['SAVEPOINT a', refused],
    ['RELEASE a', refused],
    ['COMMIT', refusedAtLast],
    ['end transaction', refusedAtLast],
    ['ROLLBACK', rolledBack],
    ['/* no */ rollback transaction;', rolledBack],
    ['ROLLBACK TRANSACTION t', rolledBack],
    ['ROLLBACK TO a', refused],
    ['ROLLBACK TO SAVEPOINT a', refused],
    ['rollback /* back */ transaction -- to\n to a', refused],
    ['ROLLBACK TRANSACTION "a b" TO a', refused],
    ['ROLLBACK; INSERT INTO t VALUES (1)', rolledBack],
    ['BEGIN IMMEDIATE', runs],
  ];
  for (const [sql, answer] of statements) {
    it(`the statement ${JSON.stringify(sql)} is answered ${JSON.stringify(answer)}`, () => {
      expect(whileLost(sql)).toEqual(answer);
      if (!sql.includes('INSERT INTO')) expect(operationWhileLost(execute(sql))).toEqual(answer);
    });
  }

  const operations: readonly (readonly [SqlOperation, WhileLost])[] = [
    [batch('INSERT INTO t VALUES (1)', 'COMMIT', 'ROLLBACK'), refusedAtLast],
    [batch('INSERT INTO t VALUES (1)', 'SELECT 1'), refused],
    [batch('BEGIN', 'INSERT INTO t VALUES (1)', 'COMMIT'), runs],
    [batch('ROLLBACK'), rolledBack],
    // What follows must not run by itself, nor be passed over as if it had run.
    [batch('ROLLBACK', 'INSERT INTO t VALUES (1)'), refusedAtLast],
    [batch(), refused],
    [sequence('ROLLBACK;\n-- done\n'), rolledBack],
    [sequence('ROLLBACK; INSERT INTO t VALUES (1)'), refusedAtLast],
    [sequence('INSERT INTO t VALUES (1); COMMIT'), refused],
    [sequence('BEGIN; COMMIT'), runs],
    [describes('BEGIN'), refused],
    [describes('COMMIT'), refused],
    [describes('ROLLBACK'), refused],
  ];
  for (const [operation, answer] of operations) {
    it(`${JSON.stringify(operation)} is answered ${JSON.stringify(answer)}`, () => {
      expect(operationWhileLost(operation)).toEqual(answer);
    });
  }
});
