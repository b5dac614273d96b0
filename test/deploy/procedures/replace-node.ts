import { cpSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Load } from '../load.ts';
import type { Procedure } from './procedure.ts';

export const replaceNode: Procedure = {
  name: 'replace-node',
  what: 'a node is emptied at its address, then another on another machine takes the place of one, and neither fails a request',
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

    // The new node runs from a copy of the file, in which it stands in the place of the old one.
    const [old, next] = ['n5', 'n7'] as const;
    const [leaving, joining] = [`${region}/${old}`, `${region}/${next}`] as const;
    shop.moved.set(joining, spare);
    await shop.must(
      ...['certs', 'issue', shop.authority, '--region', region, '--role', 'storage'],
      ...['--name', next, '--host', spare.address],
    );
    cpSync(join(shop.authority, region), join(shop.folderOf(region), 'certs', region), { recursive: true });
    const file = shop.fileOf(region);
    const text = readFileSync(file, 'utf8');
    const [before, after] = [`node: ${old}`, `node: ${next}`] as const;
    if (!text.includes(before) || !text.includes(shop.addressOf(leaving)))
      throw new Error(`${file} names no ${old} at ${shop.addressOf(leaving)}`);
    const changed = text.replace(before, after).replace(shop.addressOf(leaving), shop.addressOf(joining));
    const copy = join(shop.folderOf(region), `with-${next}.yaml`);
    writeFileSync(copy, changed);
    shop.files.set(joining, copy);
    shop.start(joining);
    await shop.must('node', 'replace', leaving, '--with', `${next}@${shop.addressOf(joining)}`);
    shop.say(`${next} on another machine counts, and ${old} does not`);

    // Nothing is started again for it. The files say it afterwards, for the next start.
    await shop.stop(leaving);
    shop.hasReplaced(region, old, next);
    writeFileSync(file, changed);
    shop.files.delete(joining);
    rmSync(copy);
    await shop.check();
    await shop.well();
    await load.more(50);
    await shop.restart(joining);
    await load.more(20);
    await load.stop();
  },
};
