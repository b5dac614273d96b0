import { connect, type Socket } from 'node:net';
import fc from 'fast-check';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { WebSocket } from 'ws';
import { AnswerBudget, type AnswerHolder } from '../../../gateway/hrana/core/answer-budget.ts';
import { type Answer, execute, pipelineOf, startHarness } from './hrana-harness.ts';

describe('the budget of answers', () => {
  const limits = { answerBytesWaiting: 100, answerBytesWaitingPerClient: 60 };

  function world() {
    const ended: string[] = [];
    const budget = new AnswerBudget(limits);
    const holder = (client: string, name: string): AnswerHolder => ({
      client,
      end: (limit, value, bytes) => ended.push(`${name} ${limit} = ${value}: ${bytes}`),
      bytes: 0,
      movedAtMs: 0,
    });
    return { budget, ended, holder };
  }

  it('ends the reader that has taken nothing for the longest time, its client’s own first', () => {
    const { budget, ended, holder } = world();
    const [a, b, c, d] = [holder('x', 'a'), holder('x', 'b'), holder('y', 'c'), holder('y', 'd')];
    budget.set(a, 40, 1);
    budget.set(c, 40, 2);
    budget.set(b, 20, 3);
    expect(ended).toEqual([]);
    budget.moved(a, 4);
    budget.set(b, 21, 5);
    expect(ended).toEqual(['b answerBytesWaitingPerClient = 60: 21']);
    budget.set(d, 21, 6);
    expect(ended.at(-1)).toBe('c answerBytesWaitingPerClient = 60: 40');
    expect(budget.bytes).toBe(61);
    const e = holder('z', 'e');
    budget.set(e, 40, 7);
    expect(ended.at(-1)).toBe('a answerBytesWaiting = 100: 40');
  });

  it('counts what waits, never more than the limits, whatever comes and goes', () => {
    const move = fc.record({
      holder: fc.nat({ max: 9 }),
      bytes: fc.nat({ max: 60 }),
      moved: fc.boolean(),
    });
    fc.assert(
      fc.property(fc.array(move, { maxLength: 60 }), (moves) => {
        const { budget, holder } = world();
        const holders = Array.from({ length: 10 }, (_, i) => holder(`client ${i % 3}`, String(i)));
        for (const [at, given] of moves.entries()) {
          const one = holders[given.holder];
          if (one === undefined) continue;
          if (given.moved) budget.moved(one, at);
          budget.set(one, given.bytes, at);
          const sum = holders.reduce((total, { bytes }) => total + bytes, 0);
          expect(budget.bytes).toBe(sum);
          expect(sum).toBeLessThanOrEqual(limits.answerBytesWaiting);
          for (const client of ['client 0', 'client 1', 'client 2']) {
            const own = holders.filter((other) => other.client === client);
            expect(own.reduce((total, { bytes }) => total + bytes, 0)).toBeLessThanOrEqual(
              limits.answerBytesWaitingPerClient,
            );
          }
        }
        for (const one of holders) budget.set(one, 0, 1e9);
        expect(budget.bytes).toBe(0);
      }),
    );
  });
});

