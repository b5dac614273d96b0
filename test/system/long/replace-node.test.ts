/** Storage nodes of a real deployment are replaced under load, dead ones and living ones, while the coordinator is killed. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { TestDeployment } from '../local-deployment.ts';
import { idsIn, SteadyWriter } from '../steady-writer.ts';

const region = 'us-east-1';
const replacedSchema = z.object({ outcome: z.string(), nodes: z.array(z.object({ id: z.string() })) });

let deployment: TestDeployment;

beforeAll(async () => {
  deployment = await TestDeployment.start({ regions: [region] });
}, 300_000);

afterAll(async () => {
  await deployment?.stop();
});

const nodesNow = async (): Promise<readonly string[]> =>
  (await deployment.status()).regions.flatMap(({ nodes }) => nodes.map(({ id }) => id));

describe('sextant node replace', { timeout: 240_000 }, () => {
  it('puts a new node in the place of a dead one, though the agent is killed in the middle; no write fails', async () => {
    const client = deployment.client(region);
    await client.execute('CREATE TABLE replaced (id INTEGER PRIMARY KEY, note TEXT)');
    const writer = new SteadyWriter(client, 'replaced', { perSecond: 40 });
    await writer.acknowledges(40);
    await deployment.run('node', 'kill', `${region}/n6`);
    const replacing = deployment.cli(['node', 'replace', `${region}/n6`, '--json'], 180_000);
    // The new node counts beside the old one: the coordinator is under way.
    const file = join(deployment.dataDir, 'deployment.json');
    while (!(await readFile(file, 'utf8')).includes('"replacing"'))
      await new Promise((done) => setTimeout(done, 20));
    while ((await nodesNow()).length === 6) await new Promise((done) => setTimeout(done, 20));
    await deployment.killAgent(region);
    const { code, stdout, stderr } = await replacing;
    expect(code, stderr).toBe(0);
    const { nodes } = replacedSchema.parse(JSON.parse(stdout));
    expect(nodes.map(({ id }) => id)).toEqual(['n1', 'n2', 'n3', 'n4', 'n5', 'n7']);
    // One that lives, right afterwards.
    const second = await deployment.cli(['node', 'replace', `${region}/n1`], 180_000);
    expect(second.code, second.stderr).toBe(0);
    await deployment.run('node', 'kill', `${region}/n2`);
    await deployment.run('node', 'kill', `${region}/n3`);
    await writer.acknowledges(40);
    const account = await writer.stop();
    expect(account.failed).toEqual([]);
    const present = await idsIn(client, 'replaced');
    expect(account.acknowledged.filter((id) => !present.has(id))).toEqual([]);
  });

  it('is over when asked again, and what it came to is there after down and up', async () => {
    const again = await deployment.cli(['node', 'replace', `${region}/n6`]);
    expect([again.code, again.stderr]).toEqual([
      1,
      expect.stringContaining('no node us-east-1/n6; there are'),
    ]);
    const cancelled = await deployment.run('node', 'replace', `${region}/n4`, '--cancel');
    expect(cancelled).toContain('no replacement is under way');
    await deployment.run('down');
    await deployment.up();
    await deployment.settled();
    expect(await nodesNow()).toEqual(['n8', 'n2', 'n3', 'n4', 'n5', 'n7']);
    const count = await deployment.client(region).execute('SELECT count(*) AS rows FROM replaced');
    expect(Number(count.rows[0]?.rows)).toBeGreaterThan(100);
  });
});
