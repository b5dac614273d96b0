/** "Who may do what" of gateway/README.md, row by row, over real sockets: who is refused is told why, and nothing else happens. */
import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { request as httpRequest } from 'node:http';
import { SignJWT } from 'jose';
import { describe, expect, it } from 'vitest';
import { WebSocket } from 'ws';
import { createAuthenticator } from '../../../gateway/access/auth.ts';
import { KeyRing, parsePublicKey } from '../../../gateway/access/keys.ts';
import { adminRoutes } from '../../../gateway/admin/admin.ts';
import type { AgentLink } from '../../../gateway/admin/agent-link.ts';
import { type AdminAct, ClusterView } from '../../../regions/index.ts';
import { regionId } from '../../../storage/core.ts';
import { MetricRegistry } from '../../../telemetry/index.ts';
import { execute, pipelineOf, RawSocket, startHarness } from '../hrana/hrana-harness.ts';

const [us, eu] = [regionId('us-east-1'), regionId('eu-west-1')];
const { publicKey, privateKey } = generateKeyPairSync('ed25519');
const audience = 'https://db.example';
const issuer = 'https://id.example';
const secret = 'the-secret-of-the-cluster';
const page = 'https://app.example';

interface TokenSpec {
  readonly scope?: string;
  readonly a?: string;
  readonly subject?: string | null;
  readonly key?: KeyObject;
  readonly audience?: string;
  readonly issuer?: string;
  readonly expiresIn?: number;
}

async function token(spec: TokenSpec = {}): Promise<string> {
  const jwt = new SignJWT({
    ...(spec.scope !== undefined && { scope: spec.scope }),
    ...(spec.a !== undefined && { a: spec.a }),
  })
    .setProtectedHeader({ alg: 'EdDSA' })
    .setAudience(spec.audience ?? audience)
    .setIssuer(spec.issuer ?? issuer)
    .setExpirationTime(Math.floor(Date.now() / 1_000) + (spec.expiresIn ?? 600));
  if (spec.subject !== null) jwt.setSubject(spec.subject ?? 'ada');
  return await jwt.sign(spec.key ?? privateKey);
}
const bearer = async (spec?: TokenSpec) => ({ authorization: `Bearer ${await token(spec)}` });

async function start(options: { readonly open?: boolean } = {}) {
  const asked: unknown[] = [];
  const acts: AdminAct[] = [];
  const key = parsePublicKey(publicKey.export({ type: 'spki', format: 'pem' }).toString());
  if (key === null) throw new Error('no key');
  const auth = createAuthenticator({
    keys: options.open === true ? null : new KeyRing([key]),
    rules: { audience, issuer },
  });
  const reply = { kind: 'reply', reply: { kind: 'refused', code: 'MOVE_RUNNING', message: 'why' } } as const;
  const ask = async (...request: readonly unknown[]) => {
    asked.push(request);
    return reply;
  };
  const agents = { ask, askAny: ask, losses: async () => ({ reports: [], unreachable: [], unanswered: [] }) };
  const app = adminRoutes({
    auth,
    secret,
    cluster: 'test',
    version: '0',
    region: us,
    base: () => 'http://127.0.0.1:7011',
    view: new ClusterView('test', [us, eu]),
    agents: agents as unknown as AgentLink,
    drills: null,
    registry: new MetricRegistry({}),
    audit: (act) => acts.push(act),
    ready: () => ({
      ready: true,
      reasons: [],
      region: us,
      gateway: 'g1',
      phase: 'writing',
      epoch: 1,
      vdl: 0,
    }),
    readiness: () => ({ epoch: 1, primary: us, regions: [] }),
    live: { problem: () => null, feed: (to) => to.end() },
  });
  const foreign: string[] = [];
  const harness = await startHarness({
    auth,
    app,
    origins: [page],
    onForeign: ({ url = '' }, { code }) => foreign.push(`${url} ${code}`),
  });
  return { ...harness, asked, acts, foreign };
}
type Gateway = Awaited<ReturnType<typeof start>>;

/** One request with any headers, also those that `fetch` keeps to itself. */
function send(
  { http }: Gateway,
  method: string,
  path: string,
  headers: Record<string, string>,
  body?: unknown,
): Promise<{ status: number; headers: Record<string, unknown>; text: string }> {
  return new Promise((resolve, reject) => {
    const request = httpRequest(`${http}${path}`, { method, headers }, (response) => {
      let text = '';
      response.on('data', (chunk: Buffer) => {
        text += chunk.toString();
      });
      response.on('end', () =>
        resolve({ status: response.statusCode ?? 0, headers: response.headers, text }),
      );
    });
    request.on('error', reject);
    request.end(body === undefined ? undefined : JSON.stringify(body));
  });
}

