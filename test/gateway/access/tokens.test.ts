/** What can go wrong because signatures are checked on another thread. */
import { generateKeyPairSync, sign } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { WebSocket } from 'ws';
import { upgradeGrant } from '../../../gateway/access/admission.ts';
import type { Authenticator, Verdict } from '../../../gateway/access/auth.ts';
import type { TokenLimits } from '../../../gateway/access/core/token-limits.ts';
import { LiveFeed } from '../../../gateway/admin/watch.ts';
import { MessageOrder } from '../../../gateway/hrana/message-order.ts';
import { defaultServiceLimits } from '../../../gateway/session/core/service-limits.ts';
import { authenticator, execute, RawSocket, startHarness } from '../hrana/hrana-harness.ts';

const { publicKey, privateKey } = generateKeyPairSync('ed25519');
const pem = publicKey.export({ type: 'spki', format: 'pem' }).toString();

function token(claims: object, key = privateKey): string {
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const signed = `${part({ alg: 'EdDSA' })}.${part(claims)}`;
  return `${signed}.${sign(null, Buffer.from(signed), key).toString('base64url')}`;
}
const stranger = () => token({}, generateKeyPairSync('ed25519').privateKey);

const limited = (limits: TokenLimits): Authenticator => authenticator(pem, { limits });

/** An authenticator whose checks end when the test says so. */
function held(): { readonly auth: Authenticator; readonly asked: () => number; release(): void } {
  const inner = authenticator(pem);
  const { promise, resolve } = Promise.withResolvers<void>();
  let asked = 0;
  const later = (verdict: () => Verdict): Verdict => {
    asked += 1;
    return promise.then(verdict);
  };
  return {
    auth: {
      ...inner,
      verify: (jwt) => later(() => inner.verify(jwt)),
      verifyHeader: (header) => later(() => inner.verifyHeader(header)),
    },
    asked: () => asked,
    release: resolve,
  };
}

const eventually = (check: () => void) => vi.waitFor(check, { timeout: 5_000, interval: 10 });

afterEach(() => vi.restoreAllMocks());

describe('a signature', () => {
  it('is checked once for each token, however many ask at once, and costs no promise afterwards', async () => {
    const verify = vi.spyOn(crypto.subtle, 'verify');
    const auth = authenticator(pem);
    const jwt = token({});
    const answers = await Promise.all(Array.from({ length: 50 }, () => auth.verify(jwt)));
    expect(answers.every((answer) => answer.ok)).toBe(true);
    expect(auth.verify(jwt)).toMatchObject({ ok: true });
    expect(auth.verifyHeader(`Bearer ${jwt}`)).not.toBeInstanceOf(Promise);
    expect(verify).toHaveBeenCalledTimes(1);
  });

  it('is checked again when it did not hold: only good tokens are kept', async () => {
    const verify = vi.spyOn(crypto.subtle, 'verify');
    const auth = authenticator(pem);
    const jwt = stranger();
    for (let i = 0; i < 2; i++) expect(await auth.verify(jwt)).toMatchObject({ ok: false });
    expect(verify).toHaveBeenCalledTimes(2);
  });

  it('is checked a few at a time; others wait, up to a limit that is named, and then have their turn', async () => {
    const original = crypto.subtle.verify.bind(crypto.subtle);
    let [running, most] = [0, 0];
    vi.spyOn(crypto.subtle, 'verify').mockImplementation(async (...args) => {
      running += 1;
      most = Math.max(most, running);
      try {
        return await original(...args);
      } finally {
        running -= 1;
      }
    });
    const auth = limited({ tokenChecks: 2, tokenChecksWaiting: 5 });
    const tokens = Array.from({ length: 8 }, (_, sub) =>
      sub % 2 === 0 ? token({ sub: `${sub}` }) : stranger(),
    );
    const verdicts = tokens.map((jwt) => auth.verify(jwt));
    expect(verdicts.at(-1)).toMatchObject({
      ok: false,
      error: { code: 'SEXTANT_LIMIT', message: expect.stringContaining('tokenChecksWaiting = 5') },
    });
    const settled = await Promise.all(verdicts.slice(0, 7));
    expect(settled.map(({ ok }) => ok)).toEqual([true, false, true, false, true, false, true]);
    expect(most).toBe(2);
    expect(await auth.verify(token({ sub: 'after' }))).toMatchObject({ ok: true });
  });

  it('of nonsense is not checked at all', () => {
    const auth = limited({ tokenChecks: 1, tokenChecksWaiting: 0 });
    for (const jwt of ['x', 'a.b', 'a.b.c.d', 'a.b.c=', ' a.b.c', 'a.b.\u00e9', 'x'.repeat(20_000)])
      expect(auth.verify(jwt), jwt).toMatchObject({ ok: false, error: { code: 'AUTH_JWT_INVALID' } });
  });
});

