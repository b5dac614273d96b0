import { expect, test } from 'vitest';
import { packToWorker, unpackToWorker } from '../../../gateway/engine/core/engine-wire.ts';
import {
  decodeCall,
  decodeResult,
  encodeCall,
  encodeResult,
  type ForwardResult,
} from '../../../gateway/forward/core/forward-call.ts';
import { readOnlyOperation } from '../../../gateway/session/core/read-only.ts';
import { preferenceOf } from '../../../gateway/session/core/read-preference.ts';
import {
  classAtWriter,
  classOfOperation,
  leavesTransaction,
  mayCommit,
  opensReadTransaction,
} from '../../../gateway/session/core/routing.ts';
import { operationWhileLost } from '../../../gateway/sql/lost-transaction.ts';
import { verbOf } from '../../../gateway/sql/operation.ts';
import { readonlyBegin } from '../../../gateway/sql/statement-facts.ts';
import { freshStream } from '../../../gateway/sql/stream-state.ts';
import type { WireOperation } from '../../../gateway/sql/wire-operation.ts';
import { epoch, lsn } from '../../../storage/core.ts';

const bytes = (...values: number[]): Uint8Array => new Uint8Array(values);

function wire(statements: readonly string[], about: Partial<WireOperation> = {}): WireOperation {
  return {
    kind: 'wire',
    messages: bytes(81, 0, 255, 10),
    prepared: [{ name: 's_1', parse: bytes(80, 1), fresh: true }],
    statements,
    class: 'read',
    settings: { timezone: 'Europe/Paris' },
    ...about,
  };
}

test('messages reach the engine as they came', () => {
  const operation = wire(['SELECT 1'], { atLeast: lsn(77) });
  const message = {
    kind: 'operation',
    id: 1,
    session: 2,
    trace: null,
    state: freshStream,
    operation,
  } as const;
  expect(unpackToWorker(packToWorker([message]))).toEqual([message]);
});

test('messages are forwarded byte for byte, without what concerns engines that read', () => {
  const operation = wire(['SELECT 1'], { atLeast: lsn(77) });
  const call = { stream: 'a.1', fresh: true, state: freshStream, traceparent: null, readOnly: false };
  const { atLeast: _, ...sent } = operation;
  expect(decodeCall(encodeCall({ ...call, operation }))).toEqual({
    kind: 'ok',
    value: { ...call, operation: sent },
  });
});

test('answers come back byte for byte', () => {
  const result: ForwardResult = {
    kind: 'answered',
    outcome: {
      ok: true,
      value: {
        messages: bytes(90, 0, 0, 0, 5, 84),
        status: 'T',
        settings: { a: 'b' },
        error: { code: '23505', message: 'duplicate key' },
      },
    },
    autocommit: false,
    holds: false,
    state: null,
    seenLsn: lsn(5),
    epoch: epoch(2),
  };
  expect(decodeResult('wire', encodeResult('wire', result))).toEqual({ kind: 'ok', value: result });
  expect(decodeResult('execute', encodeResult('wire', result)).kind).toBe('malformed');
});

test('a call with bytes that are none is malformed', () => {
  const good = Buffer.from(
    encodeCall({
      stream: 'a.1',
      fresh: true,
      state: freshStream,
      traceparent: null,
      readOnly: false,
      operation: wire([]),
    }),
  ).toString();
  const bad = good.replace(/"messages":"[^"]*"/, '"messages":"%%"');
  expect(bad).not.toBe(good);
  expect(decodeCall(Buffer.from(bad)).kind).toBe('malformed');
});

test('where an operation is tried is what the front end says, and at the writer all share one engine as long as no transaction keeps it', () => {
  const read = wire(['SELECT 1']);
  expect(classOfOperation(read)).toBe('read');
  expect(classAtWriter(read, () => false)).toBe('write');
  expect(classAtWriter(read, () => true)).toBe('read');
  const never = (): boolean => {
    throw new Error('no session is looked at for what is no read of PostgreSQL');
  };
  expect(classAtWriter(wire(['DELETE FROM t'], { class: 'write' }), never)).toBe('write');
  expect(classAtWriter({ kind: 'describe', sql: 'SELECT 1' }, never)).toBe('read');
  expect(verbOf(wire(['UPDATE t SET a = 1']))).toBe('UPDATE');
  expect(verbOf(wire(['BEGIN', 'COMMIT']))).toBe('BATCH');
  expect(verbOf(wire([]))).toBe('');
});

test.each([
  [['SELECT 1'], false, false, false],
  [['UPDATE t SET a = 1'], false, true, false],
  [['UPDATE t SET a = 1'], true, false, false],
  [['SELECT f()'], false, true, false],
  [['COMMIT'], true, true, false],
  [['BEGIN'], false, false, true],
  [['BEGIN', 'UPDATE t SET a = 1', 'COMMIT'], false, true, false],
])('%j in a transaction (%s) may commit: %s, leaves one open: %s', (statements, inside, commits, leaves) => {
  const reads = statements.every((sql) => sql.startsWith('SELECT'));
  const operation = wire(statements, { class: reads ? 'read' : 'write' });
  expect(mayCommit(operation, inside)).toBe(commits);
  expect(leavesTransaction(operation)).toBe(leaves);
});

test('a transaction that reads finds a thread it can stay on', () => {
  expect(opensReadTransaction(wire([readonlyBegin]))).toBe(true);
  expect(opensReadTransaction(wire(['BEGIN']))).toBe(false);
});

test('while a transaction is lost only its end is believed', () => {
  expect(operationWhileLost(wire(['SELECT 1']))).toEqual({ kind: 'refuse', ends: false });
  expect(operationWhileLost(wire(['COMMIT']))).toEqual({ kind: 'refuse', ends: true });
  expect(operationWhileLost(wire(['ROLLBACK']))).toEqual({ kind: 'rolledBack' });
  expect(operationWhileLost(wire(['BEGIN']))).toEqual({ kind: 'run' });
});

test('a client that may only read is refused writes, and its transactions read', () => {
  expect(readOnlyOperation(wire(['SELECT 1'])).kind).toBe('run');
  const write = wire(['UPDATE t SET a = 1'], { class: 'write' });
  expect(readOnlyOperation(write)).toMatchObject({
    kind: 'refused',
    error: { code: 'AUTH_SCOPE_MISSING' },
  });
  expect(readOnlyOperation(wire(['BEGIN', 'DELETE FROM t'], { class: 'write' })).kind).toBe('refused');
  expect(readOnlyOperation(wire(['BEGIN', 'SELECT 1'], { class: 'write' }))).toMatchObject({
    kind: 'run',
    operation: { class: 'read', statements: [readonlyBegin, 'SELECT 1'] },
  });
});

test.each([
  [{}, 'session'],
  [{ 'sextant.read': '' }, 'session'],
  [{ 'sextant.read': 'eventual' }, 'eventual'],
  [{ 'sextant.read': 'GLOBAL' }, 'global'],
  [{ 'sextant.read': 'evntual' }, 'global'],
] as const)('the settings %o of a session have it read as %s says', (settings, preference) => {
  expect(preferenceOf(wire(['SELECT 1'], { settings }), freshStream)).toBe(preference);
});

test('a stream of the other protocol reads as it has set itself', () => {
  const statement = { sql: 'SELECT 1', args: [], namedArgs: [], wantRows: true };
  const state = { ...freshStream, readPreference: 'global' } as const;
  expect(preferenceOf({ kind: 'execute', statement }, state)).toBe('global');
});
