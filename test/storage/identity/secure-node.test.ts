import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect as connectTcp, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { connect as connectTls, createServer as createTlsServer, type TLSSocket } from 'node:tls';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { IdentityError } from '../../../storage/identity/credentials.ts';
import { type Credentials, openCredentials } from '../../../storage/index.ts';
import { type RunningNode, startStorageNode } from '../../../storage/node/node-process.ts';
import type { IdentityFiles } from '../../../storage/process/config.ts';
import { nodeId, regionId, zeroLsn } from '../../../storage/redo/ids.ts';
import { StorageClient } from '../../../storage/wire/storage-client.ts';
import { createLogger, type Logger } from '../../../telemetry/index.ts';
import { replace, TestAuthority } from '../../certificates.ts';
import { tapped } from '../../tap.ts';

const secret = 'the-cluster-secret-of-this-test';
const region = regionId('us-east-1');
const cleanups: (() => unknown)[] = [];
let authority: TestAuthority;
let foreign: TestAuthority;
const lines: string[] = [];
const log: Logger = createLogger({
  service: 'test',
  region: 'us-east-1',
  component: 'test',
  destination: { write: (line: string) => void lines.push(line) },
});

beforeAll(async () => {
  authority = await TestAuthority.make();
  foreign = await TestAuthority.make();
});
afterAll(() => {
  authority.remove();
  foreign.remove();
});
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
  lines.length = 0;
});

async function startNode(identity?: IdentityFiles): Promise<RunningNode> {
  const directory = mkdtempSync(join(tmpdir(), 'sextant-secure-'));
  cleanups.push(() => rmSync(directory, { recursive: true, force: true }));
  const config = {
    cluster: 'test',
    secret,
    region,
    node: nodeId('n1'),
    az: 'az1',
    listen: '127.0.0.1:0',
    dataDir: join(directory, 'data'),
    peers: [],
    ...(identity !== undefined && { identity }),
  };
  const node = await startStorageNode(config, { logger: log });
  cleanups.push(() => node.close());
  return node;
}

const portOf = (address: string): number => Number(address.slice(address.lastIndexOf(':') + 1));

function credentialsOf(files: IdentityFiles, lookMs = 20): Credentials {
  const own = { cluster: 'test', role: 'gateway' } as const;
  const credentials = openCredentials(files, own, log, lookMs);
  if (credentials === undefined) throw new Error('files were given');
  cleanups.push(() => credentials.close());
  return credentials;
}

/** A client of n1, or of another at its address, until it is up or refused. */
function dial(
  address: string,
  credentials: Credentials | undefined,
  name = 'n1',
): Promise<{ readonly client: StorageClient; readonly refusal: string | null }> {
  return new Promise((resolve) => {
    const client: StorageClient = new StorageClient({
      cluster: 'test',
      secret,
      region,
      target: { node: nodeId(name), az: 'az1', address },
      ...(credentials !== undefined && { place: { credentials } }),
      onUp: () => resolve({ client, refusal: null }),
      onRefused: (refusal) => resolve({ client, refusal }),
    });
    cleanups.push(() => client.close());
  });
}

/** Everything that a raw connection is answered. */
async function answerTo(socket: Socket, sent: string): Promise<string> {
  let text = '';
  socket.setEncoding('utf8').on('data', (chunk: string) => {
    text += chunk;
  });
  socket.on('error', () => undefined);
  socket.write(sent);
  await once(socket, 'close');
  return text;
}

/** The same over TLS, with any certificate, so that what the other end says to it is seen. */
async function answerOverTls(
  address: string,
  files: IdentityFiles | null,
  sent = get('/healthz'),
): Promise<string> {
  const pem = files === null ? {} : { cert: readFileSync(files.certFile), key: readFileSync(files.keyFile) };
  const socket = connectTls({ host: '127.0.0.1', port: portOf(address), rejectUnauthorized: false, ...pem });
  return answerTo(socket, sent);
}

const get = (path: string): string => `GET ${path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n`;
const upgrade = `GET /link HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\nauthorization: Bearer ${secret}\r\nx-sextant-cluster: test\r\nx-sextant-version: 1\r\n\r\n`;

