import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer, request, type Server } from 'node:http';
import { type AddressInfo, createConnection, createServer as createTcpServer, type Socket } from 'node:net';
import { fileURLToPath } from 'node:url';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { WebSocket } from 'ws';
import {
  connectLink,
  type Link,
  type LinkClose,
  type LinkOptions,
  type LinkRefusal,
} from '../../../storage/wire/link.ts';
import type { LinkConnection } from '../../../storage/wire/link-connection.ts';
import { LinkServer, type LinkServerOptions } from '../../../storage/wire/link-server.ts';
import { sextantVersion } from '../../../telemetry/core.ts';

vi.mock('../../../storage/process/ticker.ts', () => import('../process/plain-ticker.ts'));

const cluster = 'c1';
const secret = 'correct horse';
const fast = { pingMs: 20, silencesMax: 5 };

type LinkEvent =
  | { readonly kind: 'open' }
  | { readonly kind: 'message'; readonly bytes: Uint8Array }
  | { readonly kind: 'close'; readonly reason: LinkClose }
  | { readonly kind: 'refused'; readonly refusal: LinkRefusal }
  | { readonly kind: 'unreachable'; readonly message: string };

/** Events in order, with a wait for the next of a kind. */
class Events {
  private readonly all: LinkEvent[] = [];
  private readonly waiting: (() => void)[] = [];

  push(event: LinkEvent): void {
    this.all.push(event);
    for (const wake of this.waiting.splice(0)) wake();
  }

  get kinds(): readonly string[] {
    return this.all.map(({ kind }) => kind);
  }

  /** Takes events until one of the kind is there, and gives it; vitest's timeout bounds the wait. */
  async next<Kind extends LinkEvent['kind']>(kind: Kind): Promise<Extract<LinkEvent, { kind: Kind }>> {
    for (;;) {
      const event = this.all.shift();
      if (event === undefined) await new Promise<void>((resolve) => this.waiting.push(resolve));
      else if (isKind(event, kind)) return event;
    }
  }
}

function isKind<Kind extends LinkEvent['kind']>(
  event: LinkEvent,
  kind: Kind,
): event is Extract<LinkEvent, { kind: Kind }> {
  return event.kind === kind;
}

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

interface TestServer {
  readonly http: Server;
  readonly address: string;
  readonly links: LinkServer;
  readonly events: Events;
  readonly connections: LinkConnection[];
}

async function listen(
  options: Partial<LinkServerOptions> & { readonly port?: number } = {},
): Promise<TestServer> {
  const http = createServer();
  const events = new Events();
  const connections: LinkConnection[] = [];
  const links = new LinkServer({
    server: http,
    cluster,
    secret,
    bounds: fast,
    onRefused: (refusal) => events.push({ kind: 'refused', refusal }),
    onLink: (link) => {
      connections.push(link);
      events.push({ kind: 'open' });
      return {
        onMessage: (bytes) => events.push({ kind: 'message', bytes }),
        onClose: (reason) => events.push({ kind: 'close', reason }),
      };
    },
    ...options,
  });
  http.listen(options.port ?? 0, '127.0.0.1');
  await once(http, 'listening');
  cleanups.push(async () => {
    await links.close();
    await new Promise((resolve) => http.close(resolve));
  });
  const { port } = http.address() as AddressInfo;
  return { http, address: `127.0.0.1:${port}`, links, events, connections };
}

function connect(
  address: string,
  options: Partial<LinkOptions> = {},
): { readonly link: Link; readonly events: Events } {
  const events = new Events();
  const link = connectLink({
    address,
    cluster,
    secret,
    random: () => 0.5,
    bounds: fast,
    retryMinMs: 5,
    retryMaxMs: 20,
    onOpen: () => events.push({ kind: 'open' }),
    onMessage: (bytes) => events.push({ kind: 'message', bytes }),
    onClose: (reason) => events.push({ kind: 'close', reason }),
    onRefused: (refusal) => events.push({ kind: 'refused', refusal }),
    onUnreachable: (message) => events.push({ kind: 'unreachable', message }),
    ...options,
  });
  cleanups.push(() => link.close());
  return { link, events };
}

