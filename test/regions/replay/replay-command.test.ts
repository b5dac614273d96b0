/** `sextant losses <epoch> --replay` as a person runs it, at a gateway of SQLite files. */
import { spawn } from 'node:child_process';
import { createServer, type Server } from 'node:http';
import { fileURLToPath } from 'node:url';
import { afterEach, describe, expect, test } from 'vitest';
import { replayJson, replayLines } from '../../../regions/cli/losses/replay-text.ts';
import { type LostHistory, lostHistory } from './lost-history.ts';

const cli = fileURLToPath(new URL('../../../regions/cli/sextant.ts', import.meta.url));
const [first, second] = ['ab'.repeat(16), 'cd'.repeat(16)];
const people = `CREATE TABLE people(id INTEGER PRIMARY KEY, name, photo BLOB);
  INSERT INTO people VALUES(1, 'Ada', NULL), (2, 'Bob', NULL), (3, 'Cyd', NULL);`;
const lostWrites = [
  "UPDATE people SET name = 'Adah' WHERE id = 1; INSERT INTO people VALUES(7, 'lost', X'00FF'); DELETE FROM people WHERE id = 3",
  "UPDATE people SET name = 'Rob' WHERE id = 2; CREATE TABLE pets(id INTEGER PRIMARY KEY)",
];
const since = "UPDATE people SET name = 'Adi' WHERE id = 1; INSERT INTO people VALUES(7, 'newer', NULL)";

const about = { region: 'us-east-1', before: '1:10', after: '1:30', writes: 2, primary: 'eu-west-1' };

test('people see by table what came back, each conflict with what was lost and what is there now, and the way out', async () => {
  const lost = lostHistory(people, lostWrites, since);
  const result = await lost.run();
  expect(replayLines(result, { ...about, dryRun: false })).toEqual([
    '2 lost writes of us-east-1, between 1:10 and 1:30, to eu-west-1',
    expect.stringMatching(/^TABLE +BROUGHT BACK +ALREADY THERE +CONFLICTS\npeople +2 +0 +2$/),
    'conflicts in people:',
    "  ~ id=1: name 'Ada' → 'Adah'",
    "      the row is not what it was before the lost write; now name='Adi'",
    "  + id=7, name='lost', photo=x'00ff'",
    "      its key is taken by another row; now id=7, name='newer', photo=NULL",
    'table pets was created, which is not made by itself: make it, and run the replay again: CREATE TABLE pets(id INTEGER PRIMARY KEY)',
    '2 rows brought back, 0 already there, 2 conflicts, 1 change of the schema left',
  ]);
  expect(replayJson(result)).toMatchObject({
    settled: false,
    counts: { applied: 2, alreadyThere: 0, conflicts: 2 },
    tables: [{ name: 'people', applied: 2, alreadyThere: 0, conflicts: 2 }],
    applied: [
      { table: 'people', change: 'deleted', key: { id: 3 } },
      { table: 'people', change: 'changed', key: { id: 2 } },
    ],
    conflicts: [
      {
        table: 'people',
        change: 'changed',
        key: { id: 1 },
        reason: 'changed since',
        before: { name: 'Ada' },
        after: { name: 'Adah' },
        now: { id: 1, name: 'Adi', photo: null },
      },
      { key: { id: 7 }, reason: 'key taken', before: null, after: { photo: 'AP8=' }, now: { name: 'newer' } },
    ],
    schema: [{ type: 'table', name: 'pets', change: 'created', isThere: false }],
  });
});

describe('the command', () => {
  let server: Server | undefined;
  afterEach(() => {
    server?.closeAllConnections();
    server?.close();
  });

  /** A gateway of the whole deployment. */
  async function serve(lost: LostHistory): Promise<string> {
    const commits = [
      { lsn: 20, commitTimeUs: 1, traceId: first },
      { lsn: 30, commitTimeUs: 2, traceId: second },
    ];
    const report = {
      ...{
        v: 1,
        epoch: 2,
        orphanEpoch: 1,
        region: 'us-east-1',
        fromLsn: 10,
        toLsn: 30,
        lostBytes: 20,
        count: 2,
      },
      ...{ firstCommitTimeUs: 1, lastCommitTimeUs: 2, truncated: false, commits, foundAtMs: 0 },
    };
    const made = createServer(async (request, response) => {
      let body = '';
      for await (const chunk of request) body += chunk;
      const address = request.headers.host ?? '';
      const answer = async (): Promise<unknown> => {
        if (request.url === '/v1/losses/1') return report;
        if (request.url === '/v1/status') {
          const regions = ['us-east-1', 'eu-west-1'].map((name) => ({ name, role: 'x', gateway: address }));
          return { cluster: 'c', epoch: 2, primary: 'eu-west-1', state: 'stable', regions };
        }
        const said = await lost.gateway.batch(body);
        if (said.kind === 'failed') throw new Error(said.message);
        const results = said.rows.map(
          (rows, at) => rows && { cols: [], rows, affected_row_count: said.changes[at] },
        );
        const result = { step_results: results, step_errors: said.errors };
        return { baton: said.baton, results: [{ type: 'ok', response: { type: 'batch', result } }] };
      };
      response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(await answer()));
    });
    server = made;
    await new Promise<void>((done) => made.listen(0, '127.0.0.1', done));
    const address = made.address();
    return typeof address === 'object' ? `http://127.0.0.1:${address?.port}` : '';
  }

  function sextant(args: readonly string[]): Promise<{ code: number | null; out: string; err: string }> {
    return new Promise((resolve) => {
      const child = spawn(process.execPath, [cli, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
      let [out, err] = ['', ''];
      child.stdout.on('data', (chunk) => {
        out += chunk;
      });
      child.stderr.on('data', (chunk) => {
        err += chunk;
      });
      child.once('close', (code) => resolve({ code, out, err }));
    });
  }

  test('ends with 2 while something is left, with 0 when nothing is, and takes single writes', async () => {
    const lost = lostHistory(people, lostWrites, since);
    const url = await serve(lost);
    const replay = (...args: string[]) =>
      sextant(['losses', '1', '--replay', '--url', url, '--json', ...args]);
    const dry = await replay('--dry-run');
    expect([dry.code, JSON.parse(dry.out).counts]).toEqual([
      2,
      { applied: 2, alreadyThere: 0, conflicts: 2 },
    ]);
    lost.now.exec('CREATE TABLE pets(id INTEGER PRIMARY KEY)');
    const one = await replay('--only', second);
    expect([one.code, JSON.parse(one.out)]).toMatchObject([
      0,
      { settled: true, writes: 1, counts: { applied: 1 } },
    ]);
    const all = await replay();
    expect([all.code, JSON.parse(all.out).counts]).toEqual([
      2,
      { applied: 1, alreadyThere: 1, conflicts: 2 },
    ]);
    const unknown = await replay('--only', 'ef'.repeat(16));
    expect(unknown).toMatchObject({ code: 1, out: '' });
    expect(unknown.err).toContain(`there are the traces ${first}, ${second}`);
  });

  test('says which options do not go together', async () => {
    for (const [args, message] of [
      [['1', '--dry-run'], '--dry-run goes with --replay'],
      [['1', '--rows', '--only', first], '--only goes with --replay'],
      [['1', '--replay', '--sql'], '--replay does not go with --rows or --sql'],
      [['--replay'], 'give the epoch'],
    ] as const) {
      const { code, err } = await sextant(['losses', ...args]);
      expect([code, err]).toEqual([1, expect.stringContaining(message)]);
    }
  });
});
