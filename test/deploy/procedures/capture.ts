import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createClient } from '@libsql/client';
import { Capture, captureProblem } from '../capture.ts';
import { Load } from '../load.ts';
import { sayPlainly } from '../probe.ts';
import type { Procedure } from './procedure.ts';

const marker = 'MARKER-in-a-row-0123456789';
const canary = 'CANARY-in-plain-text-0123456789';
/** A key's body, without the lines around it. */
const lineOf = (pem: string): string => pem.split('\n')[1] ?? '';

export const capture: Procedure = {
  name: 'capture',
  what: 'everything on the switch is recorded while clients write and the primary moves: no SQL, row, key, secret or token',
  async run({ shop, network }) {
    const problem = captureProblem(network);
    if (problem !== undefined) {
      shop.say(`nothing is recorded: ${problem}`);
      return;
    }
    const [first = '', second = ''] = shop.regions;
    const recorded = await Capture.start(network, join(shop.place.dir, 'switch.pcap'));
    // What is there to be seen is seen: one canary in plain text, which is refused.
    await sayPlainly(shop.addressOf(`${first}/g1`), `GET /${canary} HTTP/1.1\r\nhost: x\r\n\r\n`);
    const load = new Load(shop);
    await load.start();
    for (const region of shop.regions) {
      const client = createClient({ url: shop.gateway(region), authToken: shop.token });
      await client.execute(`CREATE TABLE IF NOT EXISTS hidden_things (text TEXT)`);
      await client.execute({ sql: 'INSERT INTO hidden_things VALUES (?)', args: [`${marker} ${region}`] });
      await client.execute('SELECT text FROM hidden_things');
      client.close();
    }
    await shop.switchover(second);
    await shop.switchover(first);
    await shop.restartUnder(load, `${first}/n1`, `${first}/n2`);
    await shop.must('doctor');
    await load.more(100);
    await load.stop();
    const seen = await recorded.stop();
    assert(seen.includes(canary), 'the recording shows what is said in plain text');
    assert(seen.length > 2_000_000, `${seen.length} bytes were recorded`);
    const ofRegion = (name: string) => readFileSync(join(shop.folderOf(first), name), 'utf8').trim();
    const hidden = {
      'a row': marker,
      'a name of a table': 'hidden_things',
      SQL: 'INSERT INTO',
      'more SQL': 'CREATE TABLE',
      'a query': 'SELECT ',
      'the format of a database': 'SQLite format 3',
      'the cluster secret': shop.clusterSecret,
      'the password of routes': ofRegion('secrets/nats-route'),
      'a token': shop.token.split('.')[2] ?? shop.token,
      'a header with a token': 'Bearer ',
      'a private key': 'PRIVATE KEY',
      'the key of a gateway': lineOf(ofRegion(`certs/${first}/gateway/g1/key.pem`)),
      'a subject of NATS': `sextant.${shop.place.cluster}.`,
      'the bucket of the control record': 'KV_',
    };
    for (const [what, text] of Object.entries(hidden))
      assert(!seen.includes(text), `somebody on the way sees ${what}: ${text.slice(0, 12)}…`);
    shop.say(`${(seen.length / 1e6).toFixed(1)} MB recorded, and nothing of it in plain text`);
  },
};