describe('a link', () => {
  it('carries binary messages both ways, in order, of any size up to its bound', async () => {
    const server = await listen();
    const { link, events } = connect(server.address);
    await events.next('open');
    const sizes = [0, 1, 125, 126, 3_000_000, 2_048, 2_049, 65_535, 200, 65_536, 3_000_000, 7];
    const sent = sizes.map((size) => Buffer.alloc(size, size % 251));
    for (const bytes of sent) expect(link.send(bytes)).toBe(true);
    for (const bytes of sent) expect((await server.events.next('message')).bytes.length).toBe(bytes.length);
    const back = server.connections[0];
    for (const bytes of sent) expect(back?.send(bytes)).toBe(true);
    for (const bytes of sent) expect(bytes.equals((await events.next('message')).bytes)).toBe(true);
  });

  it('sends the bytes as they are, without a mask and without compression', async () => {
    const received: Buffer[] = [];
    const tcp = createTcpServer((socket) => {
      const upstream = createTcpConnection(server.address);
      socket.on('data', (chunk) => {
        received.push(chunk);
        upstream.write(chunk);
      });
      upstream.on('data', (chunk) => socket.write(chunk));
      socket.on('close', () => upstream.destroy());
      socket.on('error', () => undefined);
    });
    const server = await listen();
    tcp.listen(0, '127.0.0.1');
    await once(tcp, 'listening');
    cleanups.push(() => tcp.close());
    const { port } = tcp.address() as AddressInfo;
    const { link, events } = connect(`127.0.0.1:${port}`);
    await events.next('open');
    const bytes = Buffer.alloc(100, 0x61);
    link.send(bytes);
    await server.events.next('message');
    expect(Buffer.concat(received).includes(bytes)).toBe(true);
    expect(Buffer.concat(received).toString('latin1').toLowerCase()).not.toContain('permessage-deflate');
  });

  it('pings a peer that is silent, and not one that is heard anyway', async () => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
    cleanups.push(() => vi.useRealTimers());
    const pings = vi.spyOn(WebSocket.prototype, 'ping');
    cleanups.push(() => pings.mockRestore());
    const server = await listen();
    const { link, events } = connect(server.address);
    await events.next('open');
    for (let interval = 0; interval < 10; interval++) {
      link.send(Buffer.from('there'));
      await server.events.next('message');
      server.connections[0]?.send(Buffer.from('and back'));
      await events.next('message');
      vi.advanceTimersByTime(fast.pingMs);
    }
    expect(pings).not.toHaveBeenCalled();
    vi.advanceTimersByTime(fast.pingMs);
    expect(pings).toHaveBeenCalledTimes(2);
  });

  it('closes in order: what was sent before arrives, and neither side reports a failure', async () => {
    const server = await listen();
    const { link, events } = connect(server.address);
    await events.next('open');
    link.send(Buffer.from('last words'));
    link.close();
    expect(link.send(Buffer.from('too late'))).toBe(false);
    expect((await events.next('close')).reason.kind).toBe('closed-here');
    expect((await server.events.next('message')).bytes.toString()).toBe('last words');
    expect((await server.events.next('close')).reason.kind).toBe('closed-by-peer');
    expect(server.links.linkCount).toBe(0);
  });

  it('is closed by a message longer than the bound, and by text', async () => {
    const server = await listen({ bounds: { ...fast, messageBytesMax: 1000 } });
    const { link, events } = connect(server.address);
    await events.next('open');
    link.send(Buffer.alloc(1001));
    expect((await server.events.next('close')).reason.kind).toBe('protocol-error');
    expect(() => server.connections[0]?.send(Buffer.alloc(1001))).toThrow('1001 bytes');
    const text = new WebSocket(`ws://${server.address}/link`, { headers: headersOf({}) });
    text.on('error', () => undefined);
    await once(text, 'open');
    text.send('text');
    expect((await server.events.next('close')).reason).toEqual({
      kind: 'protocol-error',
      message: 'the peer sent a text message',
    });
  });

  it('is closed when the peer leaves more unread than the bound, and memory does not grow past it', async () => {
    const bufferedBytesMax = 1_000_000;
    const server = await listen({ bounds: { pingMs: 1000, silencesMax: 100, bufferedBytesMax } });
    const reader = new WebSocket(`ws://${server.address}/link`, { headers: headersOf({}) });
    cleanups.push(() => reader.terminate());
    await once(reader, 'open');
    reader.pause();
    const [connection] = server.connections;
    if (connection === undefined) throw new Error('no connection');
    const message = Buffer.alloc(50_000);
    let mostBuffered = 0;
    while (connection.send(message)) {
      mostBuffered = Math.max(mostBuffered, connection.bufferedBytes);
      await new Promise(setImmediate);
    }
    expect(mostBuffered).toBeGreaterThan(bufferedBytesMax / 2);
    expect(mostBuffered).toBeLessThanOrEqual(bufferedBytesMax + 1000);
    expect((await server.events.next('close')).reason.kind).toBe('back-pressure');
    expect(connection.bufferedBytes).toBeLessThan(bufferedBytesMax + 1000);
  });
});

