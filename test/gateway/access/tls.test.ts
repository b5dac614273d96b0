/** HTTPS and WSS: stock clients, plain text at the TLS port, old protocol versions, and a new certificate while connections go on. */
import { execFile } from 'node:child_process';
import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { Agent, request as httpsRequest } from 'node:https';
import { connect as connectTcp, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect, type TLSSocket } from 'node:tls';
import { promisify } from 'node:util';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { WebSocket } from 'ws';
import { certificateIn, watchCertificate } from '../../../gateway/access/certificate.ts';
import { readByNode } from '../direct/direct-harness.ts';
import { type HarnessOptions, startHarness } from '../hrana/hrana-harness.ts';
import { type TestCertificate, testCertificate } from './certificates.ts';

const directories: string[] = [];
afterEach(() => {
  for (const directory of directories.splice(0)) rmSync(directory, { recursive: true, force: true });
});

function files(certificate: TestCertificate) {
  const directory = mkdtempSync(join(tmpdir(), 'sextant-tls-'));
  directories.push(directory);
  const certFile = join(directory, 'cert.pem');
  const keyFile = join(directory, 'key.pem');
  const write = (next: TestCertificate) => {
    for (const [file, text] of [
      [keyFile, next.key],
      [certFile, next.cert],
    ] as const) {
      writeFileSync(`${file}.new`, text);
      renameSync(`${file}.new`, file);
    }
  };
  write(certificate);
  return { certFile, keyFile, write };
}

async function start(options: HarnessOptions = {}) {
  const certificate = testCertificate();
  const { write, ...tls } = files(certificate);
  const harness = await startHarness({ ...options, tls });
  return { ...harness, certificate, write, tls, port: harness.server.port };
}

/** Everything a peer sends until it closes. */
function conversation(port: number, bytes: string): Promise<string> {
  return new Promise((resolve) => {
    const socket = connectTcp(port, '127.0.0.1', () => socket.write(bytes));
    let text = '';
    socket.on('data', (chunk) => {
      text += chunk.toString('latin1');
    });
    socket.on('error', () => undefined);
    socket.on('close', () => resolve(text));
  });
}

const program = `
  import { createClient } from '@libsql/client';
  const client = createClient({ url: process.env.URL });
  await client.batch(['CREATE TABLE IF NOT EXISTS t (id INTEGER PRIMARY KEY)', 'INSERT INTO t DEFAULT VALUES'], 'write');
  const { rows } = await client.execute('SELECT count(*) AS n FROM t');
  console.log('rows', Number(rows[0].n));
  client.close();
`;

async function stockClient(url: string, authority: string | null): Promise<string> {
  const { NODE_EXTRA_CA_CERTS: _, ...env } = process.env;
  const run = promisify(execFile)(process.execPath, ['--input-type=module', '-e', program], {
    env: { ...env, URL: url, ...(authority !== null && { NODE_EXTRA_CA_CERTS: authority }) },
    timeout: 25_000,
  });
  return await run.then(
    ({ stdout }) => stdout.trim(),
    (error: unknown) => String(Object(error).stderr),
  );
}

