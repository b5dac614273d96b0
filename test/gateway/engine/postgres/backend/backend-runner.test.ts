import { expect, test } from 'vitest';
import type { BackendAnswer } from '../../../../../gateway/engine/postgres/backend/backend.ts';
import {
  BackendRunner,
  newRunnerSession,
} from '../../../../../gateway/engine/postgres/backend/backend-runner.ts';
import { answerFacts } from '../../../../../gateway/engine/postgres/backend/core/wire-messages.ts';
import { queryMessage, readQuery } from '../../../../../gateway/postgres/protocol/core/client-messages.ts';
import { message } from '../../../../../gateway/postgres/protocol/core/message-bytes.ts';
import {
  commandComplete,
  errorResponse,
  readyForQuery,
} from '../../../../../gateway/postgres/protocol/core/server-messages.ts';
import type { WireOperation } from '../../../../../gateway/sql/wire-operation.ts';

/** A backend that answers every query with a tag, until it is stopped. */
class Stoppable {
  readonly asked: string[] = [];
  /** Queries that begin so are stopped. */
  stops: RegExp | null = null;
  /** Queries of this kind have a row. */
  rows: RegExp | null = null;

  run(messages: Uint8Array): BackendAnswer {
    const sql = readQuery(messages.subarray(5));
    this.asked.push(sql);
    const isStopped = this.stops?.test(sql) ?? false;
    const told = isStopped
      ? errorResponse('ERROR', { code: '57014', message: 'stopped' })
      : commandComplete(/^[A-Z]+/.exec(sql)?.[0] ?? '');
    const row = this.rows?.test(sql) ? [message('D', { int16: 0 })] : [];
    const answer = Buffer.concat([...row, told, readyForQuery('I')]);
    return { messages: answer, ...answerFacts(answer) };
  }
}

const operation = (sql: string): WireOperation => ({
  kind: 'wire',
  messages: queryMessage(sql),
  prepared: [],
  statements: [sql],
  class: 'write',
  settings: {},
});

test('what could not be cleared, since its operation was stopped at that moment, is cleared before anything else runs', () => {
  const backend = new Stoppable();
  const runner = new BackendRunner(backend, 10);
  backend.stops = /advisory/;
  runner.run(newRunnerSession(), operation('DO $$ $$'));
  backend.stops = null;
  backend.asked.length = 0;
  runner.run(newRunnerSession(), operation('SELECT 1'));
  expect(backend.asked[0]).toMatch(/^CLOSE ALL; DISCARD TEMP; .*unlock_all/);
  expect(backend.asked).toContain('SELECT 1');
  backend.asked.length = 0;
  runner.run(newRunnerSession(), operation('SELECT 2'));
  expect(backend.asked).toEqual(['SELECT 2']);
});

test('a database in which nothing acts on sessions is looked at once, and again after its functions may have changed', () => {
  const backend = new Stoppable();
  const runner = new BackendRunner(backend, 10);
  const session = newRunnerSession();
  const looks = (): number => backend.asked.filter((sql) => sql.includes('pg_rewrite')).length;
  for (let n = 0; n < 3; n++) runner.run(session, operation('SELECT 1'));
  expect(looks()).toBe(1);
  runner.run(session, operation('CREATE FUNCTION f'));
  runner.run(session, operation('SELECT 1'));
  expect(looks()).toBe(2);
});

test('values of sequences are given up where another session has been, and only by whoever may ask for its own', () => {
  const backend = new Stoppable();
  backend.rows = /pg_class/;
  const runner = new BackendRunner(backend, 10);
  const [one, other] = [newRunnerSession(), newRunnerSession()];
  const discards = (): number => backend.asked.filter((sql) => sql === 'DISCARD SEQUENCES').length;
  for (let n = 0; n < 3; n++) runner.run(one, operation('INSERT'));
  for (let n = 0; n < 3; n++) for (const session of [one, other]) runner.run(session, operation('UPDATE'));
  expect(discards()).toBe(0);
  // Its own, as long as nobody comes between; whatever another one does may have drawn.
  runner.run(one, operation('INSERT'));
  runner.run(one, operation('SELECT lastval()'));
  expect(discards()).toBe(1);
  runner.run(other, operation('SELECT f()'));
  runner.run(one, operation('SELECT lastval()'));
  expect(discards()).toBe(2);
  runner.run(other, operation('BEGIN'));
  expect(discards()).toBe(3);
});

test('where there is no sequence nobody gives up its values', () => {
  const backend = new Stoppable();
  const runner = new BackendRunner(backend, 10);
  for (const session of [newRunnerSession(), newRunnerSession()]) runner.run(session, operation('INSERT'));
  expect(backend.asked).not.toContain('DISCARD SEQUENCES');
});