describe('reconnecting', () => {
  it('waits for a server that is not there yet and comes back after every restart of it', async () => {
    const first = await listen();
    const port = Number(first.address.split(':')[1]);
    const { link, events } = connect(first.address);
    await events.next('open');
    await first.links.close();
    await new Promise((resolve) => first.http.close(resolve));
    expect((await events.next('close')).reason.kind).toBe('closed-by-peer');
    expect(link.isOpen).toBe(false);
    expect(link.send(Buffer.from('lost'))).toBe(false);
    await events.next('unreachable');
    await listen({ port });
    await events.next('open');
    expect(link.send(Buffer.from('again'))).toBe(true);
  });

  it('backs off ever longer up to a second, with half of each delay at random', async () => {
    const { address, links, http } = await listen();
    await links.close();
    await new Promise((resolve) => http.close(resolve));
    const delays: number[] = [];
    const realSetTimeout = globalThis.setTimeout;
    const draws = [0, 1];
    let draw = 0;
    const { events, link } = connect(address, {
      retryMinMs: 50,
      retryMaxMs: 1000,
      connectMs: 12_345,
      random: () => draws[draw++ % 2] ?? 0,
    });
    const spy = (run: () => void, delayMs?: number): NodeJS.Timeout => {
      if (delayMs !== undefined && delayMs !== 12_345) delays.push(delayMs);
      return realSetTimeout(run, delayMs === 12_345 ? delayMs : 0);
    };
    globalThis.setTimeout = Object.assign(spy, realSetTimeout);
    try {
      for (let attempt = 0; attempt < 8; attempt += 1) await events.next('unreachable');
    } finally {
      globalThis.setTimeout = realSetTimeout;
      link.close();
    }
    expect(delays.slice(0, 7)).toEqual([25, 100, 100, 400, 400, 1000, 500]);
  });

  it('stops for good when it is closed, whatever it is doing', async () => {
    const server = await listen();
    const connecting = connect(server.address);
    connecting.link.close();
    const waiting = connect('127.0.0.1:1');
    await waiting.events.next('unreachable');
    waiting.link.close();
    const open = connect(server.address);
    await open.events.next('open');
    open.link.close();
    await open.events.next('close');
    expect(server.links.linkCount).toBe(0);
    expect([...connecting.events.kinds, ...waiting.events.kinds, ...open.events.kinds]).toEqual([]);
  });

  it('gives up an attempt that gets no answer', async () => {
    const silent = createTcpServer((socket) => {
      cleanups.push(() => socket.destroy());
      socket.on('error', () => undefined);
    });
    silent.listen(0, '127.0.0.1');
    await once(silent, 'listening');
    cleanups.push(() => silent.close());
    const { port } = silent.address() as AddressInfo;
    const { events } = connect(`127.0.0.1:${port}`, { connectMs: 30 });
    expect((await events.next('unreachable')).message).toBe('no answer within 30 ms');
    await events.next('unreachable');
  });

  it('refuses an address that is none', () => {
    for (const address of ['', 'localhost', 'a/b:1', 'u@h:1', 'h:port']) {
      expect(() => connect(address)).toThrow('is no host:port');
    }
  });
});

