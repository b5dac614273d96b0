import { connect } from 'node:net';
import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { message } from '../../../gateway/postgres/protocol/core/message-bytes.ts';
import { commandComplete } from '../../../gateway/postgres/protocol/core/server-messages.ts';
import { makeVerifier } from '../../../regions/index.ts';
import { answered, QuickService } from './quick-service.ts';
import {
  areWhole,
  type Harness,
  packet,
  RawClient,
  rawClient,
  serve,
  startupPacket,
} from './server-harness.ts';

const limits = {
  messageBytes: 100_000,
  batchBytes: 100_000,
  loginMs: 400,
  readAheadBytes: 50_000,
  inputBytes: 1_000_000,
  untakenMs: 400,
  shutdownMs: 500,
};
const query = (sql: string) => message('Q', { text: sql });
const held: (() => void)[] = [];
const release = (): void => {
  for (const go of held.splice(0)) go();
};
const large = new Uint8Array(20_000_000);
const service = new QuickService(async ({ statements: [sql = ''] }) => {
  if (sql.startsWith('SELECT wait')) await new Promise<void>((resolve) => held.push(resolve));
  return sql.startsWith('SELECT large')
    ? answered(message('D', { bytes: large }))
    : answered(commandComplete(sql.slice(0, 40)));
});
let server: Harness;

beforeAll(async () => {
  server = await serve(service, { limits });
});
afterAll(async () => {
  await server.close();
});

const goesOn = async (): Promise<void> => {
  const client = await rawClient(server.port);
  client.forget();
  client.send(query('SELECT 1'));
  await client.until(({ types }) => types === 'CZ');
  expect(client.types).toBe('CZ');
  client.socket.destroy();
};

test.each([
  ['a length below itself', Uint8Array.of(0, 0, 0, 3), '08P01'],
  ['a negative length', Uint8Array.of(0xff, 0xff, 0xff, 0xff), '08P01'],
  ['a packet of a gigabyte', Uint8Array.of(0x40, 0, 0, 0), '08P01'],
  ['an HTTP request', Buffer.from('GET / HTTP/1.1\r\n\r\n'), '08P01'],
  ['protocol 2', packet({ int32: 2 << 16 }), '08P01'],
  ['no user', startupPacket({ database: 'main' }), '28000'],
  ['a user of 64 bytes', startupPacket({ user: 'x'.repeat(64), database: 'main' }), '28000'],
  ['a wish to replicate', startupPacket({ user: 'a', database: 'main', replication: 'database' }), '0A000'],
  [
    'an encoding that is not UTF-8',
    startupPacket({ user: 'a', database: 'main', client_encoding: 'LATIN1' }),
    '0A000',
  ],
  [
    'a setting of nine thousand characters',
    startupPacket({ user: 'a', database: 'main', x: 'y'.repeat(9_000) }),
    '54000',
  ],
])('a connection that begins with %s is told why it ends', async (_, bytes, code) => {
  const client = new RawClient(server.port);
  client.send(bytes);
  await client.ended();
  expect(client.error).toMatchObject({ S: 'FATAL', C: code });
  await goesOn();
});

test('who says nothing, or half of something, is let go of in time', async () => {
  const silent = new RawClient(server.port);
  const slow = new RawClient(server.port);
  slow.send(Uint8Array.of(0, 0, 0));
  await Promise.all([silent.ended(), slow.ended()]);
  await expect.poll(() => server.counts().connections).toBe(0);
});

test.each([
  ['a message of a gigabyte', Uint8Array.of(81, 0x40, 0, 0, 0), '54000'],
  ['a length below itself', Uint8Array.of(81, 0, 0, 0, 0), '08P01'],
  ['a query without an end', message('Q', { bytes: Buffer.from('SELECT 1') }), '08P01'],
  ['a type that is none', message('!'), '08P01'],
  ['a password that nobody asked for', message('p', { text: 'x' }), '08P01'],
])('a client that sends %s is told why it ends', async (_, bytes, code) => {
  const client = await rawClient(server.port);
  client.send(bytes);
  await client.ended();
  expect(client.error).toMatchObject({ S: 'FATAL', C: code });
  await goesOn();
});

