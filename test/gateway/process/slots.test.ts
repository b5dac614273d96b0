/** Connections that show nothing: bounded, closed soon, and never in the way of questions about health (F20 of the security review). */
import { connect, type Socket } from 'node:net';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { WebSocket } from 'ws';
import { execute, RawSocket, startHarness } from '../hrana/hrana-harness.ts';

const sockets: Socket[] = [];
afterEach(() => {
  for (const socket of sockets.splice(0)) socket.destroy();
});

function idle(port: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1', () => resolve(socket));
    socket.on('error', reject);
    socket.resume();
    sockets.push(socket);
  });
}
const closed = (socket: Socket): Promise<number> =>
  new Promise((resolve) => {
    const from = performance.now();
    socket.on('error', () => undefined);
    socket.on('close', () => resolve(performance.now() - from));
  });

describe('idle connections', () => {
  it.each([
    [
      'of one address',
      { connections: 10_000, unprovenConnectionsPerAddress: 50 },
      'unprovenConnectionsPerAddress = 50',
    ],
    ['of anybody', { connections: 50, unprovenConnectionsPerAddress: 10_000 }, 'connections = 50'],
  ])('%s leave room for questions about health; others are told the limit', async (_name, limits, words) => {
    const warnings: object[] = [];
    const { http, server, post } = await startHarness({
      limits,
      logger: { info: () => {}, warn: (fields) => warnings.push(fields), error: () => {} },
    });
    await Promise.all(Array.from({ length: 200 }, () => idle(server.port)));
    for (let i = 0; i < 40; i++) {
      const answer = await fetch(`${http}/healthz`, { headers: { connection: 'close' } });
      expect(answer.status).toBe(404);
    }
    const refused = await post('/v2/pipeline', { requests: [execute('SELECT 1')] });
    expect(refused).toMatchObject({
      status: 429,
      json: { code: 'SEXTANT_LIMIT', message: expect.stringContaining(words) },
    });
    const upgrade = new WebSocket(`ws://127.0.0.1:${server.port}`);
    expect(await new Promise((resolve) => upgrade.on('error', ({ message }) => resolve(message)))).toContain(
      '429',
    );
    expect(warnings.length).toBeLessThan(10);
    for (const socket of sockets) socket.destroy();
    await vi.waitFor(async () => expect((await post('/v2/pipeline', { requests: [] })).status).toBe(200), {
      timeout: 5_000,
    });
  });

  it('of who has shown that it may use the gateway count no more', async () => {
    const { post, server, ws } = await startHarness({ limits: { unprovenConnectionsPerAddress: 2 } });
    const greeted = await Promise.all([1, 2].map(() => RawSocket.greeted(ws)));
    expect(greeted).toHaveLength(2);
    await Promise.all([idle(server.port), idle(server.port)]);
    expect((await post('/v2/pipeline', { requests: [] })).status).toBe(429);
  });

  it('are closed soon, whether silent, dripping headers, or a WebSocket without hello', async () => {
    const { server, ws } = await startHarness({ limits: { firstRequestMs: 300 } });
    const silent = await idle(server.port);
    const dripping = await idle(server.port);
    dripping.write('POST /v2/pipeline HTTP/1.1\r\nhost: 127.0.0.1\r\n');
    const drip = setInterval(() => dripping.write('x: y\r\n'), 50);
    const socket = await RawSocket.open(ws);
    const took = await Promise.all([closed(silent), closed(dripping)]);
    clearInterval(drip);
    expect(Math.max(...took)).toBeLessThan(8_000);
    expect(await socket.closed).toEqual({
      code: 1008,
      reason: 'No hello within the limit firstRequestMs = 300',
    });
  });
});
