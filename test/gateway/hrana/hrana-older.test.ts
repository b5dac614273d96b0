import { describe, expect, it } from 'vitest';
import { RawSocket, startHarness } from './hrana-harness.ts';

describe('Hrana 1 over HTTP', () => {
  it('executes a statement or a batch on a stream of its own', async () => {
    const { post, twin } = await startHarness();
    expect(
      await post('/v1/execute', { stmt: { sql: 'SELECT ? AS a', args: [{ type: 'integer', value: '7' }] } }),
    ).toMatchObject({
      status: 200,
      contentType: 'application/json',
      json: { result: { cols: [{ name: 'a' }], rows: [[{ type: 'integer', value: '7' }]] } },
    });
    expect(await post('/v1/execute', { stmt: { sql: 'VALUES (1), (2)' } })).toMatchObject({
      json: { result: { rows: [[{ value: '1' }], [{ value: '2' }]] } },
    });
    const steps = [
      { stmt: { sql: 'SELECT 1' } },
      { stmt: { sql: 'nonsense' } },
      { condition: { type: 'ok', step: 1 }, stmt: { sql: 'SELECT 2' } },
    ];
    expect(await post('/v1/batch', { batch: { steps } })).toMatchObject({
      status: 200,
      json: {
        result: { step_results: [{}, null, null], step_errors: [null, { code: 'SQLITE_ERROR' }, null] },
      },
    });
    await twin.idle();
  });

  it('answers a failure with its code, and a transaction that is left open with what became of it', async () => {
    const { post, twin } = await startHarness();
    expect(await post('/v1/execute', { stmt: { sql: 'nonsense' } })).toMatchObject({
      status: 400,
      json: { code: 'SQLITE_ERROR', message: expect.any(String) },
    });
    expect(await post('/v1/execute', { stmt: { sql_id: 1 } })).toMatchObject({
      json: { message: expect.stringContaining('not stored') },
    });
    expect(await post('/v1/batch', {})).toMatchObject({
      status: 400,
      json: { code: 'SEXTANT_PROTOCOL_ERROR' },
    });
    expect(await post('/v1/execute', { stmt: { sql: 'BEGIN IMMEDIATE' } })).toMatchObject({
      status: 400,
      json: { message: expect.stringContaining('rolled back') },
    });
    await twin.idle();
    expect(await post('/v1/execute', { stmt: { sql: 'BEGIN IMMEDIATE' } })).toMatchObject({ status: 400 });
  });
});

describe('the first HTTP API', () => {
  it('takes plain values and gives plain values, an answer per statement', async () => {
    const { http, twin } = await startHarness();
    const body = `{"statements": [
      "CREATE TABLE t (a, b)",
      {"q": "INSERT INTO t VALUES (?, ?), (1.0, -0.5)", "params": [9007199254740993, {"base64": "AQI="}]},
      {"q": "SELECT *, :x, 9e999 FROM t", "params": {":x": true}},
      {"q": "SELECT typeof(?), typeof(?)", "params": [1, 1.0]}
    ]}`;
    const response = await fetch(http, { method: 'POST', body });
    expect(response.headers.get('content-type')).toBe('application/json');
    expect(await response.text()).toBe(
      `[${[
        '{"results":{"columns":[],"rows":[],"rows_read":0,"rows_written":0}}',
        '{"results":{"columns":[],"rows":[],"rows_read":0,"rows_written":2}}',
        '{"results":{"columns":["a","b",":x","9e999"],"rows":[[9007199254740993,{"base64":"AQI"},1,null],[1.0,-0.5,1,null]],"rows_read":2,"rows_written":0}}',
        '{"results":{"columns":["typeof(?)","typeof(?)"],"rows":[["integer","real"]],"rows_read":1,"rows_written":0}}',
      ].join(',')}]`,
    );
    await twin.idle();
  });

  it('stops at the first statement that fails', async () => {
    const { post } = await startHarness();
    expect(await post('/', { statements: ['SELECT 1', 'nonsense', 'SELECT 2'] })).toMatchObject({
      status: 200,
      json: [{ results: { rows: [[1]] } }, { error: expect.stringContaining('nonsense') }, null],
    });
  });

  it('refuses what is no list of statements, and a transaction without its end', async () => {
    const { post, twin } = await startHarness();
    for (const body of ['[', {}, { statements: [1] }, { statements: [{ q: 'SELECT ?', params: [[1]] }] }])
      expect(await post('/', body), JSON.stringify(body)).toMatchObject({
        status: 400,
        json: { code: 'SEXTANT_PROTOCOL_ERROR', error: expect.any(String) },
      });
    expect(twin.statements).toEqual([]);
    expect(await post('/', { statements: ['BEGIN', 'SELECT 1'] })).toMatchObject({
      status: 400,
      json: { error: expect.stringContaining('rolled back') },
    });
    expect(await post('/', { statements: ['BEGIN', 'SELECT 1', 'COMMIT'] })).toMatchObject({ status: 200 });
  });
});

describe('Hrana 1 over WebSocket', () => {
  it('runs statements and batches, and says which version has what it has not', async () => {
    const { ws } = await startHarness();
    const socket = await RawSocket.open(ws, ['hrana1']);
    socket.send({ type: 'hello', jwt: null });
    socket.ask(1, { type: 'open_stream', stream_id: 0 });
    socket.ask(2, { type: 'execute', stream_id: 0, stmt: { sql: 'SELECT 1', want_rows: true } });
    socket.ask(3, { type: 'describe', stream_id: 0, sql: 'SELECT 1' });
    socket.ask(4, { type: 'store_sql', sql_id: 0, sql: 'SELECT 1' });
    socket.ask(5, { type: 'close_stream', stream_id: 0 });
    const answers = await socket.take(6);
    expect(answers.filter((answer) => Object(answer).type === 'response_ok')).toHaveLength(3);
    const refused = answers.filter((answer) => Object(answer).type === 'response_error');
    expect(refused).toHaveLength(2);
    for (const answer of refused)
      expect(JSON.stringify(answer)).toMatch(/speaks hrana1, which has no request (describe|store_sql)/);
  });
});
