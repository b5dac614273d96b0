import { request } from 'node:http';
import { connect } from 'node:net';
import { Hono } from 'hono';
import { describe, expect, it, vi } from 'vitest';
import { defaultLimits } from '../../../gateway/hrana/core/protocol-limits.ts';
import { startHttpServer } from '../../../gateway/process/http/http-server.ts';
import { createSqlTwin } from '../sql/sql-twin.ts';
import { authenticator, execute, pipelineOf, startHarness } from './hrana-harness.ts';

const close = { type: 'close' };
const parent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';

describe('the HTTP pipeline', () => {
  it.each(['/v2/pipeline', '/v3/pipeline'])('answers at %s with one result per request', async (path) => {
    const { post } = await startHarness();
    const answer = await post(path, {
      requests: [
        execute('SELECT 1'),
        execute('nonsense'),
        { type: 'get_autocommit' },
        close,
        execute('SELECT 2'),
      ],
    });
    expect(answer.status).toBe(200);
    expect(answer.contentType).toBe('application/json');
    expect(answer.json).toMatchObject({ baton: null, base_url: null });
    expect(pipelineOf(answer).results).toMatchObject([
      { type: 'ok', response: { type: 'execute', result: { rows: [[{ type: 'integer', value: '1' }]] } } },
      { type: 'error', error: { code: 'SQLITE_ERROR' } },
      { type: 'ok', response: { type: 'get_autocommit', is_autocommit: true } },
      { type: 'ok', response: { type: 'close' } },
      { type: 'error', error: { code: 'SEXTANT_PROTOCOL_ERROR' } },
    ]);
  });

  it('passes rows on that come as text, alone, in a batch, and among others', async () => {
    const { post } = await startHarness();
    const two = "VALUES ('é', x'00ff'), ('\"😀', NULL)";
    const rows = [
      [
        { type: 'text', value: 'é' },
        { type: 'blob', base64: 'AP8' },
      ],
      [{ type: 'text', value: '"😀' }, { type: 'null' }],
    ];
    const batch = { steps: [{ stmt: { sql: two } }, { stmt: { sql: 'SELECT 1' } }, { stmt: { sql: two } }] };
    const answer = await post('/v3/pipeline', {
      requests: [execute('SELECT 1'), execute(two), { type: 'batch', batch }, execute('SELECT 2'), close],
    });
    expect(pipelineOf(answer).results).toMatchObject([
      { response: { result: { rows: [[{ value: '1' }]] } } },
      { response: { type: 'execute', result: { cols: [{}, {}], rows, affected_row_count: 0 } } },
      {
        response: {
          type: 'batch',
          result: { step_results: [{ rows }, { rows: [[{ value: '1' }]] }, { rows }] },
        },
      },
      { response: { result: { rows: [[{ value: '2' }]] } } },
      { type: 'ok' },
    ]);
  });

  it('refuses rows that come as text and are more than a response may have', async () => {
    const { post } = await startHarness({ limits: { responseBytes: 300_000 } });
    const large = 'VALUES (hex(zeroblob(100000))), (hex(zeroblob(100000)))';
    const answer = await post('/v3/pipeline', { requests: [execute(large), execute('SELECT 1'), close] });
    expect(pipelineOf(answer).results).toMatchObject([
      { type: 'error', error: { code: 'RESPONSE_TOO_LARGE' } },
      { type: 'ok', response: { result: { rows: [[{ value: '1' }]] } } },
      { type: 'ok' },
    ]);
  });

  it('goes on with a stream by its baton, and stores SQL for it', async () => {
    const { post } = await startHarness();
    const first = pipelineOf(
      await post('/v2/pipeline', {
        baton: null,
        requests: [execute('BEGIN'), { type: 'store_sql', sql_id: 7, sql: 'SELECT ? AS v' }],
      }),
    );
    const stmt = { sql_id: 7, args: [{ type: 'blob', base64: 'AAE=' }], want_rows: true };
    const second = pipelineOf(
      await post('/v2/pipeline', {
        baton: first.baton,
        requests: [
          { type: 'execute', stmt },
          { type: 'batch', batch: { steps: [{ stmt }] } },
          { type: 'describe', sql_id: 7 },
          { type: 'sequence', sql: 'SELECT 1; SELECT 2' },
          { type: 'get_autocommit' },
          { type: 'close_sql', sql_id: 7 },
          { type: 'execute', stmt },
        ],
      }),
    );
    expect(second.baton).not.toBe(first.baton);
    expect(second.results).toMatchObject([
      { response: { result: { rows: [[{ type: 'blob', base64: 'AAE' }]] } } },
      { response: { result: { step_results: [{}], step_errors: [null] } } },
      { response: { result: { params: [{}], cols: [{ name: 'v' }], is_explain: false, is_readonly: true } } },
      { response: { type: 'sequence' } },
      { response: { is_autocommit: false } },
      { response: { type: 'close_sql' } },
      {
        type: 'error',
        error: { code: 'SEXTANT_PROTOCOL_ERROR', message: expect.stringContaining('SQL text 7') },
      },
    ]);
  });

  it('refuses batons that were used, forged, altered or are garbage', async () => {
    const { post } = await startHarness();
    const other = await startHarness();
    const open = async (harness = post) => pipelineOf(await harness('/v2/pipeline', { requests: [] })).baton;
    const baton = String(await open());
    expect((await post('/v2/pipeline', { baton, requests: [] })).status).toBe(200);
    expect(await post('/v2/pipeline', { baton, requests: [] })).toMatchObject({
      status: 400,
      contentType: 'application/json',
      json: { code: 'BATON_REUSED', message: expect.any(String), error: expect.any(String) },
    });
    const swapped = (baton[5] === 'A' ? 'B' : 'A') + baton.slice(1);
    const foreign = await open(other.post);
    for (const bad of ['', 'x', '!'.repeat(64), swapped, `${baton}A`, foreign, 'A'.repeat(64)]) {
      expect(await post('/v2/pipeline', { baton: bad, requests: [] }), String(bad)).toMatchObject({
        status: 400,
        json: { code: 'BATON_INVALID' },
      });
    }
  });

  it('expires an idle stream, rolls its transaction back and says so', async () => {
    const { post, twin } = await startHarness({ limits: { streamIdleMs: 40 } });
    await post('/v2/pipeline', { requests: [execute('CREATE TABLE t (a)'), close] });
    const { baton } = pipelineOf(
      await post('/v2/pipeline', {
        requests: [execute('BEGIN IMMEDIATE'), execute('INSERT INTO t VALUES (1)')],
      }),
    );
    await twin.idle();
    const late = await post('/v2/pipeline', { baton, requests: [execute('COMMIT')] });
    expect(late).toMatchObject({ status: 400, json: { code: 'STREAM_EXPIRED' } });
    expect(JSON.stringify(late.json)).toContain(
      'stream expired because it was idle for more than 40 ms; its transaction was rolled back',
    );
    const count = await post('/v2/pipeline', { requests: [execute('SELECT count(*) FROM t'), close] });
    expect(JSON.stringify(count.json)).toContain('"value":"0"');
  });

  it('makes room for a new stream by closing the longest idle one without a transaction', async () => {
    const { post, server } = await startHarness({ limits: { httpStreams: 2 } });
    const inTransaction = pipelineOf(await post('/v2/pipeline', { requests: [execute('BEGIN')] })).baton;
    const idle = pipelineOf(await post('/v2/pipeline', { requests: [] })).baton;
    const third = pipelineOf(await post('/v2/pipeline', { requests: [execute('BEGIN')] })).baton;
    expect(server.counts().httpStreams).toBe(2);
    expect(await post('/v2/pipeline', { baton: idle, requests: [] })).toMatchObject({
      json: { code: 'STREAM_EXPIRED' },
    });
    expect(await post('/v2/pipeline', { requests: [] })).toMatchObject({
      status: 429,
      json: { code: 'SEXTANT_LIMIT', message: expect.stringContaining('httpStreams = 2') },
    });
    for (const baton of [inTransaction, third]) {
      expect((await post('/v2/pipeline', { baton, requests: [close] })).status).toBe(200);
    }
  });

  it('rolls back when the client is gone before it has the answer', async () => {
    const { http, twin, server } = await startHarness();
    const release = twin.hold();
    const body = JSON.stringify({ requests: [execute('BEGIN IMMEDIATE')] });
    const lost = request(`${http}/v2/pipeline`, { method: 'POST' });
    lost.on('error', () => {});
    lost.end(body);
    await vi.waitUntil(() => twin.openSessions() === 1);
    lost.destroy();
    await new Promise((resolve) => lost.once('close', resolve));
    // The server learns of the loss before it answers requests that came later; only then may the statement go on.
    for (let i = 0; i < 2; i++) await (await fetch(`${http}/health`)).text();
    release();
    await twin.idle();
    expect(server.counts().httpStreams).toBe(0);
  });

  it('runs nothing of a malformed request', async () => {
    const { post, twin } = await startHarness();
    for (const body of [
      '{"requests": [',
      { requests: [execute('SELECT 1'), { type: 'explode' }] },
      { requests: [execute('SELECT 1'), execute('SELECT 2', [{ type: 'integer', value: 'x' }])] },
    ]) {
      expect(await post('/v2/pipeline', body)).toMatchObject({
        status: 400,
        contentType: 'application/json',
        json: { code: 'SEXTANT_PROTOCOL_ERROR' },
      });
    }
    expect(twin.statements).toEqual([]);
    expect(twin.openSessions()).toBe(0);
  });

  it('refuses a body that is too large, announced or not, and one that is not UTF-8', async () => {
    const { post, http } = await startHarness({ limits: { bodyBytes: 100_000 } });
    const large = { status: 413, contentType: 'application/json', json: { code: 'SEXTANT_BODY_TOO_LARGE' } };
    expect(await post('/v2/pipeline', ' '.repeat(100_001))).toMatchObject(large);
    const chunks = new ReadableStream({
      start(controller) {
        for (let i = 0; i < 3; i++) controller.enqueue(Buffer.alloc(50_000, 32));
        controller.close();
      },
    });
    const chunked = await fetch(`${http}/v2/pipeline`, { method: 'POST', body: chunks, duplex: 'half' });
    expect(chunked.status).toBe(413);
    await chunked.text();
    const broken = await fetch(`${http}/v2/pipeline`, {
      method: 'POST',
      body: Buffer.from([0x22, 0xff, 0x22]),
    });
    expect(await broken.json()).toMatchObject({
      code: 'SEXTANT_PROTOCOL_ERROR',
      message: expect.stringContaining('UTF-8'),
    });
  });

  it('refuses positional and named arguments together, in band', async () => {
    const { post } = await startHarness();
    const value = { type: 'null' };
    const stmt = { sql: 'SELECT ?', args: [value], named_args: [{ name: 'a', value }] };
    const answer = await post('/v2/pipeline', { requests: [{ type: 'execute', stmt }, close] });
    expect(pipelineOf(answer).results[0]).toMatchObject({
      error: { code: 'ARGS_BOTH_POSITIONAL_AND_NAMED' },
    });
  });

  it('hands on the caller’s traceparent from the header or, closer, from the SQL', async () => {
    const { post, twin } = await startHarness();
    const inner = parent.replace('01', '00').replace('0af7', 'ffff');
    await post(
      '/v2/pipeline',
      { requests: [execute('SELECT 1'), execute(`SELECT 1 /*traceparent='${inner}'*/`), close] },
      { traceparent: parent },
    );
    await post('/v2/pipeline', { requests: [execute('SELECT 1'), close] }, { traceparent: 'junk' });
    expect(twin.contexts.map((context) => context.traceparent)).toEqual([parent, inner, null]);
  });
});