const sql = { requests: [execute('SELECT 1')] };
const move = { target: 'eu-west-1' };
const json = { 'content-type': 'application/json' };

/** The requests that a stranger would try, each over HTTP, and the first over WebSocket, too. */
const doors: readonly (readonly [string, string, object | undefined])[] = [
  ['POST', '/v2/pipeline', sql],
  ['POST', '/v3/cursor', { batch: { steps: [] } }],
  ['POST', '/v1/execute', { stmt: { sql: 'SELECT 1' } }],
  ['GET', '/v1/status', undefined],
  ['GET', '/v1/nothing', undefined],
  ['POST', '/v1/failover', move],
  ['POST', '/v1/switchover', move],
  ['PUT', '/v1/policy', { rpoMs: 0 }],
  ['POST', '/v1/drills', { kind: 'node-loss' }],
  ['POST', '/v1/operations/us-east-1.1/cancel', undefined],
];

function nothingHappened(gateway: Gateway): void {
  expect(gateway.asked).toEqual([]);
  expect(gateway.twin.contexts).toEqual([]);
  expect(gateway.twin.openSessions()).toBe(0);
}

describe('a token that does not hold', () => {
  it.each([
    ['none', null, 'AUTH_JWT_MISSING', 'No token was sent'],
    ['an expired one', { expiresIn: -1 }, 'AUTH_JWT_EXPIRED', 'has expired'],
    [
      'one of another key',
      { key: generateKeyPairSync('ed25519').privateKey },
      'AUTH_JWT_INVALID',
      'not signed with a key of this gateway',
    ],
    [
      'one for another service',
      { audience: 'https://mail.example' },
      'AUTH_JWT_INVALID',
      `not meant for ${audience}`,
    ],
    [
      'one of another issuer',
      { issuer: 'https://evil.example' },
      'AUTH_JWT_INVALID',
      `not issued by ${issuer}`,
    ],
    [
      'one whose scope means nothing here',
      { scope: 'openid mail' },
      'AUTH_JWT_INVALID',
      'names none of read, write, admin',
    ],
  ] as const)('(%s) opens no door, and each says why', async (_name, spec, code, words) => {
    const gateway = await start();
    const headers = { ...json, ...(spec === null ? {} : await bearer(spec)) };
    for (const [method, path, body] of doors) {
      const answer = await send(gateway, method, path, headers, body);
      expect([path, answer.status, JSON.parse(answer.text)]).toEqual([
        path,
        401,
        expect.objectContaining({ code, message: expect.stringContaining(words) }),
      ]);
    }
    const socket = await RawSocket.open(gateway.ws);
    socket.send({ type: 'hello', jwt: spec === null ? null : await token(spec) });
    expect(await socket.next()).toMatchObject({ type: 'hello_error', error: { code } });
    nothingHappened(gateway);
    expect(gateway.acts.map(({ who, code: told }) => [who, told])).toEqual(
      Array.from({ length: 5 }, () => [null, code]),
    );
  });
});

