import assert from 'node:assert/strict';
import { mkdtempSync } from 'node:fs';
import { join } from 'node:path';
import { Load } from '../load.ts';
import { Machines } from '../machines.ts';
import { Shop } from '../shop.ts';
import { deploy } from './deploy.ts';
import { failover } from './failover.ts';
import type { Procedure } from './procedure.ts';

const basePortApart = 100;

export const twoRegions: Procedure = {
  name: 'two-regions',
  what: 'a deployment of its own with two regions and a witness: deployed, a region lost, failed over and back, the witness lost',
  async run(rehearsal) {
    const { shop, network } = rehearsal;
    const [first, second, third] = network.machines;
    assert(first !== undefined && second !== undefined && third !== undefined, 'there are three machines');
    const dir = mkdtempSync(join(shop.place.dir, 'two-'));
    const machines = new Machines(dir);
    const pair = new Shop({
      ...shop.place,
      machines,
      dir,
      on: new Map([
        ['us-east-1', first],
        ['eu-west-1', second],
        ['witness', third],
      ]),
      cluster: 'pair',
      basePort: shop.place.basePort + basePortApart,
    });
    try {
      await deploy.run({ ...rehearsal, shop: pair });
      await failover.run({ ...rehearsal, shop: pair });
      const load = new Load(pair);
      await load.start();
      await pair.stop('witness/nats');
      await load.more(100);
      pair.start('witness/nats');
      await load.more(50);
      await load.stop();
      await pair.settled();
      pair.say('the witness may be away');
    } finally {
      await machines.close();
    }
  },
};
