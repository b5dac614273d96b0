import { readFileSync } from 'node:fs';
import { connect, type TLSSocket } from 'node:tls';
import pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { PostgresServerOptions } from '../../../gateway/postgres/postgres-server.ts';
import { makeVerifier } from '../../../regions/index.ts';
import type { IdentityFiles } from '../../../storage/index.ts';
import { TestAuthority } from '../../certificates.ts';
import { QuickService } from './quick-service.ts';
import { type Harness, packet, RawClient, serve, startupPacket } from './server-harness.ts';

const users: PostgresServerOptions['users'] = [
  { name: 'app', verifier: makeVerifier('pencil'), access: 'full' },
  { name: 'report', verifier: makeVerifier('pen'), access: 'read' },
];
let authority: TestAuthority;
let files: IdentityFiles;
let encrypted: Harness;
let plain: Harness;
const service = new QuickService();

beforeAll(async () => {
  authority = await TestAuthority.make();
  files = await authority.issue({ role: 'gateway' });
  encrypted = await serve(service, { users, tls: files });
  plain = await serve(service, { users });
});
afterAll(async () => {
  await encrypted.close();
  await plain.close();
  authority.remove();
});

async function logIn(server: Harness, config: pg.ClientConfig): Promise<string> {
  const client = new pg.Client({
    host: '127.0.0.1',
    port: server.port,
    user: 'app',
    database: 'main',
    password: 'pencil',
    ...config,
  });
  client.on('error', () => undefined);
  try {
    await client.connect();
    await client.query('SELECT 1');
    await client.end();
    return 'in';
  } catch (error) {
    return error instanceof Error && 'code' in error ? String(error.code) : String(error);
  }
}

test('who knows the password is let in, and who does not cannot tell a wrong name from a wrong password', async () => {
  expect(await logIn(plain, {})).toBe('in');
  expect(await logIn(plain, { password: 'wrong' })).toBe('28P01');
  expect(await logIn(plain, { user: 'nobody' })).toBe('28P01');
  const told = async (user: string): Promise<string> => {
    const client = new RawClient(plain.port);
    client.send(startupPacket({ user, database: 'main' }));
    await client.until(({ types }) => types === 'R');
    client.send(Buffer.from('p\0\0\0\x2aSCRAM-SHA-256\0\0\0\0\x14n,,n=,r=abcdefghijkl', 'latin1'));
    await client.until(({ types }) => types === 'RR');
    const { messages } = client;
    client.socket.destroy();
    return Buffer.from(messages[1]?.body ?? [])
      .toString()
      .replace(/r=[^,]+,s=[^,]{24},/, 'r=…,s=…,');
  };
  expect(await told('nobody')).toBe(await told('app'));
});

test('with no user at all nobody is let in', async () => {
  const closed = await serve(service, { users: [] });
  expect(await logIn(closed, {})).toBe('28P01');
  await closed.close();
});

test('a user that may read gets a session that can do nothing else', async () => {
  expect(await logIn(plain, { user: 'report', password: 'pen' })).toBe('in');
  expect(service.options.at(-1)).toEqual({ branch: 'main', readOnly: true });
  expect(service.operations.at(-1)?.settings).toEqual({ default_transaction_read_only: 'on' });
});

test('a connection is encrypted with the certificate of the gateway, and bound to it', async () => {
  const ssl = { ca: authority.ca, servername: 'localhost' };
  expect(await logIn(encrypted, { ssl })).toBe('in');
  expect(await logIn(encrypted, { ssl, enableChannelBinding: true } as pg.ClientConfig)).toBe('in');
  expect(await logIn(encrypted, { ssl, password: 'wrong' })).toBe('28P01');
});

test('a gateway with a certificate takes nothing in plain text, and says so', async () => {
  const client = new RawClient(encrypted.port);
  client.send(startupPacket({ user: 'app', database: 'main' }));
  await client.ended();
  expect(client.error).toMatchObject({
    S: 'FATAL',
    C: '28000',
    H: expect.stringContaining('sslmode=require'),
  });
});

test('a client may begin with TLS at once, if it says which protocol it means', async () => {
  const begin = async (protocols: string[]): Promise<string> => {
    const { promise, resolve } = Promise.withResolvers<string>();
    const socket: TLSSocket = connect(
      {
        host: '127.0.0.1',
        port: encrypted.port,
        ca: readFileSync(files.caFile),
        servername: 'localhost',
        ALPNProtocols: protocols,
      },
      () => socket.write(startupPacket({ user: 'app', database: 'main' })),
    );
    socket.once('data', (data: Buffer) => resolve(String.fromCharCode(data[0] ?? 0)));
    socket.once('error', () => resolve('refused'));
    socket.once('close', () => resolve('refused'));
    const first = await promise;
    socket.destroy();
    return first;
  };
  expect(await begin(['postgresql'])).toBe('R');
  expect(await begin(['http/1.1'])).toBe('refused');
  expect(await begin([])).toBe('refused');
});

test('what is sent in plain text behind the wish for encryption is not taken for something encrypted', async () => {
  const client = new RawClient(encrypted.port);
  client.send(packet({ int32: 80877103 }), startupPacket({ user: 'app', database: 'main' }));
  await client.ended();
  expect(client.received.toString()).toBe('S');
});

test('a gateway without a certificate says no to encryption, and goes on', async () => {
  const client = new RawClient(plain.port);
  client.send(packet({ int32: 80877104 }));
  await client.until(({ received }) => received.length === 1);
  client.send(packet({ int32: 80877103 }));
  await client.until(({ received }) => received.length === 2);
  expect(client.received.toString()).toBe('NN');
  client.forget();
  client.send(startupPacket({ user: 'app', database: 'main' }));
  await client.until(({ types }) => types === 'R');
  expect(Buffer.from(client.messages[0]?.body ?? []).includes('SCRAM-SHA-256\0')).toBe(true);
  client.socket.destroy();
});

test('a new certificate is used for new connections', async () => {
  const own = await authority.issue({ role: 'gateway' });
  const server = await serve(service, { users, tls: own });
  const other = await TestAuthority.make();
  const ssl = { ca: other.ca, servername: 'localhost' };
  expect(await logIn(server, { ssl })).not.toBe('in');
  const issued = await other.issue({ role: 'gateway' });
  const { copyFileSync } = await import('node:fs');
  copyFileSync(issued.certFile, own.certFile);
  copyFileSync(issued.keyFile, own.keyFile);
  await expect.poll(() => logIn(server, { ssl }), { timeout: 10_000, interval: 500 }).toBe('in');
  await server.close();
  other.remove();
});

test('a verifier that is none, and a certificate that is not there, are told at the start', async () => {
  await expect(
    serve(service, { users: [{ name: 'a', verifier: 'secret', access: 'full' }] }),
  ).rejects.toThrow(/user "a".*SCRAM-SHA-256\$4096/);
  await expect(serve(service, { tls: { certFile: '/nowhere', keyFile: '/nowhere' } })).rejects.toThrow(
    /\/nowhere/,
  );
});

test('the consistency of reads can be set when a client connects, and nothing that means nothing', async () => {
  const connected = (read: string) => logIn(plain, { options: `-c sextant.read=${read}` });
  expect(await connected('eventual')).toBe('in');
  expect(service.operations.at(-1)?.settings).toMatchObject({ 'sextant.read': 'eventual' });
  expect(await connected('evntual')).toBe('22023');
});