describe('requests right behind a hello', () => {
  it('are answered after it, in their order', async () => {
    const { ws } = await startHarness({ auth: authenticator(pem) });
    const socket = await RawSocket.open(ws);
    socket.send({ type: 'hello', jwt: token({}) });
    socket.ask(1, { type: 'open_stream', stream_id: 1 });
    socket.ask(2, { type: 'execute', stream_id: 1, stmt: { sql: 'SELECT 1', want_rows: true } });
    socket.ask(3, { type: 'close_stream', stream_id: 1 });
    expect(await socket.take(4)).toMatchObject([
      { type: 'hello_ok' },
      { type: 'response_ok', request_id: 1 },
      { type: 'response_ok', request_id: 2 },
      { type: 'response_ok', request_id: 3 },
    ]);
  });

  it('are dropped when its token is refused', async () => {
    const { ws, twin } = await startHarness({ auth: authenticator(pem) });
    const socket = await RawSocket.open(ws);
    socket.send({ type: 'hello', jwt: stranger() });
    socket.ask(1, { type: 'open_stream', stream_id: 1 });
    socket.ask(2, { type: 'execute', stream_id: 1, stmt: { sql: 'SELECT 1' } });
    expect(await socket.next()).toMatchObject({ type: 'hello_error', error: { code: 'AUTH_JWT_INVALID' } });
    expect(await socket.closed).toMatchObject({ code: 1008, reason: 'AUTH_JWT_INVALID' });
    expect(twin.contexts).toHaveLength(0);
  });

  it('are not judged by the hello before it', async () => {
    const { ws, twin } = await startHarness({ auth: authenticator(pem) });
    const socket = await RawSocket.greeted(ws, token({}));
    socket.send({ type: 'hello', jwt: stranger() });
    socket.ask(1, { type: 'open_stream', stream_id: 1 });
    expect(await socket.next()).toMatchObject({ type: 'hello_error' });
    expect(await socket.closed).toMatchObject({ code: 1008 });
    expect(twin.contexts).toHaveLength(0);
  });

  it('stay with the client while a token is checked, but for what one read of the socket brought', async () => {
    const { auth, asked, release } = held();
    const { ws } = await startHarness({ auth });
    const socket = await RawSocket.open(ws);
    socket.send({ type: 'hello', jwt: token({}) });
    // 24 MB, more than the operating system holds between two sockets.
    const padding = 'x'.repeat(24_000);
    for (let id = 0; id < 1_000; id++) socket.ask(id, { type: 'close_stream', stream_id: id, padding });
    await eventually(() => expect(asked()).toBe(1));
    await sleep(200);
    expect(socket.ws.bufferedAmount).toBeGreaterThan(4_000_000);
    release();
    const answers = await socket.take(1_001);
    expect(answers[0]).toMatchObject({ type: 'hello_ok' });
    expect(answers.slice(1).map((answer) => Object(answer).request_id)).toEqual(
      Array.from({ length: 1_000 }, (_, id) => id),
    );
  });
});

describe('a client that leaves while its token is checked', () => {
  it('leaves no stream of its WebSocket behind', async () => {
    const { auth, asked, release } = held();
    const { ws, server, twin } = await startHarness({ auth });
    const socket = await RawSocket.open(ws);
    socket.send({ type: 'hello', jwt: token({}) });
    socket.ask(1, { type: 'open_stream', stream_id: 1 });
    socket.ask(2, { type: 'execute', stream_id: 1, stmt: { sql: 'BEGIN IMMEDIATE' } });
    await eventually(() => expect(asked()).toBe(1));
    socket.ws.terminate();
    release();
    await eventually(() => expect(server.counts().websockets).toBe(0));
    expect(twin.openSessions()).toBe(0);
  });

  it('is not waited for by a gateway that stops', async () => {
    const { auth, asked, release } = held();
    const { ws, server, twin } = await startHarness({ auth });
    const socket = await RawSocket.open(ws);
    socket.send({ type: 'hello', jwt: token({}) });
    socket.ask(1, { type: 'open_stream', stream_id: 1 });
    await eventually(() => expect(asked()).toBe(1));
    const stopped = server.close();
    release();
    expect(await socket.closed).toMatchObject({ code: 1001 });
    await stopped;
    expect(twin.openSessions()).toBe(0);
  });

  it('runs nothing over HTTP, and the gateway goes on', async () => {
    const { auth, asked, release } = held();
    const { http, post, server, twin } = await startHarness({ auth });
    const headers = { authorization: `Bearer ${token({})}` };
    const leaving = new AbortController();
    const body = JSON.stringify({ requests: [execute('SELECT 1')] });
    const asking = fetch(`${http}/v3/pipeline`, { method: 'POST', headers, body, signal: leaving.signal });
    await eventually(() => expect(asked()).toBe(1));
    leaving.abort();
    await expect(asking).rejects.toThrow();
    await sleep(50);
    release();
    expect(await post('/v3/pipeline', { requests: [execute('SELECT 2')] }, headers)).toMatchObject({
      status: 200,
    });
    expect(twin.contexts).toHaveLength(1);
    expect(server.counts().httpStreams).toBe(1);
  });
});

