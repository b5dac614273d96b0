/** The cables between regions, with real sockets. */
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { RouteProxies, RouteProxy } from '../../../regions/local/cables/route-proxy.ts';

let server: Server;
/** What the far side does with a connection. */
let serve: (socket: Socket) => void;
let proxy: RouteProxy;
let cables: RouteProxies;

beforeEach(async () => {
  serve = (socket) => socket.pipe(socket);
  server = createServer((socket) => {
    socket.on('error', () => undefined);
    serve(socket);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  proxy = await RouteProxy.open({ from: 'a', to: 'b' }, (server.address() as AddressInfo).port);
  cables = new RouteProxies([proxy], [{ a: 'a', b: 'b', rttMs: 80 }]);
});
afterEach(async () => {
  await cables.close();
  server.close();
});

async function dial(): Promise<Socket> {
  const socket = connect({ host: '127.0.0.1', port: proxy.port, noDelay: true });
  socket.on('error', () => undefined);
  await once(socket, 'connect');
  return socket;
}

/** The best of some exchanges: what the cable takes, without what a busy machine adds. */
async function roundTripMs(socket: Socket): Promise<number> {
  let best = Number.POSITIVE_INFINITY;
  for (let attempt = 0; attempt < 8; attempt += 1) {
    const beganMs = performance.now();
    socket.write('ping');
    await once(socket, 'data');
    best = Math.min(best, performance.now() - beganMs);
  }
  return best;
}

const near = (ms: number, expected: number): void => {
  expect(ms).toBeGreaterThanOrEqual(expected - 2);
  expect(ms).toBeLessThan(expected + 45);
};

test('a message and its answer take the round trip between the regions, also one that is changed meanwhile', async () => {
  const socket = await dial();
  near(await roundTripMs(socket), 80);
  cables.slow('b', 30);
  near(await roundTripMs(socket), 140);
  expect(cables.slowed).toEqual(['b']);
  cables.slow('b', 10);
  near(await roundTripMs(socket), 100);
  cables.heal('b');
  near(await roundTripMs(socket), 80);
  expect(cables.slowed).toEqual([]);
});

test('nothing is lost or turned around however much is sent, and memory stays bounded while the far side does not read', async () => {
  let far: Socket | undefined;
  serve = (socket) => {
    far = socket;
    socket.pause();
  };
  const socket = await dial();
  const block = Buffer.alloc(1024 * 1024);
  const blocks = 64;
  let taken = 0;
  for (let index = 0; index < blocks; index += 1) {
    block.fill(index);
    socket.write(Buffer.from(block), () => {
      taken += 1;
    });
  }
  await sleep(500);
  // 16 MiB in the cable, and what the four socket buffers hold.
  expect(taken).toBeLessThan(40);
  let received = 0;
  let disorder = 0;
  far?.on('data', (chunk: Buffer) => {
    for (const value of [chunk[0], chunk.at(-1)]) {
      const at = value === chunk[0] ? received : received + chunk.length - 1;
      if (value !== Math.floor(at / block.length)) disorder += 1;
    }
    received += chunk.length;
  });
  far?.resume();
  while (received < blocks * block.length) await sleep(10);
  expect([received, disorder, taken]).toEqual([blocks * block.length, 0, blocks]);
});

test('the end of a connection arrives after all that was sent, as late as that', async () => {
  serve = (socket) => {
    socket.end('the last words');
  };
  const beganMs = performance.now();
  const socket = await dial();
  const chunks: Buffer[] = [];
  socket.on('data', (chunk: Buffer) => chunks.push(chunk));
  await once(socket, 'close');
  expect(Buffer.concat(chunks).toString()).toBe('the last words');
  // Once only, so a busy machine may add to it.
  expect(performance.now() - beganMs).toBeGreaterThanOrEqual(38);
});

test('a cut resets at once whatever is under way, and a new connection is as slow as before', async () => {
  const socket = await dial();
  cables.slow('a', 5_000);
  socket.write('never answered');
  const closed = new Promise((resolve) => socket.once('close', resolve));
  const beganMs = performance.now();
  cables.isolate('a');
  await closed;
  expect(performance.now() - beganMs).toBeLessThan(2_000);
  expect(proxy.connections).toBe(0);
  cables.heal('a');
  near(await roundTripMs(await dial()), 80);
});
