import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeEach, describe, expect, test } from 'vitest';
import { prepareDeployment } from '../../../regions/local/data-directory.ts';
import { AskedGateway, sextant } from './asked-gateway.ts';

const dataDir = mkdtempSync(join(tmpdir(), 'sx-cli-'));
afterAll(() => rmSync(dataDir, { recursive: true, force: true }));

let asked: AskedGateway;
beforeEach(async () => {
  asked = await AskedGateway.start();
});
afterEach(() => asked.close());

describe('asking a deployment', () => {
  test('status shows regions, roles, epoch, VDL, lag and nodes', async () => {
    asked.replies['/v1/status'] = () => ({ body: asked.status() });
    const { code, out } = await sextant(['status', '--url', asked.url]);
    expect(code).toBe(0);
    expect(out).toMatch(/cluster test {2}state stable {2}epoch 4 {2}primary us-east-1/);
    expect(out).toMatch(/eu-west-1 +secondary +1024 +1\.0 KiB, 1\.50 s +1\.50 s +yes/);
    expect(out).toMatch(/n1 +us-east-1a +running +2048 +77 +7001/);
    const json = await sextant(['status', '--url', asked.url, '--json']);
    expect(JSON.parse(json.out)).toEqual(asked.status());
    asked.replies['/v1/status'] = () => ({ body: { ...asked.status(), engine: 'postgres' } });
    const engine = await sextant(['status', '--url', asked.url]);
    expect(engine.out).toMatch(/cluster test {2}engine PostgreSQL {2}state stable/);
  });

  test('policy shows what each field means and what it costs now, and changes what its options name', async () => {
    const policy = { automatic: false, maxLossMs: null, rpoMs: 0, prefer: ['eu-west-1'] };
    asked.replies['/v1/policy'] = () => ({ body: policy });
    asked.replies['/v1/status'] = () => ({ body: asked.status() });
    const shown = await sextant(['policy', '--url', asked.url]);
    expect(shown.out).toMatch(/--automatic +off +a failover begins when a person starts it/);
    expect(shown.out).toMatch(/--rpo-ms +0 +an answer leaves once one more region/);
    expect(shown.out).toMatch(/now: eu-west-1 is 1\.50 s behind; everything is within the RPO/);
    const args = ['--rpo-ms', '0', '--automatic', 'off', '--max-loss-ms', 'none', '--prefer', 'eu-west-1'];
    const set = await sextant(['policy', ...args, '--url', asked.url, '--json']);
    expect(JSON.parse(set.out)).toEqual(policy);
    expect(asked.requests.filter(({ path }) => path === '/v1/policy').map(({ body }) => body)).toEqual([
      undefined,
      policy,
    ]);
    for (const [option, value, words] of [
      ['--automatic', 'yes', 'is on or off, not yes'],
      ['--rpo-ms', '-1', 'is a number of milliseconds or off, not -1'],
    ] as const)
      expect(await sextant(['policy', `${option}=${value}`, '--url', asked.url])).toMatchObject({
        code: 1,
        err: expect.stringContaining(words),
      });
  });

  test('sql prints a table, or JSON, and runs several statements in one session', async () => {
    asked.replies['/v1/status'] = () => ({ body: asked.status() });
    const result = {
      cols: [{ name: 'id' }, { name: 'title' }],
      rows: [[{ type: 'integer', value: '9007199254740993' }, { type: 'null' }]],
      affected_row_count: 0,
      last_insert_rowid: null,
    };
    asked.replies['/v2/pipeline'] = () => ({
      body: {
        baton: 'next',
        base_url: null,
        results: [{ type: 'ok', response: { type: 'execute', result } }],
      },
    });
    const { code, out } = await sextant(['sql', 'eu-west-1', 'SELECT 1; SELECT 2', '--url', asked.url]);
    expect(code).toBe(0);
    expect(out).toMatch(/^id +title\n9007199254740993 +NULL\n\(1 row\)\n/);
    const pipelines = asked.requests.filter(({ path }) => path === '/v2/pipeline').map(({ body }) => body);
    expect(pipelines).toMatchObject([
      { requests: [{ type: 'execute', stmt: { sql: 'SELECT 1', want_rows: true } }] },
      { baton: 'next', requests: [{ type: 'execute', stmt: { sql: 'SELECT 2', want_rows: true } }] },
      { baton: 'next', requests: [{ type: 'close' }] },
    ]);
    const json = await sextant(['sql', 'eu-west-1', 'SELECT 1', '--url', asked.url, '--json']);
    expect(JSON.parse(json.out)).toMatchObject({ rows: [{ id: '9007199254740993', title: null }] });
  });

  test('sql ends with exit code 1, the code and the message when the statement fails', async () => {
    asked.replies['/v1/status'] = () => ({ body: asked.status() });
    asked.replies['/v2/pipeline'] = () => ({
      body: {
        baton: null,
        results: [{ type: 'error', error: { message: 'no such table: t', code: 'SQLITE_ERROR' } }],
      },
    });
    const { code, err, out } = await sextant(['sql', 'eu-west-1', 'SELECT * FROM t', '--url', asked.url]);
    expect({ code, err, out }).toEqual({ code: 1, err: 'error: SQLITE_ERROR: no such table: t\n', out: '' });
  });

  test('an unknown region is an error that lists the known ones', async () => {
    asked.replies['/v1/status'] = () => ({ body: asked.status() });
    const far = await sextant(['sql', 'mars', 'SELECT 1', '--url', asked.url]);
    expect(far).toMatchObject({ code: 1, err: 'error: no region mars; there are us-east-1, eu-west-1\n' });
    prepareDeployment({ dataDir, regions: ['a', 'b'] });
    for (const args of [
      ['sql', 'mars', 'SELECT 1'],
      ['region', 'kill', 'mars'],
      ['node', 'wipe', 'mars/n1'],
      ['gateway', 'kill', 'mars'],
      ['switchover', '--to', 'mars'],
    ]) {
      const near = await sextant([...args, '--data', dataDir]);
      expect(near).toMatchObject({ code: 1, err: 'error: no region mars; there are a, b\n' });
    }
  });

  test('a deployment that is not running is an error, and with --json one in JSON', async () => {
    prepareDeployment({ dataDir, regions: ['a', 'b'] });
    expect(await sextant(['node', 'kill', 'a/n1', '--data', dataDir])).toMatchObject({
      code: 1,
      err: /no supervisor answers/,
    });
    const none = await sextant(['status', '--json', '--data', join(dataDir, 'none')]);
    expect(none.code).toBe(1);
    expect(JSON.parse(none.err)).toEqual({
      error: { code: null, message: expect.stringMatching(/there is no deployment in/) },
    });
  });

  test('shell takes statements over several lines, dot commands, and goes on after an error, unless it is to bail', async () => {
    asked.replies['/v1/status'] = () => ({ body: asked.status() });
    asked.replies['/v2/pipeline'] = (body) => {
      const sql = JSON.stringify(body);
      return sql.includes('broken')
        ? {
            body: {
              baton: 'b',
              results: [{ type: 'error', error: { message: 'syntax error', code: 'SQL_PARSE_ERROR' } }],
            },
          }
        : {
            body: {
              baton: 'b',
              results: [
                {
                  type: 'ok',
                  response: {
                    type: 'execute',
                    result: {
                      cols: [{ name: 'x' }],
                      rows: [],
                      affected_row_count: 0,
                      last_insert_rowid: null,
                    },
                  },
                },
              ],
            },
          };
    };
    const input = 'SELECT\n  1;\nbroken;\n.tables\n.nonsense\n.quit\nSELECT 9;\n';
    const { code, out, err } = await sextant(['shell', 'eu-west-1', '--url', asked.url], input);
    expect(code).toBe(1);
    expect(err).toMatch(/SQL_PARSE_ERROR: syntax error/);
    expect(out).toMatch(/no command \.nonsense/);
    const sent = asked.requests.flatMap(({ body }) =>
      [...JSON.stringify(body ?? '').matchAll(/"sql":"([^"]*)"/g)].map(([, sql]) => sql),
    );
    expect(sent).toEqual([
      'SELECT\\n  1',
      'broken',
      expect.stringMatching(/^SELECT name, type FROM sqlite_schema/),
    ]);
    asked.requests.splice(0);
    const bailed = await sextant(
      ['shell', 'eu-west-1', '--bail', '--url', asked.url],
      'BEGIN;\nbroken; COMMIT;\nCOMMIT',
    );
    expect(bailed.code).toBe(1);
    expect(JSON.stringify(asked.requests)).toContain('broken');
    expect(JSON.stringify(asked.requests)).not.toContain('COMMIT');
  });
});
