/** Keys of tokens: several, by name, from a file that is replaced while tokens are in use. */
import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SignJWT } from 'jose';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { type Authenticator, createAuthenticator } from '../../../gateway/access/auth.ts';
import { openKeys } from '../../../gateway/access/key-source.ts';
import { readJwks } from '../../../gateway/access/keys.ts';

const ed = (): { publicKey: KeyObject; privateKey: KeyObject } => generateKeyPairSync('ed25519');
const p256 = (): { publicKey: KeyObject; privateKey: KeyObject } =>
  generateKeyPairSync('ec', { namedCurve: 'P-256' });
const jwk = (key: KeyObject, kid?: string) => ({
  ...key.export({ format: 'jwk' }),
  ...(kid !== undefined && { kid }),
});
const jwks = (...keys: object[]): string => JSON.stringify({ keys });

const directory = mkdtempSync(join(tmpdir(), 'sextant-keys-'));
const stops: (() => void)[] = [];
afterEach(() => {
  for (const stop of stops.splice(0)) stop();
  rmSync(directory, { recursive: true, force: true });
});

async function token(
  key: KeyObject,
  kid: string | undefined,
  claims: Record<string, unknown> = {},
): Promise<string> {
  const alg = key.asymmetricKeyType === 'ec' ? 'ES256' : 'EdDSA';
  return await new SignJWT(claims)
    .setProtectedHeader({ alg, ...(kid !== undefined && { kid }) })
    .setExpirationTime('1h')
    .sign(key);
}

function watched(text: string) {
  rmSync(directory, { recursive: true, force: true });
  const fresh = mkdtempSync(join(tmpdir(), 'sextant-keys-'));
  stops.push(() => rmSync(fresh, { recursive: true, force: true }));
  const file = join(fresh, 'jwks.json');
  writeFileSync(file, text);
  const lines: [string, object][] = [];
  const note = (fields: unknown, message?: unknown) => void lines.push([String(message), Object(fields)]);
  const opened = openKeys({ jwksFile: file }, { info: note, warn: note }, 20);
  if (opened.kind === 'unusable') throw new Error(opened.reason);
  stops.push(opened.close);
  const auth = createAuthenticator({ keys: opened.ring });
  const replace = (next: string) => {
    writeFileSync(`${file}.new`, next);
    renameSync(`${file}.new`, file);
  };
  return { auth, replace, lines, remove: () => rmSync(file) };
}

async function verdict(auth: Authenticator, jwt: string): Promise<string> {
  const grant = await auth.verify(jwt);
  return grant.ok ? 'ok' : grant.error.code;
}

describe('a key file', () => {
  it('holds several keys of both kinds, which tokens choose by name or by trying', async () => {
    const [a, b, c, stranger] = [ed(), p256(), ed(), ed()];
    const { auth } = watched(jwks(jwk(a.publicKey, 'a'), jwk(b.publicKey, 'b'), jwk(c.publicKey)));
    expect(await verdict(auth, await token(a.privateKey, 'a'))).toBe('ok');
    expect(await verdict(auth, await token(b.privateKey, 'b'))).toBe('ok');
    expect(await verdict(auth, await token(b.privateKey, undefined))).toBe('ok');
    expect(await verdict(auth, await token(c.privateKey, 'never heard of'))).toBe('ok');
    // A name that another key has is believed.
    expect(await verdict(auth, await token(c.privateKey, 'a'))).toBe('AUTH_JWT_INVALID');
    expect(await verdict(auth, await token(a.privateKey, 'b'))).toBe('AUTH_JWT_INVALID');
    expect(await verdict(auth, await token(stranger.privateKey, undefined))).toBe('AUTH_JWT_INVALID');
  });

  it('is read again when it changes: new keys are taken, and a key that is gone ends its tokens and grants', async () => {
    const [old, next] = [ed(), p256()];
    const { auth, replace, lines } = watched(jwks(jwk(old.publicKey, 'old')));
    const [oldToken, nextToken] = [await token(old.privateKey, 'old'), await token(next.privateKey, 'next')];
    const grant = await auth.verify(oldToken);
    if (!grant.ok) throw new Error(grant.error.message);
    expect(await verdict(auth, nextToken)).toBe('AUTH_JWT_INVALID');

    replace(jwks(jwk(old.publicKey, 'old'), jwk(next.publicKey, 'next')));
    await vi.waitFor(async () => expect(await verdict(auth, nextToken)).toBe('ok'), { timeout: 5_000 });
    expect(auth.verify(oldToken)).toMatchObject({ ok: true });
    expect(auth.lapsed(grant.value)).toBeNull();

    replace(jwks(jwk(next.publicKey, 'next')));
    await vi.waitFor(async () => expect(await verdict(auth, oldToken)).toBe('AUTH_JWT_INVALID'), {
      timeout: 5_000,
    });
    expect(auth.lapsed(grant.value)).toMatchObject({ code: 'AUTH_JWT_INVALID' });
    expect(await verdict(auth, nextToken)).toBe('ok');
    expect(lines.map(([message]) => message)).toEqual([
      'the keys of client tokens were read again',
      'the keys of client tokens were read again',
    ]);
  });

  it('that is broken or gone is told of once, and the keys that were known stay', async () => {
    const key = ed();
    const { auth, replace, lines, remove } = watched(jwks(jwk(key.publicKey, 'k')));
    const jwt = await token(key.privateKey, 'k');
    replace('{"keys": [');
    await vi.waitFor(() => expect(lines).toHaveLength(1), { timeout: 5_000 });
    expect(lines[0]).toMatchObject([
      'the key file cannot be used: the keys that were known stay in force',
      { keys: 1 },
    ]);
    expect(await verdict(auth, jwt)).toBe('ok');
    remove();
    await vi.waitFor(() => expect(lines).toHaveLength(2), { timeout: 5_000 });
    expect(lines[1]).toMatchObject([expect.anything(), { reason: expect.stringContaining('ENOENT') }]);
    expect(await verdict(auth, jwt)).toBe('ok');
  });

  it.each([
    ['nonsense', 'nonsense', 'no JWKS'],
    ['no keys', jwks(), 'no Ed25519 and no P-256 key'],
    ['keys of other kinds only', jwks({ kty: 'RSA', n: 'AQAB', e: 'AQAB' }), 'no Ed25519 and no P-256 key'],
    ['a private key', jwks(ed().privateKey.export({ format: 'jwk' })), 'private one'],
    ['a shared secret', jwks({ kty: 'oct', k: 'c2VjcmV0' }), 'private one'],
    ['a name twice', jwks(jwk(ed().publicKey, 'x'), jwk(ed().publicKey, 'x')), 'same kid'],
    ['too many keys', jwks(...Array.from({ length: 17 }, () => jwk(ed().publicKey))), 'the limit is 16'],
  ])('with %s is refused, and nothing of it is quoted', (_name, text, reason) => {
    const read = readJwks(text);
    expect(read).toMatchObject({ kind: 'unusable', reason: expect.stringContaining(reason) });
    expect(JSON.stringify(read)).not.toContain('c2VjcmV0');
  });
});
