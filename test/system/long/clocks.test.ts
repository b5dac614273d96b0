/**
 * Lag is told right over ways of a known length, between machines whose clocks are minutes apart. The primary's clock is this
 * test's own, so that the true time of whatever a secondary says is known to the microsecond: it is off by what was injected.
 */

import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { lagServiceName, lagSpanName, replicateSpanName } from '../../../telemetry/index.ts';
import { type OtlpReceiver, type ReceivedSpan, startOtlpReceiver } from '../../telemetry/otlp-receiver.ts';
import { TestDeployment } from '../local-deployment.ts';
import { SteadyWriter } from '../steady-writer.ts';

const [us, eu, ap] = ['us-east-1', 'eu-west-1', 'ap-northeast-1'] as const;
const minuteMs = 60_000;
const aheadMs = { [eu]: 3 * minuteMs, [ap]: -7 * minuteMs } as const;
const secondaries = [eu, ap] as const;
const oneWaysMs = [20, 80, 200] as const;
/** What is told of lag may be wrong by this. */
const rightMs = 5;
let deployment: TestDeployment;
let collector: OtlpReceiver;
let writer: SteadyWriter;

beforeAll(async () => {
  collector = await startOtlpReceiver();
  deployment = await TestDeployment.start({
    regions: [us, eu, ap],
    flags: ['--wan-rtt-ms', String(2 * oneWaysMs[0])],
    env: {
      OTEL_EXPORTER_OTLP_ENDPOINT: collector.endpoint,
      NODE_OPTIONS: `--import ${pathToFileURL(join(import.meta.dirname, '../skewed-clock.ts')).href}`,
      SEXTANT_TEST_CLOCKS: JSON.stringify(aheadMs),
    },
  });
  await deployment.settled(90_000);
  const client = deployment.client(us, 'ws');
  await client.execute('CREATE TABLE note (id INTEGER PRIMARY KEY, text TEXT)');
  writer = new SteadyWriter(client, 'note', { perSecond: 25 });
}, 240_000);
afterAll(async () => {
  await writer?.stop();
  await deployment?.stop();
  await collector?.close();
}, 90_000);

const nowUs = (): number => Math.round((performance.timeOrigin + performance.now()) * 1_000);
const named = (name: string, sinceUs: number): readonly ReceivedSpan[] =>
  collector.spans.filter((span) => span.name === name && span.startUs >= sinceUs);
const numberOf = (span: ReceivedSpan, key: string): number => Number(span.attributes[key]);
const median = (values: readonly number[]): number =>
  [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;

describe.each(oneWaysMs)(
  'with %i ms from region to region, and clocks minutes apart',
  { timeout: 180_000 },
  (oneWayMs) => {
    beforeAll(async () => {
      // From and to the primary; it began with the shortest way.
      await deployment.run('region', 'slow', us, '--ms', String(2 * (oneWayMs - oneWaysMs[0])));
      // Of how far clocks are apart the last sixteen exchanges say; each is of a ship and its acknowledgement.
      await writer.acknowledges(100, 60_000);
      await sleep(4 * oneWayMs);
    }, 120_000);

    test.each(secondaries)('a write has the lag to %s that it truly had', async (target) => {
      const sinceUs = nowUs();
      await writer.acknowledges(50, 60_000);
      const spans = () => named(replicateSpanName(us, target), sinceUs);
      await collector.waitFor(() => spans().length >= 40, 60_000);
      // The span ends at the secondary's clock less what it takes that to be ahead by; the truth is what was injected.
      const wrongMs = spans().map((span) =>
        Math.abs(numberOf(span, 'sextant.clock_skew_ms') - aheadMs[target]),
      );
      const lagMs = spans().map(({ startUs, endUs }) => (endUs - startUs) / 1_000);
      console.log(
        `${oneWayMs} ms to ${target}: lag ${median(lagMs).toFixed(1)} ms, off by ${median(wrongMs).toFixed(2)} ms, at most ${Math.max(...wrongMs).toFixed(2)}`,
      );
      expect(median(wrongMs)).toBeLessThan(rightMs);
      expect(Math.min(...lagMs)).toBeGreaterThan(oneWayMs - rightMs);
    });

    test.each(secondaries)(
      'while %s stands still, its heartbeat begins with the first write that it lacks',
      async (target) => {
        const sinceUs = nowUs();
        await writer.acknowledges(25, 60_000);
        await deployment.signal(`${target}/agent`, 'SIGSTOP');
        const stoppedUs = nowUs();
        await sleep(4_000);
        const resumedUs = nowUs();
        await deployment.signal(`${target}/agent`, 'SIGCONT');
        const writes = () => named(replicateSpanName(us, target), sinceUs);
        await collector.waitFor(() => writes().some(({ startUs }) => startUs > resumedUs), 60_000);
        const missing = writes()
          .filter(({ endUs }) => endUs >= resumedUs - rightMs * 1_000)
          .map(({ startUs }) => startUs)
          .sort((a, b) => a - b);
        const [firstUs = Number.NaN] = missing;
        // What it had said before it stopped was heard within one way, and a busy agent may take some time more.
        const settledUs = stoppedUs + (oneWayMs + 500) * 1_000;
        const beats = collector.spans.filter(
          ({ name, service, endUs }) =>
            service === lagServiceName &&
            name === lagSpanName(us, target) &&
            endUs > settledUs &&
            endUs < resumedUs,
        );
        const wrongMs = beats.map(({ startUs }) => Math.abs(startUs - firstUs) / 1_000);
        console.log(
          `${oneWayMs} ms to ${target}: ${beats.length} heartbeats, off by ${wrongMs.map((ms) => ms.toFixed(2)).join(', ')} ms`,
        );
        expect(beats.length).toBeGreaterThanOrEqual(2);
        expect(Math.max(...wrongMs)).toBeLessThan(rightMs);
      },
    );
  },
);
