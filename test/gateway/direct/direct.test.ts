/** Requests that are read without Node's parser: the same answers, to the byte, and the same ends as through it (G120). */
import { generateKeyPairSync, sign } from 'node:crypto';
import { afterAll, describe, expect, it, vi } from 'vitest';
import {
  authenticator,
  execute,
  type HarnessOptions,
  RawSocket,
  startHarness,
} from '../hrana/hrana-harness.ts';
import { pause, postOf, RawClient, readByNode, stopCounting } from './direct-harness.ts';

afterAll(stopCounting);

const close = { type: 'close' };
const pipeline = (...requests: readonly object[]): string =>
  JSON.stringify({ requests: [...requests, close] });
const select = pipeline(execute('SELECT 1'));
/** What differs between two answers to one question: when they were made, and which stream they are of. */
const alike = (answer: string): string =>
  answer.replace(/^Date: .*\r$/m, 'Date').replace(/"baton":"[^"]*"/, '"baton":""');

const { publicKey, privateKey } = generateKeyPairSync('ed25519');
function token(claims: object): string {
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const signed = `${part({ alg: 'EdDSA', typ: 'JWT' })}.${part(claims)}`;
  return `Bearer ${signed}.${sign(null, Buffer.from(signed), privateKey).toString('base64url')}`;
}
const guarded = (): HarnessOptions => ({
  auth: authenticator(publicKey.export({ type: 'spki', format: 'pem' }).toString()),
});

interface Case {
  readonly name: string;
  readonly body: string | Buffer;
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly path?: string;
  readonly options?: HarnessOptions;
  /** It has to be seen by Node in the end. */
  readonly isNodes?: boolean;
}

const cases: readonly Case[] = [
  { name: 'a read', body: select, status: 200 },
  { name: 'a read by Hrana 3', body: select, status: 200, path: '/v3/pipeline' },
  {
    name: 'writes and a failing statement',
    status: 200,
    body: pipeline(execute('CREATE TABLE t (a)'), execute('nonsense')),
  },
  { name: 'text beyond ASCII', body: pipeline(execute("SELECT 'é😀'")), status: 200 },
  { name: 'a stream that goes on', body: JSON.stringify({ requests: [execute('BEGIN')] }), status: 200 },
  { name: 'a large answer', body: pipeline(execute('SELECT hex(zeroblob(200000))')), status: 200 },
  {
    name: 'rows that come as text',
    body: pipeline(execute("VALUES (hex(zeroblob(50000))), ('é')")),
    status: 200,
  },
  { name: 'broken JSON', body: '{"requests": [', status: 400 },
  { name: 'no body', body: '', status: 400 },
  { name: 'no UTF-8', body: Buffer.from([0x22, 0xff, 0x22]), status: 400 },
  { name: 'a request that does not exist', body: pipeline({ type: 'explode' }), status: 400 },
  { name: 'a baton that is none', body: JSON.stringify({ baton: 'x', requests: [] }), status: 400 },
  {
    name: 'protobuf',
    body: Buffer.from([0x12, 0x02, 0x0a, 0x00]),
    status: 200,
    path: '/v3-protobuf/pipeline',
  },
  { name: 'broken protobuf', body: Buffer.from([0x07]), status: 400, path: '/v3-protobuf/pipeline' },
  { name: 'a consistency', body: select, status: 200, path: '/read/global/v2/pipeline' },
  { name: 'a consistency that is none', body: select, status: 404, path: '/read/never/v2/pipeline' },
  {
    name: 'a consistency in a header that is none',
    body: select,
    status: 400,
    headers: { 'sextant-read': 'never' },
  },
  { name: 'a bookmark that is none', body: select, status: 400, headers: { 'sextant-bookmark': 'x' } },
  { name: 'a branch that is none', body: select, status: 404, path: '/branch/-/v2/pipeline' },
  { name: 'another path', body: select, status: 404, path: '/v4/pipeline', isNodes: true },
  { name: 'gRPC', body: select, status: 200, headers: { 'content-type': 'application/grpc' } },
  { name: 'a foreign page', body: select, status: 403, headers: { origin: 'https://evil.example' } },
  { name: 'a foreign name', body: select, status: 403, headers: { host: 'evil.example' } },
  {
    name: 'a page that may',
    body: select,
    status: 200,
    headers: { origin: 'https://app.example' },
    options: { origins: ['https://app.example'] },
  },
  {
    name: 'a page that may, and an error',
    body: '{',
    status: 400,
    headers: { origin: 'https://app.example' },
    options: { origins: ['https://app.example'] },
  },
  {
    name: 'no page, where some may',
    body: select,
    status: 200,
    options: { origins: ['https://app.example'] },
  },
  { name: 'no token', body: select, status: 401, options: guarded() },
  { name: 'no token, no JSON', body: '{', status: 401, options: guarded() },
  { name: 'no bearer', body: select, status: 401, options: guarded(), headers: { authorization: 'x' } },
  {
    name: 'a bad token',
    body: select,
    status: 401,
    options: guarded(),
    headers: { authorization: 'Bearer a.b.c' },
  },
  { name: 'a token', body: select, status: 200, options: guarded(), headers: { authorization: token({}) } },
  {
    name: 'a token that is over',
    body: select,
    status: 401,
    options: guarded(),
    headers: { authorization: token({ exp: 1 }) },
  },
  {
    name: 'a token for a branch',
    body: select,
    status: 403,
    options: guarded(),
    headers: { authorization: token({ id: 'dev' }) },
  },
  {
    name: 'a body beyond the limit',
    body: ' '.repeat(40_001),
    status: 413,
    options: { limits: { bodyBytes: 40_000 } },
  },
  {
    name: 'bodies beyond the limit',
    body: ' '.repeat(40_000),
    status: 413,
    options: { limits: { bodyBytes: 39_999, bodyBytesInFlight: 39_999 } },
  },
  {
    name: 'an answer beyond the limit',
    body: pipeline(execute('SELECT hex(zeroblob(200000))')),
    status: 200,
    options: { limits: { responseBytes: 300_000 } },
  },
  {
    name: 'a connection beyond the limit',
    body: select,
    status: 429,
    options: { limits: { unprovenConnectionsPerAddress: 1 } },
  },
];