describe('a scope', () => {
  it.each([
    [{ scope: 'read' }, true],
    [{ a: 'ro' }, true],
    [{ scope: 'write' }, false],
    [{ a: 'rw' }, false],
    [{}, false],
  ] as const)(
    '%j may look and use SQL, read-only: %s, and changes nothing of the deployment',
    async (spec, readOnly) => {
      const gateway = await start();
      const headers = { ...json, ...(await bearer(spec)) };
      expect((await send(gateway, 'GET', '/v1/status', headers)).status).toBe(200);
      expect((await send(gateway, 'GET', '/v1/policy', headers)).status).toBe(503);
      expect((await send(gateway, 'POST', '/v2/pipeline', headers, sql)).status).toBe(200);
      expect(gateway.twin.opened).toEqual([readOnly ? { readOnly: true } : {}]);
      const { length } = gateway.asked;
      for (const [method, path, body] of doors.filter(
        ([method, path]) => method !== 'GET' && /failover|switchover|policy|drills|cancel/.test(path),
      )) {
        const answer = await send(gateway, method, path, headers, body);
        expect([path, answer.status, JSON.parse(answer.text)]).toEqual([
          path,
          403,
          expect.objectContaining({
            code: 'AUTH_SCOPE_MISSING',
            message: expect.stringContaining('needs a token with the scope admin'),
          }),
        ]);
      }
      expect(gateway.asked).toHaveLength(length);
      expect(new Set(gateway.acts.map(({ who }) => who))).toEqual(
        new Set([expect.stringMatching(/^ada \(key [\w-]{8}\)$/)]),
      );
      expect(gateway.acts).toHaveLength(5);
    },
  );

  it('admin moves the primary, and so does the cluster secret; both are written down', async () => {
    const gateway = await start();
    const admin = { ...json, ...(await bearer({ scope: 'admin' })) };
    expect((await send(gateway, 'POST', '/v1/failover', admin, move)).status).toBe(409);
    const own = { ...json, authorization: `Bearer ${secret}` };
    expect((await send(gateway, 'POST', '/v1/failover', own, move)).status).toBe(409);
    expect(gateway.asked).toHaveLength(2);
    expect(gateway.acts.map(({ who }) => who)).toEqual([
      expect.stringMatching(/^ada /),
      'the cluster secret',
    ]);
    // The secret is for the deployment's own processes: no SQL is run with it.
    expect((await send(gateway, 'POST', '/v2/pipeline', own, sql)).status).toBe(401);
  });

  it('on a WebSocket makes its streams read-only', async () => {
    const gateway = await start();
    const socket = await RawSocket.greeted(gateway.ws, await token({ scope: 'read' }));
    socket.ask(1, { type: 'open_stream', stream_id: 1 });
    await socket.next();
    expect(gateway.twin.opened).toEqual([{ readOnly: true }]);
  });
});

describe('a stream (G41)', () => {
  it.each([
    ['the same subject with another token', { scope: 'write', expiresIn: 300 }, true],
    ['another subject', { scope: 'write', subject: 'eve' }, false],
    ['the same subject with another scope', { scope: 'read' }, false],
    ['a token without subject', { scope: 'write', subject: null }, false],
  ] as const)('of a token goes on for %s: %j, %s', async (_name, spec, allowed) => {
    const gateway = await start();
    const first = await gateway.post(
      '/v2/pipeline',
      { requests: [execute('BEGIN')] },
      await bearer({ scope: 'write' }),
    );
    const { baton } = pipelineOf(first);
    const next = await gateway.post(
      '/v2/pipeline',
      { baton, requests: [execute('SELECT 1')] },
      await bearer(spec),
    );
    expect(next.status).toBe(allowed ? 200 : 400);
    if (allowed) return;
    expect(next.json).toMatchObject({
      code: 'BATON_INVALID',
      message: expect.stringContaining('the token of somebody else'),
    });
    // Nothing has changed for its owner.
    const again = await gateway.post(
      '/v2/pipeline',
      { baton, requests: [execute('COMMIT')] },
      await bearer({ scope: 'write' }),
    );
    expect(again.status).toBe(200);
  });

  it('of a token that names nobody goes on with that token only', async () => {
    const gateway = await start();
    const [own, other] = [await bearer({ subject: null }), await bearer({ subject: null, expiresIn: 601 })];
    const { baton } = pipelineOf(await gateway.post('/v2/pipeline', { requests: [execute('BEGIN')] }, own));
    expect((await gateway.post('/v2/pipeline', { baton, requests: [] }, other)).status).toBe(400);
    expect((await gateway.post('/v2/pipeline', { baton, requests: [] }, own)).status).toBe(200);
  });

  it('on a WebSocket ends when somebody else says hello there', async () => {
    const gateway = await start();
    const socket = await RawSocket.greeted(gateway.ws, await token());
    socket.ask(1, { type: 'open_stream', stream_id: 1 });
    await socket.next();
    socket.send({ type: 'hello', jwt: await token({ expiresIn: 700 }) });
    socket.ask(2, { type: 'execute', stream_id: 1, stmt: { sql: 'SELECT 1' } });
    expect(await socket.take(2)).toMatchObject([{ type: 'hello_ok' }, { type: 'response_ok' }]);
    socket.send({ type: 'hello', jwt: await token({ subject: 'eve' }) });
    socket.ask(3, { type: 'execute', stream_id: 1, stmt: { sql: 'SELECT 1' } });
    expect(await socket.take(2)).toMatchObject([{ type: 'hello_ok' }, { type: 'response_error' }]);
    expect(gateway.twin.openSessions()).toBe(0);
  });
});

