import { createClient } from '@libsql/client';
import { describe, expect, it, vi } from 'vitest';
import { WebSocket } from 'ws';
import { RawSocket, startHarness } from './hrana-harness.ts';

function executeOn(streamId: number, stmt: object) {
  return { type: 'execute', stream_id: streamId, stmt };
}

function batchOf(...sqls: string[]) {
  return { steps: sqls.map((sql) => ({ stmt: { sql } })) };
}

describe('the WebSocket upgrade', () => {
  it('speaks the best of what is offered, and Hrana 1 with a client that offers nothing', async () => {
    const { ws } = await startHarness();
    const chosen = async (...offered: string[]) => (await RawSocket.open(ws, offered)).protocol;
    expect(await chosen('hrana3-protobuf', 'hrana3', 'hrana2', 'hrana1')).toBe('hrana3');
    expect(await chosen('hrana2', 'hrana1')).toBe('hrana2');
    expect(await chosen('hrana1')).toBe('hrana1');
    expect(await chosen('hrana3-protobuf', 'hrana1')).toBe('hrana3-protobuf');
    expect(await chosen()).toBe('');
  });

  it('is refused with the list of what is spoken when the client speaks none of it', async () => {
    const { ws } = await startHarness();
    const socket = new WebSocket(ws, ['hrana4', 'graphql-ws']);
    socket.on('error', () => {});
    const body = await new Promise<string>((resolve) => {
      socket.once('unexpected-response', (_request, response) => {
        response.setEncoding('utf8').once('data', resolve);
      });
    });
    expect(JSON.parse(body)).toMatchObject({
      message: expect.stringContaining('hrana3, hrana3-protobuf, hrana2, hrana1'),
    });
  });

  it('goes to others on other paths, or is refused', async () => {
    const seen: string[] = [];
    const { ws } = await startHarness({
      onUpgrade: (request, socket) => {
        seen.push(String(request.url));
        if (request.url !== '/v1/watch') return false;
        socket.end('HTTP/1.1 418 Teapot\r\n\r\n');
        return true;
      },
    });
    await expect(RawSocket.open(`${ws}/v1/watch`)).rejects.toThrow('418');
    await expect(RawSocket.open(`${ws}/else`)).rejects.toThrow('404');
    expect(seen).toEqual(['/v1/watch', '/else']);
  });

  it('is refused for web pages of another origin', async () => {
    const { ws } = await startHarness();
    const socket = new WebSocket(ws, ['hrana2'], { origin: 'https://evil.example' });
    const error = await new Promise<Error>((resolve) => socket.once('error', resolve));
    expect(error.message).toContain('403');
  });
});

