/** What an operator is promised to see in a real Jaeger, on a deployment of `sextant up --jaeger`. */
import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import { Findings, type Verdict } from '../faults/check.ts';
import type { TestDeployment } from '../system/local-deployment.ts';
import { SteadyWriter } from '../system/steady-writer.ts';
import { JaegerApi } from './jaeger-api.ts';
import { flaws } from './whole-traces.ts';

export interface JaegerCheck {
  readonly name: string;
  readonly promise: string;
  run(deployment: TestDeployment, writes: number): Promise<Verdict>;
}

const linksSchema = z.object({
  jaeger: z.object({
    ui: z.string(),
    lag: z.string(),
    answers: z.boolean(),
    slowestWrite: z.string().nullable(),
    lastFailover: z.string().nullable(),
    lastDrill: z.string().nullable(),
    lostWrites: z.string().nullable(),
  }),
});
const linksOf = async (deployment: TestDeployment) =>
  linksSchema.parse(JSON.parse(await deployment.run('status', '--json'))).jaeger;
const apiOf = async (deployment: TestDeployment) => new JaegerApi((await linksOf(deployment)).ui);
const traceOf = (link: string | null): string => link?.split('/').at(-1) ?? '';

const connections = 32;
const [primary = '', europe = '', tokyo = ''] = ['us-east-1', 'eu-west-1', 'ap-northeast-1'];

const wholeTraces: JaegerCheck = {
  name: 'whole-traces',
  promise: 'N writes are N whole traces: server, commit, six appends, one replicate for each secondary',
  async run(deployment, writes) {
    const seen = new Findings();
    const jaeger = await apiOf(deployment);
    await deployment.client(primary).execute('CREATE TABLE whole (id INTEGER PRIMARY KEY, text TEXT)');
    await deployment.settled();
    const fromUs = Date.now() * 1_000;
    let next = 0;
    let failed = 0;
    const clients = [deployment.client(primary), deployment.client(europe)];
    await Promise.all(
      Array.from({ length: connections }, async (_, lane) => {
        const client = clients[lane % clients.length];
        while (next < writes) {
          const id = ++next;
          const insert = client?.execute({ sql: 'INSERT INTO whole VALUES (?, ?)', args: [id, 'x'] });
          await insert?.catch(() => {
            failed += 1;
          });
        }
      }),
    );
    const seconds = (Date.now() * 1_000 - fromUs) / 1e6;
    await deployment.settled();
    const toUs = Date.now() * 1_000;
    seen.expect(
      failed === 0,
      `${writes} writes by ${connections} connections in ${seconds.toFixed(1)} s, ${failed} failed`,
    );
    const deadline = performance.now() + 60_000;
    let traces = await jaeger.all(`sextant-${primary}`, 'commit', fromUs, toUs);
    let broken = traces
      .map((trace) => flaws(trace, primary, [europe, tokyo]))
      .filter(({ length }) => length > 0);
    while ((traces.length < writes || broken.length > 0) && performance.now() < deadline) {
      await sleep(2_000);
      traces = await jaeger.all(`sextant-${primary}`, 'commit', fromUs, toUs);
      broken = traces
        .map((trace) => flaws(trace, primary, [europe, tokyo]))
        .filter(({ length }) => length > 0);
    }
    seen.expect(traces.length === writes, `${traces.length} traces with a commit of that time`);
    seen.expect(broken.length === 0, `${broken.length} of them not whole ${broken.slice(0, 3).join(' | ')}`);
    const slowest = await jaeger.trace(traceOf((await linksOf(deployment)).slowestWrite));
    const commitUs = (spans: readonly { operationName: string; duration: number }[] = []) =>
      Math.max(
        0,
        ...spans.filter(({ operationName }) => operationName === 'commit').map(({ duration }) => duration),
      );
    const most = Math.max(...traces.map(({ spans }) => commitUs(spans)));
    seen.expect(
      commitUs(slowest?.spans) >= most,
      `the slowest of these commits took ${most} µs, that of the link ${commitUs(slowest?.spans)} µs`,
    );
    return seen.verdict();
  },
};

const isolatedForMs = 50_000;
const promptMs = 15_000;