const stateOf = ({ node }: RunningNode) => ({
  head: node.head,
  sealed: node.sealed,
  durable: node.durable,
  end: node.segment.volumeEnd(node.head),
});

describe('a storage node with a certificate', () => {
  it('serves who may, and its health to the whole cluster', async () => {
    const node = await startNode(await authority.issue({ role: 'storage', name: 'n1' }));
    for (const role of ['gateway', 'agent'] as const) {
      const files = await authority.issue({ role });
      const own = openCredentials(files, { cluster: 'test', role }, log);
      if (own === undefined) throw new Error('files were given');
      cleanups.push(() => own.close());
      const { client, refusal } = await dial(node.address, own);
      expect(refusal).toBeNull();
      expect(await client.request({ kind: 'status' }, 3_000)).toMatchObject({ kind: 'status', node: 'n1' });
    }
    const prometheus = await authority.issue({ role: 'operator', region: 'eu-west-1' });
    const metrics = await answerOverTls(node.address, prometheus, get('/metrics'));
    expect(metrics).toContain('200 OK');
    const expires = /sextant_certificate_expiry_timestamp_seconds\{[^}]*certificate="own"[^}]*\} (\d+)/.exec(
      metrics,
    );
    const days = (Number(expires?.[1]) * 1_000 - Date.now()) / (24 * 3_600_000);
    expect(days).toBeGreaterThan(89);
    expect(days).toBeLessThan(90.1);
    expect(metrics).toMatch(/sextant_certificate_files_refused\{[^}]*\} 0/);
  });

  it('turns everybody else away in one sentence, and nothing changes (S62)', async () => {
    const node = await startNode(await authority.issue({ role: 'storage', name: 'n1' }));
    const before = stateOf(node);
    const sentences: Readonly<Record<string, string>> = {
      'plain text': await answerTo(connectTcp(portOf(node.address), '127.0.0.1'), upgrade),
      'not even HTTP': await answerTo(connectTcp(portOf(node.address), '127.0.0.1'), '\u0000\u0001'),
      'no certificate': await answerOverTls(node.address, null, upgrade),
      'another authority': await answerOverTls(
        node.address,
        await foreign.issue({ role: 'gateway' }),
        upgrade,
      ),
      expired: await answerOverTls(
        node.address,
        await authority.issue({ role: 'gateway' }, { ageDays: 91 }),
        upgrade,
      ),
      'another cluster': await answerOverTls(
        node.address,
        await authority.issue({ role: 'gateway', cluster: 'b' }),
        upgrade,
      ),
      'another region': await answerOverTls(
        node.address,
        await authority.issue({ role: 'gateway', region: 'eu-west-1' }),
        upgrade,
      ),
      'another role': await answerOverTls(node.address, await authority.issue({ role: 'nats' }), upgrade),
      'health of another cluster': await answerOverTls(
        node.address,
        await authority.issue({ role: 'operator', cluster: 'b' }),
        get('/metrics'),
      ),
    };
    const own = 'storage node us-east-1/n1 of cluster test';
    const wanted: Readonly<Record<string, readonly string[]>> = {
      'plain text': ['400', 'TLS_REQUIRED', 'takes TLS'],
      'not even HTTP': ['400', 'TLS_REQUIRED'],
      'no certificate': ['403', 'has shown no certificate'],
      'another authority': ['403', 'another authority has issued it'],
      expired: ['403', 'it has expired'],
      'another cluster': ['403', own, 'gateway us-east-1/gateway of cluster b'],
      'another region': ['403', own, 'gateway eu-west-1/gateway of cluster test'],
      'another role': ['403', own, 'NATS server us-east-1/nats of cluster test'],
      'health of another cluster': ['403', own, 'operator us-east-1/operator of cluster b'],
    };
    for (const [what, parts] of Object.entries(wanted)) {
      for (const part of parts) expect(sentences[what], what).toContain(part);
      expect(sentences[what], what).not.toContain('101 Switching');
    }
    expect(stateOf(node)).toEqual(before);
    expect(lines.join('')).toContain('turned away');
    expect(lines.join('')).not.toContain(secret);
  });

  it('a client without a certificate, or with a foreign one, says what is wrong', async () => {
    const node = await startNode(await authority.issue({ role: 'storage', name: 'n1' }));
    expect((await dial(node.address, undefined)).refusal).toContain('TLS_REQUIRED');
    const stranger = credentialsOf(await foreign.issue({ role: 'gateway' }));
    expect((await dial(node.address, stranger)).refusal).toContain('another authority has issued it');
  });

  it('a client meant for another node learns who answers, and sends nothing', async () => {
    const node = await startNode(await authority.issue({ role: 'storage', name: 'n1' }));
    const credentials = credentialsOf(await authority.issue({ role: 'gateway' }));
    const { refusal } = await dial(node.address, credentials, 'n2');
    expect(refusal).toContain('expected storage node us-east-1/n2 of cluster test');
    expect(refusal).toContain('storage node us-east-1/n1 of cluster test');
    expect(lines.join('')).not.toContain('a link was refused');
  });

  it('a client tells nobody the secret who is not the node, and never speaks to one in plain text', async () => {
    const credentials = credentialsOf(await authority.issue({ role: 'gateway' }));
    const heard: string[] = [];
    const impostor = await foreign.issue({ role: 'storage', name: 'n1' });
    const server = createTlsServer({
      cert: readFileSync(impostor.certFile),
      key: readFileSync(impostor.keyFile),
    });
    server.on('secureConnection', (socket: TLSSocket) => {
      socket.on('data', (bytes) => heard.push(bytes.toString('latin1')));
      socket.on('error', () => undefined);
    });
    server.on('tlsClientError', () => undefined);
    const impostorPort = await listening(server);
    expect((await dial(`127.0.0.1:${impostorPort}`, credentials)).refusal).toContain('another authority');
    expect(heard.join('')).toBe('');
    const plain = await startNode();
    expect((await dial(plain.address, credentials)).refusal).toContain('does not speak TLS');
  });

  it('refuses to start with a certificate that is not its own', async () => {
    const wrong: readonly (readonly [Promise<IdentityFiles>, string])[] = [
      [authority.issue({ role: 'storage', name: 'n2' }), 'expected storage node us-east-1/n1'],
      [authority.issue({ role: 'storage', name: 'n1', region: 'eu-west-1' }), 'eu-west-1'],
      [authority.issue({ role: 'agent', name: 'n1' }), 'agent us-east-1/n1'],
      [authority.issue({ role: 'storage', name: 'n1' }, { ageDays: 100 }), 'expired'],
      [authority.issue({ role: 'storage', name: 'n1' }, { ca: foreign.ca }), 'no authority'],
    ];
    for (const [files, words] of wrong) await expect(startNode(await files)).rejects.toThrow(words);
    const files = await authority.issue({ role: 'storage', name: 'n1' });
    writeFileSync(files.keyFile, '-----BEGIN PRIVATE KEY-----\nabc\n-----END PRIVATE KEY-----\n');
    await expect(startNode(files)).rejects.toThrow('does not hold a private key');
  });
});

