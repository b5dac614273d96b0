import { X509Certificate } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import {
  CertificateError,
  changeAuthority,
  initAuthority,
  issueCertificate,
  renewCertificates,
  showCertificates,
} from '../../../regions/certs/certificate-store.ts';
import { requestProblem } from '../../../regions/certs/core/certificate-plan.ts';
import { main } from '../../../regions/cli/main.ts';
import { readIdentity } from '../../../storage/identity/read-identity.ts';
import { certificatesIn } from '../../../storage/index.ts';

const dayMs = 24 * 3_600_000;
const identity = { region: 'us-east-1', role: 'storage', name: 'n1' } as const;
const hosts = ['10.0.0.1', 'n1.internal', '::1'];
let dir: string;

beforeEach(() => {
  dir = join(mkdtempSync(join(tmpdir(), 'sextant-pki-')), 'pki');
});
afterEach(() => {
  rmSync(join(dir, '..'), { recursive: true, force: true });
  process.exitCode = undefined;
});

const filesIn = (target: string) => ({
  caFile: join(target, 'ca.pem'),
  certFile: join(target, 'cert.pem'),
  keyFile: join(target, 'key.pem'),
});
const read = (target: string, nowMs = Date.now()) =>
  readIdentity(filesIn(target), { cluster: 'shop', role: 'storage', name: 'n1' }, nowMs);

describe('the directory of an authority', () => {
  it('issues what a process can use, with a key that only its owner reads', async () => {
    await initAuthority(dir, 'shop', Date.now());
    const target = await issueCertificate(dir, { identity, hosts, days: 90 }, Date.now());
    expect(target).toBe(join(dir, 'us-east-1/storage/n1'));
    expect(read(target)).toMatchObject({
      kind: 'ok',
      material: { identity: { cluster: 'shop', region: 'us-east-1', role: 'storage', name: 'n1' } },
    });
    for (const key of [join(dir, 'ca-key.pem'), join(target, 'key.pem')])
      expect(statSync(key).mode & 0o777).toBe(0o600);
    expect(statSync(dir).mode & 0o777).toBe(0o700);
    const certificate = new X509Certificate(readFileSync(join(target, 'cert.pem')));
    expect(certificate.subjectAltName).toContain(
      'IP Address:10.0.0.1, DNS:n1.internal, IP Address:0:0:0:0:0:0:0:1',
    );
    expect(certificate.ca).toBe(false);
    expect(certificate.publicKey.asymmetricKeyDetails).toMatchObject({ namedCurve: 'prime256v1' });
    expect(read(target, Date.now() + 91 * dayMs)).toMatchObject({ kind: 'unusable' });
  });

  it('is made once, and nothing is issued without it', async () => {
    await expect(issueCertificate(dir, { identity, hosts, days: 90 }, Date.now())).rejects.toThrow(
      'certs init',
    );
    await initAuthority(dir, 'shop', Date.now());
    await expect(initAuthority(dir, 'shop', Date.now())).rejects.toThrow(CertificateError);
  });

  it.each([
    [{ identity: { ...identity, name: 'N 1' } }, 'a name is 1 to 63'],
    [{ identity: { ...identity, region: '../x' } }, 'a region is 1 to 63'],
    [{ hosts: ['a b'] }, 'a host is'],
    [{ hosts: ['*.internal'] }, 'a host is'],
    [{ days: 0 }, '1 to 825 days'],
    [{ days: 1_000 }, '1 to 825 days'],
  ])('refuses %j', (change, words) => {
    const request = { identity: { cluster: 'shop', ...identity }, hosts, days: 90, ...change };
    expect(requestProblem({ ...request, identity: { cluster: 'shop', ...request.identity } })).toContain(
      words,
    );
  });

  it('renews what expires soon, for the same process and hosts, and nothing else', async () => {
    await initAuthority(dir, 'shop', Date.now());
    const target = await issueCertificate(dir, { identity, hosts, days: 90 }, Date.now());
    const late = await issueCertificate(
      dir,
      { identity: { ...identity, name: 'n2' }, hosts, days: 10 },
      Date.now(),
    );
    const before = showCertificates(join(late, 'cert.pem'))[0];
    expect(await renewCertificates(dir, { withinMs: 30 * dayMs, days: 90 }, Date.now())).toEqual([late]);
    expect(await renewCertificates(dir, { withinMs: 30 * dayMs, days: 90 }, Date.now())).toEqual([]);
    const after = showCertificates(join(late, 'cert.pem'))[0];
    expect(after).toMatchObject({
      identity: { name: 'n2' },
      hosts: showCertificates(join(target, 'cert.pem'))[0]?.hosts,
    });
    expect(after?.expiresAtMs).toBeGreaterThan((before?.expiresAtMs ?? 0) + 79 * dayMs);
  });

  it('replaces its authority in three steps, at each of which old and new understand one another', async () => {
    await initAuthority(dir, 'shop', Date.now());
    const target = await issueCertificate(dir, { identity, hosts, days: 90 }, Date.now());
    const first = readFileSync(join(dir, 'ca.pem'), 'utf8');
    const trusted = () => certificatesIn(readFileSync(join(target, 'ca.pem'), 'utf8')).length;
    const now = Date.now();
    await expect(changeAuthority(dir, 'use', now)).rejects.toThrow('has no second authority');
    await expect(changeAuthority(dir, 'drop', now)).rejects.toThrow('no authority that is no longer used');
    await changeAuthority(dir, 'add', now);
    expect(trusted()).toBe(2);
    expect(await renewCertificates(dir, { withinMs: dayMs, days: 90 }, now)).toEqual([]);
    await expect(changeAuthority(dir, 'add', now)).rejects.toThrow('two authorities already');
    await expect(changeAuthority(dir, 'drop', now)).rejects.toThrow('no authority that is no longer used');
    expect(read(target).kind).toBe('ok');
    await changeAuthority(dir, 'use', now);
    expect(read(target).kind).toBe('ok');
    await expect(changeAuthority(dir, 'drop', now)).rejects.toThrow('certs renew');
    expect(await renewCertificates(dir, { withinMs: dayMs, days: 90 }, now)).toEqual([target]);
    expect(read(target).kind).toBe('ok');
    await changeAuthority(dir, 'drop', now);
    expect(trusted()).toBe(1);
    expect(readFileSync(join(dir, 'ca.pem'), 'utf8')).not.toBe(first);
    expect(read(target).kind).toBe('ok');
  });
});

