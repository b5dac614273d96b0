import { afterEach, expect, test } from 'vitest';
import { gatewayConfigSchema } from '../../../gateway/process/config.ts';
import { gatewayOf, targetOf } from '../../../regions/cli/ask/admin-client.ts';
import { SqlLink } from '../../../regions/transfer/sql-link.ts';
import { startWire, type Wire } from '../../regions/transfer/transfer-harness.ts';
import { eventually } from '../../storage/region-harness.ts';
import { GatewayWorld, ready, urlOf, writes } from './gateway-harness.ts';

let world: GatewayWorld | null = null;
let proxy: Wire | null = null;
afterEach(async () => {
  await world?.close();
  await proxy?.close();
});

test('G48: commands go where a gateway says that it is reached, not where it listens', async () => {
  world = await GatewayWorld.start();
  let behind = '';
  proxy = await startWire(
    () => behind,
    () => 'answered',
  );
  const gateway = await world.gateway('g1', {}, { advertise: proxy.url });
  behind = urlOf(gateway);
  await writes(gateway);
  await ready(urlOf(gateway));
  expect(gateway.address).toMatch(/^127\.0\.0\.1:\d+$/);
  const target = targetOf({ data: 'none', url: urlOf(gateway) });
  await eventually(
    'the region is known',
    async () => (await gatewayOf(target, 'us-east-1').catch(() => '')) !== '',
  );
  const url = await gatewayOf(target, 'us-east-1');
  expect(url).toBe(proxy.url);
  const answer = await new SqlLink(url, null).ask([{ sql: 'SELECT 41 + 1' }]);
  expect(answer).toMatchObject({ kind: 'answered', rows: [[[{ value: '42' }]]] });
  expect(proxy.bodies).toHaveLength(1);
});

test.each<[string, boolean]>([
  ['203.0.113.7:443', true],
  ['db.example:7011', true],
  ['https://db.example', true],
  ['http://db.example:8080', true],
  ['db.example', false],
  ['https://db.example/path', false],
  ['https://user@db.example', false],
  ['', false],
])('advertise: %s is taken: %s', (advertise, isTaken) => {
  const problems = gatewayConfigSchema.safeParse({ advertise }).error?.issues ?? [];
  expect(problems.every(({ path }) => path[0] !== 'advertise')).toBe(isTaken);
});