describe('the live feed', () => {
  async function feedBehind(auth: Authenticator) {
    const feed = new LiveFeed({
      limits: defaultServiceLimits,
      status: () => '{"cluster":"test"}',
      grant: (request) => upgradeGrant(request, auth, 'the-secret'),
      lapsed: (grant) => auth.lapsed(grant),
    });
    const { ws } = await startHarness({
      auth,
      onUpgrade: (request, socket, head) => feed.upgrade(request, socket, head),
    });
    const watch = (bearer: string) =>
      new WebSocket(`${ws}/v1/watch`, { headers: { authorization: `Bearer ${bearer}` } });
    return { feed, watch };
  }
  const outcome = (socket: WebSocket): Promise<string> =>
    new Promise((resolve) => {
      socket.on('error', (error) => resolve(error.message));
      socket.on('message', (data) => resolve(data.toString()));
    });

  it('takes a token that has yet to be checked, or the secret, and refuses another', async () => {
    const { feed, watch } = await feedBehind(authenticator(pem));
    expect(await outcome(watch(token({})))).toBe('{"cluster":"test"}');
    expect(await outcome(watch('the-secret'))).toBe('{"cluster":"test"}');
    expect(await outcome(watch(stranger()))).toContain('401');
    feed.close();
  });

  it('ends with its token', async () => {
    const { feed, watch } = await feedBehind(authenticator(pem));
    const socket = watch(token({ exp: Math.floor(Date.now() / 1_000) + 2 }));
    expect(await outcome(socket)).toBe('{"cluster":"test"}');
    const closed = new Promise((resolve) =>
      socket.on('close', (code, reason) => resolve([code, reason.toString()])),
    );
    expect(await closed).toEqual([1008, 'AUTH_JWT_EXPIRED']);
    feed.close();
  });

  it('that was closed, or whose peer has left, takes nobody whose token was still being checked', async () => {
    const { auth, asked, release } = held();
    const { feed, watch } = await feedBehind(auth);
    const [leaving, late] = [watch(token({})), watch(token({}))];
    const answers = [outcome(leaving), outcome(late)];
    await eventually(() => expect(asked()).toBe(2));
    leaving.terminate();
    feed.close();
    release();
    expect(await answers[0]).toContain('closed before');
    expect(await answers[1]).toContain('503');
    expect(feed.size).toBe(0);
  });
});

describe('messages in order', () => {
  it('wait for one that takes a while, and for the next such one among those that waited', async () => {
    const done: string[] = [];
    const pending = new Map<string, () => void>();
    const changes: boolean[] = [];
    const order: MessageOrder<string> = new MessageOrder(
      (message) => {
        if (!message.startsWith('slow')) return void done.push(message);
        const { promise, resolve } = Promise.withResolvers<void>();
        pending.set(message, resolve);
        return promise.then(() => void done.push(message));
      },
      () => changes.push(order.waiting),
    );
    for (const message of ['a', 'slow 1', 'b', 'slow 2', 'c']) order.take(message);
    expect(done).toEqual(['a']);
    pending.get('slow 1')?.();
    await sleep(0);
    order.take('d');
    expect(done).toEqual(['a', 'slow 1', 'b']);
    pending.get('slow 2')?.();
    await sleep(0);
    order.take('e');
    expect(done).toEqual(['a', 'slow 1', 'b', 'slow 2', 'c', 'd', 'e']);
    expect(changes).toEqual([true, true, false]);
  });
});
