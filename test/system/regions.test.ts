/** The whole, on real processes: three regions, real NATS, the stock client, and every fault the README promises to survive. */
import { createClient } from '@libsql/client';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { metrics } from '../../telemetry/index.ts';
import { endpointMetrics } from '../../telemetry/metrics/definitions/endpoint.ts';
import { postgresMetrics } from '../../telemetry/metrics/definitions/postgres.ts';
import { eventually } from '../storage/region-harness.ts';
import { criticalPath } from '../telemetry/critical-path.ts';
import { besideTheTable, definitionOf, samplesOf, sumOf } from '../telemetry/metrics/exposition.ts';
import { checkMetrics, promtool } from '../telemetry/metrics/promtool.ts';
import { type OtlpReceiver, type ReceivedSpan, startOtlpReceiver } from '../telemetry/otlp-receiver.ts';
import { rowOf, tableAttributes, tableKinds, tableSpans } from '../telemetry/span-tables.ts';
import { cities, citySummary, loadCities } from './cities.ts';
import { TestDeployment } from './local-deployment.ts';
import { idsIn, SteadyWriter } from './steady-writer.ts';

const regions = ['us-east-1', 'eu-west-1', 'ap-northeast-1'] as const;
const [east, europe, asia] = regions;
const lossesSchema = z.object({
  losses: z.array(z.object({ orphanEpoch: z.number(), count: z.number() })),
  unanswered: z.array(z.object({ region: z.string(), epoch: z.number() })),
});
const rewoundSchema = z.looseObject({
  to: z.object({ lsn: z.number() }),
  left: z.object({ epoch: z.number(), lsn: z.number() }),
});
const branchSchema = z.object({ name: z.string(), forkLsn: z.number() });
const branchesSchema = z.object({ branches: z.array(z.object({ name: z.string() })) });
let tables = 0;
/** A new table, with a name of its own, so that a test can be run again on the same deployment. */
const table = async (purpose: string): Promise<string> => {
  tables += 1;
  const name = `${purpose}_${tables}`;
  await deployment.client(east).execute(`CREATE TABLE ${name} (id INTEGER PRIMARY KEY, note TEXT)`);
  return name;
};
/** Where every test begins: us-east-1 writes, and everybody is level. */
const eastWrites = async (): Promise<void> => {
  if ((await deployment.settled()).primary === east) return;
  await deployment.run('switchover', '--to', east);
  await deployment.settled();
};
const missing = (acknowledged: readonly number[], present: ReadonlySet<number>): readonly number[] =>
  acknowledged.filter((id) => !present.has(id));

let deployment: TestDeployment;
let collector: OtlpReceiver;

beforeAll(async () => {
  collector = await startOtlpReceiver();
  deployment = await TestDeployment.start({
    regions,
    env: { OTEL_EXPORTER_OTLP_ENDPOINT: collector.endpoint },
  });
}, 150_000);

afterAll(async () => {
  await deployment?.stop();
  await collector?.close();
}, 60_000);

