import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeEach, describe, expect, test } from 'vitest';
import { AskedGateway, sextant } from './asked-gateway.ts';

const dataDir = mkdtempSync(join(tmpdir(), 'sx-cli-'));
afterAll(() => rmSync(dataDir, { recursive: true, force: true }));

let asked: AskedGateway;
beforeEach(async () => {
  asked = await AskedGateway.start();
});
afterEach(() => asked.close());

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
    asked.replies['/v1/status'] = () => ({ body: asked.status() });
    asked.replies['/v1/switchover'] = () => ({
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
    asked.replies['/v1/operations/op-1'] = () => ({ body: polled.shift() });
    const { code, out, err } = await sextant(['switchover', '--to', 'eu-west-1', '--url', asked.url]);
    expect(code).toBe(0);
    expect(err.split('\n')).toEqual(['drain …', 'drain: 120 ms', 'catch up …', 'catch up: 180 ms', '']);
    expect(out).toBe('switchover to eu-west-1 done\nwrites paused for 310 ms\n');
    expect(asked.requests.find(({ path }) => path === '/v1/switchover')?.body).toEqual({
      target: 'eu-west-1',
    });
  });

  test('ends with exit code 1 and the reason when it failed or was refused', async () => {
    asked.replies['/v1/status'] = () => ({ body: asked.status() });
    asked.replies['/v1/switchover'] = () => ({
      body: operation('failed', [], { error: { code: 'TARGET_BEHIND', message: 'too far behind' } }),
    });
    const failed = await sextant(['switchover', '--to', 'eu-west-1', '--url', asked.url]);
    expect(failed).toMatchObject({ code: 1, err: 'error: TARGET_BEHIND: too far behind\n' });
    asked.replies['/v1/failover'] = () => ({
      status: 409,
      body: { code: 'DATA_LOSS_POSSIBLE', message: 'say --allow-data-loss' },
    });
    const refused = await sextant(['failover', '--to', 'eu-west-1', '--url', asked.url]);
    expect(refused).toMatchObject({ code: 1, err: 'error: DATA_LOSS_POSSIBLE: say --allow-data-loss\n' });
    expect(asked.requests.at(-1)?.body).toEqual({ target: 'eu-west-1', allowDataLoss: false });
  });

  test('says what a failover may have lost, and lists it once it is known', async () => {
    asked.replies['/v1/status'] = () => ({ body: asked.status() });
    const branches = [{ name: 'dev', lsn: 300, lastHeardLsn: 450, atRiskBytes: 150 }];
    const loss = { forkLsn: 80, lastHeardVdl: 90, atRiskBytes: 10, exact: false, branches };
    const result = { epoch: 6, rtoMs: 8200, loss };
    asked.replies['/v1/failover'] = () => ({
      body: { ...operation('done', [], { result }), kind: 'failover' },
    });
    const { code, out } = await sextant([
      'failover',
      '--to',
      'eu-west-1',
      '--allow-data-loss',
      '--url',
      asked.url,
    ]);
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
    asked.replies['/v1/losses'] = () => ({
      body: { losses: [ofDev, summary], unreachable: ['ap-northeast-1'], unanswered },
    });
    const losses = await sextant(['losses', '--url', asked.url]);
    expect(losses.out).toMatch(/\n4 +dev +6 +us-east-1 +1 +120 B +4:80 +4:200 +2023-11-14T22:13:20\.000Z/);
    expect(losses.out).toMatch(/\n5 +main +6 +us-east-1 +1 +120 B +5:80 +5:200 +2023-11-14T22:13:20\.000Z/);
    expect(losses.err).toContain('us-east-1 has not looked yet at what it holds of branch stage');
    expect(losses.err).toContain('ap-northeast-1 did not answer');
    const commits = [{ lsn: 200, commitTimeUs: 1_700_000_000_000_000, traceId: 'ab'.repeat(16) }];
    asked.replies['/v1/losses/5'] = () => ({ body: { ...summary, commits } });
    const detail = await sextant(['losses', '5', '--url', asked.url]);
    expect(detail.out).toContain(`200  2023-11-14T22:13:20.000Z  ${'ab'.repeat(16)}`);
    expect(detail.err).toContain("PRAGMA sextant_at = '5:80', and '5:200', at a gateway of us-east-1");
    asked.replies['/v1/losses/4'] = () => ({ body: { ...ofDev, commits } });
    expect((await sextant(['losses', '4', '--url', asked.url])).err).toContain(
      "PRAGMA sextant_at = '4:80', and '4:200', with sextant shell us-east-1 --branch dev; as rows: sextant losses 4 --rows",
    );
    const places = { region: 'us-east-1', before: '5:80', after: '5:200' };
    const asJson = await sextant(['losses', '5', '--json', '--url', asked.url]);
    expect(JSON.parse(asJson.out)).toMatchObject({ ...places, commits });
    const listed = await sextant(['losses', '--json', '--url', asked.url]);
    expect(JSON.parse(listed.out)).toMatchObject({
      losses: [{ branch: 'dev' }, places],
      unreachable: ['ap-northeast-1'],
    });
  });
});

describe('losses', () => {
  const ask = async (body: object) => {
    asked.replies['/v1/losses'] = () => ({ body });
    return sextant(['losses', '--url', asked.url]);
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
    const whole = await sextant(['losses', '--rows', '--url', asked.url]);
    expect(whole).toMatchObject({ code: 1, err: expect.stringContaining('give the epoch') });
    const bare = await sextant(['losses', '5', '--limit', '3', '--url', asked.url]);
    expect(bare).toMatchObject({ code: 1, err: 'error: --limit goes with --rows, --sql or --replay\n' });
    for (const limit of ['0', 'many', '-1']) {
      const bad = await sextant(['losses', '5', '--sql', `--limit=${limit}`, '--url', asked.url]);
      expect(bad).toMatchObject({ code: 1, err: expect.stringContaining(`not ${limit}`) });
    }
  });

  test('a failover past a better survivor names it, and passes on whom the operator gives up', async () => {
    asked.replies['/v1/status'] = () => ({ body: asked.status() });
    asked.replies['/v1/failover'] = () => ({
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
      asked.url,
    ]);
    expect(refused).toMatchObject({ code: 1, err: 'error: TARGET_BEHIND: us-east-1 holds more\n' });
    expect(asked.requests.at(-1)?.body).toEqual({
      target: 'eu-west-1',
      allowDataLoss: true,
      sacrifice: ['us-east-1', 'ap-northeast-1'],
    });
  });

  test('what is unknown is shown as unknown, and an old word with its age', async () => {
    const { regions, ...rest } = asked.status();
    const unknown = { vdl: null, lagBytes: null, lagMs: null, rpoMs: null };
    asked.replies['/v1/status'] = () => ({
      body: {
        ...rest,
        regions: [
          { ...regions[0], ageMs: 12_000 },
          { ...regions[1], ...unknown },
        ],
      },
    });
    const { out } = await sextant(['status', '--url', asked.url]);
    expect(out).toMatch(/us-east-1 +primary +2048 \(12\.00 s ago\)/);
    expect(out).toMatch(/eu-west-1 +secondary +unknown +unknown +unknown/);
  });
});
