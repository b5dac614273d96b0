import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { gatewayNames } from '../shop.ts';
import type { Procedure } from './procedure.ts';

export const rebuild: Procedure = {
  name: 'rebuild',
  what: 'every NATS server loses its files, and the control record is made anew over --url',
  async run({ shop }) {
    const [first = '', second = ''] = shop.regions;
    await shop.sql(second, 'CREATE TABLE kept (id INTEGER PRIMARY KEY)');
    await shop.sql(second, 'INSERT INTO kept VALUES (1), (2), (3)');
    await shop.settled();
    for (const region of shop.regions) await shop.stop(`${region}/nats`);
    for (const region of shop.regions) {
      rmSync(join(shop.folderOf(region), 'data', 'nats', 'data'), { recursive: true });
      shop.start(`${region}/nats`);
    }
    const control = (...args: readonly string[]) =>
      shop.must(
        ...['control', 'rebuild', ...args, '--url', `https://${shop.addressOf(`${first}/agent`)}`],
        ...['--token', shop.clusterSecret, '--identity', shop.identity],
      );
    assert.match(await control('--dry-run'), new RegExp(first));
    await control();
    shop.say('the record is made anew');
    for (const region of shop.regions)
      for (const name of ['agent', ...gatewayNames]) {
        await shop.stop(`${region}/${name}`);
        shop.start(`${region}/${name}`);
      }
    await shop.settled();
    await shop.sql(second, 'INSERT INTO kept VALUES (4)');
    assert.match(await shop.sql(first, 'SELECT count(*) AS n FROM kept'), /4/);
  },
};