test('random bytes hurt nobody but who sends them', async () => {
  const noise = fc.sample(fc.uint8Array({ minLength: 1, maxLength: 300 }), { numRuns: 60, seed: 7 });
  const kinds = 'QPBDECSHFXdcfp';
  const bodies = fc.sample(fc.tuple(fc.nat(kinds.length - 1), fc.uint8Array({ maxLength: 60 })), {
    numRuns: 120,
    seed: 8,
  });
  await Promise.all([
    ...noise.map(async (bytes) => {
      const client = new RawClient(server.port);
      client.send(bytes);
      await client.ended();
    }),
    ...bodies.map(async ([kind, bytes]) => {
      const client = await rawClient(server.port);
      client.send(message(kinds[kind] ?? 'Q', { bytes }), message('S'));
      await client.until(({ types }) => (types.match(/Z/g) ?? []).length > 1);
      expect(areWhole(client.received)).toBe(true);
      client.socket.destroy();
    }),
  ]);
  await goesOn();
  await expect.poll(() => server.counts().connections).toBe(0);
  expect(service.open).toBe(0);
});

test('messages in the wrong order in a login end it', async () => {
  const users = [{ name: 'app', verifier: makeVerifier('pencil'), access: 'full' as const }];
  const closed = await serve(service, { users, limits });
  const sent = [
    query('SELECT 1'),
    message('p', { text: 'pencil' }),
    message('p', { text: 'SCRAM-SHA-1' }, { int32: 4 }, { bytes: Buffer.from('n,,n') }),
    message('p', { text: 'SCRAM-SHA-256' }, { int32: -1 }),
    message('p', { text: 'SCRAM-SHA-256' }, { int32: 1_000_000 }),
    Uint8Array.of(112, 0x40, 0, 0, 0),
  ];
  for (const bytes of sent) {
    const client = new RawClient(closed.port);
    client.send(startupPacket({ user: 'app', database: 'main' }));
    await client.until(({ types }) => types === 'R');
    const before = service.operations.length;
    client.send(bytes, query('SELECT 2'));
    await client.ended();
    expect(client.error?.S).toBe('FATAL');
    expect(service.operations).toHaveLength(before);
  }
  await closed.close();
});

test('pipelined queries are answered in their order, each after the one before', async () => {
  const client = await rawClient(server.port);
  client.forget();
  client.send(...Array.from({ length: 50 }, (_, at) => query(`SELECT ${at}`)));
  await client.until(({ types }) => types.length === 100);
  const tags = client.messages
    .filter(({ type }) => type === 'C')
    .map(({ body }) => Buffer.from(body).toString().slice(0, -1));
  expect(tags).toEqual(Array.from({ length: 50 }, (_, at) => `SELECT ${at}`));
  client.socket.destroy();
});

test('a client that sends without end while its query runs is read no further than a bound', async () => {
  const client = await rawClient(server.port);
  client.send(query('SELECT wait'));
  await expect.poll(() => held.length).toBe(1);
  const flood = query(`SELECT '${'x'.repeat(10_000)}'`);
  for (let at = 0; at < 2_000; at++) client.socket.write(flood);
  await new Promise((resolve) => setTimeout(resolve, 300));
  expect(server.counts().inputBytes).toBeLessThan(limits.readAheadBytes + 100_000);
  await goesOn();
  client.socket.destroy();
  release();
  await expect.poll(() => server.counts().clients).toBe(0);
});

test('all clients together hold no more than a bound, and who comes to it is told', async () => {
  const clients = await Promise.all(Array.from({ length: 16 }, () => rawClient(server.port)));
  for (const client of clients)
    client.send(message('P', { text: 'a' }, { text: 'x'.repeat(90_000) }, { int16: 0 }));
  await expect.poll(() => clients.some(({ closed }) => closed)).toBe(true);
  const told = clients.filter(({ error }) => error !== null);
  expect(told[0]?.error).toMatchObject({
    S: 'FATAL',
    C: '53200',
    M: expect.stringContaining('inputBytes = 1000000'),
  });
  expect(told.length).toBeLessThan(10);
  for (const client of clients) client.socket.destroy();
  await expect
    .poll(() => server.counts())
    .toMatchObject({ connections: 0, clients: 0, running: 0, inputBytes: 0 });
});

test('a client that takes nothing of its answer is cut', async () => {
  const client = await rawClient(server.port);
  client.socket.pause();
  client.send(query('SELECT large'));
  await expect.poll(() => server.counts().clients, { timeout: 5_000 }).toBe(0);
  client.socket.destroy();
});

