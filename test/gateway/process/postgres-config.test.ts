import { expect, test } from 'vitest';
import { gatewayConfigSchema } from '../../../gateway/process/config.ts';
import { configOf } from './config-of.ts';

const verifier = `SCRAM-SHA-256$4096:c2FsdHNhbHRzYWx0c2E=$${'A'.repeat(43)}=:${'B'.repeat(43)}=`;

/** What is wrong with a configuration, as `path: message`. */
function problems(changes: object): readonly string[] {
  const read = gatewayConfigSchema.safeParse(configOf(changes));
  return read.success ? [] : read.error.issues.map(({ path, message }) => `${path.join('.')}: ${message}`);
}

const listen = '127.0.0.1:7160';

test('PostgreSQL takes an address for its clients, and on loopback nothing more', () => {
  expect(problems({ engine: 'postgres', postgres: { listen } })).toEqual([]);
  expect(problems({ engine: 'postgres', postgres: { listen, advertise: 'db.example:5432' } })).toEqual([]);
  expect(problems({ engine: 'sqlite' })).toEqual([]);
});

test.each([
  [{ engine: 'postgres' }, /^postgres: needed with `engine: postgres`/],
  [{ postgres: { listen } }, /^postgres: only with `engine: postgres`/],
  [{ engine: 'oracle' }, /^engine: /],
  [
    { engine: 'postgres', postgres: { listen, users: [{ name: 'ann', verifier: 'secret' }] } },
    /^postgres\.users\.0\.verifier: a verifier, as/,
  ],
  [{ engine: 'postgres', postgres: { listen, advertise: 'https://db.example' } }, /^postgres\.advertise: /],
])('%j is refused where it is wrong', (changes, problem) => {
  expect(problems(changes)).toEqual([expect.stringMatching(problem)]);
});

test('a gateway that asks libSQL clients for tokens asks these clients for passwords, on loopback too', () => {
  const auth = { jwtPublicKey: 'key' };
  const given = { engine: 'postgres', postgres: { listen }, auth };
  expect(problems(given)).toEqual([expect.stringMatching(/^postgres\.users: needed with `auth`/)]);
  expect(problems({ ...given, postgres: { listen, users: [{ name: 'ann', verifier }] } })).toEqual([]);
});

test('where other machines reach it, PostgreSQL clients show a password and are encrypted, or the file says that they need not', () => {
  const open = { engine: 'postgres', postgres: { listen: '10.0.0.1:7160' } };
  expect(problems(open)).toEqual([
    expect.stringMatching(/^postgres\.users: needed to listen on 10\.0\.0\.1:7160.*no-auth/),
    expect.stringMatching(/^tls: needed to listen on 10\.0\.0\.1:7160.*no-tls/),
  ]);
  expect(problems({ ...open, insecure: ['no-auth', 'no-tls'] })).toEqual([]);
  const users = [{ name: 'ann', verifier, access: 'read' }];
  const tls = { certFile: 'cert.pem', keyFile: 'key.pem' };
  expect(problems({ ...open, postgres: { ...open.postgres, users }, tls })).toEqual([]);
});
