/** What the holder of a token with the scope `read` can and cannot do, at the writer and at a gateway that forwards (G40). */
import { generateKeyPairSync } from 'node:crypto';
import { type Client, createClient } from '@libsql/client';
import { SignJWT } from 'jose';
import { afterEach, describe, expect, it } from 'vitest';
import { decodeResult, encodeCall, type ForwardCall } from '../../../gateway/forward/core/forward-call.ts';
import { decodeReply, encodeRequest } from '../../../gateway/forward/core/forward-messages.ts';
import type { RunningGateway } from '../../../gateway/process/gateway.ts';
import { readOnlyOperation } from '../../../gateway/session/core/read-only.ts';
import { gatewaySubject } from '../../../gateway/session/writer-watch.ts';
import type { SqlOperation } from '../../../gateway/sql/operation.ts';
import { freshStream } from '../../../gateway/sql/stream-state.ts';
import { mainBranch, regionId } from '../../../storage/redo/ids.ts';
import { codeOf, GatewayWorld, ready, urlOf, writes } from '../process/gateway-harness.ts';

const statement = (sql: string) => ({ sql, args: [], namedArgs: [], wantRows: true });
const execute = (sql: string): SqlOperation => ({ kind: 'execute', statement: statement(sql) });
const batch = (...texts: string[]): SqlOperation => ({
  kind: 'batch',
  steps: texts.map((sql) => ({ condition: null, statement: statement(sql) })),
});

describe('the words of an operation that may only read', () => {
  it.each([
    ['SELECT 1', 'SELECT 1'],
    ['BEGIN', 'BEGIN TRANSACTION READONLY'],
    ['begin deferred transaction;', 'BEGIN TRANSACTION READONLY;'],
    ['-- a\n BEGIN DEFERRED', 'BEGIN TRANSACTION READONLY'],
    ['BEGIN READONLY', 'BEGIN READONLY'],
    ['COMMIT', 'COMMIT'],
    ['PRAGMA user_version = 7', 'PRAGMA user_version = 7'],
  ])('%s is run as %s', (sql, run) => {
    expect(readOnlyOperation(execute(sql))).toEqual({ kind: 'run', operation: execute(run) });
    expect(readOnlyOperation(batch('SELECT 2', sql))).toEqual({
      kind: 'run',
      operation: batch('SELECT 2', run),
    });
    expect(readOnlyOperation({ kind: 'sequence', sql })).toEqual({
      kind: 'run',
      operation: { kind: 'sequence', sql: run },
    });
  });

  it.each([
    'INSERT INTO t VALUES (1)',
    'BEGIN IMMEDIATE',
    'BEGIN EXCLUSIVE TRANSACTION',
    ' /* */ drop table t',
    'SAVEPOINT s',
  ])('%s is refused before anything runs, alone or among others', (sql) => {
    const refused = { kind: 'refused', error: { code: 'AUTH_SCOPE_MISSING' } };
    expect(readOnlyOperation(execute(sql))).toMatchObject(refused);
    expect(readOnlyOperation(batch('SELECT 1', sql))).toMatchObject(refused);
    expect(readOnlyOperation({ kind: 'sequence', sql: `${sql}; SELECT 1` })).toMatchObject(refused);
    expect(readOnlyOperation({ kind: 'describe', sql })).toMatchObject({ kind: 'run' });
  });
});

let world: GatewayWorld | null = null;
const clients: Client[] = [];
afterEach(async () => {
  for (const client of clients.splice(0)) client.close();
  await world?.close();
  world = null;
});

const { publicKey, privateKey } = generateKeyPairSync('ed25519');
const token = (scope: string): Promise<string> =>
  new SignJWT({ scope })
    .setProtectedHeader({ alg: 'EdDSA' })
    .setSubject('ada')
    .setExpirationTime('10m')
    .sign(privateKey);

/** A writer and a gateway that forwards, both asking for tokens. */
async function pair() {
  const one = await GatewayWorld.start();
  world = one;
  const auth = {
    jwtPublicKey: publicKey.export({ type: 'spki', format: 'pem' }).toString(),
    expiry: 'required',
    clockToleranceMs: 0,
  } as const;
  const writer = await one.gateway('g1', {}, { auth });
  await writes(writer);
  const other = await one.gateway('g2', {}, { auth });
  await ready(urlOf(other));
  return { one, writer, other };
}

async function client(gateway: RunningGateway, scope: string, scheme: 'http' | 'ws'): Promise<Client> {
  const made = createClient({ url: `${scheme}://${gateway.address}`, authToken: await token(scope) });
  clients.push(made);
  return made;
}

