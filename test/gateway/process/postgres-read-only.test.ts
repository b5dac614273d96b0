/** A user whose access is `read`, at the gateway that writes and at another one. */
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { RunningGateway } from '../../../gateway/process/gateway.ts';
import { makeVerifier } from '../../../regions/postgres/make-verifier.ts';
import { eventually } from '../../storage/region-harness.ts';
import { GatewayWorld } from './gateway-harness.ts';

const verifier = makeVerifier('secret');
const postgres = {
  engine: 'postgres' as const,
  postgres: {
    listen: '127.0.0.1:0',
    users: [
      { name: 'owner', verifier, access: 'full' as const },
      { name: 'guest', verifier, access: 'read' as const },
    ],
  },
};
let world: GatewayWorld;
const gateways: RunningGateway[] = [];
const clients: pg.Client[] = [];

async function connect(gateway: RunningGateway, user: string): Promise<pg.Client> {
  const [host, port] = (gateway.report().postgres ?? '').split(':');
  const client = new pg.Client({ host, port: Number(port), user, password: 'secret', database: 'main' });
  client.on('error', () => undefined);
  clients.push(client);
  await client.connect();
  return client;
}

beforeAll(async () => {
  world = await GatewayWorld.start();
  gateways.push(await world.gateway('g1', {}, postgres));
  const owner = await connect(gateways[0] as RunningGateway, 'owner');
  const schema = `CREATE TABLE IF NOT EXISTS kept (n int);
    CREATE SEQUENCE IF NOT EXISTS counter;
    CREATE OR REPLACE FUNCTION adds() RETURNS int LANGUAGE sql AS 'INSERT INTO kept VALUES (1) RETURNING n';
    CREATE OR REPLACE PROCEDURE added() LANGUAGE plpgsql AS 'BEGIN INSERT INTO kept VALUES (2); END'`;
  // On a busy machine the first lease may lapse meanwhile: what is unknown then is asked again.
  const made = () =>
    owner.query(schema).then(
      () => true,
      () => false,
    );
  await eventually('the tables are made', made, 120_000);
  gateways.push(await world.gateway('g2', {}, postgres));
}, 240_000);
afterAll(async () => {
  for (const client of clients) client.connection.stream.destroy();
  await world?.close();
}, 60_000);

const codeOf = (work: Promise<unknown>): Promise<string> =>
  work.then(
    () => 'it was done',
    (error: { code: string }) => error.code,
  );

/** Each is a transaction's worth of statements; the last one is refused. */
const writes: readonly (readonly string[])[] = [
  ['INSERT INTO kept VALUES (1)'],
  ['UPDATE kept SET n = 2'],
  ['DELETE FROM kept'],
  ['MERGE INTO kept USING (VALUES (1)) v (n) ON false WHEN NOT MATCHED THEN INSERT VALUES (v.n)'],
  ['WITH added AS (INSERT INTO kept VALUES (1) RETURNING n) SELECT * FROM added'],
  ['TRUNCATE kept'],
  ['SELECT adds()'],
  ['CALL added()'],
  ['DO $$ BEGIN INSERT INTO kept VALUES (3); END $$'],
  ["SELECT nextval('counter')"],
  ['SELECT * FROM kept FOR UPDATE'],
  ['SELECT 1 AS n INTO made'],
  ['CREATE TABLE made (n int)'],
  ['CREATE TABLE made AS SELECT 1'],
  ['ALTER TABLE kept ADD m int'],
  ['DROP TABLE kept'],
  ['CREATE ROLE somebody'],
  ['GRANT SELECT ON kept TO PUBLIC'],
  ["COMMENT ON TABLE kept IS 'mine'"],
  ['VACUUM kept'],
  ['EXPLAIN ANALYZE INSERT INTO kept VALUES (1)'],
  ['BEGIN', 'INSERT INTO kept VALUES (1)'],
  ['BEGIN', 'SELECT adds()'],
  ['BEGIN READ WRITE', 'INSERT INTO kept VALUES (1)'],
  ['BEGIN', 'SET TRANSACTION READ WRITE', 'INSERT INTO kept VALUES (1)'],
  ['SET default_transaction_read_only = off', 'SELECT adds()'],
  ['SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE', 'SELECT adds()'],
  ["SELECT set_config('default_transaction_read_only', 'off', false)", 'SELECT adds()'],
  ['INSERT INTO kept VALUES (1); COMMIT'],
  ['SELECT 1; INSERT INTO kept VALUES (1)'],
  ['COPY kept FROM STDIN'],
  ['COPY kept (n) FROM STDIN WITH (FORMAT BINARY)'],
  ['BEGIN', 'COPY kept FROM STDIN'],
  ['PREPARE p AS INSERT INTO kept VALUES (1)', 'EXECUTE p'],
];

describe.each([0, 1])('at gateway %s', (at) => {
  test('a user that may only read is refused every write with 25006, however it is worded', {
    timeout: 120_000,
  }, async () => {
    const gateway = gateways[at] as RunningGateway;
    const wrong: string[] = [];
    for (const statements of writes) {
      const client = await connect(gateway, 'guest');
      let code = '';
      for (const sql of statements)
        code = code === '' || code === 'it was done' ? await codeOf(client.query(sql)) : code;
      if (code !== '25006') wrong.push(`${statements.join('; ')}: ${code}`);
      await client.query('ROLLBACK');
      if ((await codeOf(client.query('TABLE kept'))) !== 'it was done')
        wrong.push(`after ${statements.join('; ')}`);
      await client.end();
    }
    expect(wrong).toEqual([]);
    const owner = await connect(gateway, 'owner');
    expect((await owner.query('SELECT count(*)::int AS n FROM kept')).rows).toEqual([{ n: 0 }]);
    const guest = await connect(gateway, 'guest');
    expect((await guest.query('SELECT count(*)::int AS n FROM kept')).rows).toEqual([{ n: 0 }]);
    expect((await guest.query('SHOW transaction_read_only')).rows).toEqual([{ transaction_read_only: 'on' }]);
  });
});
