import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { eventually } from '../../storage/region-harness.ts';
import { TestDeployment } from '../local-deployment.ts';
import { idsIn, SteadyWriter } from '../steady-writer.ts';

const region = 'us-east-1';
const endpointsSchema = z.object({
  writer: z.object({ gateway: z.string() }).nullable(),
  gateways: z.array(z.object({ gateway: z.string(), ready: z.boolean() })),
});
let deployment: TestDeployment;

beforeAll(async () => {
  deployment = await TestDeployment.start({ regions: [region], flags: ['--gateways', '2'] });
}, 300_000);
afterAll(() => deployment?.stop());

async function seen(): Promise<z.infer<typeof endpointsSchema>> {
  const answer = await fetch(`http://${deployment.endpoint(region, 'writer')}/v1/endpoints`);
  return endpointsSchema.parse(await answer.json());
}

describe('two gateways of a region, behind its endpoints', () => {
  it('a writer that is killed costs no acknowledged write, and the endpoint leads to the other one', async () => {
    const client = deployment.clientAt(deployment.endpoint(region, 'writer'));
    await client.execute('CREATE TABLE t (id INTEGER PRIMARY KEY, text TEXT)');
    await eventually(
      'both are ready',
      async () => (await seen()).gateways.filter(({ ready }) => ready).length === 2,
    );
    const lost = (await seen()).writer?.gateway ?? '';
    // A gateway counts signs of the writer once its connection to NATS is two seconds old.
    await sleep(2_500);
    const load = new SteadyWriter(client, 't', { perSecond: 40 });
    await load.acknowledges(10);
    await deployment.run('gateway', 'kill', `${region}/${lost}`);
    await load.nextAcknowledgement(10_000);
    const { acknowledged, failed } = await load.stop();
    const now = await seen();
    expect(now.writer?.gateway).toBe(lost === 'g1' ? 'g2' : 'g1');
    const readers = deployment.clientAt(deployment.endpoint(region, 'reader'));
    const here = await idsIn(readers, 't');
    expect(acknowledged.filter((id) => !here.has(id))).toEqual([]);
    // What was on its way to the killed process is unknown, to the gateway or to the client itself.
    expect(
      failed.every(({ code }) => code === 'SEXTANT_COMMIT_UNKNOWN' || code.includes('fetch failed')),
    ).toBe(true);
    await deployment.run('node', 'start', `${region}/${lost}`);
    await eventually(
      'it is back',
      async () => (await seen()).gateways.filter(({ ready }) => ready).length === 2,
      30_000,
    );
    expect((await seen()).writer?.gateway).toBe(now.writer?.gateway);
    expect(await deployment.run('status')).toMatch(/gateway .*(writes|reads)[\s\S]*g2 .*(writes|reads)/);
  }, 90_000);
});
