import { expect, test } from 'vitest';
import { postgresUrl, readPostgresUrl } from '../../../regions/postgres/core/postgres-url.ts';

const place = {
  host: '10.0.0.1',
  port: 5432,
  database: 'main',
  user: null,
  password: null,
  isEncrypted: false,
};

test.each([
  ['postgres://10.0.0.1/main', {}],
  ['postgresql://10.0.0.1', {}],
  ['postgres://ada@10.0.0.1:7031/dev', { user: 'ada', port: 7031, database: 'dev' }],
  ['postgres://a%40b:p%2Fw@10.0.0.1/main', { user: 'a@b', password: 'p/w' }],
  ['postgres://[::1]/main?sslmode=require', { host: '::1', isEncrypted: true }],
  ['postgres://db.example/main?sslmode=disable', { host: 'db.example' }],
] as const)('%s is understood', (text, more) => {
  expect(readPostgresUrl(text)).toEqual({ ...place, ...more });
});

test.each(['http://10.0.0.1/main', 'postgres://', 'postgres://%zz@h/main', 'main', ''])(
  '%s is no address',
  (text) => {
    expect(readPostgresUrl(text)).toBeNull();
  },
);

test('an address as text is read back as it was, and shows no password', () => {
  for (const host of ['::1', 'db.example', '10.0.0.1']) {
    const given = { ...place, host, user: 'a:b', password: 'secret', isEncrypted: true };
    const text = postgresUrl(given);
    expect(text).not.toContain('secret');
    expect(readPostgresUrl(text)).toEqual({ ...given, password: null });
  }
});