describe('a request that comes whole', () => {
  it.each(cases)(
    'is answered as through Node: $name',
    async ({ body, status, headers, path, options, isNodes }) => {
      const harness = await startHarness(options);
      if (options?.limits?.unprovenConnectionsPerAddress !== undefined)
        await RawClient.open(harness.server.port);
      const bytes = postOf(body, headers, path);
      readByNode();
      const direct = await RawClient.open(harness.server.port);
      direct.send(bytes);
      const answer = await direct.answer();
      expect(answer).toMatch(new RegExp(`^HTTP/1.1 ${status} `));
      expect(readByNode()).toBe(isNodes === true ? 1 : 0);
      if (harness.twin.statements.includes('CREATE TABLE t (a)'))
        await harness.post('/v2/pipeline', pipeline(execute('DROP TABLE t')));
      readByNode();
      const through = await RawClient.open(harness.server.port);
      // Of no consequence, and nothing that is read directly.
      through.send(postOf(body, { ...headers, trailer: 'x' }, path));
      expect(alike(await through.answer())).toBe(alike(answer));
      expect(readByNode()).toBe(1);
    },
  );
});

describe('a connection', () => {
  it('goes on with further requests, and is Node’s from the first that is another', async () => {
    const { server } = await startHarness();
    const client = await RawClient.open(server.port);
    readByNode();
    for (let i = 0; i < 3; i++) {
      client.send(postOf(select));
      expect(await client.answer()).toContain('"value":"1"');
    }
    expect(readByNode()).toBe(0);
    client.send('GET /health HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n');
    expect(await client.answer()).toMatch(/^HTTP\/1.1 200 /);
    client.send(postOf(select));
    expect(await client.answer()).toContain('"value":"1"');
    expect(readByNode()).toBe(2);
  });

  it('may bring a request in pieces', async () => {
    const { server } = await startHarness();
    const client = await RawClient.open(server.port);
    const bytes = postOf(select);
    readByNode();
    for (let i = 0; i < 20; i++) {
      await client.sendApart(bytes.subarray(0, -5), bytes.subarray(-5, -2), bytes.subarray(-2));
      expect(await client.answer()).toContain('"value":"1"');
    }
    expect(readByNode()).toBe(0);
    await client.sendApart(...[...bytes].map((byte) => Buffer.from([byte])));
    expect(await client.answer()).toContain('"value":"1"');
  });

  it('that stops within a body is Node’s, with its bound', async () => {
    const { server } = await startHarness({ limits: { requestReadMs: 1_500 } });
    const client = await RawClient.open(server.port);
    const bytes = postOf(select);
    client.send(bytes.subarray(0, -2));
    readByNode();
    await vi.waitFor(() => expect(readByNode()).toBe(1), { timeout: 5_000 });
    expect(await client.answer()).toMatch(/^HTTP\/1.1 408 /);
    await client.closed;
    const patient = await RawClient.open(server.port);
    patient.send(bytes.subarray(0, -2));
    await vi.waitFor(() => expect(readByNode()).toBe(1), { timeout: 5_000 });
    patient.send(bytes.subarray(-2));
    expect(await patient.answer()).toContain('"value":"1"');
  });

  it('that asks before it is answered gets all answers, in their order', async () => {
    const { server, twin } = await startHarness();
    const client = await RawClient.open(server.port);
    const asks = Array.from({ length: 50 }, (_, n) => postOf(pipeline(execute(`SELECT ${n} AS n`))));
    client.send(Buffer.concat(asks));
    for (let n = 0; n < 50; n++) expect(await client.answer()).toContain(`"value":"${n}"`);
    const release = twin.hold();
    const other = await RawClient.open(server.port);
    for (const ask of asks) await other.sendApart(ask);
    release();
    for (let n = 0; n < 50; n++) expect(await other.answer()).toContain(`"value":"${n}"`);
  });

  it('that asks far more than it is answered is not read on', async () => {
    const { server, twin } = await startHarness();
    const release = twin.hold();
    const client = await RawClient.open(server.port);
    client.send(postOf(select));
    await vi.waitUntil(() => twin.openSessions() === 1);
    const flood = postOf(' '.repeat(60_000));
    for (let i = 0; i < 400; i++) client.send(flood);
    await pause(200);
    expect(client.socket.writableLength).toBeGreaterThan(0);
    release();
    expect(await client.answer()).toContain('"value":"1"');
    for (let i = 0; i < 400; i++) expect(await client.answer()).toMatch(/^HTTP\/1.1 400 /);
  });

  it.each(['cut', 'ended'])('that is %s ends what runs for it', async (how) => {
    const { server, twin } = await startHarness();
    const release = twin.hold();
    const client = await RawClient.open(server.port);
    client.send(postOf(JSON.stringify({ requests: [execute('BEGIN IMMEDIATE')] })));
    await vi.waitUntil(() => twin.openSessions() === 1);
    if (how === 'cut') client.socket.resetAndDestroy();
    else client.socket.end();
    await twin.idle();
    release();
    expect(server.counts().httpStreams).toBe(0);
  });

  it('that goes while its token is checked has nothing run', async () => {
    const { server, twin } = await startHarness(guarded());
    const client = await RawClient.open(server.port);
    client.send(postOf(select, { authorization: token({}) }));
    client.socket.resetAndDestroy();
    await pause(100);
    expect(twin.openSessions()).toBe(0);
  });

  it('that takes nothing of a large answer is cut, and its stream with it', async () => {
    const { server, twin } = await startHarness({ limits: { requestReadMs: 300 } });
    const client = await RawClient.open(server.port);
    client.socket.pause();
    const large = 'SELECT hex(zeroblob(15000000))';
    client.send(postOf(JSON.stringify({ requests: [execute('BEGIN'), execute(large)] })));
    await vi.waitUntil(() => twin.openSessions() === 1);
    await vi.waitUntil(() => twin.openSessions() === 0, { timeout: 5_000 });
    expect(server.counts()).toMatchObject({ httpStreams: 0, answerBytesWaiting: 0 });
  });

  it('that is silent is told so when it is new, and closed when it was answered', async () => {
    const { server } = await startHarness({ limits: { firstRequestMs: 300, keepAliveMs: 1_000 } });
    const fresh = await RawClient.open(server.port);
    const answered = await RawClient.open(server.port);
    answered.send(postOf(select));
    expect(await answered.answer()).toContain('Keep-Alive: timeout=1\r\n');
    expect(await fresh.answer()).toMatch(/^HTTP\/1.1 408 /);
    await fresh.closed;
    const fromMs = performance.now();
    expect(await answered.answer()).toBe('');
    expect(performance.now() - fromMs).toBeGreaterThan(500);
  });

  it('is closed with the gateway once it has its answer', async () => {
    const { server, twin } = await startHarness({ limits: { shutdownMs: 5_000 } });
    const [idle, busy, reading] = await Promise.all([1, 2, 3].map(() => RawClient.open(server.port)));
    const release = twin.hold();
    busy?.send(postOf(select));
    reading?.send(postOf(select).subarray(0, -1));
    await vi.waitUntil(() => twin.openSessions() === 1);
    const closed = server.close();
    await idle?.closed;
    release();
    expect(await busy?.answer()).toContain('"value":"1"');
    await busy?.closed;
    reading?.send(postOf(select).subarray(-1));
    expect(await reading?.answer()).toMatch(/^HTTP\/1.1 503 /);
    await reading?.closed;
    await closed;
    expect(twin.openSessions()).toBe(0);
  });

  it('can become a WebSocket', async () => {
    const { ws } = await startHarness();
    const socket = await RawSocket.greeted(ws);
    socket.ask(1, { type: 'open_stream', stream_id: 1 });
    expect(await socket.next()).toMatchObject({ type: 'response_ok' });
  });
});
