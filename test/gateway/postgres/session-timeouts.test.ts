import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { afterEach, expect, test } from 'vitest';
import { commandComplete, readyForQuery } from '../../../gateway/postgres/protocol/core/server-messages.ts';
import { QuickService } from './quick-service.ts';
import { type Harness, serve } from './server-harness.ts';

const wait = { timeout: 20_000 } as const;
let server: Harness | null = null;
afterEach(async () => {
  await server?.close();
  server = null;
});

/** A service in which BEGIN opens a transaction and COMMIT ends it. */
const transactions = () =>
  new QuickService(async ({ statements: [sql = ''] }) => {
    const status = sql === 'BEGIN' || sql.startsWith('SELECT inside') ? 'T' : 'I';
    return {
      messages: Buffer.concat([commandComplete(sql.split(' ')[0] ?? ''), readyForQuery(status)]),
      status,
      settings: null,
      error: null,
    };
  });

async function connected(service: QuickService, options: string) {
  server = await serve(service);
  const { port } = server;
  const client = new pg.Client({ host: '127.0.0.1', port, user: 'any', database: 'main', options });
  /** SQLSTATEs of what went wrong: a driver tells whoever asks at that moment, else everybody. */
  const codes: unknown[] = [];
  const note = (error: Error & { readonly code?: string }): void => void codes.push(error.code);
  client.on('error', note);
  await client.connect();
  return { client, codes, ask: (sql: string) => client.query(sql).catch(note) };
}

test('a client that asks nothing for idle_session_timeout is let go of', async () => {
  const service = transactions();
  const sinceMs = performance.now();
  const { codes, ask } = await connected(service, '-c idle_session_timeout=300ms');
  await ask('SELECT 1');
  await expect.poll(() => codes, wait).toContain('57P05');
  expect(performance.now() - sinceMs).toBeGreaterThan(300);
  await expect.poll(() => service.open, wait).toBe(0);
});

test('a client that asks nothing in a transaction for idle_in_transaction_session_timeout is let go of, and outside it is not', async () => {
  const service = transactions();
  const { codes, ask } = await connected(service, '-c idle_in_transaction_session_timeout=300');
  await sleep(500);
  expect(codes).toEqual([]);
  await ask('BEGIN');
  await expect.poll(() => codes, wait).toContain('25P03');
  await expect.poll(() => service.open, wait).toBe(0);
});

test('a transaction that lasts longer than transaction_timeout ends, however busy its client is, and a short one does not', async () => {
  const { codes, ask } = await connected(transactions(), '-c transaction_timeout=2s');
  for (let round = 0; round < 2; round++) {
    await ask('BEGIN');
    await ask('COMMIT');
    await sleep(1_200);
  }
  expect(codes).toEqual([]);
  const sinceMs = performance.now();
  await ask('BEGIN');
  while (codes.length === 0) {
    await ask('SELECT inside');
    await sleep(20);
  }
  expect(performance.now() - sinceMs).toBeGreaterThan(1_900);
  expect(codes).toContain('25P04');
});