describe('the HTTP cursor', () => {
  it('streams entries, emits nothing for skipped steps and no replication index', async () => {
    const { post } = await startHarness();
    const steps = [
      { stmt: { sql: 'CREATE TABLE t (a INTEGER)' } },
      { stmt: { sql: 'INSERT INTO t VALUES (5), (6)' }, condition: { type: 'ok', step: 0 } },
      { stmt: { sql: 'SELECT a FROM t' } },
      { stmt: { sql: 'nonsense' } },
      { stmt: { sql: 'SELECT 1' }, condition: { type: 'ok', step: 3 } },
    ];
    const { status, contentType, json } = await post('/v3/cursor', { batch: { steps } });
    expect({ status, contentType }).toEqual({ status: 200, contentType: 'application/json' });
    expect(json).toMatchObject([
      { baton: expect.any(String), base_url: null },
      { type: 'step_begin', step: 0, cols: [] },
      { type: 'step_end' },
      { type: 'step_begin', step: 1 },
      { type: 'step_end', affected_row_count: 2, last_insert_rowid: '2' },
      { type: 'step_begin', step: 2, cols: [{ name: 'a', decltype: 'INTEGER' }] },
      { type: 'row', row: [{ type: 'integer', value: '5' }] },
      { type: 'row', row: [{ type: 'integer', value: '6' }] },
      { type: 'step_end' },
      { type: 'step_error', step: 3, error: { code: 'SQLITE_ERROR' } },
    ]);
    expect(json).toHaveLength(10);
    const { baton } = Object((json as unknown[])[0]) as { baton: string };
    expect((await post('/v3/pipeline', { baton, requests: [close] })).status).toBe(200);
  });

  it('sends results larger than a response may be', async () => {
    const { post } = await startHarness({ limits: { responseBytes: 300_000 } });
    const sql =
      'WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < 20) SELECT hex(zeroblob(50000)) FROM n';
    const { json } = await post('/v3/cursor', { batch: { steps: [{ stmt: { sql } }] } });
    expect(json).toHaveLength(1 + 1 + 20 + 1);
  });

  it('says within the cursor what is wrong with the batch', async () => {
    const { post } = await startHarness();
    const steps = [{ stmt: { sql: 'SELECT 1' }, condition: { type: 'ok', step: 0 } }];
    expect((await post('/v3/cursor', { batch: { steps } })).json).toMatchObject([
      {},
      { type: 'error', error: { code: 'BATCH_COND_BAD_STEP' } },
    ]);
    expect(await post('/v3/cursor', { batch: {} })).toMatchObject({ status: 400 });
  });
});

