import { generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import { createClient } from '@libsql/client';
import { describe, expect, it } from 'vitest';
import { beyondBranch } from '../../../gateway/access/auth.ts';
import { parsePublicKey } from '../../../gateway/access/keys.ts';
import { isLoopback, isLoopbackHost } from '../../../storage/process/config.ts';
import { branchName, mainBranch } from '../../../storage/redo/ids.ts';
import { authenticator, execute, RawSocket, startHarness } from './hrana-harness.ts';

const { publicKey, privateKey } = generateKeyPairSync('ed25519');
const pem = publicKey.export({ type: 'spki', format: 'pem' }).toString();
const raw = publicKey.export({ type: 'spki', format: 'der' }).subarray(-32);
const nowSeconds = 1_800_000_000;

function token(
  claims: object,
  header: object = { alg: 'EdDSA', typ: 'JWT' },
  key: KeyObject = privateKey,
): string {
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const signed = `${part(header)}.${part(claims)}`;
  return `${signed}.${sign(null, Buffer.from(signed), key).toString('base64url')}`;
}

async function codeOf(jwt: string | null): Promise<string> {
  const outcome = await authenticator(pem, { nowMs: () => nowSeconds * 1000 }).verify(jwt);
  return outcome.ok ? 'ok' : outcome.error.code;
}

describe('tokens', () => {
  it('pass when signed with the key, given as PEM or as raw bytes', async () => {
    expect(await codeOf(token({}))).toBe('ok');
    for (const key of [raw.toString('base64'), raw.toString('base64url')]) {
      expect(await authenticator(key).verify(token({ a: 'rw' }))).toMatchObject({ ok: true });
    }
  });

  it('are refused when missing, expired, too early, altered, of another key or another algorithm', async () => {
    const good = token({});
    const [header, claims, signature] = good.split('.');
    expect(await codeOf(null)).toBe('AUTH_JWT_MISSING');
    expect(await codeOf(token({ exp: nowSeconds + 1, nbf: nowSeconds }))).toBe('ok');
    expect(await codeOf(token({ exp: nowSeconds }))).toBe('AUTH_JWT_EXPIRED');
    const otherClaims = Buffer.from('{"sub":"root"}').toString('base64url');
    const bad = [
      token({ nbf: nowSeconds + 1 }),
      token({ exp: 'never' }),
      token({}, { alg: 'none' }),
      token({}, { alg: 'HS256' }),
      token({}, { alg: 'EdDSA', crit: ['x'] }),
      token({}, { alg: 'EdDSA', crit: ['b64'], b64: false }),
      token({}, { alg: 'EdDSA', crit: ['b64'], b64: true }),
      token({}, { alg: 'Ed25519' }),
      token({}, { alg: 'ES256' }),
      token({}, {}),
      token([]),
      `${good}=`,
      `${good}\n`,
      `${good.slice(0, -1)}`,
      'x'.repeat(20_000),
      token({}, { alg: 'EdDSA' }, generateKeyPairSync('ed25519').privateKey),
      `${header}.${otherClaims}.${signature}`,
      `${header}.${claims}.`,
      `${header}.${claims}`,
      `${good}.x`,
      'x',
      '..',
    ];
    for (const jwt of bad) expect(await codeOf(jwt), jwt).toBe('AUTH_JWT_INVALID');
  });

  it('that grant less than a scope can say are refused, not taken for more', async () => {
    expect(await codeOf(token({ id: '' }))).toBe('AUTH_JWT_INVALID');
    expect(await codeOf(token({ id: 'x'.repeat(64) }))).toBe('AUTH_JWT_INVALID');
    expect(await codeOf(token({ p: { ro: { ns: ['x'] } } }))).toBe('AUTH_JWT_INVALID');
  });

  it('that name a database are for that one alone, and streams of two of them differ (G53)', async () => {
    const branchOf = async (claims: object) => {
      const grant = await authenticator(pem, { nowMs: () => nowSeconds * 1000 }).verify(token(claims));
      if (!grant.ok) throw new Error(grant.error.code);
      return grant.value;
    };
    const none = await branchOf({});
    const dev = await branchOf({ id: 'dev' });
    expect([none.branch, dev.branch]).toEqual([null, 'dev']);
    // What libSQL's server calls its only database is main here.
    expect((await branchOf({ id: 'default' })).branch).toBe('main');
    const [main, qa] = [mainBranch, branchName('qa')];
    for (const branch of [main, qa]) expect(beyondBranch(none, branch)).toBeNull();
    expect(beyondBranch(dev, branchName('dev'))).toBeNull();
    for (const branch of [main, qa])
      expect(beyondBranch(dev, branch)).toMatchObject({
        code: 'AUTH_BRANCH_MISSING',
        message: expect.stringContaining(`for the branch dev, and ${branch} was asked for`),
      });
    const named = await Promise.all(['dev', 'qa'].map((id) => branchOf({ sub: 'ada', id })));
    expect(new Set(named.map(({ owner }) => owner)).size).toBe(2);
  });

  it('expire although they were verified before', async () => {
    let now = (nowSeconds - 10) * 1000;
    const auth = authenticator(pem, { nowMs: () => now });
    const jwt = token({ exp: nowSeconds });
    const grant = await auth.verify(jwt);
    expect(grant.ok && auth.lapsed(grant.value)).toBeNull();
    now = nowSeconds * 1000;
    expect(auth.verify(jwt)).toMatchObject({ ok: false, error: { code: 'AUTH_JWT_EXPIRED' } });
    expect(grant.ok && auth.lapsed(grant.value)).toMatchObject({ code: 'AUTH_JWT_EXPIRED' });
  });

  it('need a key that is Ed25519 or P-256, and public', () => {
    const pemOf = (key: KeyObject) => key.export({ type: 'spki', format: 'pem' }).toString();
    const rsa = pemOf(generateKeyPairSync('rsa', { modulusLength: 1024 }).publicKey);
    const p384 = pemOf(generateKeyPairSync('ec', { namedCurve: 'P-384' }).publicKey);
    const secret = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
    for (const text of ['', 'nonsense', rsa, p384, secret, raw.subarray(1).toString('base64')])
      expect(parsePublicKey(text), text).toBeNull();
    const p256 = pemOf(generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey);
    expect(parsePublicKey(p256)).toMatchObject({ algorithm: 'ES256', kid: null });
    expect(parsePublicKey(pem)).toMatchObject({ algorithm: 'EdDSA', kid: null });
  });
});

describe('a gateway with a key', () => {
  it.each(['http', 'ws'] as const)('lets the stock client in by its authToken over %s', async (transport) => {
    const harness = await startHarness({ auth: authenticator(pem) });
    const query = async (authToken?: string) => {
      const client = createClient({
        url: harness[transport],
        ...(authToken === undefined ? {} : { authToken }),
      });
      try {
        return (await client.execute('SELECT 1')).rows.length;
      } catch (error) {
        return Object(error).code;
      } finally {
        client.close();
      }
    };
    expect(await query(token({}))).toBe(1);
    expect(await query()).toBe('AUTH_JWT_MISSING');
    expect(await query('x.y.z')).toBe('AUTH_JWT_INVALID');
    expect(await query(token({ exp: 1 }))).toBe('AUTH_JWT_EXPIRED');
    expect(harness.twin.contexts).toHaveLength(1);
  });

  it('answers 401 in JSON, and tells a bad header from a bad token', async () => {
    const { post } = await startHarness({ auth: authenticator(pem) });
    const body = { requests: [execute('SELECT 1')] };
    expect(await post('/v2/pipeline', body, { authorization: 'Basic abc' })).toMatchObject({
      status: 401,
      contentType: 'application/json',
      json: { code: 'AUTH_HTTP_HEADER_INVALID' },
    });
    expect((await post('/v3/cursor', { batch: { steps: [] } })).status).toBe(401);
  });

  it('stops serving a WebSocket whose token has expired, until it shows a new one', async () => {
    let now = 0;
    const { ws } = await startHarness({ auth: authenticator(pem, { nowMs: () => now }) });
    const socket = await RawSocket.greeted(ws, token({ exp: 1 }));
    socket.ask(1, { type: 'open_stream', stream_id: 1 });
    now = 1_000;
    socket.ask(2, { type: 'open_stream', stream_id: 2 });
    socket.send({ type: 'hello', jwt: token({ exp: 2 }) });
    socket.ask(3, { type: 'open_stream', stream_id: 3 });
    const answers = await socket.take(4);
    expect(answers.at(-3)).toMatchObject({ error: { code: 'AUTH_JWT_EXPIRED' } });
    expect(answers.slice(-2)).toMatchObject([{ type: 'hello_ok' }, { type: 'response_ok' }]);
  });
});

describe('loopback', () => {
  it.each([
    '127.0.0.1',
    '127.9.9.9:80',
    'localhost',
    'LOCALHOST:7011',
    'db.localhost',
    '[::1]',
    '[::1]:7011',
  ])('is named by the host %s', (host) => expect(isLoopbackHost(host)).toBe(true));

  it.each([
    '0.0.0.0',
    '[::]',
    '10.0.0.1',
    'example.com',
    '127.0.0.1.example.com',
    'localhost.example.com',
    '',
  ])('is not named by the host %s', (host) => {
    expect(isLoopbackHost(host)).toBe(false);
    expect(isLoopback(host)).toBe(false);
  });
});