const writing = [
  'INSERT INTO t VALUES (99)',
  'WITH v(a) AS (VALUES (99)) INSERT INTO t SELECT a FROM v',
  'CREATE TABLE u (a)',
  'CREATE TEMP TABLE u (a)',
  'DROP TABLE t',
  'PRAGMA user_version = 7',
  "ATTACH ':memory:' AS m",
  'VACUUM',
  'BEGIN IMMEDIATE',
];

describe('a token with the scope read', () => {
  it('reads at the writer and elsewhere, and writes nowhere, over HTTP and WebSocket', async () => {
    const { writer, other } = await pair();
    const full = await client(writer, 'write', 'http');
    await full.execute('CREATE TABLE t (id INTEGER PRIMARY KEY)');
    await full.execute('INSERT INTO t VALUES (1)');
    for (const gateway of [writer, other])
      for (const scheme of ['http', 'ws'] as const) {
        const reader = await client(gateway, 'read', scheme);
        for (const sql of writing) {
          const code = await reader.execute(sql).then(() => 'ran', codeOf);
          expect([scheme, sql, code]).toEqual([scheme, sql, 'AUTH_SCOPE_MISSING']);
        }
        expect(
          await reader.batch(['SELECT 1', 'INSERT INTO t VALUES (98)'], 'deferred').then(() => 'ran', codeOf),
        ).toBe('AUTH_SCOPE_MISSING');
        expect(
          await reader.executeMultiple('SELECT 1; INSERT INTO t VALUES (97);').then(() => 'ran', codeOf),
        ).toBe('AUTH_SCOPE_MISSING');
        expect(Number((await reader.execute('SELECT count(*) AS n FROM t')).rows[0]?.n)).toBe(1);
        expect(await reader.batch(['SELECT id FROM t', 'SELECT 2'], 'deferred')).toHaveLength(2);
        const transaction = await reader.transaction('deferred');
        expect((await transaction.execute('SELECT id FROM t')).rows).toHaveLength(1);
        const code = await transaction.execute('INSERT INTO t VALUES (96)').then(() => 'ran', codeOf);
        expect(code).toMatch(/AUTH_SCOPE_MISSING|SQLITE_READONLY/);
        transaction.close();
      }
    expect(Number((await full.execute('SELECT count(*) AS n FROM t')).rows[0]?.n)).toBe(1);
    expect(Number((await full.execute('PRAGMA user_version')).rows[0]?.user_version)).toBe(0);
  });

  it('is believed by the writer, too: a forwarded call of such a stream runs nothing that writes', async () => {
    const { one, writer, other } = await pair();
    const full = await client(writer, 'write', 'http');
    await full.execute('CREATE TABLE t (id INTEGER PRIMARY KEY)');
    expect(other.report().phase).toBe('reading');
    const { holder } = (await one.record()).record;
    if (holder === null) throw new Error('there is a writer');
    const subject = gatewaySubject('test', regionId('us-east-1'), holder);
    let calls = 0;
    const call = async (sql: string, readOnly: boolean) => {
      calls += 1;
      const given: ForwardCall = {
        stream: `s.${calls}`,
        fresh: true,
        state: freshStream,
        traceparent: null,
        readOnly,
        operation: execute(sql),
      };
      const bytes = encodeCall(given);
      const request = encodeRequest({
        kind: 'part',
        branch: mainBranch,
        call: `c.${calls}`,
        index: 0,
        count: 1,
        bytes,
      });
      const answer = await one.nats.request(subject, request, 5_000);
      if (answer.kind !== 'reply') throw new Error(answer.kind);
      const reply = decodeReply(answer.data);
      if (reply.kind !== 'ok' || reply.value.kind !== 'part') throw new Error(JSON.stringify(reply));
      const result = decodeResult('execute', reply.value.bytes);
      if (result.kind !== 'ok' || result.value.kind !== 'answered') throw new Error(JSON.stringify(result));
      const { outcome } = result.value;
      return outcome.ok ? 'ran' : outcome.error.code;
    };
    for (const sql of ['INSERT INTO t VALUES (1)', 'WITH v(a) AS (VALUES (1)) INSERT INTO t SELECT a FROM v'])
      expect([sql, await call(sql, true)]).toEqual([sql, 'AUTH_SCOPE_MISSING']);
    expect(await call('SELECT * FROM t', true)).toBe('ran');
    expect(await call('INSERT INTO t VALUES (2)', false)).toBe('ran');
    expect((await full.execute('SELECT id FROM t')).rows.map((row) => Number(row.id))).toEqual([2]);
  });
});