test('a cancel request ends what its own client runs, and nothing else', async () => {
  const one = await rawClient(server.port);
  const other = await rawClient(server.port);
  const keyOf = (client: RawClient): Uint8Array =>
    client.messages.find(({ type }) => type === 'K')?.body ?? new Uint8Array(0);
  const cancel = async (key: Uint8Array): Promise<void> => {
    const sent = new RawClient(server.port);
    sent.send(packet({ int32: 80877102 }, { bytes: key }));
    await sent.ended();
    expect(sent.received).toHaveLength(0);
  };
  const key = keyOf(one);
  expect(key).not.toEqual(keyOf(other));
  for (const client of [one, other]) {
    client.forget();
    client.send(query('SELECT wait'));
  }
  await expect.poll(() => held.length).toBe(2);
  const guessed = Uint8Array.from(key);
  guessed[7] = (guessed[7] ?? 0) ^ 1;
  await cancel(guessed);
  await cancel(key.subarray(0, 7));
  expect(one.types + other.types).toBe('');
  await cancel(key);
  await one.until(({ types }) => types === 'EZ');
  expect(one.error).toMatchObject({ S: 'ERROR', C: '57014' });
  expect(other.types).toBe('');
  // An idle client has nothing that could be ended.
  await cancel(key);
  release();
  await other.until(({ types }) => types === 'CZ');
  one.socket.destroy();
  other.socket.destroy();
});

test('a secret is longer where the client can take it', async () => {
  const client = new RawClient(server.port);
  client.send(startupPacket({ user: 'a', database: 'main' }, 2));
  await client.until(({ types }) => types.endsWith('Z'));
  expect(client.messages.find(({ type }) => type === 'K')?.body).toHaveLength(4 + 32);
  client.socket.destroy();
});

test('connections beyond the bounds are told which one it is', async () => {
  const small = await serve(service, { limits: { ...limits, connections: 2 } });
  const seated = [await rawClient(small.port), await rawClient(small.port)];
  const third = new RawClient(small.port);
  await third.ended();
  expect(third.error).toMatchObject({ C: '53300', M: expect.stringContaining('connections = 2') });
  for (const client of seated) client.socket.destroy();
  await expect.poll(() => small.counts().connections).toBe(0);
  (await rawClient(small.port)).socket.destroy();
  await small.close();
  const guarded = await serve(service, { limits: { ...limits, unprovenConnectionsPerAddress: 1 } });
  const silent = new RawClient(guarded.port);
  await silent.until(({ socket }) => socket.readyState === 'open');
  const next = new RawClient(guarded.port);
  await next.ended();
  expect(next.error?.M).toContain('unprovenConnectionsPerAddress = 1');
  silent.socket.destroy();
  await guarded.close();
});

test('at the end nobody waits for connections that have not logged in', async () => {
  const ending = await serve(service, { limits: { ...limits, loginMs: 20_000, shutdownMs: 20_000 } });
  const silent = connect(ending.port, '127.0.0.1');
  silent.on('error', () => undefined);
  await new Promise((resolve) => silent.once('connect', resolve));
  await expect.poll(() => ending.counts().connections).toBe(1);
  const began = performance.now();
  await ending.close();
  expect(performance.now() - began).toBeLessThan(10_000);
});

test('at the end idle clients are let go of, and work is finished as long as it takes no longer than a bound', async () => {
  const ending = await serve(service, { limits });
  const [idle, working, stuck] = [
    await rawClient(ending.port),
    await rawClient(ending.port),
    await rawClient(ending.port),
  ];
  const silent = connect(ending.port, '127.0.0.1');
  silent.on('error', () => undefined);
  for (const client of [idle, working, stuck]) client.forget();
  working.send(query('SELECT wait'));
  await expect.poll(() => held.length).toBe(1);
  stuck.send(query('SELECT wait'));
  await expect.poll(() => held.length).toBe(2);
  const began = performance.now();
  const closed = ending.close();
  await idle.ended();
  expect(idle.error).toMatchObject({ S: 'FATAL', C: '57P01' });
  held[0]?.();
  await working.ended();
  expect(working.types).toBe('CZE');
  await closed;
  expect(performance.now() - began).toBeGreaterThan(limits.shutdownMs - 50);
  await stuck.ended();
  expect(stuck.types).toBe('');
  release();
  expect(service.open).toBe(0);
});
