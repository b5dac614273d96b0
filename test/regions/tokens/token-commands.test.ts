/** `sextant token` as it is typed, and its tokens as a gateway takes them. */
import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { createAuthenticator } from '../../../gateway/access/auth.ts';
import { openKeys } from '../../../gateway/access/key-source.ts';
import { main } from '../../../regions/cli/main.ts';
import { describeExpiry, parseLifetime } from '../../../regions/tokens/core/lifetime.ts';

const command = fileURLToPath(new URL('../../../regions/cli/sextant.mjs', import.meta.url));
let directory = '';
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'sextant-token-'));
});
afterEach(() => {
  vi.restoreAllMocks();
  rmSync(directory, { recursive: true, force: true });
});

/** Runs it as the command line would, with the files of this test instead of those of the working directory. */
async function token(args: readonly string[]) {
  const files =
    args[0] === 'show'
      ? []
      : ['--key', join(directory, 'sextant-token-key.pem')].filter(() => !args.includes('--key'));
  const jwks =
    args[0] === 'keygen' && !args.includes('--jwks') ? ['--jwks', join(directory, 'sextant-jwks.json')] : [];
  const written = { out: '', err: '' };
  const note = (into: 'out' | 'err') => (text: unknown) => {
    written[into] += `${String(text).trim()}\n`;
    return true;
  };
  vi.spyOn(console, 'log').mockImplementation(note('out'));
  vi.spyOn(console, 'error').mockImplementation(note('err'));
  vi.spyOn(process.stderr, 'write').mockImplementation(note('err'));
  const before = process.exitCode;
  process.exitCode = 0;
  await main([process.execPath, 'sextant', 'token', ...args, ...files, ...jwks]);
  const status = process.exitCode;
  process.exitCode = before;
  vi.restoreAllMocks();
  return { out: written.out.trim(), err: written.err.trim(), status };
}
const at = (name: string): string => join(directory, name);
const quiet = { info: () => undefined, warn: () => undefined };

async function verdict(jwt: string, rules = {}) {
  const keys = openKeys({ jwksFile: join(directory, 'sextant-jwks.json') }, quiet);
  if (keys.kind === 'unusable') throw new Error(keys.reason);
  keys.close();
  const grant = await createAuthenticator({ keys: keys.ring, rules }).verify(jwt);
  return grant.ok ? `${grant.value.scope} ${grant.value.subject} ${grant.value.key?.kid}` : grant.error.code;
}

