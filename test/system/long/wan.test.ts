/**
 * A real deployment with `--wan`: what goes from one region to another takes as long as was injected, and what stays in a region
 * takes no longer than before. Times are the best of several: a busy machine adds to each, and a cable never takes away.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Client } from '@libsql/client';
import { connect } from 'nats';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { z } from 'zod';
import { subjectsOf } from '../../../regions/bus/core/messages.ts';
import { cityRoundTripMs } from '../../../regions/local/cables/core/city-round-trips.ts';
import { portsOf } from '../../../regions/local/layout/core/local-ports.ts';
import { readinessSchema } from '../../../regions/readiness/core/readiness.ts';
import { type RegionId, regionId } from '../../../storage/core.ts';
import { TestDeployment } from '../local-deployment.ts';

const [us, eu, ap] = [regionId('us-east-1'), regionId('eu-west-1'), regionId('ap-northeast-1')];
const regions = [us, eu, ap];
/** What statements, six disks and a machine of two busy cores may add. */
const localMs = 400;
let deployment: TestDeployment;
let writer: Client;

beforeAll(async () => {
  deployment = await TestDeployment.start({ regions, flags: ['--wan'] });
  await deployment.settled();
  writer = deployment.client(us, 'ws');
  await writer.execute('CREATE TABLE note (id INTEGER PRIMARY KEY, text TEXT)');
}, 180_000);
afterAll(async () => {
  await deployment.stop();
}, 60_000);

async function best(times: number, run: () => Promise<unknown>): Promise<number> {
  let bestMs = Number.POSITIVE_INFINITY;
  for (let attempt = 0; attempt < times; attempt += 1) {
    const beganMs = performance.now();
    await run();
    bestMs = Math.min(bestMs, performance.now() - beganMs);
  }
  return bestMs;
}

/** From one region's NATS server to another region's agent and back. */
async function natsMs(from: RegionId, to: RegionId): Promise<number> {
  const { cluster, natsToken, basePort } = z
    .object({ cluster: z.string(), natsToken: z.string(), basePort: z.number() })
    .parse(JSON.parse(readFileSync(join(deployment.dataDir, 'deployment.json'), 'utf8')));
  const connection = await connect({
    servers: `127.0.0.1:${portsOf(basePort, regions.indexOf(from)).nats}`,
    token: natsToken,
  });
  const ask = () =>
    connection.request(subjectsOf(cluster).agent(to), '{"kind":"losses"}', { timeout: 5_000 });
  const bestMs = await best(8, ask);
  await connection.close();
  return bestMs;
}

const rtt = (from: string, to: string): number => cityRoundTripMs(from, to) ?? Number.NaN;
const write = (text: string) => writer.execute({ sql: 'INSERT INTO note (text) VALUES (?)', args: [text] });

