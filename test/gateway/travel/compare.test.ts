/** Two places of one history compared through a gateway: the rows between them, and statements that bring them back. */
import type { Client } from '@libsql/client';
import { afterEach, expect, it } from 'vitest';
import { comparePlaces } from '../../../regions/compare/compare-places.ts';
import { bringBack } from '../../../regions/compare/core/bring-back.ts';
import { SqlLink } from '../../../regions/transfer/sql-link.ts';
import { GatewayWorld, urlOf, writes } from '../process/gateway-harness.ts';

let world: GatewayWorld | null = null;
afterEach(async () => {
  await world?.close();
  world = null;
});

const placeOf = async (client: Client): Promise<string> => {
  const { rows } = await client.execute('PRAGMA sextant_position');
  return `1:${String(rows[0]?.[0]).split(' ')[0]}`;
};

it('what lies between two places is found at a gateway, with values that no answer carries, and brought back by its statements', async () => {
  world = await GatewayWorld.start();
  const gateway = await world.gateway('g1', { limits: { pastPlaces: 2 } });
  await writes(gateway);
  const client = world.client(gateway);
  const link = new SqlLink(urlOf(gateway), null);
  await client.batch(
    [
      'CREATE TABLE t (id INTEGER PRIMARY KEY, v)',
      'CREATE TABLE k (name TEXT COLLATE NOCASE PRIMARY KEY, v) WITHOUT ROWID',
      'CREATE VIRTUAL TABLE words USING fts5(w)',
      "INSERT INTO t VALUES (1, 'one'), (2, 'two')",
      `INSERT INTO t SELECT value + 10, zeroblob(30000) FROM json_each('[${Array.from({ length: 200 }, (_, i) => i)}]')`,
      "INSERT INTO k VALUES ('B', 1), ('a', 2)",
    ],
    'write',
  );
  const before = await placeOf(client);
  await client.batch(
    [
      'UPDATE t SET v = 9e999 WHERE id = 1',
      'DELETE FROM t WHERE id = 2',
      "INSERT INTO t VALUES (3, CAST(X'FF00' AS TEXT)), (4, 'é')",
      "INSERT INTO k VALUES ('C', -0.5)",
      'CREATE INDEX by_v ON k(v)',
    ],
    'write',
  );
  const after = await placeOf(client);
  const compare = (from: string, to: string) =>
    comparePlaces(link, { before: from, after: to, limit: 100, progress: () => undefined });

  const found = await compare(before, after);
  expect(
    found.tables.map(({ shape, inserted, changed, deleted }) => [shape.name, inserted, changed, deleted]),
  ).toEqual([
    ['k', 1, 0, 0],
    ['t', 2, 1, 1],
  ]);
  expect(found.schema.map(({ change, name }) => [change, name])).toEqual([['created', 'by_v']]);
  expect(found.notCompared).toEqual([{ name: 'words', isVirtual: true, reason: 'it is a virtual table' }]);

  // The other way round the statements take the change back, and forward again they bring it back: no place stays taken in between.
  const run = (lines: readonly string[]) =>
    client.executeMultiple(lines.filter((line) => !line.startsWith('--')).join('\n'));
  await run(bringBack(await compare(after, before)));
  expect(await compare(before, await placeOf(client))).toMatchObject({ schema: [], tables: [] });
  await run(bringBack(found));
  expect(await compare(after, await placeOf(client))).toMatchObject({ schema: [], tables: [] });

  await expect(compare('9:1', after)).rejects.toThrow('knows epoch 9');
}, 120_000);
