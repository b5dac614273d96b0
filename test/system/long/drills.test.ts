/** Drills on a real deployment: one that is green, one that loses a region, and one that is red because its bound is too small. */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { drillAnswerSchema, drillReportSchema } from '../../../regions/drills/core/drill-report.ts';
import { type OtlpReceiver, startOtlpReceiver } from '../../telemetry/otlp-receiver.ts';
import { TestDeployment } from '../local-deployment.ts';

const regions = ['us-east-1', 'eu-west-1', 'ap-northeast-1'] as const;
const [east, europe] = regions;
let deployment: TestDeployment;
let collector: OtlpReceiver;
let reportDir: string;

beforeAll(async () => {
  collector = await startOtlpReceiver();
  reportDir = await mkdtemp(join(tmpdir(), 'sextant-report-'));
  deployment = await TestDeployment.start({
    regions,
    env: { OTEL_EXPORTER_OTLP_ENDPOINT: collector.endpoint },
  });
}, 150_000);

afterAll(async () => {
  await deployment?.stop();
  await collector?.close();
  await rm(reportDir, { recursive: true, force: true });
}, 60_000);

const red = (report: z.infer<typeof drillReportSchema>) => report.checks.filter(({ held }) => !held);

describe('a drill on real processes', { timeout: 180_000 }, () => {
  it('loses a region, accounts for every write, moves back, and is one trace', async () => {
    const args = ['region-loss', '--seconds', '2', '--load', '50', '--json', '--report', reportDir];
    const { code, stdout, stderr } = await deployment.cli(['drill', ...args], 170_000);
    const report = drillReportSchema.parse(JSON.parse(stdout));
    expect(red(report)).toEqual([]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(report).toMatchObject({
      passed: true,
      region: east,
      primaryBefore: east,
      primaryAfter: east,
      regionsEqual: true,
    });
    expect(report.acknowledgedWrites).toBeGreaterThan(100);
    expect(report.rtoMs).toBeGreaterThan(0);
    expect(report.reportedLost).toBeGreaterThanOrEqual(report.lostWrites);
    expect(report.failbackMs).toBeGreaterThan(0);
    expect(JSON.parse(await readFile(join(reportDir, 'report.json'), 'utf8'))).toEqual(report);

    const spans = await collector.waitFor(
      (all) => all.some(({ name, traceId }) => name === 'drill' && traceId === report.traceId),
      10_000,
    );
    const mine = spans.filter(({ service }) => service === 'sextant-drill');
    expect(new Set(mine.map(({ traceId }) => traceId))).toEqual(new Set([report.traceId]));
    const root = mine.find(({ name }) => name === 'drill');
    expect(root?.attributes).toMatchObject({
      'sextant.drill.kind': 'region-loss',
      'sextant.drill.passed': true,
    });
    const phases = mine.filter(({ parentSpanId }) => parentSpanId === root?.spanId).map(({ name }) => name);
    expect(phases).toEqual(
      ['preflight', 'steady', 'fault', 'detection', 'recovery', 'verification', 'failback'].map(
        (phase) => `drill ${phase}`,
      ),
    );
  });

  it('is red, with exit code 1, for the one reason that its bound is too small', async () => {
    const { code, stdout } = await deployment.cli(
      ['drill', 'node-loss', '--region', east, '--seconds', '1', '--rto-ms', '1', '--json'],
      120_000,
    );
    const report = drillReportSchema.parse(JSON.parse(stdout));
    expect({ code, passed: report.passed, red: red(report) }).toEqual({ code: 1, passed: false, red: [] });
    expect(report.objectives).toMatchObject([{ name: 'rtoMs', limit: 1, held: false }]);
  });

  it('is begun at any gateway, refused while another runs, and found there afterwards', async () => {
    const url = `http://${deployment.gateway(europe)}/v1/drills`;
    const post = (body: object) => fetch(url, { method: 'POST', body: JSON.stringify(body) });
    const begun = await post({ kind: 'writer-loss', seconds: 1 });
    expect(begun.status).toBe(202);
    const { id } = drillAnswerSchema.parse(await begun.json());
    const second = await post({ kind: 'node-loss' });
    expect([second.status, await second.json()]).toMatchObject([409, { code: 'DRILL_UNDER_WAY' }]);
    const ended = async () => drillAnswerSchema.parse(await (await fetch(`${url}/${id}`)).json());
    let drill = await ended();
    for (; drill.state === 'running'; drill = await ended())
      await new Promise((resolve) => setTimeout(resolve, 200));
    expect(drill.report === null ? null : red(drill.report)).toEqual([]);
    expect(drill.state).toBe('passed');
    const list = z
      .object({ drills: z.array(z.object({ id: z.string() })) })
      .parse(await (await fetch(url)).json());
    expect(list.drills.map((one) => one.id)).toContain(id);
  });
});