describe('the HTTP server', () => {
  it('shows the versions it speaks, and its health at the root', async () => {
    const { http } = await startHarness();
    const status = async (path: string) => (await fetch(http + path)).status;
    expect(
      await Promise.all(
        ['/', '/v1', '/v2', '/v3', '/v3-protobuf', '/health', '/version', '/nope'].map(status),
      ),
    ).toEqual([200, 200, 200, 200, 200, 200, 200, 404]);
  });

  it('serves the routes of others beside its own', async () => {
    const app = new Hono();
    app.get('/v1/status', (context) => context.json({ fine: true }));
    const { http } = await startHarness({ app });
    expect(await (await fetch(`${http}/v1/status`)).json()).toEqual({ fine: true });
  });

  it('keeps web pages of other origins and foreign host names away from an open gateway', async () => {
    const { http, server } = await startHarness();
    const status = (headers: Record<string, string>) =>
      new Promise<number | undefined>((resolve, reject) => {
        const body = JSON.stringify({ requests: [close] });
        request(`${http}/v2/pipeline`, { method: 'POST', headers }, (response) => {
          response.resume();
          resolve(response.statusCode);
        })
          .on('error', reject)
          .end(body);
      });
    expect(await status({ origin: 'https://evil.example' })).toBe(403);
    expect(await status({ host: `evil.example:${server.port}` })).toBe(403);
    expect(await status({ origin: 'null' })).toBe(403);
    expect(await status({ origin: http })).toBe(200);
    expect(await status({ host: `localhost:${server.port}` })).toBe(200);
  });

  it('names the address and the way out when the port is taken', async () => {
    const { server } = await startHarness();
    const twin = createSqlTwin();
    const options = {
      service: twin.service,
      auth: authenticator(null),
      limits: defaultLimits,
      logger: { info: () => {}, warn: () => {}, error: () => {} },
      version: '0',
    };
    const taken = await startHttpServer({ ...options, listen: { host: '127.0.0.1', port: server.port } });
    expect(taken).toMatchObject({
      ok: false,
      message: expect.stringContaining(`127.0.0.1:${server.port} is already in use`),
    });
    twin.close();
  });

  it('lets running requests finish when it closes, refuses new ones and rolls back the rest', async () => {
    const { post, twin, server } = await startHarness();
    await post('/v2/pipeline', { requests: [execute('BEGIN')] });
    const release = twin.hold();
    const running = post('/v2/pipeline', { requests: [execute('SELECT 1'), close] });
    await vi.waitUntil(() => twin.openSessions() === 2);
    const closed = server.close();
    release();
    expect((await running).status).toBe(200);
    await closed;
    expect(twin.openSessions()).toBe(0);
    await expect(post('/v2/pipeline', { requests: [] })).rejects.toThrow();
  });

  it('survives bytes that are not HTTP', async () => {
    const { server, post } = await startHarness();
    const socket = connect(server.port, '127.0.0.1');
    socket.end('\x00\x01\x02 nonsense\r\n\r\n');
    await new Promise((resolve) => socket.once('close', resolve).resume());
    expect((await post('/v2/pipeline', { requests: [close] })).status).toBe(200);
  });
});