describe('who is let in', () => {
  const cases = [
    {
      name: 'a wrong secret',
      options: { secret: 'wrong', cluster: 'other' },
      status: 401,
      code: 'LINK_SECRET_WRONG',
      says: ['secret'],
    },
    {
      name: 'another cluster',
      options: { cluster: 'c2' },
      status: 409,
      code: 'LINK_CLUSTER_MISMATCH',
      says: ['c1', 'c2'],
    },
    {
      name: 'another version',
      options: { version: 7 },
      status: 426,
      code: 'LINK_VERSION_MISMATCH',
      says: ['version 1', 'version 7'],
    },
    {
      name: 'a Sextant two minor versions away',
      options: { release: '999.1.0' },
      status: 426,
      code: 'LINK_VERSION_MISMATCH',
      says: [`Sextant ${sextantVersion}`, 'caller 999.1.0', 'one minor version at a time'],
    },
  ] as const;

  it.each(cases)(
    'refuses $name with a status, a code and a reason',
    async ({ options, status, code, says }) => {
      const server = await listen();
      const { link, events } = connect(server.address, options);
      const { refusal } = await events.next('refused');
      expect(refusal).toMatchObject({ status, code });
      for (const words of says) expect(refusal.message).toContain(words);
      expect(refusal.message).not.toContain(secret);
      expect((await server.events.next('refused')).refusal).toEqual(refusal);
      await events.next('refused');
      expect(link.isOpen).toBe(false);
      expect(server.connections).toEqual([]);
    },
  );

  it('refuses a caller who says nothing of himself, telling him neither cluster nor version', async () => {
    const server = await listen();
    const answer = await upgrade(server.address, '/link', {});
    expect(answer.status).toBe(401);
    expect(JSON.parse(answer.body)).toMatchObject({ code: 'LINK_SECRET_WRONG' });
    expect(answer.body).not.toMatch(/c1|version/);
    expect((await upgrade(server.address, '/elsewhere', {})).status).toBe(404);
  });

  it('refuses links beyond its limit and lets the caller in when there is room', async () => {
    const server = await listen({ linksMax: 1 });
    const first = connect(server.address);
    await first.events.next('open');
    const second = connect(server.address);
    expect((await second.events.next('refused')).refusal.code).toBe('LINK_TOO_MANY');
    first.link.close();
    await second.events.next('open');
  });

  it('tells a caller that the address is no Sextant process', async () => {
    const other = createServer((_request, response) => response.writeHead(200).end('<html>'));
    other.listen(0, '127.0.0.1');
    await once(other, 'listening');
    cleanups.push(() => other.close());
    const { port } = other.address() as AddressInfo;
    const { events } = connect(`127.0.0.1:${port}`);
    expect((await events.next('refused')).refusal).toMatchObject({ status: 200, code: 'LINK_NOT_SEXTANT' });
  });
});