describe('with --wan', () => {
  test('a message and its answer take the round trip of the cities, and none within a region', async () => {
    const pairs = [
      [us, eu],
      [eu, us],
      [us, ap],
      [ap, eu],
    ] as const;
    for (const [from, to] of pairs) {
      const ms = await natsMs(from, to);
      console.log(`NATS ${from} to ${to}: ${ms.toFixed(1)} ms of ${rtt(from, to)} injected`);
      expect(ms).toBeGreaterThanOrEqual(rtt(from, to) - 2);
      expect(ms).toBeLessThan(rtt(from, to) + 25);
    }
    expect(await natsMs(us, us)).toBeLessThan(25);
    expect((await deployment.run('status')).replace(/ +/g, ' ')).toContain('us-east-1 – 76 ms 157 ms');
  }, 60_000);

  test('a write in the primary is as fast as before, and one in another region takes one round trip more', async () => {
    const figures: [string, number][] = [];
    for (const region of regions) {
      const client = deployment.client(region, 'ws');
      await client.execute('SELECT 1');
      figures.push([region, await best(10, () => client.execute("INSERT INTO note (text) VALUES ('w')"))]);
    }
    for (const [region, ms] of figures) {
      const injectedMs = rtt(us, region);
      console.log(`write in ${region}: ${ms.toFixed(1)} ms, of which ${injectedMs} injected`);
      expect(ms).toBeGreaterThanOrEqual(injectedMs);
      expect(ms).toBeLessThan(injectedMs + localMs);
    }
  }, 60_000);

  test('a write is seen in another region half a round trip later, and lag there is no less than that', async () => {
    for (const region of [eu, ap]) {
      const reader = deployment.client(region, 'ws');
      let bestMs = Number.POSITIVE_INFINITY;
      for (let attempt = 0; attempt < 5; attempt += 1) {
        const text = `${region} ${attempt}`;
        const beganMs = performance.now();
        await write(text);
        for (;;) {
          const { rows } = await reader.execute({
            sql: 'SELECT count(*) AS n FROM note WHERE text = ?',
            args: [text],
          });
          if (rows[0]?.n === 1) break;
          await sleep(2);
        }
        bestMs = Math.min(bestMs, performance.now() - beganMs);
      }
      const injectedMs = rtt(us, region) / 2;
      console.log(`write seen in ${region}: after ${bestMs.toFixed(1)} ms, of which ${injectedMs} injected`);
      expect(bestMs).toBeGreaterThanOrEqual(injectedMs);
      expect(bestMs).toBeLessThan(injectedMs + localMs);
    }
    // Acknowledgements take the other half: under steady writes the primary never sees less than a whole round trip.
    const until = performance.now() + 3_000;
    const lags: number[] = [];
    const writing = (async () => {
      while (performance.now() < until) await write('steady');
    })();
    while (performance.now() < until) {
      const { regions: all } = await deployment.status(us);
      const lagMs = all.find(({ name }) => name === ap)?.lagMs;
      if (typeof lagMs === 'number' && lagMs > 0) lags.push(lagMs);
      await sleep(50);
    }
    await writing;
    lags.sort((a, b) => a - b);
    const median = lags[Math.floor(lags.length / 2)] ?? 0;
    console.log(`lag of ${ap} under steady writes: median ${median} ms, of which ${rtt(us, ap)} injected`);
    expect(median).toBeGreaterThanOrEqual(rtt(us, ap) / 2);
    expect(median).toBeLessThan(rtt(us, ap) + localMs);
  }, 60_000);

  test('a region can be made slower for a while, and is no different afterwards', async () => {
    await deployment.run('region', 'slow', eu, '--ms', '300');
    const slowMs = await natsMs(us, eu);
    expect(slowMs).toBeGreaterThanOrEqual(rtt(us, eu) + 298);
    expect(slowMs).toBeLessThan(rtt(us, eu) + 325);
    expect(await natsMs(us, ap)).toBeLessThan(rtt(us, ap) + 25);
    expect(await deployment.run('status')).toContain('the link of eu-west-1 is slowed down');
    await deployment.run('region', 'heal', eu);
    expect(await natsMs(us, eu)).toBeLessThan(rtt(us, eu) + 25);
  }, 60_000);

  test('a switchover waits for some round trips, and readiness says beforehand whether it would be refused', async () => {
    const out = await deployment.run('switchover', '--to', eu, '--json');
    const { result } = z.object({ result: z.object({ pauseMs: z.number() }) }).parse(JSON.parse(out));
    console.log(`switchover to ${eu}: writes paused for ${result.pauseMs} ms`);
    // The record changes hands twice, and what was drained travels once.
    expect(result.pauseMs).toBeGreaterThanOrEqual(rtt(us, eu));
    expect(result.pauseMs).toBeLessThan(5_000);
    await deployment.until('all ready', ({ regions: all }) => all.every(({ ready }) => ready));
    const { primary, regions: judged } = readinessSchema.parse(
      JSON.parse(await deployment.run('readiness', '--json')),
    );
    expect(primary).toBe(eu);
    expect(judged.map(({ region, ready, reasons }) => [region, ready, reasons])).toEqual([
      [us, true, []],
      [ap, true, []],
    ]);
    await deployment.run('node', 'kill', `${ap}/n1`);
    await deployment.run('node', 'kill', `${ap}/n2`);
    await deployment.run('node', 'kill', `${us}/n1`);
    await deployment.run('node', 'kill', `${us}/n2`);
    await deployment.run('node', 'kill', `${us}/n3`);
    const red = async () => {
      const said = readinessSchema.parse(JSON.parse(await deployment.run('readiness', '--json')));
      return said.regions.filter(({ ready }) => !ready).map(({ region }) => region);
    };
    await vi.waitFor(async () => expect(await red()).toEqual([us]), { timeout: 20_000, interval: 250 });
    expect((await deployment.cli(['switchover', '--to', us])).stderr).toContain('TARGET_NOT_READY');
    await deployment.run('node', 'kill', `${ap}/n3`);
    await vi.waitFor(async () => expect((await deployment.cli(['readiness'])).code).toBe(1), {
      timeout: 20_000,
      interval: 250,
    });
  }, 90_000);
});
