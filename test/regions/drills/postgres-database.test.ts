/** The load's client of PostgreSQL databases, against a gateway's front end whose answers are made up. */
import { afterEach, expect, test } from 'vitest';
import { reportOf } from '../../../gateway/postgres/core/sqlstate.ts';
import {
  bindComplete,
  commandComplete,
  errorResponse,
  noData,
  parseComplete,
} from '../../../gateway/postgres/protocol/core/server-messages.ts';
import { adviseError, type ErrorCode } from '../../../gateway/sql/errors.ts';
import { LoadClients } from '../../../regions/drills/load/load-clients.ts';
import { PostgresDatabase } from '../../../regions/drills/load/postgres-database.ts';
import { freePorts } from '../../free-ports.ts';
import { type Answer, answered, QuickService } from '../../gateway/postgres/quick-service.ts';
import { type Harness, serve } from '../../gateway/postgres/server-harness.ts';

const ends: (() => unknown)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

const row = { id: 7, client: 0, payload: 'seven' };
const trace = `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01`;
const begun = [parseComplete, bindComplete, noData];

function clientOf(port: number): PostgresDatabase {
  const url = `postgres://app@127.0.0.1:${port}/main`;
  const client = new PostgresDatabase({ region: 'a', transport: 'postgres', url, token: null });
  ends.push(() => client.close());
  return client;
}

async function gateway(answer: Answer): Promise<{ service: QuickService; server: Harness; port: number }> {
  const service = new QuickService(answer);
  const server = await serve(service, { limits: { shutdownMs: 100 } });
  ends.push(() => server.close());
  return { service, server, port: server.port };
}

const failing =
  (code: ErrorCode): Answer =>
  async () =>
    answered(errorResponse('ERROR', reportOf(adviseError(code, 'It did not work'))));

test('a write carries the trace of its client, and is acknowledged', async () => {
  const { service, port } = await gateway(async () => answered(...begun, commandComplete('INSERT 0 1')));
  const told = await clientOf(port).write('t', row, trace);
  expect(told).toEqual({ outcome: 'acknowledged', code: null });
  expect(service.contexts).toEqual([{ traceparent: trace }]);
});

test.each([
  ['SEXTANT_NO_WRITER', 'refused'],
  ['SEXTANT_TRANSACTION_ABORTED', 'refused'],
  ['SEXTANT_COMMIT_UNKNOWN', 'unknown'],
  ['SEXTANT_STORAGE_UNAVAILABLE', 'unknown'],
] as const)('a write that ends with %s is %s', async (code, outcome) => {
  const { port } = await gateway(failing(code));
  expect(await clientOf(port).write('t', row, trace)).toEqual({ outcome, code });
});

test('an error of PostgreSQL has its SQLSTATE, and leaves open whether anything happened', async () => {
  const report = { code: '23505', message: 'duplicate key' };
  const { port } = await gateway(async () => answered(errorResponse('ERROR', report)));
  expect(await clientOf(port).write('t', row, trace)).toEqual({ outcome: 'unknown', code: '23505' });
});

test('a write for which there is no connection never left; one whose connection breaks is unknown', async () => {
  const [port = 0] = await freePorts(1);
  expect(await clientOf(port).write('t', row, trace)).toEqual({ outcome: 'refused', code: 'ECONNREFUSED' });
  const { promise, resolve } = Promise.withResolvers<void>();
  const there = await gateway(() => {
    resolve();
    return new Promise(() => undefined);
  });
  const writing = clientOf(there.port).write('t', row, trace);
  await promise;
  await there.server.close();
  expect((await writing).outcome).toBe('unknown');
});

test('rows are read as the region has them, and a failure has its code', async () => {
  const { service, port } = await gateway(failing('SEXTANT_STORAGE_UNAVAILABLE'));
  await expect(clientOf(port).rowsAfter('t', -1, 10)).rejects.toThrow('SEXTANT_STORAGE_UNAVAILABLE');
  expect(service.operations[0]?.settings).toMatchObject({ 'sextant.read': 'eventual' });
});

test('a load makes its table once every client was answered, however long their engines take to start', async () => {
  let starts = 3;
  const late = await gateway(async (operation) => {
    if (operation.statements.some((sql) => sql.startsWith('SELECT')) && starts-- > 0)
      return answered(
        errorResponse('ERROR', reportOf(adviseError('SEXTANT_STORAGE_UNAVAILABLE', 'It starts'))),
      );
    return answered(...begun, commandComplete('DONE'));
  });
  const seen: number[] = [];
  const first = await gateway(async (operation) => {
    if (operation.statements.some((sql) => sql.startsWith('CREATE TABLE'))) seen.push(starts);
    return answered(...begun, commandComplete('DONE'));
  });
  const clients = [first, late].map(({ port }, at) => ({
    region: `r${at}`,
    transport: 'postgres' as const,
    url: `postgres://app@127.0.0.1:${port}/main`,
    token: null,
  }));
  const load = new LoadClients({ drill: 'd', table: 't', clients, perSecond: 1 });
  await load.open();
  expect(seen).toEqual([-1]);
  await load.close(false);
});
