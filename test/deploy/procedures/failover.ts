import assert from 'node:assert/strict';
import type { Procedure } from './procedure.ts';

export const failover: Procedure = {
  name: 'failover',
  what: 'the machine of the primary is lost, another region takes over, and the primary moves back',
  async run({ shop }) {
    const [first = '', second = ''] = shop.regions;
    // With two regions that is the second one again.
    const last = shop.regions.at(-1) ?? '';
    await shop.sql(second, 'CREATE TABLE note (id INTEGER PRIMARY KEY, text TEXT)');
    await shop.sql(second, "INSERT INTO note (text) VALUES ('from the second region')");
    await shop.settled();
    assert.match(await shop.sql(last, 'SELECT text FROM note'), /from the second region/);
    assert.match(await shop.mustAt(second, 'readiness'), new RegExp(second));

    await shop.place.machines.lose(shop.machineOf(`${first}/n1`));
    await shop.mustAt(second, 'failover', '--to', second, '--allow-data-loss');
    await shop.sql(second, "INSERT INTO note (text) VALUES ('after the failover')");
    shop.say(`${first} is lost, ${second} writes`);

    shop.startRegion(first);
    await shop.settled();
    const losses: { losses: unknown[]; unanswered: unknown[] } = JSON.parse(
      await shop.mustAt(second, 'losses', '--json'),
    );
    assert.deepEqual(losses.unanswered, [], 'the region that is back says what it alone had');
    assert.match(await shop.sql(first, 'SELECT text FROM note'), /after the failover/);
    await shop.switchover(first);
    await shop.sql(last, "INSERT INTO note (text) VALUES ('failed back')");
    await shop.settled();
    assert.match(await shop.sql(first, 'SELECT text FROM note'), /failed back/);
    shop.say(`failed back to ${first}; ${losses.losses.length} reports of lost writes`);
  },
};