describe('a gateway with a certificate', () => {
  it('is used by stock clients over libsql, https and wss; without its authority they refuse it', async () => {
    const { port, tls } = await start();
    const answers = await Promise.all([
      stockClient(`https://127.0.0.1:${port}`, tls.certFile),
      stockClient(`wss://localhost:${port}`, tls.certFile),
      stockClient(`libsql://127.0.0.1:${port}`, tls.certFile),
      stockClient(`https://127.0.0.1:${port}`, null),
    ]);
    expect(answers.slice(0, 3).map((answer) => answer.replace(/\d/, 'N'))).toEqual([
      'rows N',
      'rows N',
      'rows N',
    ]);
    expect(answers[3]).toMatch(/self.signed certificate/i);
  });

  it('has small requests read without Node’s parser, as over plain text, and hands a connection on (G120)', async () => {
    const { port, certificate } = await start();
    const agent = new Agent({ keepAlive: true, maxSockets: 1, ca: certificate.cert });
    const ask = (body: string, path: string, method = 'POST') =>
      new Promise<string>((resolve, reject) => {
        const headers = { 'content-length': Buffer.byteLength(body) };
        const asked = httpsRequest({ host: '127.0.0.1', port, path, method, agent, headers }, (response) => {
          let text = '';
          response.on('data', (chunk) => {
            text += chunk;
          });
          response.on('end', () => resolve(`${response.statusCode} ${text}`));
        });
        asked.on('error', reject).end(body);
      });
    readByNode();
    for (let i = 0; i < 2; i++)
      expect(await ask('{"requests":[{"type":"close"}]}', '/v2/pipeline')).toMatch(/^200 .*"type":"ok"/);
    expect(readByNode()).toBe(0);
    expect(await ask('', '/health', 'GET')).toMatch(/^200 /);
    expect(await ask('{"requests":[{"type":"close"}]}', '/v2/pipeline')).toMatch(/^200 .*"type":"ok"/);
    expect(readByNode()).toBe(2);
    agent.destroy();
  });

  it('tells who speaks plain HTTP to its port, and closes what is neither', async () => {
    const { port, twin } = await start();
    const body = JSON.stringify({ requests: [] });
    const told = await conversation(
      port,
      `POST /v2/pipeline HTTP/1.1\r\nhost: 127.0.0.1:${port}\r\ncontent-length: ${body.length}\r\n\r\n${body}`,
    );
    expect(told).toMatch(/^HTTP\/1\.1 400 /);
    expect(told).toContain('SEXTANT_PLAIN_TEXT');
    expect(told).toContain('Use https://');
    expect(
      await conversation(port, '\x16\x03\x01garbage that is no handshake at all'.padEnd(600, 'x')),
    ).not.toContain('HTTP/1.1 200');
    expect(twin.openSessions()).toBe(0);
  });

  it('speaks TLS 1.2 and 1.3, and nothing older', async () => {
    const { port, certificate } = await start();
    const version = (most: 'TLSv1.1' | 'TLSv1.2' | 'TLSv1.3') =>
      new Promise<string>((resolve) => {
        const socket = connect(
          {
            port,
            host: '127.0.0.1',
            ca: certificate.cert,
            minVersion: 'TLSv1',
            maxVersion: most,
            ciphers: 'DEFAULT@SECLEVEL=0',
          },
          () => {
            resolve(socket.getProtocol() ?? '');
            socket.destroy();
          },
        );
        socket.on('error', () => resolve('refused'));
      });
    expect([await version('TLSv1.1'), await version('TLSv1.2'), await version('TLSv1.3')]).toEqual([
      'refused',
      'TLSv1.2',
      'TLSv1.3',
    ]);
  });

  it('closes a connection that begins no handshake, or says nothing after it', async () => {
    const { port, certificate } = await start({ limits: { firstRequestMs: 300 } });
    const ended = (socket: Socket) =>
      new Promise<number>((resolve) => {
        const from = performance.now();
        socket.resume();
        socket.on('error', () => undefined);
        socket.on('close', () => resolve(performance.now() - from));
      });
    const silent = ended(connectTcp(port, '127.0.0.1'));
    const mute = ended(connect({ port, host: '127.0.0.1', ca: certificate.cert }));
    for (const tookMs of await Promise.all([silent, mute])) expect(tookMs).toBeLessThan(8_000);
  });

  it('uses a new certificate for new connections, and those that are open go on', {
    timeout: 60_000,
  }, async () => {
    const { port, ws, certificate, write, twin } = await start();
    const seen = (socket: TLSSocket) => socket.getPeerCertificate().fingerprint256;
    const ask = (agent: Agent) =>
      new Promise<{ status: number; fingerprint: string; reused: boolean }>((resolve, reject) => {
        const request = httpsRequest({ port, host: '127.0.0.1', path: '/health', agent }, (response) => {
          response.resume();
          const fingerprint = seen(response.socket as TLSSocket);
          response.on('end', () =>
            resolve({ status: response.statusCode ?? 0, fingerprint, reused: request.reusedSocket }),
          );
        });
        request.on('error', reject);
        request.end();
      });
    const kept = new Agent({ keepAlive: true, maxSockets: 1, ca: certificate.cert });
    const before = await ask(kept);
    const socket = new WebSocket(ws, ['hrana3'], { ca: certificate.cert });
    await new Promise((resolve, reject) => socket.once('open', resolve).once('error', reject));
    const answers: string[] = [];
    socket.on('message', (data) => answers.push(data.toString()));
    socket.send('{"type":"hello","jwt":null}');

    const next = testCertificate('the next');
    write(next);
    await vi.waitFor(
      async () => {
        const fresh = await ask(new Agent({ keepAlive: false, ca: [certificate.cert, next.cert] }));
        expect(fresh.fingerprint).not.toBe(before.fingerprint);
      },
      { timeout: 20_000, interval: 200 },
    );
    expect(await ask(kept)).toEqual({ status: 200, fingerprint: before.fingerprint, reused: true });
    socket.send('{"type":"request","request_id":1,"request":{"type":"open_stream","stream_id":1}}');
    await vi.waitFor(() => expect(answers).toHaveLength(2), { timeout: 5_000 });
    expect(answers[1]).toContain('response_ok');
    expect(twin.openSessions()).toBe(1);
    socket.terminate();
    kept.destroy();
  });
});

describe('a certificate', () => {
  it('has to fit its key, and no reason quotes either', () => {
    const [one, other] = [testCertificate(), testCertificate()];
    expect(certificateIn({ kind: 'read', texts: [one.cert, one.key] })).toMatchObject({
      kind: 'certificate',
    });
    for (const texts of [
      [one.cert, other.key],
      ['', one.key],
      [one.cert, ''],
      [one.key, one.cert],
      ['x', 'y'],
    ]) {
      const read = certificateIn({ kind: 'read', texts });
      expect(read.kind).toBe('unusable');
      expect(JSON.stringify(read)).not.toContain(one.key.split('\n')[1]);
    }
  });

  it('that cannot be used changes nothing and is told of; half a replacement is waited out', async () => {
    const [one, next] = [testCertificate(), testCertificate()];
    const { certFile, keyFile, write } = files(one);
    const used: unknown[] = [];
    const lines: string[] = [];
    const note = (_fields: object, message: string) => void lines.push(message);
    const server = { setSecureContext: (context: unknown) => used.push(context) };
    const stop = watchCertificate(server, { certFile, keyFile }, { info: note, warn: note }, 30);
    writeFileSync(certFile, 'garbage');
    await vi.waitFor(() => expect(lines).toEqual(['the new certificate cannot be used: the old one stays']), {
      timeout: 5_000,
    });
    expect(used).toEqual([]);
    write(next);
    await vi.waitFor(() => expect(used).toHaveLength(1), { timeout: 5_000 });
    expect(used[0]).toMatchObject({ cert: next.cert, key: next.key, minVersion: 'TLSv1.2' });
    stop();
  });
});
