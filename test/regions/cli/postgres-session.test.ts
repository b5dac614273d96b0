/** SQL in the commands on a PostgreSQL database, against a gateway's front end whose answers are made up. */
import { afterEach, expect, test } from 'vitest';
import { reportOf } from '../../../gateway/postgres/core/sqlstate.ts';
import { message } from '../../../gateway/postgres/protocol/core/message-bytes.ts';
import { commandComplete, errorResponse } from '../../../gateway/postgres/protocol/core/server-messages.ts';
import { adviseError } from '../../../gateway/sql/errors.ts';
import { CliError } from '../../../regions/cli/ask/output.ts';
import { PostgresSession } from '../../../regions/cli/sql/postgres-session.ts';
import { answerAsJson, answerAsText } from '../../../regions/cli/sql/sql-answer.ts';
import { makeVerifier } from '../../../regions/postgres/make-verifier.ts';
import { freePorts } from '../../free-ports.ts';
import { type Answer, answered, QuickService } from '../../gateway/postgres/quick-service.ts';
import { serve } from '../../gateway/postgres/server-harness.ts';

const ends: (() => unknown)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

const sessionAt = (port: number, password: string | null = null): PostgresSession => {
  const place = { host: '127.0.0.1', port, database: 'main', user: 'app', password, isEncrypted: false };
  const session = new PostgresSession(place);
  ends.push(() => session.close());
  return session;
};

async function gateway(answer: Answer, password: string | null = null) {
  const users =
    password === null ? null : [{ name: 'app', verifier: makeVerifier(password), access: 'full' as const }];
  const server = await serve(new QuickService(answer), { users, limits: { shutdownMs: 100 } });
  ends.push(() => server.close());
  return server;
}

const column = (name: string, type: number) => [
  { text: name },
  { int32: 0 },
  { int16: 0 },
  { int32: type },
  { int16: -1 },
  { int32: -1 },
  { int16: 0 },
];
const value = (text: string) => [{ int32: text.length }, { bytes: Buffer.from(text) }];
const oneRow: Answer = async () =>
  answered(
    message('T', { int16: 3 }, ...column('id', 20), ...column('done', 16), ...column('nothing', 25)),
    message('D', { int16: 3 }, ...value('9223372036854775807'), ...value('t'), { int32: -1 }),
    commandComplete('SELECT 1'),
  );
const told = (work: Promise<unknown>): Promise<unknown> =>
  work.then(
    () => 'no error',
    (error: unknown) => (error instanceof CliError ? { code: error.code, message: error.message } : error),
  );

test('rows are shown as PostgreSQL writes them, and are JSON by their types', async () => {
  const { port } = await gateway(oneRow);
  const answer = await sessionAt(port).execute('SELECT * FROM t');
  expect(answerAsText(answer)).toMatch(/9223372036854775807\s+t\s+NULL/);
  expect(answerAsJson(answer)).toEqual({
    columns: ['id', 'done', 'nothing'],
    rows: [{ id: '9223372036854775807', done: true, nothing: null }],
    affectedRows: 0,
    lastInsertRowid: null,
  });
});

test('a statement that returns nothing says how many rows it has changed', async () => {
  const { port } = await gateway(async () => answered(commandComplete('UPDATE 3')));
  expect(answerAsText(await sessionAt(port).execute('UPDATE t SET a = 1'))).toContain('ok, 3 rows changed');
});

test("an error has its code, Sextant's where there is one, with the hint; the session goes on", async () => {
  let answers = 0;
  const { port } = await gateway(async (operation) => {
    answers += 1;
    if (answers === 1)
      return answered(
        errorResponse('ERROR', reportOf(adviseError('SEXTANT_NO_WRITER', 'Nobody writes now'))),
      );
    if (answers === 2)
      return answered(errorResponse('ERROR', { code: '42P01', message: 'no table t', hint: 'Make it.' }));
    return oneRow(operation);
  });
  const session = sessionAt(port);
  expect(await told(session.execute('INSERT INTO t VALUES (1)'))).toMatchObject({
    code: 'SEXTANT_NO_WRITER',
  });
  expect(await told(session.execute('SELECT * FROM t'))).toEqual({
    code: '42P01',
    message: 'no table t. Make it',
  });
  expect((await session.execute('SELECT * FROM t')).rows).toHaveLength(1);
});

test('a password that is wrong or missing is named, with the way to give it', async () => {
  const { port } = await gateway(oneRow, 'pencil');
  expect((await sessionAt(port, 'pencil').execute('SELECT 1')).rows).toHaveLength(1);
  expect(await told(sessionAt(port, 'pen').execute('SELECT 1'))).toMatchObject({
    code: '28P01',
    message: expect.stringContaining('PGPASSWORD'),
  });
});

test('a gateway that is not there is named, and COPY with the client is left to psql', async () => {
  const [port = 0] = await freePorts(1);
  expect(await told(sessionAt(port).execute('SELECT 1'))).toMatchObject({
    message: expect.stringContaining(`127.0.0.1:${port} does not answer`),
  });
  expect(await told(sessionAt(port).execute('COPY t TO STDOUT'))).toMatchObject({
    message: expect.stringContaining(`psql 'postgres://app@127.0.0.1:${port}/main'`),
  });
});

test('after its connection is lost a session goes on with another', async () => {
  let breaks = true;
  const server = await gateway((operation) => (breaks ? new Promise(() => undefined) : oneRow(operation)));
  const session = sessionAt(server.port);
  const waiting = told(session.execute('SELECT 1'));
  await new Promise((resolve) => setTimeout(resolve, 200));
  await server.close();
  expect(await waiting).toMatchObject({ message: expect.stringContaining('does not answer') });
  breaks = false;
  const again = await serve(new QuickService(oneRow), {
    listen: { host: '127.0.0.1', port: server.port },
    limits: { shutdownMs: 100 },
  });
  ends.push(() => again.close());
  expect((await session.execute('SELECT 1')).rows).toHaveLength(1);
});
