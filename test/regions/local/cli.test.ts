import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Command } from 'commander';
import { afterAll, afterEach, beforeEach, describe, expect, test } from 'vitest';
import { formatBytes, formatMs, table } from '../../../regions/cli/ask/output.ts';
import { buildProgram } from '../../../regions/cli/main.ts';
import { prepareDeployment } from '../../../regions/local/local-deployment.ts';
import { splitStatements } from '../../../regions/transfer/core/split-statements.ts';

const cli = fileURLToPath(new URL('../../../regions/cli/sextant.ts', import.meta.url));
const dataDir = mkdtempSync(join(tmpdir(), 'sx-cli-'));
afterAll(() => rmSync(dataDir, { recursive: true, force: true }));

/** Runs the real command. */
function sextant(
  args: readonly string[],
  input = '',
): Promise<{ code: number | null; out: string; err: string }> {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, [cli, ...args], { stdio: 'pipe' });
    let [out, err] = ['', ''];
    child.stdout.on('data', (chunk) => {
      out += chunk;
    });
    child.stderr.on('data', (chunk) => {
      err += chunk;
    });
    child.once('close', (code) => resolve({ code, out, err }));
    child.stdin.end(input);
  });
}

type Reply = { readonly status?: number; readonly body: unknown };
let gateway: Server;
let url: string;
let requests: { readonly path: string; readonly body: unknown }[];
let replies: Record<string, (body: unknown) => Reply>;

beforeEach(async () => {
  requests = [];
  replies = {};
  gateway = createServer(async (request, response) => {
    let text = '';
    for await (const chunk of request) text += chunk;
    const body: unknown = text === '' ? undefined : JSON.parse(text);
    requests.push({ path: request.url ?? '', body });
    const reply = replies[request.url ?? '']?.(body) ?? {
      status: 404,
      body: { code: 'NOT_FOUND', message: 'nothing here' },
    };
    response
      .writeHead(reply.status ?? 200, { 'content-type': 'application/json' })
      .end(JSON.stringify(reply.body));
  });
  await new Promise<void>((done) => gateway.listen(0, '127.0.0.1', done));
  const address = gateway.address();
  url = typeof address === 'object' ? `http://127.0.0.1:${address?.port}` : '';
});
afterEach(() => {
  gateway.closeAllConnections();
  gateway.close();
});

const status = () => ({
  cluster: 'test',
  epoch: 4,
  primary: 'us-east-1',
  state: 'stable',
  regions: [
    {
      name: 'us-east-1',
      role: 'primary',
      vdl: 2048,
      ready: true,
      gateway: url,
      nodes: [
        { id: 'n1', az: 'us-east-1a', state: 'running', scl: 2048, pid: 77, address: '127.0.0.1:7001' },
      ],
    },
    {
      name: 'eu-west-1',
      role: 'secondary',
      vdl: 1024,
      lagBytes: 1024,
      lagMs: 1500,
      rpoMs: 1500,
      ready: true,
      gateway: url,
      nodes: [],
    },
  ],
});

describe('every command', () => {
  const visible = (command: Command): Command[] =>
    command.commands.flatMap((sub) => [...(sub.commands.length > 0 ? visible(sub) : []), sub]);
  const commands = visible(buildProgram()).filter(
    (command) =>
      command.name() !== 'supervise' && !(command.commands.length > 0 && command.options.length === 0),
  );

  test.each(commands.map((command) => [`${command.parent?.name()} ${command.name()}`, command] as const))(
    '%s has --json and an example in its help',
    (_name, command) => {
      // What completion prints is a script for a shell.
      if (command.name() !== 'completion')
        expect(command.options.map(({ long }) => long)).toContain('--json');
      let help = '';
      command.configureOutput({ writeOut: (text) => (help += text) }).outputHelp();
      expect(help).toMatch(/\nExample:\n {2}sextant /);
    },
  );
});

describe('the launcher', () => {
  const launcher = cli.replace(/\.ts$/, '.mjs');
  const versionBy = (nodeArguments: readonly string[]) => {
    const { status, stdout, stderr } = spawnSync(
      process.execPath,
      [...nodeArguments, launcher, '--version'],
      {
        encoding: 'utf8',
      },
    );
    return { status, stdout, stderr };
  };
  /** Makes the launcher believe that it runs on Node.js 20, as a system may have. */
  const asNode20 = `data:text/javascript,Object.defineProperty(process,'versions',{value:{...process.versions,node:'20.20.2'}})`;

  test('runs the command itself, or hands over to the Node.js that came with the dependencies', () => {
    const own = versionBy([]);
    expect(own).toMatchObject({ status: 0, stdout: expect.stringMatching(/^\d+\.\d+\.\d+\n$/) });
    expect(versionBy(['--import', asNode20])).toEqual(own);
  });
});