describe('three regions on real processes', { timeout: 120_000 }, () => {
  it('reads real data equal in every region, over HTTP and over WebSocket', async () => {
    const rows = cities(5_000);
    await loadCities(deployment.client(east), rows);
    await deployment.settled();
    const expected = await citySummary(deployment.client(east));
    expect(expected).toMatchObject({ total: { n: rows.length } });
    for (const region of regions) {
      for (const transport of ['http', 'ws'] as const) {
        expect(await citySummary(deployment.client(region, transport))).toEqual(expected);
      }
    }
  });

  it('takes writes in any region, and a session there reads its own', async () => {
    const client = deployment.client(asia, 'ws');
    await client.execute('CREATE TABLE forwarded (id INTEGER PRIMARY KEY, big INTEGER, raw BLOB)');
    const transaction = await client.transaction('write');
    await transaction.execute({
      sql: 'INSERT INTO forwarded VALUES (1, ?, ?)',
      args: [2n ** 62n, new Uint8Array([0, 1, 255])],
    });
    await transaction.commit();
    const { rows } = await client.execute('SELECT CAST(big AS TEXT) AS big, hex(raw) AS raw FROM forwarded');
    expect(rows.map((row) => [row.big, row.raw])).toEqual([[`${2n ** 62n}`, '0001FF']]);
  });

  it('branches under load; what is written to a branch is read in every region, and main goes its own way (R71, R72)', async () => {
    const name = await table('branched');
    const client = deployment.client(east);
    const insert = (to: typeof client, id: number) => to.execute(`INSERT INTO ${name} VALUES (${id}, 'x')`);
    const count = async (of: typeof client, where = ''): Promise<number> =>
      Number((await of.execute(`SELECT count(*) AS n FROM ${name} ${where}`)).rows[0]?.n);
    let [id, isOver] = [0, false];
    const load = (async () => {
      while (!isOver) await insert(client, ++id);
    })();
    await eventually('writes are under way', () => id > 20);
    const acknowledged = id - 1;
    const ownName = name.replace('_', '-');
    const created = await deployment.run('branch', 'create', ownName, '--json').finally(() => {
      isOver = true;
    });
    await load;
    const branch = branchSchema.parse(JSON.parse(created));
    const clients = new Map(
      regions.map((region) => [
        region,
        deployment.clientAt(`${deployment.gateway(region)}/branch/${branch.name}/`),
      ]),
    );
    const dev = (region: (typeof regions)[number]) => clients.get(region) ?? client;
    const shared = await count(dev(east));
    expect(shared).toBeGreaterThanOrEqual(acknowledged);
    expect(shared).toBeLessThanOrEqual(id);
    await insert(dev(asia), 1_000_000);
    await insert(dev(east), 1_000_001);
    await insert(client, ++id);
    for (const region of regions) {
      expect(await count(dev(region), 'WHERE id < 1000000')).toBe(shared);
      await eventually(`${region} has the branch`, async () => (await count(dev(region))) === shared + 2);
    }
    expect(await count(client)).toBe(id);
    const listed = branchesSchema.parse(JSON.parse(await deployment.run('branch', 'list', '--json')));
    expect(listed.branches.map((one) => one.name)).toEqual(['main', ownName]);
    await deployment.run('branch', 'delete', ownName);
    await eventually('the branch is gone', async () => {
      const outcome = await dev(asia)
        .execute('SELECT 1')
        .catch((error: { code?: string }) => error.code);
      return outcome === 'SEXTANT_BRANCH_UNKNOWN';
    });
  });

  it('makes one trace per insert, across every region, whose critical path is the quorum (T12, G39)', async () => {
    const name = await table('traced');
    const inserts = 200;
    for (let id = 1; id <= inserts; id++) {
      const client = deployment.client(id % 2 === 0 ? east : europe);
      await client.execute({ sql: `INSERT INTO ${name} VALUES (?, 'x')`, args: [id] });
    }
    const ofInserts = () => {
      const roots = collector.spans.filter(
        (span) =>
          span.kind === 'server' && String(span.attributes['db.query.text']).includes(`INTO ${name} `),
      );
      const wanted = new Set(roots.map((span) => span.traceId));
      const traces = new Map<string, typeof roots>();
      for (const span of collector.spans)
        if (wanted.has(span.traceId)) traces.set(span.traceId, [...(traces.get(span.traceId) ?? []), span]);
      return traces;
    };
    const isForwarded = (spans: readonly ReceivedSpan[]) => spans.some((span) => span.name === 'forward');
    const isWhole = (spans: readonly ReceivedSpan[]) => spans.length === (isForwarded(spans) ? 12 : 10);
    // What of a forwarded insert comes from its gateway may come last: without that it looks like one that was not forwarded.
    const complete = () => {
      const whole = [...ofInserts().values()].filter(isWhole);
      return whole.length >= inserts && whole.filter(isForwarded).length >= inserts / 2;
    };
    await collector.waitFor(complete, 20_000);
    const traces = ofInserts();
    expect([traces.size, [...traces.values()].filter(isForwarded).length]).toEqual([inserts, inserts / 2]);
    for (const spans of traces.values()) {
      const names = spans.map((span) => `${span.service}: ${span.name}`).sort();
      expect(names).toEqual([
        `sextant-${asia}: replicate ${east}→${asia}`,
        ...(isForwarded(spans) ? [`sextant-${europe}: INSERT`, `sextant-${europe}: forward`] : []),
        `sextant-${europe}: replicate ${east}→${europe}`,
        `sextant-${east}: INSERT`,
        ...[1, 2, 3, 4, 5, 6].map((node) => `sextant-${east}: append n${node}`),
        `sextant-${east}: commit`,
      ]);
      const [decisive, ...others] = spans.filter((span) => span.attributes['sextant.quorum'] === true);
      expect(others).toEqual([]);
      const path = criticalPath(spans).map(({ span }) => span);
      expect(path.filter(({ name }) => name.startsWith('replicate'))).toEqual([]);
      const appends = path.filter((span) => span.name.startsWith('append'));
      expect(appends.map(({ endUs, kind }) => [endUs, kind])).toEqual([[decisive?.endUs, 'client']]);
      // Jaeger warns of a child that begins before its parent, or after its end. A busy node may be sent a write that four others
      // have stored already.
      for (const span of spans) {
        const parent = spans.find(({ spanId }) => spanId === span.parentSpanId);
        if (parent === undefined) continue;
        expect(span.startUs).toBeGreaterThanOrEqual(parent.startUs);
        if (span.kind !== 'consumer') expect(span.startUs).toBeLessThanOrEqual(parent.endUs);
      }
    }
  });

  it('tells Prometheus what the table of metrics says, from every process, and nothing else (T14)', async () => {
    const texts = await deployment.scrape();
    expect(texts).toHaveLength(25);
    const samples = texts.flatMap(samplesOf);
    expect([...new Set(besideTheTable(samples))]).toEqual([]);
    // These have no sample before something has happened, or without certificates.
    const later = ['policyRpo', 'policyMaxLoss', 'droppedSeries', 'certificateExpiry', 'certificateRefused']
      // Of a backup, and of log that is kept for somebody.
      .concat(['backupAge', 'backupLag', 'backupBytes', 'retentionHeld', 'retentionLetGo'])
      // Before somebody has made a branch.
      .concat(['branchLagSeconds', 'branchLagBytes'])
      // Where SQLite keeps the databases.
      .concat(Object.keys(postgresMetrics))
      // Where a region has one gateway there are no endpoints.
      .concat(Object.keys(endpointMetrics));
    const told = new Set(samples.map(({ name }) => definitionOf(name)));
    const untold = Object.entries(metrics).flatMap(([key, one]) => (told.has(one) ? [] : [key]));
    expect(untold.filter((key) => !later.includes(key))).toEqual([]);
    if (promtool !== null) expect([...new Set(texts.map(checkMetrics))]).toEqual(['']);
  });

  it('tells Prometheus who writes, and how far behind each secondary is', async () => {
    const status = await deployment.settled();
    const samples = await deployment.samples();
    expect(sumOf(samples, 'sextant_is_primary')).toBe(1);
    expect(sumOf(samples, 'sextant_is_primary', { region: east })).toBe(1);
    const agent = { region: east, process: 'agent' };
    expect(sumOf(samples, 'sextant_epoch', agent)).toBe(status.epoch);
    expect(sumOf(samples, 'sextant_volume_durable_lsn', agent)).toBeGreaterThan(0);
    const lags = samples.filter(({ name }) => name.startsWith('sextant_replication_lag_'));
    const where = lags.map(({ name, labels }) => `${labels.region} ${name} ${labels.target}`);
    expect(new Set(where)).toEqual(
      new Set(
        [asia, europe].flatMap((target) =>
          ['bytes', 'commits', 'seconds'].map((unit) => `${east} sextant_replication_lag_${unit} ${target}`),
        ),
      ),
    );
    expect(lags.map(({ value }) => value)).toEqual([0, 0, 0, 0, 0, 0]);
    for (const node of ['n1', 'n2', 'n3', 'n4', 'n5', 'n6']) {
      const at = { region: east, node };
      expect(sumOf(samples, 'sextant_append_duration_seconds_count', at)).toBeGreaterThan(0);
      expect(sumOf(samples, 'sextant_append_backlog_bytes', at)).toBe(0);
    }
    expect(sumOf(samples, 'sextant_control_copy_current', agent)).toBe(3);
    expect(sumOf(samples, 'sextant_page_cache_hits_total', { region: east })).toBeGreaterThan(0);
  });

  it('brings a transaction larger than every window to every region, in one reign, and what follows it', async () => {
    const name = await table('large');
    const { epoch } = await deployment.settled();
    const client = deployment.client(east);
    await client.execute(`INSERT INTO ${name} VALUES (1, randomblob(${9 * 1024 * 1024}))`);
    await client.execute(`INSERT INTO ${name} VALUES (2, 'after')`);
    const rowsIn = async (region: string): Promise<unknown[][]> => {
      const { rows } = await deployment
        .client(region)
        .execute(`SELECT id, length(note) AS bytes FROM ${name} ORDER BY id`);
      return rows.map((row) => [row.id, row.bytes]);
    };
    const expected = [
      [1, 9 * 1024 * 1024],
      [2, 5],
    ];
    // The primary shows at once what it has acknowledged; what it reports of the others may be older than that.
    expect(await rowsIn(east)).toEqual(expected);
    for (const region of regions) {
      const deadline = performance.now() + 60_000;
      while ((await rowsIn(region)).length < expected.length && performance.now() < deadline)
        await new Promise((resolve) => setTimeout(resolve, 100));
      expect(await rowsIn(region)).toEqual(expected);
    }
    expect((await deployment.settled(90_000)).epoch).toBe(epoch);
  });

  it('goes on writing when two storage nodes of one zone are killed, and repairs them when they return', async () => {
    const name = await table('az_loss');
    const writer = new SteadyWriter(deployment.client(east), name, { perSecond: 100 });
    await writer.acknowledges(30);
    await deployment.run('node', 'kill', `${east}/n1`);
    await deployment.run('node', 'kill', `${east}/n2`);
    await writer.acknowledges(100);
    await deployment.run('node', 'start', `${east}/n1`);
    await deployment.run('node', 'start', `${east}/n2`);
    await writer.acknowledges(50);
    const account = await writer.stop();
    expect(account.failed).toEqual([]);
    await deployment.settled();
    await deployment.until(
      'both nodes level',
      (status) => status.regions[0]?.nodes.every((node) => node.state === 'up') ?? false,
    );
    expect(missing(account.acknowledged, await idsIn(deployment.client(asia), name))).toEqual([]);
  });

  it('loses nothing acknowledged when the writer’s gateway is killed', async () => {
    const name = await table('gateway_loss');
    const writer = new SteadyWriter(deployment.client(europe), name, { perSecond: 100 });
    await writer.acknowledges(50);
    await deployment.run('node', 'kill', `${east}/gateway`);
    await deployment.run('node', 'start', `${east}/gateway`);
    await writer.acknowledges(100);
    const account = await writer.stop();
    for (const { code } of account.failed) expect(['SEXTANT_COMMIT_UNKNOWN']).toContain(code);
    await deployment.settled();
    for (const region of regions)
      expect(missing(account.acknowledged, await idsIn(deployment.client(region), name))).toEqual([]);
  });

  it('goes on shipping after any agent is killed', async () => {
    const name = await table('agent_loss');
    const writer = new SteadyWriter(deployment.client(east), name, { perSecond: 100 });
    for (const region of regions) {
      await deployment.run('node', 'kill', `${region}/agent`);
      await writer.acknowledges(20);
      await deployment.run('node', 'start', `${region}/agent`);
    }
    const account = await writer.stop();
    expect(account.failed).toEqual([]);
    await deployment.settled();
    for (const region of regions)
      expect(missing(account.acknowledged, await idsIn(deployment.client(region), name))).toEqual([]);
  });

  it('pauses its writes while the control record has no leader, and keeps its reign (R24)', async () => {
    const name = await table('nats_loss');
    const { epoch } = await deployment.settled();
    const writer = new SteadyWriter(deployment.client(east), name, { perSecond: 50 });
    await writer.acknowledges(50);
    await deployment.killNats(regions);
    await writer.acknowledges(300);
    const account = await writer.stop();
    for (const { code } of account.failed)
      expect(['SEXTANT_COMMIT_UNKNOWN', 'SEXTANT_NO_WRITER']).toContain(code);
    const after = await deployment.settled();
    expect([after.epoch, after.primary]).toEqual([epoch, east]);
    expect(missing(account.acknowledged, await idsIn(deployment.client(east), name))).toEqual([]);
  });

  it('acknowledges no write with three nodes gone, says why, still reads, and writes again when they are back', async () => {
    const name = await table('quorum_loss');
    const client = deployment.client(east);
    await client.execute(`INSERT INTO ${name} VALUES (1, 'before')`);
    for (const node of ['n1', 'n3', 'n5']) await deployment.run('node', 'kill', `${east}/${node}`);
    const refused = await client
      .execute(`INSERT INTO ${name} VALUES (2, 'during')`)
      .catch((error: unknown) => error);
    expect(refused).toMatchObject({ code: expect.stringMatching(/^SEXTANT_(COMMIT_UNKNOWN|QUORUM_LOST)$/) });
    await expect(client.execute(`INSERT INTO ${name} VALUES (3, 'during')`)).rejects.toMatchObject({
      code: 'SEXTANT_QUORUM_LOST',
    });
    expect((await client.execute(`SELECT note FROM ${name} WHERE id = 1`)).rows[0]?.note).toBe('before');
    for (const node of ['n1', 'n3', 'n5']) await deployment.run('node', 'start', `${east}/${node}`);
    await deployment.settled();
    await client.execute(`INSERT INTO ${name} VALUES (4, 'after')`);
    expect(await idsIn(client, name)).toContain(4);
  });

  it('switches over under 100 writes a second without a failed or lost write, in under a second', async () => {
    await eastWrites();
    const name = await table('switched');
    const writer = new SteadyWriter(deployment.client(east), name, { perSecond: 100 });
    await writer.acknowledges(100);
    const moved = async () => {
      const samples = await deployment.samples();
      const stalls = (cause: string): number =>
        sumOf(samples, 'sextant_write_stall_duration_seconds_count', { region: europe, cause });
      const done = { region: europe, kind: 'switchover', result: 'done' };
      return {
        moves: sumOf(samples, 'sextant_moves_total', done),
        switchovers: stalls('switchover'),
        recoveries: stalls('recovery'),
      };
    };
    const before = await moved();
    await deployment.run('switchover', '--to', europe);
    await writer.acknowledges(100);
    const account = await writer.stop();
    expect(account.failed).toEqual([]);
    expect(account.longestPauseMs).toBeLessThan(1_000);
    const now = await moved();
    expect([now.moves - before.moves, now.switchovers - before.switchovers, now.recoveries]).toEqual([
      1,
      1,
      before.recoveries,
    ]);
    const after = await deployment.settled();
    expect(after.primary).toBe(europe);
    for (const region of regions)
      expect(missing(account.acknowledged, await idsIn(deployment.client(region), name))).toEqual([]);
    await deployment.run('switchover', '--to', east);
    await deployment.settled();
  });

  it('goes back and forward again under load, in every region, without a failed write, and calls nothing lost (R77)', async () => {
    await eastWrites();
    const name = await table('rewound');
    const client = deployment.client(east);
    const lost = await deployment.run('losses', '--json');
    const writer = new SteadyWriter(client, name, { perSecond: 100 });
    await writer.acknowledges(50);
    const position = await client.execute('PRAGMA sextant_position');
    const to = String(position.rows[0]?.[0]).split(' ')[0] ?? '';
    const [, , kept] = await client.batch(
      [`PRAGMA sextant_at = '${to}'`, 'SELECT 1', `SELECT id FROM ${name}`],
      'read',
    );
    await writer.acknowledges(50);
    const back = rewoundSchema.parse(JSON.parse(await deployment.run('rewind', '--to', to, '--json')));
    expect(back).toMatchObject({ state: 'done', to: { lsn: Number(to) }, behind: [] });
    await writer.acknowledges(50);
    const { acknowledged, failed } = await writer.stop();
    expect(failed).toEqual([]);
    await deployment.settled();
    const present = await idsIn(client, name);
    expect(missing(kept?.rows.map(({ id }) => Number(id)) ?? [], present)).toEqual([]);
    expect(missing(acknowledged.slice(-40), present)).toEqual([]);
    expect(missing(acknowledged, present).length).toBeGreaterThan(20);
    for (const region of [europe, asia])
      expect([...(await idsIn(deployment.client(region), name))].sort()).toEqual([...present].sort());
    await deployment.run('rewind', '--to', `${back.left.epoch}:${back.left.lsn}`);
    await deployment.settled();
    const forward = await idsIn(client, name);
    // What was written in between is what was left this time.
    expect(missing(missing(acknowledged, present), forward)).toEqual([]);
    for (const region of [europe, asia])
      expect([...(await idsIn(deployment.client(region), name))].sort()).toEqual([...forward].sort());
    expect(JSON.parse(await deployment.run('losses', '--json'))).toEqual(JSON.parse(lost));
  });

  it('fails over from a lost region, reports exactly what was lost, and takes the region back as a secondary', async () => {
    await eastWrites();
    const name = await table('failed_over');
    const told = async () => lossesSchema.parse(JSON.parse(await deployment.run('losses', '--json')));
    const known = new Set((await told()).losses.map(({ orphanEpoch }) => orphanEpoch));
    const writer = new SteadyWriter(deployment.client(east), name, { perSecond: 50 });
    await writer.acknowledges(50);
    // Cut off first, so that some acknowledged writes exist in the lost region alone.
    await deployment.run('region', 'isolate', east);
    await writer.acknowledges(5);
    await deployment.run('region', 'kill', east);
    const account = await writer.stop();
    const refused = await deployment.cli(['failover', '--to', asia]);
    expect(refused.code).not.toBe(0);
    expect(refused.stdout + refused.stderr).toContain('allow-data-loss');
    // What was on its way when the cables were cut may have reached one of the two alone: the other one is refused then.
    const first = await deployment.cli(['failover', '--to', asia, '--allow-data-loss']);
    const heir = first.code === 0 ? asia : europe;
    if (heir === europe) {
      expect(first.stderr).toContain('TARGET_BEHIND: eu-west-1');
      await deployment.run('failover', '--to', europe, '--allow-data-loss');
    }
    const survivor = deployment.client(heir);
    await survivor.execute(`INSERT INTO ${name} VALUES (1000000, 'written by the new primary')`);
    // What the lost region lacks is what was written since, and not the whole volume.
    const without = await deployment.samples();
    const volumeBytes = sumOf(without, 'sextant_volume_durable_lsn', { region: heir, process: 'agent' });
    const lackedBytes = sumOf(without, 'sextant_replication_lag_bytes', { region: heir, target: east });
    expect(lackedBytes).toBeGreaterThan(0);
    expect(lackedBytes).toBeLessThan(volumeBytes / 10);
    await deployment.run('region', 'heal', east);
    await deployment.run('region', 'start', east);
    await deployment.settled(90_000);

    const lost = missing(account.acknowledged, await idsIn(survivor, name));
    expect(lost.length).toBeGreaterThan(0);
    // It takes part again before it has looked at all that it left.
    await eventually('every region has looked', async () => (await told()).unanswered.length === 0, 30_000);
    const losses = (await told()).losses.filter((loss) => !known.has(loss.orphanEpoch));
    const reported = losses.reduce((sum, report) => sum + report.count, 0);
    const commits: unknown[] = [];
    for (const { orphanEpoch } of losses) {
      const detail = JSON.parse(await deployment.run('losses', `${orphanEpoch}`, '--json'));
      commits.push(...z.object({ commits: z.array(z.unknown()) }).parse(detail).commits);
    }
    expect(commits).toHaveLength(reported);
    // A write that became durable in the lost region as it was killed is reported too, though its client heard nothing.
    const unheard = account.failed.length;
    expect(reported).toBeGreaterThanOrEqual(lost.length);
    expect(reported).toBeLessThanOrEqual(lost.length + unheard);
    for (const region of regions) expect(await idsIn(deployment.client(region), name)).toContain(1_000_000);
    // Nobody has written to the lost rows since: all of them come back.
    for (const { orphanEpoch } of losses) {
      const replayed = JSON.parse(await deployment.run('losses', `${orphanEpoch}`, '--replay', '--json'));
      expect(replayed).toMatchObject({ settled: true, conflicts: [] });
    }
    expect(missing(account.acknowledged, await idsIn(survivor, name))).toEqual([]);
    const samples = await deployment.samples();
    if (known.size === 0) expect(sumOf(samples, 'sextant_lost_writes_total')).toBe(reported);
    expect(
      sumOf(samples, 'sextant_moves_total', { region: heir, kind: 'failover', result: 'done' }),
    ).toBeGreaterThan(0);
    const failover = { region: heir, cause: 'failover' };
    expect(sumOf(samples, 'sextant_write_stall_duration_seconds_count', failover)).toBeGreaterThan(0);
  });

  it('records every span in the table of telemetry/README.md, and nothing that the table lacks (T10)', async () => {
    await eastWrites();
    // What no test above has to bring about: an answer under an RPO, a read that waits, an error, a node filled from nothing.
    const name = await table('spans');
    await deployment.run('policy', '--rpo-ms', '0');
    const insert = `INSERT INTO ${name} VALUES (1, 'forwarded')`;
    await deployment.client(europe).batch([insert, `UPDATE ${name} SET note = 'changed'`]);
    await expect(deployment.client(europe).execute(insert)).rejects.toThrow('UNIQUE');
    const globally = createClient({ url: `http://${deployment.gateway(asia)}/read/global/` });
    await globally.execute(`SELECT note FROM ${name}`);
    globally.close();
    await deployment.run('policy', '--rpo-ms', 'off');
    await deployment.run('node', 'wipe', `${east}/n6`);
    const rowsOf = (spans: readonly ReceivedSpan[]) => new Set(spans.map((span) => rowOf(span)));
    // A drill has a suite of its own; `drill-trace.test.ts` holds its trace against the tables.
    const expected = tableSpans.filter((row) => !row.startsWith('drill') && row !== 'sql.execute');
    const spans = await collector.waitFor(
      (received) => expected.every((row) => rowsOf(received).has(row)),
      60_000,
    );
    const strangers = spans
      .filter((span) => rowOf(span) === null)
      .map(({ service, name: own }) => `${service} ${own}`);
    expect([...new Set(strangers)]).toEqual([]);
    const kinds = spans
      .filter((span) => tableKinds.get(rowOf(span) ?? '')?.includes(span.kind) !== true)
      .map(({ name: own, kind }) => `${own}: ${kind}`);
    expect([...new Set(kinds)]).toEqual([]);
    const keys = new Set(spans.flatMap(({ attributes }) => Object.keys(attributes)));
    expect([...keys].filter((key) => !tableAttributes.includes(key))).toEqual([]);
    const elsewhere = /^sextant\.drill\.|^sextant\.role$|^messaging\.system$/;
    expect(tableAttributes.filter((key) => !keys.has(key) && !elsewhere.test(key))).toEqual([]);
  });

  it('leaves whole traces of moves and lost writes behind', () => {
    const { spans } = collector;
    const operations = spans.filter(({ name }) => name === 'switchover' || name === 'failover');
    expect(operations.length).toBeGreaterThanOrEqual(3);
    for (const { traceId, spanId, startUs, endUs, error } of operations) {
      const children = spans.filter((span) => span.traceId === traceId && span.parentSpanId === spanId);
      const phases = children.filter(({ name }) => /^(switchover|failover) /.test(name));
      expect(Math.min(...phases.map((phase) => phase.startUs))).toBe(startUs);
      expect(Math.max(...phases.map((phase) => phase.endUs))).toBe(endUs);
      // The gateway that took over recovered under the agent's span, in a process of its own.
      if (error === null) expect(children.map(({ name }) => name)).toContain('recovery');
    }
    const lost = spans.filter(({ name }) => name === 'lost');
    const reports = spans.filter(({ name }) => name === 'losses');
    expect(reports.length).toBeGreaterThan(0);
    expect(
      reports.reduce((sum, { attributes }) => sum + Number(attributes['sextant.lost_writes_marked']), 0),
    ).toBe(lost.length);
    const failovers = operations.filter(({ name }) => name === 'failover').map(({ spanId }) => spanId);
    for (const { traceId, parentSpanId, links, startUs, error } of lost) {
      const trace = spans.filter((span) => span.traceId === traceId);
      const commit = trace.find(({ spanId }) => spanId === parentSpanId);
      expect(error).toContain('is not part of history any more');
      expect(failovers).toContain(links[0]?.spanId);
      // Killed with its region, the gateway may have taken the last commits' own spans with it.
      if (commit === undefined) continue;
      expect(commit.name).toBe('commit');
      expect(startUs).toBeGreaterThanOrEqual(commit.startUs);
      expect(startUs).toBeLessThanOrEqual(commit.endUs);
    }
  });
});