describe('what passes between a client and a node', () => {
  const marker = 'MARKER-of-a-statement-0123456789';

  /** The bytes of one request and its answer, as somebody on the way sees them. */
  async function captured(secured: boolean): Promise<string> {
    const node = await startNode(
      secured ? await authority.issue({ role: 'storage', name: 'n1' }) : undefined,
    );
    const seen: Buffer[] = [];
    const tap = await tapped(portOf(node.address), seen);
    cleanups.push(() => tap.close());
    const credentials = secured ? credentialsOf(await authority.issue({ role: 'gateway' })) : undefined;
    const { client } = await dial(tap.address, credentials);
    const frames = Buffer.from(marker);
    await client.request(
      { kind: 'append', authority: node.node.head, durable: node.node.durable, lowWater: zeroLsn, frames },
      3_000,
    );
    client.close();
    return Buffer.concat(seen).toString('latin1');
  }

  it('is neither SQL nor secret once it is encrypted, and both without', async () => {
    const plain = await captured(false);
    expect(plain).toContain(marker);
    expect(plain).toContain(secret);
    const encrypted = await captured(true);
    expect(encrypted.length).toBeGreaterThan(1_000);
    expect(encrypted).not.toContain(marker);
    expect(encrypted).not.toContain(secret);
  });
});

