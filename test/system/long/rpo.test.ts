/** The RPO of 0 on real processes: one round of what `rpo-rounds.ts` does many of. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { TestDeployment } from '../local-deployment.ts';
import { loseRegion, rpoRegions } from '../rpo-rounds.ts';

const slow = 300_000;

describe('an RPO of 0', () => {
  let deployment: TestDeployment;

  beforeAll(async () => {
    deployment = await TestDeployment.start({ regions: rpoRegions });
    await deployment.run('policy', '--rpo-ms', '0');
  }, slow);

  afterAll(async () => {
    await deployment.stop();
  }, slow);

  test(
    'loses no acknowledged row with the primary region',
    async () => {
      const account = await loseRegion(deployment, 1);
      expect(account.acknowledged).toBeGreaterThan(100);
      expect(account.lost).toEqual([]);
    },
    slow,
  );

  test(
    'holds answers while no other region is there, says for whom, and lets them go when it is switched off',
    async () => {
      const { primary } = await deployment.settled(120_000);
      const others = deployment.regions.filter((name) => name !== primary);
      const client = deployment.client(primary ?? '');
      await client.execute('CREATE TABLE held (id INTEGER PRIMARY KEY)');
      await deployment.settled(60_000);
      for (const region of others) await deployment.run('node', 'kill', `${region}/agent`);
      let answered = false;
      const write = client.execute('INSERT INTO held VALUES (1)').then(() => {
        answered = true;
      });
      const status = await deployment.until('an answer is held', ({ hold }) => (hold?.answers ?? 0) > 0);
      expect(status.hold).toMatchObject({ rpoMs: 0, waitsFor: others });
      // What is not free is not read: a read could show what a failover then loses.
      const { rows } = await client.execute('SELECT count(*) AS n FROM held');
      expect([rows[0]?.n, answered]).toEqual([0, false]);
      await deployment.run('policy', '--rpo-ms', 'off');
      await write;
      expect((await client.execute('SELECT count(*) AS n FROM held')).rows[0]?.n).toBe(1);
      for (const region of others) await deployment.run('node', 'start', `${region}/agent`);
      await deployment.settled(120_000);
    },
    slow,
  );
});
