/** A region comes to a deployment that runs, under writes, leaves it as a deployment of its own, and another one leaves for good. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { z } from 'zod';
import { TestDeployment } from '../local-deployment.ts';
import { idsIn, SteadyWriter } from '../steady-writer.ts';

const [east, europe, asia] = ['us-east-1', 'eu-west-1', 'ap-northeast-1'] as const;
let deployment: TestDeployment;
let detached: TestDeployment | undefined;

beforeAll(async () => {
  deployment = await TestDeployment.start({ regions: [east, europe] });
}, 150_000);
afterAll(async () => {
  await detached?.stop();
  await deployment?.stop();
}, 60_000);

const detachedSchema = z.object({
  cluster: z.string(),
  dataDir: z.string(),
  basePort: z.number(),
  left: z.object({ epoch: z.number(), vdl: z.number() }),
});

it('a region is taken in, detached and removed while writes go on, and none of them fails', {
  timeout: 240_000,
}, async () => {
  await deployment.client(east).execute('CREATE TABLE t (id INTEGER PRIMARY KEY, note TEXT)');
  const writer = new SteadyWriter(deployment.client(europe), 't', { perSecond: 50 });
  await writer.acknowledges(20);

  const lines = (await deployment.run('region', 'add', asia, '--json')).trim().split('\n');
  const last = z
    .object({ event: z.string(), receivedBytes: z.number() })
    .parse(JSON.parse(lines.at(-1) ?? ''));
  expect(last).toMatchObject({ event: 'ready' });
  expect(last.receivedBytes).toBeGreaterThan(0);
  const three = await deployment.settled();
  expect(three.regions.map(({ name }) => name)).toEqual([east, europe, asia]);

  // It can write, and it does: the region that has come takes over and gives back.
  await deployment.run('switchover', '--to', asia);
  await writer.acknowledges(20);
  expect((await deployment.cli(['region', 'remove', asia])).stderr).toMatch(/IS_PRIMARY.*switch over first/);
  await deployment.run('switchover', '--to', east);
  await writer.acknowledges(20);

  const said = detachedSchema.parse(JSON.parse(await deployment.run('region', 'detach', asia, '--json')));
  await writer.acknowledges(50);
  const account = await writer.stop();
  expect(account.failed).toEqual([]);
  const before = new Set(account.acknowledged);
  expect(await idsIn(deployment.client(east), 't')).toEqual(before);

  // Its own deployment has what it had, takes writes, and knows nothing of what the other has written since.
  detached = await TestDeployment.reopen(said.dataDir, [asia], said.basePort);
  const apart = await idsIn(detached.client(asia), 't');
  expect([...apart].filter((id) => !before.has(id))).toEqual([]);
  expect(apart.size).toBeGreaterThan(0);
  await detached.client(asia).execute("INSERT INTO t VALUES (1000000, 'apart')");
  expect((await detached.settled()).epoch).toBeGreaterThan(said.left.epoch);
  expect((await idsIn(deployment.client(east), 't')).has(1_000_000)).toBe(false);

  // One that is dead for good goes too; the other goes on alone.
  await deployment.run('region', 'kill', europe);
  expect((await deployment.cli(['region', 'remove', europe, '--delete-data'])).code).toBe(0);
  await deployment.client(east).execute("INSERT INTO t VALUES (2000000, 'alone')");
  const one = await deployment.settled();
  expect(one.regions.map(({ name }) => name)).toEqual([east]);
});