describe('a certificate that is replaced', () => {
  it('serves new connections while old ones go on, and no request fails (S61)', async () => {
    const files = await authority.issue({ role: 'storage', name: 'n1' });
    const node = await startNode(files);
    const mine = await authority.issue({ role: 'gateway' });
    const credentials = credentialsOf(mine);
    const { client } = await dial(node.address, credentials);
    const failures: unknown[] = [];
    let asked = 0;
    let asking: boolean = true;
    cleanups.push(() => {
      asking = false;
    });
    const load = (async () => {
      while (asking) {
        const answer = await client.request({ kind: 'status' }, 3_000);
        asked += 1;
        if (answer.kind !== 'status') failures.push(answer);
        await pause(5);
      }
    })();
    const serial = async (): Promise<string> => {
      const socket = connectTls({ host: '127.0.0.1', port: portOf(node.address), rejectUnauthorized: false });
      socket.on('error', () => undefined);
      await once(socket, 'secureConnect');
      const { serialNumber } = socket.getPeerCertificate();
      socket.destroy();
      return serialNumber;
    };
    const first = await serial();
    // A second authority beside the first, then everything by the second alone.
    const next = await TestAuthority.make();
    cleanups.push(() => next.remove());
    const both = authority.ca + next.ca;
    await authority.issueInto(files, { role: 'storage', name: 'n1' }, { ca: both });
    await authority.issueInto(mine, { role: 'gateway' }, { ca: both });
    await vi.waitFor(async () => expect(await serial()).not.toBe(first), { timeout: 15_000, interval: 200 });
    const second = await serial();
    await vi.waitFor(() => expect(credentials.material.ca.match(/BEGIN/g)).toHaveLength(2), {
      timeout: 5_000,
    });
    await next.issueInto(files, { role: 'storage', name: 'n1' }, { ca: both });
    await next.issueInto(mine, { role: 'gateway' }, { ca: both });
    await vi.waitFor(async () => expect(await serial()).not.toBe(second), { timeout: 15_000, interval: 200 });
    expect((await dial(node.address, credentials)).refusal).toBeNull();
    asking = false;
    await load;
    expect(failures).toEqual([]);
    expect(asked).toBeGreaterThan(10);
    expect(client.isUp).toBe(true);
  }, 60_000);

  it('stays in use when the new one is broken, which is said once, in words, and in a metric (S61)', async () => {
    const files = await authority.issue({ role: 'gateway' });
    const credentials = credentialsOf(files);
    const before = credentials.material;
    const changes = vi.fn();
    credentials.onChange(changes);
    const other = await authority.issue({ role: 'gateway' });
    replace(files.certFile, readFileSync(other.certFile, 'utf8'));
    await vi.waitFor(() => expect(lines.join('')).toContain('is not the key of'), { timeout: 5_000 });
    await new Promise((resolve) => setTimeout(resolve, 200));
    expect(credentials.trouble).toContain('is not the key of');
    expect(credentials.material).toBe(before);
    expect(changes).not.toHaveBeenCalled();
    expect(lines.filter((line) => line.includes('is not the key of'))).toHaveLength(1);
    replace(files.keyFile, readFileSync(other.keyFile, 'utf8'));
    await vi.waitFor(() => expect(changes).toHaveBeenCalledTimes(1), { timeout: 5_000 });
    expect(credentials.trouble).toBeNull();
    expect(credentials.material.cert).not.toBe(before.cert);
  }, 20_000);

  it('is told about 14 days before it expires', async () => {
    credentialsOf(await authority.issue({ role: 'gateway' }, { ageDays: 80 }));
    expect(lines.join('')).toContain('a certificate expires soon');
    lines.length = 0;
    credentialsOf(await authority.issue({ role: 'gateway' }, { ageDays: 70 }));
    expect(lines.join('')).not.toContain('expires soon');
  });

  it('that cannot be read at a start is an error that names the file', async () => {
    const files = await authority.issue({ role: 'gateway' });
    rmSync(files.caFile);
    expect(() => credentialsOf(files)).toThrow(IdentityError);
    expect(() => credentialsOf(files)).toThrow(`${files.caFile} (identity.caFile) cannot be read: ENOENT`);
  });
});

async function listening(server: Server): Promise<number> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  cleanups.push(() => void server.close());
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('a TCP server has a port');
  return address.port;
}