describe('asking a deployment', () => {
  test('status shows regions, roles, epoch, VDL, lag and nodes', async () => {
    replies['/v1/status'] = () => ({ body: status() });
    const { code, out } = await sextant(['status', '--url', url]);
    expect(code).toBe(0);
    expect(out).toMatch(/cluster test {2}state stable {2}epoch 4 {2}primary us-east-1/);
    expect(out).toMatch(/eu-west-1 +secondary +1024 +1\.0 KiB, 1\.50 s +1\.50 s +yes/);
    expect(out).toMatch(/n1 +us-east-1a +running +2048 +77 +7001/);
    const json = await sextant(['status', '--url', url, '--json']);
    expect(JSON.parse(json.out)).toEqual(status());
  });

  test('policy shows what each field means and what it costs now, and changes what its options name', async () => {
    const policy = { automatic: false, maxLossMs: null, rpoMs: 0, prefer: ['eu-west-1'] };
    replies['/v1/policy'] = () => ({ body: policy });
    replies['/v1/status'] = () => ({ body: status() });
    const shown = await sextant(['policy', '--url', url]);
    expect(shown.out).toMatch(/--automatic +off +a failover begins when a person starts it/);
    expect(shown.out).toMatch(/--rpo-ms +0 +an answer leaves once one more region/);
    expect(shown.out).toMatch(/now: eu-west-1 is 1\.50 s behind; everything is within the RPO/);
    const args = ['--rpo-ms', '0', '--automatic', 'off', '--max-loss-ms', 'none', '--prefer', 'eu-west-1'];
    const set = await sextant(['policy', ...args, '--url', url, '--json']);
    expect(JSON.parse(set.out)).toEqual(policy);
    expect(requests.filter(({ path }) => path === '/v1/policy').map(({ body }) => body)).toEqual([
      undefined,
      policy,
    ]);
    for (const [option, value, words] of [
      ['--automatic', 'yes', 'is on or off, not yes'],
      ['--rpo-ms', '-1', 'is a number of milliseconds or off, not -1'],
    ] as const)
      expect(await sextant(['policy', `${option}=${value}`, '--url', url])).toMatchObject({
        code: 1,
        err: expect.stringContaining(words),
      });
  });

  test('sql prints a table, or JSON, and runs several statements in one session', async () => {
    replies['/v1/status'] = () => ({ body: status() });
    const result = {
      cols: [{ name: 'id' }, { name: 'title' }],
      rows: [[{ type: 'integer', value: '9007199254740993' }, { type: 'null' }]],
      affected_row_count: 0,
      last_insert_rowid: null,
    };
    replies['/v2/pipeline'] = () => ({
      body: {
        baton: 'next',
        base_url: null,
        results: [{ type: 'ok', response: { type: 'execute', result } }],
      },
    });
    const { code, out } = await sextant(['sql', 'eu-west-1', 'SELECT 1; SELECT 2', '--url', url]);
    expect(code).toBe(0);
    expect(out).toMatch(/^id +title\n9007199254740993 +NULL\n\(1 row\)\n/);
    const pipelines = requests.filter(({ path }) => path === '/v2/pipeline').map(({ body }) => body);
    expect(pipelines).toMatchObject([
      { requests: [{ type: 'execute', stmt: { sql: 'SELECT 1', want_rows: true } }] },
      { baton: 'next', requests: [{ type: 'execute', stmt: { sql: 'SELECT 2', want_rows: true } }] },
      { baton: 'next', requests: [{ type: 'close' }] },
    ]);
    const json = await sextant(['sql', 'eu-west-1', 'SELECT 1', '--url', url, '--json']);
    expect(JSON.parse(json.out)).toMatchObject({ rows: [{ id: '9007199254740993', title: null }] });
  });

  test('sql ends with exit code 1, the code and the message when the statement fails', async () => {
    replies['/v1/status'] = () => ({ body: status() });
    replies['/v2/pipeline'] = () => ({
      body: {
        baton: null,
        results: [{ type: 'error', error: { message: 'no such table: t', code: 'SQLITE_ERROR' } }],
      },
    });
    const { code, err, out } = await sextant(['sql', 'eu-west-1', 'SELECT * FROM t', '--url', url]);
    expect({ code, err, out }).toEqual({ code: 1, err: 'error: SQLITE_ERROR: no such table: t\n', out: '' });
  });

  test('an unknown region is an error that lists the known ones', async () => {
    replies['/v1/status'] = () => ({ body: status() });
    const far = await sextant(['sql', 'mars', 'SELECT 1', '--url', url]);
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
    replies['/v1/status'] = () => ({ body: status() });
    replies['/v2/pipeline'] = (body) => {
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
    const { code, out, err } = await sextant(['shell', 'eu-west-1', '--url', url], input);
    expect(code).toBe(1);
    expect(err).toMatch(/SQL_PARSE_ERROR: syntax error/);
    expect(out).toMatch(/no command \.nonsense/);
    const sent = requests.flatMap(({ body }) =>
      [...JSON.stringify(body ?? '').matchAll(/"sql":"([^"]*)"/g)].map(([, sql]) => sql),
    );
    expect(sent).toEqual([
      'SELECT\\n  1',
      'broken',
      expect.stringMatching(/^SELECT name, type FROM sqlite_schema/),
    ]);
    requests.splice(0);
    const bailed = await sextant(
      ['shell', 'eu-west-1', '--bail', '--url', url],
      'BEGIN;\nbroken; COMMIT;\nCOMMIT',
    );
    expect(bailed.code).toBe(1);
    expect(JSON.stringify(requests)).toContain('broken');
    expect(JSON.stringify(requests)).not.toContain('COMMIT');
  });
});

describe('moving the primary', () => {
  const operation = (state: string, phases: object[], rest: object = {}) => ({
    id: 'op-1',
    kind: 'switchover',
    target: 'eu-west-1',
    from: 'us-east-1',
    state,
    phases,
    ...rest,
  });

  test('follows the operation phase by phase and tells the pause', async () => {
    replies['/v1/status'] = () => ({ body: status() });
    replies['/v1/switchover'] = () => ({
      status: 202,
      body: operation('running', [{ name: 'drain', startedAtMs: 1000, endedAtMs: null }]),
    });
    const polled = [
      operation('running', [
        { name: 'drain', startedAtMs: 1000, endedAtMs: 1120 },
        { name: 'catch up', startedAtMs: 1120, endedAtMs: null },
      ]),
      operation(
        'done',
        [
          { name: 'drain', startedAtMs: 1000, endedAtMs: 1120 },
          { name: 'catch up', startedAtMs: 1120, endedAtMs: 1300 },
        ],
        { result: { epoch: 2, pauseMs: 310 } },
      ),
    ];
    replies['/v1/operations/op-1'] = () => ({ body: polled.shift() });
    const { code, out, err } = await sextant(['switchover', '--to', 'eu-west-1', '--url', url]);
    expect(code).toBe(0);
    expect(err.split('\n')).toEqual(['drain …', 'drain: 120 ms', 'catch up …', 'catch up: 180 ms', '']);
    expect(out).toBe('switchover to eu-west-1 done\nwrites paused for 310 ms\n');
    expect(requests.find(({ path }) => path === '/v1/switchover')?.body).toEqual({ target: 'eu-west-1' });
  });

  test('ends with exit code 1 and the reason when it failed or was refused', async () => {
    replies['/v1/status'] = () => ({ body: status() });
    replies['/v1/switchover'] = () => ({
      body: operation('failed', [], { error: { code: 'TARGET_BEHIND', message: 'too far behind' } }),
    });
    const failed = await sextant(['switchover', '--to', 'eu-west-1', '--url', url]);
    expect(failed).toMatchObject({ code: 1, err: 'error: TARGET_BEHIND: too far behind\n' });
    replies['/v1/failover'] = () => ({
      status: 409,
      body: { code: 'DATA_LOSS_POSSIBLE', message: 'say --allow-data-loss' },
    });
    const refused = await sextant(['failover', '--to', 'eu-west-1', '--url', url]);
    expect(refused).toMatchObject({ code: 1, err: 'error: DATA_LOSS_POSSIBLE: say --allow-data-loss\n' });
    expect(requests.at(-1)?.body).toEqual({ target: 'eu-west-1', allowDataLoss: false });
  });

  test('says what a failover may have lost, and lists it once it is known', async () => {
    replies['/v1/status'] = () => ({ body: status() });
    const branches = [{ name: 'dev', lsn: 300, lastHeardLsn: 450, atRiskBytes: 150 }];
    const loss = { forkLsn: 80, lastHeardVdl: 90, atRiskBytes: 10, exact: false, branches };
    const result = { epoch: 6, rtoMs: 8200, loss };
    replies['/v1/failover'] = () => ({ body: { ...operation('done', [], { result }), kind: 'failover' } });
    const { code, out } = await sextant(['failover', '--to', 'eu-west-1', '--allow-data-loss', '--url', url]);
    expect(code).toBe(0);
    expect(out).toContain('failover to eu-west-1 done\nwrites were back after 8.20 s (RTO)\n');
    expect(out).toContain(
      'history goes on from LSN 80; us-east-1 was last heard at 90 (10 B known not to have arrived',
    );
    expect(out).toContain('not arrived either: 150 B of branch dev, as last heard. us-east-1 sends that');

    const summary = {
      v: 1,
      epoch: 6,
      orphanEpoch: 5,
      region: 'us-east-1',
      fromLsn: 80,
      toLsn: 200,
      lostBytes: 120,
      count: 1,
      firstCommitTimeUs: 1_700_000_000_000_000,
      lastCommitTimeUs: 1_700_000_000_000_000,
      truncated: false,
      foundAtMs: 0,
    };
    const ofDev = { ...summary, orphanEpoch: 4, branch: 'dev' };
    const unanswered = [{ region: 'us-east-1', epoch: 6, branches: ['stage'] }];
    replies['/v1/losses'] = () => ({
      body: { losses: [ofDev, summary], unreachable: ['ap-northeast-1'], unanswered },
    });
    const losses = await sextant(['losses', '--url', url]);
    expect(losses.out).toMatch(/\n4 +dev +6 +us-east-1 +1 +120 B +4:80 +4:200 +2023-11-14T22:13:20\.000Z/);
    expect(losses.out).toMatch(/\n5 +main +6 +us-east-1 +1 +120 B +5:80 +5:200 +2023-11-14T22:13:20\.000Z/);
    expect(losses.err).toContain('us-east-1 has not looked yet at what it holds of branch stage');
    expect(losses.err).toContain('ap-northeast-1 did not answer');
    const commits = [{ lsn: 200, commitTimeUs: 1_700_000_000_000_000, traceId: 'ab'.repeat(16) }];
    replies['/v1/losses/5'] = () => ({ body: { ...summary, commits } });
    const detail = await sextant(['losses', '5', '--url', url]);
    expect(detail.out).toContain(`200  2023-11-14T22:13:20.000Z  ${'ab'.repeat(16)}`);
    expect(detail.err).toContain("PRAGMA sextant_at = '5:80', and '5:200', at a gateway of us-east-1");
    replies['/v1/losses/4'] = () => ({ body: { ...ofDev, commits } });
    expect((await sextant(['losses', '4', '--url', url])).err).toContain(
      "PRAGMA sextant_at = '4:80', and '4:200', with sextant shell us-east-1 --branch dev; as rows: sextant losses 4 --rows",
    );
    const places = { region: 'us-east-1', before: '5:80', after: '5:200' };
    const asJson = await sextant(['losses', '5', '--json', '--url', url]);
    expect(JSON.parse(asJson.out)).toMatchObject({ ...places, commits });
    const listed = await sextant(['losses', '--json', '--url', url]);
    expect(JSON.parse(listed.out)).toMatchObject({
      losses: [{ branch: 'dev' }, places],
      unreachable: ['ap-northeast-1'],
    });
  });
});

describe('losses', () => {
  const ask = async (body: object) => {
    replies['/v1/losses'] = () => ({ body });
    return sextant(['losses', '--url', url]);
  };

  test('are none only once every region has looked', async () => {
    const none = await ask({ losses: [], unreachable: [], unanswered: [] });
    expect(none).toEqual({ code: 0, out: 'no lost writes: every region has looked\n', err: '' });
    const early = await ask({
      losses: [],
      unreachable: ['ap-northeast-1'],
      unanswered: [{ region: 'us-east-1', epoch: 2 }],
    });
    expect(early.out).toBe('no lost writes are known yet, and 2 regions have not said\n');
    expect(early.err).toContain('us-east-1 has not looked yet: it answers once it follows epoch 2');
    expect(early.err).toContain('ap-northeast-1 did not answer');
  });

  test('as rows are those of one epoch, and as many as a number says', async () => {
    const whole = await sextant(['losses', '--rows', '--url', url]);
    expect(whole).toMatchObject({ code: 1, err: expect.stringContaining('give the epoch') });
    const bare = await sextant(['losses', '5', '--limit', '3', '--url', url]);
    expect(bare).toMatchObject({ code: 1, err: 'error: --limit goes with --rows, --sql or --replay\n' });
    for (const limit of ['0', 'many', '-1']) {
      const bad = await sextant(['losses', '5', '--sql', `--limit=${limit}`, '--url', url]);
      expect(bad).toMatchObject({ code: 1, err: expect.stringContaining(`not ${limit}`) });
    }
  });

  test('a failover past a better survivor names it, and passes on whom the operator gives up', async () => {
    replies['/v1/status'] = () => ({ body: status() });
    replies['/v1/failover'] = () => ({
      status: 409,
      body: { code: 'TARGET_BEHIND', message: 'us-east-1 holds more' },
    });
    const refused = await sextant([
      'failover',
      '--to',
      'eu-west-1',
      '--allow-data-loss',
      '--sacrifice',
      'us-east-1, ap-northeast-1',
      '--url',
      url,
    ]);
    expect(refused).toMatchObject({ code: 1, err: 'error: TARGET_BEHIND: us-east-1 holds more\n' });
    expect(requests.at(-1)?.body).toEqual({
      target: 'eu-west-1',
      allowDataLoss: true,
      sacrifice: ['us-east-1', 'ap-northeast-1'],
    });
  });

  test('what is unknown is shown as unknown, and an old word with its age', async () => {
    const { regions, ...rest } = status();
    const unknown = { vdl: null, lagBytes: null, lagMs: null, rpoMs: null };
    replies['/v1/status'] = () => ({
      body: {
        ...rest,
        regions: [
          { ...regions[0], ageMs: 12_000 },
          { ...regions[1], ...unknown },
        ],
      },
    });
    const { out } = await sextant(['status', '--url', url]);
    expect(out).toMatch(/us-east-1 +primary +2048 \(12\.00 s ago\)/);
    expect(out).toMatch(/eu-west-1 +secondary +unknown +unknown +unknown/);
  });
});

describe('splitting SQL', () => {
  test.each([
    ['SELECT 1; SELECT 2;', ['SELECT 1', 'SELECT 2'], ''],
    ['SELECT 1; SELECT 2', ['SELECT 1'], 'SELECT 2'],
    [
      "INSERT INTO t VALUES ('a;''b', \"c;\", [d;], `e;`);",
      ["INSERT INTO t VALUES ('a;''b', \"c;\", [d;], `e;`)"],
      '',
    ],
    [
      'SELECT 1 -- not; here\n; /* nor; here */ SELECT 2;',
      ['SELECT 1 -- not; here', '/* nor; here */ SELECT 2'],
      '',
    ],
    ["SELECT 'open; ", [], "SELECT 'open;"],
    ['SELECT 1 /* open; ', [], 'SELECT 1 /* open;'],
    [';;  ;', [], ''],
    ['SELECT CASE WHEN 1 THEN 2 END; SELECT 3;', ['SELECT CASE WHEN 1 THEN 2 END', 'SELECT 3'], ''],
    [
      'CREATE TEMP TRIGGER t AFTER INSERT ON a BEGIN UPDATE b SET c = CASE WHEN 1 THEN 2 END; DELETE FROM d; END; SELECT 1;',
      [
        'CREATE TEMP TRIGGER t AFTER INSERT ON a BEGIN UPDATE b SET c = CASE WHEN 1 THEN 2 END; DELETE FROM d; END',
        'SELECT 1',
      ],
      '',
    ],
    [
      'CREATE TRIGGER t AFTER INSERT ON a BEGIN DELETE FROM d;',
      [],
      'CREATE TRIGGER t AFTER INSERT ON a BEGIN DELETE FROM d;',
    ],
    ['BEGIN; COMMIT; END;', ['BEGIN', 'COMMIT', 'END'], ''],
  ])('%j', (sql, statements, rest) => expect(splitStatements(sql)).toEqual({ statements, rest }));
});

describe('printing', () => {
  test('numbers carry their unit', () => {
    expect([0, 1023, 1024, 1_572_864].map(formatBytes)).toEqual(['0 B', '1023 B', '1.0 KiB', '1.5 MiB']);
    expect([0.4, 999, 1_500, 180_000].map(formatMs)).toEqual(['0 ms', '999 ms', '1.50 s', '3.0 min']);
  });

  test('tables align by what is seen, not by escape sequences', () => {
    const rows = table(
      ['A', 'B'],
      [
        ['\u001b[31mred\u001b[39m', '1'],
        ['x', '2'],
      ],
    ).split('\n');
    expect(rows.slice(1)).toEqual(['\u001b[31mred\u001b[39m  1', 'x    2']);
  });
});