describe('sextant token', () => {
  it.each(['EdDSA', 'ES256'])(
    'makes an %s key that only its owner reads, and tokens that a gateway takes',
    async (alg) => {
      const made = JSON.parse((await token(['keygen', '--alg', alg, '--json'])).out);
      const keyFile = join(directory, 'sextant-token-key.pem');
      expect(statSync(keyFile).mode & 0o777).toBe(0o600);
      expect(readFileSync(join(directory, 'sextant-jwks.json'), 'utf8')).not.toContain('"d"');
      const jwt = await token(['create', '--scope', 'admin', '--subject', 'ada']);
      expect([jwt.status, jwt.err]).toEqual([0, '']);
      expect(await verdict(jwt.out)).toBe(`admin ada ${made.kid}`);
      const shown = JSON.parse((await token(['show', `Bearer ${jwt.out}`, '--json'])).out);
      expect(shown).toMatchObject({
        header: { alg, kid: made.kid },
        claims: { scope: 'admin', sub: 'ada' },
        grants: 'admin',
        checked: false,
      });
      expect(shown.claims.exp - shown.claims.iat).toBe(3_600);
    },
  );

  it('adds a key to the file that is there, never overwrites one, and leaves nothing behind when it cannot', async () => {
    await token(['keygen']);
    const old = (await token(['create', '--scope', 'read', '--subject', 'old'])).out;
    const again = await token(['keygen']);
    expect([again.status, again.err]).toEqual([1, expect.stringContaining('never overwritten')]);
    expect((await token(['keygen', '--key', at('next.pem'), '--alg', 'ES256'])).out).toContain(
      '2 public keys',
    );
    const next = (await token(['create', '--scope', 'write', '--subject', 'next', '--key', at('next.pem')]))
      .out;
    expect([await verdict(old), await verdict(next)]).toEqual([
      expect.stringMatching(/^read old /),
      expect.stringMatching(/^write next /),
    ]);
    writeFileSync(join(directory, 'other.json'), 'no JWKS');
    const refused = await token(['keygen', '--key', at('third.pem'), '--jwks', at('other.json')]);
    expect([refused.status, refused.err]).toEqual([1, expect.stringContaining('is no JWKS')]);
    expect(existsSync(join(directory, 'third.pem'))).toBe(false);
  });

  it('makes tokens that end when they are told to, for the service that is named', async () => {
    await token(['keygen']);
    const given = ['create', '--scope', 'read', '--subject', 'x'];
    const meant = (await token([...given, '--audience', 'db', '--issuer', 'me', '--ttl', '2d'])).out;
    expect(await verdict(meant)).toBe('AUTH_JWT_INVALID');
    expect(await verdict(meant, { audience: 'db', issuer: 'me' })).toMatch(/^read x /);
    const endless = await token([...given, '--ttl', 'none']);
    expect(endless.err).toContain('auth.expiry: optional');
    expect(await verdict(endless.out)).toBe('AUTH_JWT_INVALID');
    expect(await verdict(endless.out, { expiry: 'optional' })).toMatch(/^read x /);
  });

  it.each([
    [['create', '--scope', 'root'], '--scope is read, write, admin'],
    [['create', '--scope', 'read', '--ttl', '5'], '--ttl is a number with s, m, h, d or w'],
    [['create', '--scope', 'read', '--ttl', '9999w'], '--ttl is'],
    [['create', '--scope', 'read'], 'sextant-token-key.pem cannot be read (ENOENT)'],
    [['keygen', '--alg', 'RS256'], '--alg is EdDSA or ES256'],
    [['show', 'x'], 'that is no token'],
  ])('%j is refused in words', async (args, words) => {
    const { status, err, out } = await token(args);
    expect([status, out, err]).toEqual([1, '', expect.stringContaining(words)]);
  });

  it('uses no key that others can read, and quotes nothing of one that it cannot read', async () => {
    await token(['keygen']);
    const file = join(directory, 'sextant-token-key.pem');
    chmodSync(file, 0o644);
    expect((await token(['create', '--scope', 'read'])).err).toContain('chmod 600');
    const secret = readFileSync(file, 'utf8').slice(40, 60);
    writeFileSync(file, `nonsense ${secret}`);
    chmodSync(file, 0o600);
    const damaged = await token(['create', '--scope', 'read']);
    expect(damaged.err).toContain('no private key in PEM');
    expect(damaged.err).not.toContain(secret);
  });
});

it('sextant token is a command of the program, and reads a token where no list of processes shows it', async () => {
  await token(['keygen']);
  const made = await token(['create', '--scope', 'write', '--subject', 'ada']);
  const { stdout, status } = spawnSync(process.execPath, [command, 'token', 'show', '-'], {
    input: made.out,
    encoding: 'utf8',
    env: { ...process.env, NO_COLOR: '1' },
  });
  expect([status, stdout]).toEqual([0, expect.stringMatching(/^grants +write\nexpiry +expires in 60 min\n/)]);
});

describe('a lifetime', () => {
  it.each([
    ['90s', 90],
    ['15m', 900],
    ['1h', 3_600],
    ['30d', 2_592_000],
    ['4w', 2_419_200],
    ['0s', undefined],
    ['1', undefined],
    ['-1h', undefined],
    ['1y', undefined],
    ['3661d', undefined],
  ])('%s is %s seconds', (text, seconds) => expect(parseLifetime(text)).toBe(seconds));

  it.each([
    [null, 'never expires'],
    [1_060, 'expires in 60 s'],
    [4_600, 'expires in 60 min'],
    [87_400, 'expires in 24 h'],
    [1_000, 'expired 0 s ago'],
    [1_000 - 3 * 86_400, 'expired 3 d ago'],
  ])('that ends at %s is told as "%s"', (at, words) => expect(describeExpiry(at, 1_000)).toBe(words));
});
