import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { fileProblems } from '../../../gateway/process/check-files.ts';
import { gatewayConfigSchema } from '../../../gateway/process/config.ts';
import { initAuthority, issueCertificate } from '../../../regions/certs/certificate-store.ts';
import { testCertificate } from '../access/certificates.ts';
import { configOf } from './config-of.ts';

const dir = mkdtempSync(join(tmpdir(), 'sextant-check-files-'));
const nowMs = Date.now();
const dayMs = 24 * 3_600_000;
const file = (name: string): string => join(dir, name);
const tls = { certFile: '', keyFile: '' };
const keyless = { certFile: '', keyFile: '' };
afterAll(() => rmSync(dir, { recursive: true, force: true }));
beforeAll(async () => {
  await initAuthority(file('pki'), 'shop', nowMs);
  const issue = (name: string, hosts: readonly string[]) =>
    issueCertificate(
      file('pki'),
      { identity: { region: 'us-east-1', role: 'gateway', name }, hosts, days: 30 },
      nowMs,
    );
  const filesIn = (own: string) => ({ certFile: join(own, 'cert.pem'), keyFile: join(own, 'key.pem') });
  Object.assign(tls, filesIn(await issue('g1', ['127.0.0.1'])));
  Object.assign(keyless, filesIn(await issue('g2', [])));
  const { cert, key } = testCertificate();
  writeFileSync(file('public-cert.pem'), cert);
  writeFileSync(file('public-key.pem'), key);
  writeFileSync(file('torn.pem'), cert.slice(0, 200));
  writeFileSync(file('no-keys.json'), '{"keys": []}');
});

const problems = (changes: object, atMs: number = nowMs) => {
  const config = gatewayConfigSchema.parse(configOf(changes));
  return fileProblems(config, atMs).map(({ path, message }) => `${path.join('.')}: ${message}`);
};

test('files that a gateway and its clients can use are no problem', () => {
  expect(problems({})).toEqual([]);
  expect(problems({ tls })).toEqual([]);
});

test('a certificate of a public authority may be for names that lead here by other ways', () => {
  const given = { certFile: file('public-cert.pem'), keyFile: file('public-key.pem') };
  expect(problems({ tls: given, listen: '127.0.0.9:7011' })).toEqual([]);
});

test.each([
  ['a file is missing', () => ({ tls: { ...tls, keyFile: file('none') } }), /^tls\.keyFile: .*ENOENT/],
  [
    'the key is that of another certificate',
    () => ({ tls: { ...tls, keyFile: file('public-key.pem') } }),
    /^tls\.certFile: the key is that of another/,
  ],
  ['it is torn', () => ({ tls: { ...tls, certFile: file('torn.pem') } }), /^tls\.certFile: .*damaged/],
  ['it names no host', () => ({ tls: keyless }), /^tls\.certFile: the certificate names no host/],
  [
    'it is for another address than where the gateway listens',
    () => ({ tls, listen: '127.0.0.9:7011' }),
    /^tls\.certFile: the certificate is not for 127\.0\.0\.9.*but for .*127\.0\.0\.1: issue another with --host 127\.0\.0\.9/,
  ],
  [
    'there are no keys of tokens',
    () => ({ auth: { jwksFile: file('no-keys.json') } }),
    /^auth\.jwksFile: .*no-keys\.json cannot be used: it holds no Ed25519/,
  ],
  ['the keys are not there', () => ({ auth: { jwksFile: file('none') } }), /^auth\.jwksFile: .*ENOENT/],
  ['a key is none', () => ({ auth: { jwtPublicKey: 'x' } }), /^auth\.jwtPublicKey: no public key/],
])('it is told, at its key, when %s', (_name, changes, message) => {
  const found = problems(changes());
  expect(found).toHaveLength(1);
  expect(found[0]).toMatch(message);
});

test('a certificate is told of that has expired, or is not valid yet', () => {
  expect(problems({ tls }, nowMs + 33 * dayMs)[0]).toMatch(
    /^tls\.certFile: the certificate expired \d days ago/,
  );
  expect(problems({ tls }, nowMs - 10 * dayMs)[0]).toMatch(
    /^tls\.certFile: the certificate is valid from 20/,
  );
});