describe('a frozen peer', () => {
  it('is noticed, and found again when it thaws', async () => {
    const child = await serverProcess();
    const { events } = connect(child.address, { connectMs: 100, bounds: { pingMs: 50, silencesMax: 4 } });
    await events.next('open');
    child.process.kill('SIGSTOP');
    const frozenAt = performance.now();
    const { reason } = await events.next('close');
    expect(reason.kind).toBe('peer-silent');
    expect(performance.now() - frozenAt).toBeLessThan(2000);
    await events.next('unreachable');
    child.process.kill('SIGCONT');
    await events.next('open');
  }, 20_000);

  it('does not lose its link when only the owner of the link was busy', async () => {
    const server = await listen({ bounds: { pingMs: 20, silencesMax: 1000 } });
    const { link, events } = connect(server.address, { bounds: { pingMs: 20, silencesMax: 2 } });
    await events.next('open');
    const until = performance.now() + 200;
    while (performance.now() < until);
    link.send(Buffer.from('alive'));
    await server.events.next('message');
    server.connections[0]?.send(Buffer.from('too'));
    await events.next('message');
    expect(link.isOpen).toBe(true);
    expect(events.kinds).toEqual([]);
  });

  it('is not taken for dead while a long message trickles in', async () => {
    const server = await listen();
    const raw = createTcpConnection(server.address);
    cleanups.push(() => raw.destroy());
    const headers = {
      ...headersOf({}),
      host: 'x',
      connection: 'Upgrade',
      upgrade: 'websocket',
      'sec-websocket-version': '13',
      'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==',
    };
    raw.write(
      `GET /link HTTP/1.1\r\n${Object.entries(headers)
        .map(([name, value]) => `${name}: ${value}\r\n`)
        .join('')}\r\n`,
    );
    await server.events.next('open');
    // One binary frame of 20 bytes, zero mask, sent a byte at a time over ten ping intervals; no pong is ever sent.
    raw.write(Buffer.of(0x82, 0x80 | 20, 0, 0, 0, 0));
    for (let sent = 0; sent < 20; sent += 1) {
      raw.write(Buffer.of(sent));
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    expect((await server.events.next('message')).bytes.length).toBe(20);
    expect((await server.events.next('close')).reason.kind).toBe('peer-silent');
  });
});

function headersOf(changes: Record<string, string>): Record<string, string> {
  return {
    'x-sextant-cluster': cluster,
    'x-sextant-version': '1',
    authorization: `Bearer ${secret}`,
    ...changes,
  };
}

function upgrade(
  address: string,
  path: string,
  headers: Record<string, string>,
): Promise<{ status: number; body: string }> {
  const [host, port] = address.split(':');
  const { promise, resolve, reject } = Promise.withResolvers<{ status: number; body: string }>();
  const call = request({
    host,
    port,
    path,
    headers: { connection: 'Upgrade', upgrade: 'websocket', ...headers },
  });
  call.on('error', reject);
  call.on('response', (response) => {
    let body = '';
    response.setEncoding('utf8').on('data', (chunk: string) => {
      body += chunk;
    });
    response.on('end', () => resolve({ status: response.statusCode ?? 0, body }));
  });
  call.end();
  return promise;
}

async function serverProcess(): Promise<{ readonly process: ChildProcess; readonly address: string }> {
  const module = new URL('../../../storage/wire/link-server.ts', import.meta.url);
  const program = `
    import { createServer } from 'node:http';
    import { LinkServer } from ${JSON.stringify(module.href)};
    const server = createServer();
    const handlers = { onMessage() {}, onClose() {} };
    new LinkServer({ server, cluster: '${cluster}', secret: '${secret}', onLink: () => handlers });
    server.listen(0, '127.0.0.1', () => console.log(server.address().port));
  `;
  const child = spawn(process.execPath, ['--input-type=module', '-e', program], {
    cwd: fileURLToPath(new URL('../../..', import.meta.url)),
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  cleanups.push(() => child.kill('SIGKILL'));
  const [line] = await once(child.stdout, 'data');
  return { process: child, address: `127.0.0.1:${Number(String(line))}` };
}

function createTcpConnection(address: string): Socket {
  const [host, port] = address.split(':');
  const socket = createConnection({ host: host ?? '', port: Number(port) });
  socket.on('error', () => undefined);
  return socket;
}