describe('sextant certs', () => {
  const run = async (...args: readonly string[]) => {
    const out = vi.spyOn(console, 'log').mockImplementation(() => undefined);
    const error = vi.spyOn(console, 'error').mockImplementation(() => undefined);
    process.exitCode = undefined;
    try {
      await main(['node', 'sextant', 'certs', ...args]);
      const text = [...out.mock.calls, ...error.mock.calls].flat().join('\n');
      return { code: process.exitCode ?? 0, text };
    } finally {
      out.mockRestore();
      error.mockRestore();
    }
  };
  const issued = ['--region', 'us-east-1', '--role', 'storage', '--name', 'n1'];

  it('makes, issues and shows, and the exit code says whether one expires soon', async () => {
    expect(await run('init', dir, '--cluster', 'shop')).toMatchObject({ code: 0 });
    expect(
      await run('issue', dir, ...issued, '--host', '10.0.0.1,n1.internal', '--days', '10'),
    ).toMatchObject({ code: 0 });
    const shown = await run('show', dir);
    expect(shown.code).toBe(1);
    expect(shown.text).toContain('storage node us-east-1/n1 of cluster shop');
    expect((await run('show', dir, '--within', '5d')).code).toBe(0);
    const json = await run('show', join(dir, 'us-east-1'), '--within', '5d', '--json');
    expect(JSON.parse(json.text).certificates).toContainEqual(
      expect.objectContaining({ identity: expect.objectContaining({ name: 'n1' }), due: false }),
    );
    expect((await run('renew', dir, '--json')).text).toContain('us-east-1/storage/n1');
    expect((await run('show', dir)).code).toBe(0);
  });

  it('says in one line what is wrong', async () => {
    expect(await run('issue', dir, ...issued, '--host', 'a')).toMatchObject({
      code: 1,
      text: expect.stringContaining('certs init'),
    });
    await run('init', dir, '--cluster', 'shop');
    expect(await run('issue', dir, ...issued)).toMatchObject({
      code: 1,
      text: expect.stringContaining('--host'),
    });
    expect(await run('show', join(dir, 'nowhere'))).toMatchObject({ code: 1 });
    expect(await run('authority', dir, 'swap')).toMatchObject({
      code: 1,
      text: expect.stringContaining('add, use or drop'),
    });
    writeFileSync(join(dir, 'odd.pem'), '-----BEGIN CERTIFICATE-----\nabc\n-----END CERTIFICATE-----\n');
    expect(await run('show', join(dir, 'odd.pem'))).toMatchObject({
      code: 1,
      text: expect.stringContaining('cannot be read'),
    });
  });
});