describe('a page of another origin (G43)', () => {
  const forms = { 'content-type': 'text/plain' };
  it.each([
    ['whose origin is not listed', { origin: 'https://evil.example' }],
    ['without an origin of its own', { origin: 'null' }],
    ['on another port of this machine', { origin: 'http://127.0.0.1:1' }],
    ['whose browser sends no origin', { 'sec-fetch-site': 'cross-site' }],
    ['of the same site', { 'sec-fetch-site': 'same-site' }],
  ])('%s causes nothing, with a token or on an open gateway', async (_name, given) => {
    for (const open of [true, false]) {
      const gateway = await start({ open });
      const who = open ? {} : await bearer({ scope: 'admin' });
      for (const [method, path, body] of doors.filter(([method]) => method !== 'GET')) {
        const answer = await send(gateway, method, path, { ...forms, ...who, ...given }, body);
        expect([path, answer.status, JSON.parse(answer.text).code]).toEqual([
          path,
          403,
          'SEXTANT_ORIGIN_REFUSED',
        ]);
        expect(answer.headers['access-control-allow-origin']).toBeUndefined();
      }
      nothingHappened(gateway);
      expect(gateway.foreign).toContain('/v1/failover SEXTANT_ORIGIN_REFUSED');
    }
  });

  it('opens no WebSocket, and reads nothing', async () => {
    const gateway = await start({ open: true });
    const origin = 'https://evil.example';
    for (const path of ['/', '/v1/watch']) {
      const socket = new WebSocket(`${gateway.ws}${path}`, { origin });
      expect(await new Promise((resolve) => socket.on('error', (error) => resolve(error.message)))).toContain(
        '403',
      );
    }
    for (const path of ['/v1/status', '/metrics', '/healthz', '/openapi.json'])
      expect((await send(gateway, 'GET', path, { origin })).status).toBe(403);
    nothingHappened(gateway);
  });

  it('that is listed, or that this gateway served, is let through; the first is told so by CORS', async () => {
    const gateway = await start();
    const who = { ...json, ...(await bearer()) };
    const listed = await send(gateway, 'POST', '/v2/pipeline', { ...who, origin: page }, sql);
    expect([listed.status, listed.headers['access-control-allow-origin'], listed.headers.vary]).toEqual([
      200,
      page,
      'origin',
    ]);
    const status = await send(gateway, 'GET', '/v1/status', { ...who, origin: page });
    expect([status.status, status.headers['access-control-allow-origin']]).toEqual([200, page]);
    const own = await send(gateway, 'POST', '/v2/pipeline', { ...who, origin: gateway.http }, sql);
    expect([own.status, own.headers['access-control-allow-origin']]).toEqual([200, undefined]);
    const socket = new WebSocket(gateway.ws, ['hrana3'], { origin: page });
    await new Promise((resolve, reject) => socket.once('open', resolve).once('error', reject));
    socket.terminate();
  });

  it('asks beforehand, and only a listed one is allowed to go on', async () => {
    const gateway = await start();
    const ask = (origin: string) =>
      send(gateway, 'OPTIONS', '/v2/pipeline', {
        origin,
        'access-control-request-method': 'POST',
        'access-control-request-headers': 'authorization',
      });
    const listed = await ask(page);
    expect(listed.status).toBe(204);
    expect(listed.headers).toMatchObject({
      'access-control-allow-origin': page,
      'access-control-allow-methods': 'GET, POST, PUT',
      'access-control-allow-headers': expect.stringContaining('authorization, content-type'),
    });
    expect(listed.headers['access-control-allow-credentials']).toBeUndefined();
    const foreign = await ask('https://evil.example');
    expect([foreign.status, foreign.headers['access-control-allow-origin']]).toEqual([403, undefined]);
  });
});

describe('a foreign host name', () => {
  it('is no name of an open gateway; with tokens a name proves nothing and hides nothing', async () => {
    const open = await start({ open: true });
    for (const host of ['evil.example', 'evil.example:7011', '127.0.0.1.evil.example', '10.0.0.1'])
      for (const [method, path, body] of doors) {
        const answer = await send(open, method, path, { ...json, host }, body);
        expect([host, path, answer.status, JSON.parse(answer.text).code]).toEqual([
          host,
          path,
          403,
          'SEXTANT_ORIGIN_REFUSED',
        ]);
      }
    nothingHappened(open);
    const closed = await start();
    expect(
      (await send(closed, 'POST', '/v2/pipeline', { ...json, host: 'db.example', ...(await bearer()) }, sql))
        .status,
    ).toBe(200);
  });
});
