import { cpSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Load } from '../load.ts';
import { gatewayNames, nodeNames } from '../shop.ts';
import type { Procedure } from './procedure.ts';

export const replaceNode: Procedure = {
  name: 'replace-node',
  what: 'a node is emptied at its address, then moves to another machine, under load',
  async run({ shop, spare }) {
    const [region = ''] = shop.regions;
    const load = new Load(shop);
    await load.start();
    const data = (node: string): string => join(shop.folderOf(region), 'data', node);

    await shop.stop(`${region}/n3`);
    await shop.until('n3 is missed', ({ regions }) =>
      regions.some(
        (one) => one.name === region && one.nodes.some(({ id, state }) => id === 'n3' && state !== 'up'),
      ),
    );
    rmSync(data('n3'), { recursive: true });
    await load.more(50);
    shop.start(`${region}/n3`);
    await shop.up(`${region}/n3`);
    shop.say('an emptied node has rebuilt itself at its address');

    const moving = `${region}/n5`;
    const before = shop.addressOf(moving);
    await shop.stop(moving);
    shop.moved.set(moving, spare);
    const file = shop.fileOf(region);
    const text = readFileSync(file, 'utf8');
    if (!text.includes(before)) throw new Error(`${file} names ${before}`);
    writeFileSync(file, text.replaceAll(before, shop.addressOf(moving)));
    await shop.must(
      ...['certs', 'issue', shop.authority, '--region', region, '--role', 'storage'],
      ...['--name', 'n5', '--host', spare.address],
    );
    cpSync(join(shop.authority, region), join(shop.folderOf(region), 'certs', region), { recursive: true });
    await shop.check();
    rmSync(data('n5'), { recursive: true });
    shop.start(moving);
    // The others learn the address from the file, one after another: agent, gateways, nodes.
    await shop.restartUnder(load, `${region}/agent`);
    for (const name of gatewayNames) await shop.restartUnder(load, `${region}/${name}`);
    await shop.well();
    for (const node of nodeNames.filter((name) => name !== 'n5'))
      await shop.restartUnder(load, `${region}/${node}`);
    await shop.well();
    await load.more(50);
    await load.stop();
    shop.say(`a node has moved from ${before} to ${shop.addressOf(moving)}`);
  },
};