describe('a WebSocket', () => {
  it('answers in order within a stream and across streams as they finish', async () => {
    const { ws, post } = await startHarness();
    await post('/v2/pipeline', {
      requests: [{ type: 'execute', stmt: { sql: 'CREATE TABLE t (a)' } }, { type: 'close' }],
    });
    const socket = await RawSocket.greeted(ws);
    socket.ask(1, { type: 'open_stream', stream_id: 1 });
    socket.ask(2, { type: 'open_stream', stream_id: 2 });
    socket.ask(3, executeOn(1, { sql: 'BEGIN IMMEDIATE' }));
    await socket.take(3);
    socket.ask(4, executeOn(2, { sql: 'INSERT INTO t VALUES (2)' }));
    socket.ask(5, executeOn(2, { sql: 'SELECT count(*) FROM t' }));
    socket.ask(6, executeOn(1, { sql: 'INSERT INTO t VALUES (1)' }));
    socket.ask(7, { type: 'get_autocommit', stream_id: 1 });
    socket.ask(8, executeOn(1, { sql: 'COMMIT' }));
    const answers = await socket.take(5);
    expect(answers.map((answer) => Object(answer).request_id)).toEqual([6, 7, 8, 4, 5]);
    expect(answers[1]).toMatchObject({ response: { type: 'get_autocommit', is_autocommit: false } });
    expect(answers[4]).toMatchObject({ response: { result: { rows: [[{ value: '2' }]] } } });
  });

  it('passes rows on that come as text', async () => {
    const { ws } = await startHarness();
    const client = createClient({ url: ws });
    const { rows } = await client.execute("VALUES ('é', 1.5), ('😀', NULL)");
    expect(rows.map((row) => Object.values(row))).toEqual([
      ['é', 1.5],
      ['😀', null],
    ]);
    client.close();
  });

  it('resolves stored SQL when the message arrives, not when it runs', async () => {
    const { ws, twin } = await startHarness();
    const socket = await RawSocket.greeted(ws);
    const release = twin.hold();
    socket.ask(1, { type: 'store_sql', sql_id: 3, sql: 'SELECT 42 AS x' });
    socket.ask(2, { type: 'open_stream', stream_id: 1 });
    socket.ask(3, executeOn(1, { sql: 'SELECT 1' }));
    socket.ask(4, executeOn(1, { sql_id: 3 }));
    socket.ask(5, { type: 'close_sql', sql_id: 3 });
    socket.ask(6, executeOn(1, { sql_id: 3 }));
    expect(await socket.take(3)).toMatchObject([{ request_id: 1 }, { request_id: 2 }, { request_id: 5 }]);
    release();
    expect(await socket.take(3)).toMatchObject([
      { request_id: 3 },
      { request_id: 4, response: { result: { rows: [[{ value: '42' }]] } } },
      { request_id: 6, type: 'response_error' },
    ]);
  });

  it('serves cursors in pieces', async () => {
    const { ws } = await startHarness();
    const socket = await RawSocket.greeted(ws);
    socket.ask(1, { type: 'open_stream', stream_id: 1 });
    socket.ask(2, {
      type: 'open_cursor',
      stream_id: 1,
      cursor_id: 9,
      batch: batchOf('SELECT 1 UNION SELECT 2', 'nope'),
    });
    socket.ask(3, { type: 'fetch_cursor', cursor_id: 9, max_count: 2 });
    socket.ask(4, { type: 'fetch_cursor', cursor_id: 9, max_count: 100 });
    socket.ask(5, { type: 'open_cursor', stream_id: 1, cursor_id: 10, batch: batchOf('SELECT 1') });
    socket.ask(6, { type: 'close_cursor', cursor_id: 9 });
    const answers = await socket.take(6);
    expect(answers).toMatchObject([
      { request_id: 1 },
      { request_id: 5, type: 'response_error' },
      { request_id: 2, response: { type: 'open_cursor' } },
      { request_id: 3, response: { entries: [{ type: 'step_begin' }, { type: 'row' }], done: false } },
      {
        request_id: 4,
        response: {
          entries: [{ type: 'row' }, { type: 'step_end' }, { type: 'step_error', step: 1 }],
          done: true,
        },
      },
      { request_id: 6, response: { type: 'close_cursor' } },
    ]);
    socket.ask(7, { type: 'fetch_cursor', cursor_id: 9, max_count: 1 });
    expect(await socket.next()).toMatchObject({
      type: 'response_error',
      error: { code: 'SEXTANT_PROTOCOL_ERROR' },
    });
  });

  it('rolls back everything when it is lost, and runs nothing that waited', async () => {
    const { ws, twin } = await startHarness();
    const socket = await RawSocket.greeted(ws);
    socket.ask(1, { type: 'open_stream', stream_id: 1 });
    socket.ask(2, executeOn(1, { sql: 'BEGIN IMMEDIATE' }));
    await socket.take(2);
    const release = twin.hold();
    socket.ask(3, executeOn(1, { sql: 'CREATE TABLE a (x)' }));
    socket.ask(4, executeOn(1, { sql: 'COMMIT' }));
    socket.ask(5, { type: 'open_stream', stream_id: 2 });
    await socket.next();
    socket.ws.terminate();
    await twin.idle();
    release();
    for (let turn = 0; turn < 10; turn++) await new Promise((resolve) => setImmediate(resolve));
    // The sessions saw BEGIN and CREATE; the COMMIT that waited never reached one.
    expect(twin.contexts).toHaveLength(2);
  });

  it('ends a stream when it is lost, also one that its client has closed behind a statement that still runs', async () => {
    const { ws, twin } = await startHarness();
    const socket = await RawSocket.greeted(ws);
    const release = twin.hold();
    // As stock clients send every statement.
    socket.ask(1, { type: 'open_stream', stream_id: 1 });
    socket.ask(2, executeOn(1, { sql: 'SELECT 1' }));
    socket.ask(3, { type: 'close_stream', stream_id: 1 });
    await socket.next();
    socket.ws.terminate();
    await twin.idle();
    release();
  });

  it('answers an unknown or malformed request under its id and goes on', async () => {
    const { ws } = await startHarness();
    const socket = await RawSocket.greeted(ws);
    socket.ask(1, { type: 'explode' });
    socket.ask(2, executeOn(5, { sql: 'SELECT 1' }));
    socket.ask(3, { type: 'close_stream', stream_id: 5 });
    expect(await socket.take(3)).toMatchObject([
      {
        request_id: 1,
        error: { code: 'SEXTANT_PROTOCOL_ERROR', message: expect.stringContaining('"explode"') },
      },
      { request_id: 2, error: { message: expect.stringContaining('Stream 5 is not open') } },
      { request_id: 3, response: { type: 'close_stream' } },
    ]);
  });

  it.each([
    ['a binary frame', 1003, (socket: RawSocket) => socket.ws.send(Buffer.from('{}'))],
    ['what is not JSON', 1007, (socket: RawSocket) => socket.send('{nope')],
    ['what is no message', 1008, (socket: RawSocket) => socket.send({ type: 'what' })],
    ['a message that is too large', 1009, (socket: RawSocket) => socket.send(' '.repeat(50_000))],
  ])('is closed for %s with code %i', async (_name, code, misbehave) => {
    const { ws, twin } = await startHarness({ limits: { websocketMessageBytes: 40_000 } });
    const socket = await RawSocket.greeted(ws);
    socket.ask(1, { type: 'open_stream', stream_id: 1 });
    await socket.next();
    misbehave(socket);
    expect(await socket.closed).toMatchObject({ code });
    await twin.idle();
  });

  it('is closed when the first message is not hello', async () => {
    const { ws } = await startHarness();
    const socket = await RawSocket.open(ws);
    socket.ask(1, { type: 'open_stream', stream_id: 1 });
    expect(await socket.closed).toEqual({ code: 1008, reason: 'The first message must be hello' });
  });

  it('is not read while too much is in flight, and goes on afterwards', async () => {
    const { ws, twin, server } = await startHarness({
      limits: { websocketStreamsPerConnection: 2, requestsInFlightPerConnection: 6 },
    });
    const socket = await RawSocket.greeted(ws);
    socket.ask(0, { type: 'open_stream', stream_id: 1 });
    await socket.next();
    const release = twin.hold();
    // 500 messages of 16 kB are more than the kernel and one read of the socket hold.
    const sql = `SELECT 1 /*${'x'.repeat(16_000)}*/`;
    for (let i = 1; i <= 500; i++) socket.ask(i, executeOn(1, { sql }));
    await vi.waitUntil(() => server.counts().websocketRequests >= 6);
    for (let turn = 0; turn < 200; turn++) await new Promise((resolve) => setImmediate(resolve));
    // The bound itself, and what one read of the socket held beyond it.
    expect(server.counts().websocketRequests).toBeLessThan(20);
    expect(socket.ws.bufferedAmount).toBeGreaterThan(0);
    release();
    const answers = await socket.take(500);
    expect(answers.map((answer) => Object(answer).request_id)).toEqual(
      Array.from({ length: 500 }, (_, i) => i + 1),
    );
  });

  it('names the limit on streams, also to requests already under way', async () => {
    const { ws } = await startHarness({ limits: { websocketStreamsPerConnection: 1 } });
    const socket = await RawSocket.greeted(ws);
    for (const id of [1, 2]) socket.ask(id, { type: 'open_stream', stream_id: id });
    socket.ask(3, executeOn(2, { sql: 'SELECT 1' }));
    const limit = {
      error: { code: 'SEXTANT_LIMIT', message: expect.stringContaining('websocketStreamsPerConnection = 1') },
    };
    expect(await socket.take(3)).toMatchObject([{ request_id: 1, response: {} }, limit, limit]);
  });

  it('is cut when its peer answers no ping', async () => {
    const { ws, server } = await startHarness({ limits: { websocketPingMs: 20 } });
    const socket = new WebSocket(ws, ['hrana2'], { autoPong: false });
    await new Promise((resolve) => socket.once('close', resolve));
    await vi.waitUntil(() => server.counts().websockets === 0);
  });

  it('stays while its peer answers pings', async () => {
    const { ws } = await startHarness({ limits: { websocketPingMs: 50 } });
    const socket = await RawSocket.greeted(ws);
    let pings = 0;
    await new Promise<void>((resolve) => {
      socket.ws.on('ping', () => {
        pings += 1;
        if (pings === 5) resolve();
      });
    });
    expect(socket.ws.readyState).toBe(WebSocket.OPEN);
  });

  it('lets an open transaction finish when the gateway stops, and takes no new stream', async () => {
    const { ws, server } = await startHarness();
    const socket = await RawSocket.greeted(ws);
    socket.ask(1, { type: 'open_stream', stream_id: 1 });
    socket.ask(2, executeOn(1, { sql: 'BEGIN' }));
    await socket.take(2);
    const stopped = server.close();
    socket.ask(3, { type: 'open_stream', stream_id: 2 });
    expect(await socket.next()).toMatchObject({ error: { code: 'SEXTANT_SHUTTING_DOWN' } });
    socket.ask(4, executeOn(1, { sql: 'COMMIT' }));
    expect(await socket.next()).toMatchObject({ type: 'response_ok' });
    expect(await socket.closed).toMatchObject({ code: 1001 });
    await stopped;
  });

  it('is reopened by the stock client after it was lost', async () => {
    const { ws, twin } = await startHarness();
    const client = createClient({ url: ws });
    await client.execute('CREATE TABLE t (a)');
    const transaction = await client.transaction('write');
    await transaction.execute('INSERT INTO t VALUES (1)');
    await client.reconnect();
    await twin.idle();
    expect((await client.execute('SELECT count(*) FROM t')).rows[0]?.[0]).toBe(0);
    client.close();
  });
});