const stall: JaegerCheck = {
  name: 'stall',
  promise:
    'the lag of a region that is cut off is in the Monitor tab within 15 s, within a fifth of what status says, and is gone 15 s after it has caught up',
  async run(deployment) {
    const seen = new Findings();
    const jaeger = await apiOf(deployment);
    const pair = `${primary}→${tokyo}`;
    const client = deployment.client(primary);
    await client.execute('CREATE TABLE IF NOT EXISTS steady (id INTEGER PRIMARY KEY, text TEXT)');
    const writer = new SteadyWriter(client, 'steady', { perSecond: 20 });
    const lagMs = async () =>
      (await deployment.status(primary)).regions.find(({ name }) => name === tokyo)?.lagMs ?? null;
    const sample = async () => {
      const [before, panel] = [await lagMs(), await jaeger.lagNowMs(pair)];
      return { atMs: performance.now(), status: before, panel };
    };
    try {
      await sleep(15_000);
      const calm = await sample();
      seen.expect(
        calm.panel !== null && calm.panel < 2_000,
        `before: status ${calm.status} ms, panel ${calm.panel} ms`,
      );
      await deployment.run('region', 'isolate', tokyo);
      const cutAtMs = performance.now();
      const during: (typeof calm)[] = [];
      while (performance.now() - cutAtMs < isolatedForMs) {
        during.push(await sample());
        await sleep(1_000);
      }
      const near = ({ status, panel }: typeof calm) =>
        status !== null && panel !== null && Math.abs(panel - status) <= 0.2 * status;
      const first = during.find((one) => (one.status ?? 0) > 1_000 && near(one));
      const onsetMs = first === undefined ? Number.POSITIVE_INFINITY : first.atMs - cutAtMs;
      seen.expect(onsetMs <= promptMs, `within a fifth of status ${Math.round(onsetMs)} ms after the cut`);
      const later = during.filter(({ atMs }) => atMs - cutAtMs > promptMs);
      const off = later.filter((one) => !near(one));
      seen.expect(
        later.length > 10 && off.length === 0,
        `${off.length} of ${later.length} samples from then on were further off`,
      );
      for (const { atMs, status, panel } of during.filter((_, index) => index % 5 === 0))
        seen.fact(
          `${Math.round((atMs - cutAtMs) / 1_000)} s: status ${status} ms, panel ${Math.round(panel ?? -1)} ms`,
        );
      await deployment.run('region', 'heal', tokyo);
      await deployment.until(
        'the region has caught up',
        ({ regions }) => (regions.find(({ name }) => name === tokyo)?.lagMs ?? 1e9) < 1_000,
      );
      const level = performance.now();
      let panel = (await sample()).panel;
      while ((panel === null || panel > 1_200) && performance.now() - level < 2 * promptMs) {
        await sleep(500);
        panel = (await sample()).panel;
      }
      const goneMs = performance.now() - level;
      seen.expect(
        goneMs <= promptMs,
        `level again; the panel fell to ${Math.round(panel ?? -1)} ms ${Math.round(goneMs)} ms after that`,
      );
    } finally {
      await deployment.run('region', 'heal', tokyo).catch(() => undefined);
      await writer.stop();
    }
    return seen.verdict();
  },
};

const lossesSchema = z.object({
  reports: z.array(z.object({ commits: z.array(z.object({ traceId: z.string().nullable() })) })),
});

const badDay: JaegerCheck = {
  name: 'bad-day',
  promise:
    'a drill that loses the primary region is one trace, and its failover and every lost write are found by the links',
  async run(deployment) {
    const seen = new Findings();
    const jaeger = await apiOf(deployment);
    const drill = await deployment.cli(['drill', 'partition', '--region', primary, '--json'], 240_000);
    const report = z.object({ id: z.string(), passed: z.boolean() }).parse(JSON.parse(drill.stdout));
    seen.expect(report.passed, `drill ${report.id}`);
    const lossText = await deployment.run('losses', '--json');
    const lost = lossesSchema.parse(JSON.parse(lossText)).reports.flatMap(({ commits }) => commits);
    seen.expect(lost.length > 0, `${lost.length} writes were lost`);
    await sleep(3_000);
    const links = await linksOf(deployment);
    const names = async (link: string | null) =>
      (await jaeger.trace(traceOf(link)))?.spans.map(({ operationName }) => operationName) ?? [];
    const ofDrill = await names(links.lastDrill);
    seen.expect(ofDrill.includes('drill'), `last drill: ${ofDrill.length} spans`);
    const ofFailover = await names(links.lastFailover);
    seen.expect(ofFailover.includes('failover'), `last failover: ${ofFailover.join(', ')}`);
    const shown = links.lostWrites === null ? [] : await jaeger.searchedBy(links.lostWrites);
    const known = new Set(lost.map(({ traceId }) => traceId));
    seen.expect(
      shown.length > 0 && shown.every(({ traceID }) => known.has(traceID)),
      `lost writes: the link shows ${shown.length}, of which ${shown.filter(({ traceID }) => known.has(traceID)).length} are in the report`,
    );
    const marked = await Promise.all(
      lost.map(async ({ traceId }) => {
        const trace = traceId === null ? null : await jaeger.trace(traceId);
        return trace?.spans.some(({ operationName }) => operationName === 'lost') === true;
      }),
    );
    seen.expect(
      marked.every(Boolean),
      `${marked.filter(Boolean).length} of ${marked.length} traces of lost writes have the span \`lost\``,
    );
    return seen.verdict();
  },
};

const jaegerDies: JaegerCheck = {
  name: 'jaeger-dies',
  promise: 'writes do not notice that Jaeger dies; it is started again and still has what it had',
  async run(deployment) {
    const seen = new Findings();
    const before = await linksOf(deployment);
    const client = deployment.client(primary);
    await client.execute('CREATE TABLE IF NOT EXISTS dying (id INTEGER PRIMARY KEY, text TEXT)');
    const writer = new SteadyWriter(client, 'dying', { perSecond: 50 });
    const pidOf = async () => {
      const { local } = z
        .object({
          local: z.object({ processes: z.array(z.object({ id: z.string(), pid: z.number().nullable() })) }),
        })
        .parse(JSON.parse(await deployment.run('status', '--json')));
      return local.processes.find(({ id }) => id === 'telemetry/jaeger')?.pid ?? null;
    };
    await sleep(2_000);
    const pid = await pidOf();
    if (pid !== null) process.kill(pid, 'SIGKILL');
    await sleep(5_000);
    const account = await writer.stop();
    seen.expect(
      account.failed.length === 0 && account.longestPauseMs < 2_000,
      `${account.acknowledged.length} writes, ${account.failed.length} failed, longest pause ${Math.round(account.longestPauseMs)} ms`,
    );
    const again = await pidOf();
    seen.expect(again !== null && again !== pid, `Jaeger was ${pid} and is ${again}`);
    const kept = await (await apiOf(deployment)).trace(traceOf(before.slowestWrite));
    seen.expect(kept !== null, `a trace from before has ${kept?.spans.length ?? 0} spans`);
    return seen.verdict();
  },
};

export const jaegerChecks: readonly JaegerCheck[] = [wholeTraces, stall, badDay, jaegerDies];