describe('clients that do not read', () => {
  const mebibyte = 1024 * 1024;
  const limits = {
    responseBytes: 7 * mebibyte,
    answerBytesWaiting: 30 * mebibyte,
    answerBytesWaitingPerClient: 14 * mebibyte,
    requestReadMs: 60_000,
  };
  const sql = `SELECT hex(zeroblob(${3 * mebibyte}))`;
  const sockets: (Socket | WebSocket)[] = [];
  afterEach(() => {
    for (const socket of sockets.splice(0)) {
      if (socket instanceof WebSocket) socket.terminate();
      else socket.destroy();
    }
  });

  function textOf(answer: Answer): string {
    return Object(pipelineOf(answer).results[0]).response.result.rows[0][0].value;
  }

  function silentHttp(http: string): void {
    const body = JSON.stringify({ requests: [execute(sql), { type: 'close' }] });
    const { port, host } = new URL(http);
    const socket = connect(Number(port), '127.0.0.1');
    socket.on('error', () => {}).pause();
    socket.write(
      `POST /v2/pipeline HTTP/1.1\r\nhost: ${host}\r\ncontent-length: ${body.length}\r\n\r\n${body}`,
    );
    sockets.push(socket);
  }

  function silentWebSocket(url: string, how: 'execute' | 'cursor'): void {
    const socket = new WebSocket(url, ['hrana3']);
    socket.on('error', () => {});
    socket.on('open', () => {
      const ask = (id: number, request: object) =>
        socket.send(JSON.stringify({ type: 'request', request_id: id, request }));
      socket.send('{"type":"hello"}');
      ask(1, { type: 'open_stream', stream_id: 1 });
      if (how === 'execute') ask(2, { type: 'execute', stream_id: 1, stmt: { sql } });
      else ask(2, { type: 'open_cursor', stream_id: 1, cursor_id: 1, batch: { steps: [{ stmt: { sql } }] } });
      socket.pause();
    });
    sockets.push(socket);
  }

  it.each([
    ['HTTP', silentHttp],
    ['WebSocket', (http: string) => silentWebSocket(http.replace('http', 'ws'), 'execute')],
    ['cursors', (http: string) => silentWebSocket(http.replace('http', 'ws'), 'cursor')],
  ])('over %s are bounded in sum, and others are answered meanwhile', async (_name, ask) => {
    const warnings: object[] = [];
    const { http, server, twin, post } = await startHarness({
      limits,
      logger: { info: () => {}, warn: (fields) => warnings.push(fields), error: () => {} },
    });
    for (let i = 0; i < 4; i++) {
      ask(http);
      await vi.waitUntil(() => twin.statements.length === i + 1, { timeout: 20_000 });
    }
    await vi.waitUntil(() => server.counts().readersEnded >= 2, { timeout: 20_000 });
    expect(server.counts().answerBytesWaiting).toBeLessThanOrEqual(limits.answerBytesWaitingPerClient);
    expect(server.counts().answerBytesWaiting).toBeGreaterThan(5 * mebibyte);
    expect(warnings[0]).toMatchObject({
      limit: 'answerBytesWaitingPerClient',
      value: limits.answerBytesWaitingPerClient,
    });
    const answer = await post('/v2/pipeline', { requests: [execute(sql), { type: 'close' }] });
    expect(textOf(answer).length).toBe(6 * mebibyte);
    for (const socket of sockets) {
      if (socket instanceof WebSocket) socket.terminate();
      else socket.destroy();
    }
    await vi.waitUntil(() => server.counts().answerBytesWaiting === 0, { timeout: 20_000 });
    await twin.idle();
  });

  it('get the whole answer when they read in the end, in parts that show that they do', async () => {
    const { post, server } = await startHarness({ limits });
    const answers = await Promise.all(
      Array.from({ length: 2 }, () => post('/v2/pipeline', { requests: [execute(sql), { type: 'close' }] })),
    );
    for (const answer of answers) expect(textOf(answer).length).toBe(6 * mebibyte);
    expect(server.counts()).toMatchObject({ answerBytesWaiting: 0, readersEnded: 0 });
  });

  it('are told the limit while their answer has not begun', async () => {
    const { post, server } = await startHarness({
      limits: { ...limits, answerBytesWaitingPerClient: limits.responseBytes },
    });
    const { baton } = pipelineOf(await post('/v2/pipeline', { requests: [execute('BEGIN IMMEDIATE')] }));
    // A large result waits in its pipeline for a statement that waits for the writer, and another one needs the room.
    const waiting = post('/v2/pipeline', { requests: [execute(sql), execute('BEGIN IMMEDIATE')] });
    await vi.waitUntil(() => server.counts().answerBytesWaiting > 0);
    await post('/v2/pipeline', { requests: [execute(sql), { type: 'close' }] });
    expect(await waiting).toMatchObject({
      status: 429,
      json: {
        code: 'SEXTANT_LIMIT',
        message: expect.stringContaining(`answerBytesWaitingPerClient = ${limits.responseBytes}`),
      },
    });
    await post('/v2/pipeline', { baton, requests: [{ type: 'close' }] });
  });
});
