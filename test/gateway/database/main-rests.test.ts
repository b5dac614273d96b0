import { afterEach, describe, expect, it } from 'vitest';
import type { RunningGateway } from '../../../gateway/process/gateway.ts';
import { eventually } from '../../storage/region-harness.ts';
import { GatewayWorld, ready, urlOf, writes } from '../process/gateway-harness.ts';
import { BranchWorld } from './branch-world.ts';

let world: GatewayWorld | null = null;
let branches: BranchWorld | null = null;

afterEach(async () => {
  branches?.close();
  branches = null;
  await world?.close();
  world = null;
});

const idleMs = 300;

/** A writer with a table of one row. */
async function start(name = 'g1', limits: { readonly branchIdleMs?: number } = {}) {
  world ??= await GatewayWorld.start();
  const gateway = await world.gateway(name, { limits: { idleMs, ...limits } });
  return { world, gateway, client: world.client(gateway, 'ws') };
}

const mainOf = (gateway: RunningGateway) =>
  gateway.report().databases?.find(({ branch }) => branch === 'main');
const atRest = (gateway: RunningGateway): Promise<void> =>
  eventually('main rests', async () => mainOf(gateway)?.awake === false);

/** What `/metrics` says of the threads that read main. */
async function readers(gateway: RunningGateway): Promise<number> {
  const text = await (await fetch(`${urlOf(gateway)}/metrics`)).text();
  return Number(
    /sextant_reader_threads\{[^}]*db_namespace="test"[^}]*state="running"[^}]*\} (\d+)/.exec(text)?.[1],
  );
}

describe('a gateway that has nothing to do', () => {
  it('gives the engines of main back, keeps its reign, and reads and writes again when it is asked', async () => {
    const { world: one, gateway, client } = await start();
    await writes(gateway);
    await client.execute('CREATE TABLE t (v)');
    await client.execute("INSERT INTO t VALUES ('before')");
    const { record } = await one.record();
    const { vdl } = gateway.report();
    await atRest(gateway);
    expect(await readers(gateway)).toBe(0);
    // It is the writer all the same, and ready to be asked.
    expect(gateway.report()).toMatchObject({ phase: 'writing', ready: true, vdl });
    expect(mainOf(gateway)).toMatchObject({ awake: false, writes: true, vdl });
    const texts = async () => (await client.execute('SELECT v FROM t ORDER BY rowid')).rows.map(({ v }) => v);
    expect(await texts()).toEqual(['before']);
    expect(await readers(gateway)).toBeGreaterThan(0);
    await client.execute("INSERT INTO t VALUES ('after')");
    expect(await texts()).toEqual(['before', 'after']);
    await atRest(gateway);
    // A write alone wakes it, too, and one of everything at once.
    await Promise.all([
      ...['a', 'b', 'c'].map((v) => client.execute({ sql: 'INSERT INTO t VALUES (?)', args: [v] })),
      texts(),
    ]);
    expect(await texts()).toHaveLength(5);
    const { epoch, holder } = (await one.record()).record;
    expect({ epoch, holder }).toEqual({ epoch: record.epoch, holder: record.holder });
  });

  it('stays awake for a transaction, and rests beside clients that only stay connected', async () => {
    const { gateway, client } = await start();
    await writes(gateway);
    await client.execute('CREATE TABLE t (v)');
    const transaction = await client.transaction('write');
    await transaction.execute('INSERT INTO t VALUES (1)');
    await new Promise((resolve) => setTimeout(resolve, 3 * idleMs));
    expect(mainOf(gateway)?.awake).toBe(true);
    await transaction.commit();
    await atRest(gateway);
    expect((await client.execute('SELECT count(*) AS n FROM t')).rows[0]?.n).toBe(1n);
  });

  it('goes on hearing of the region while it rests, shows it when it wakes, and takes over', async () => {
    const { world: one, gateway: writer, client } = await start('g1');
    await writes(writer);
    await client.execute('CREATE TABLE t (v)');
    const { gateway: other } = await start('g2');
    await ready(urlOf(other));
    await atRest(other);
    await client.execute('INSERT INTO t VALUES (1)');
    const { vdl } = writer.report();
    await eventually('the news has come', async () => other.report().vdl === vdl);
    expect(mainOf(other)).toMatchObject({ awake: false, writes: false });
    const beside = one.client(other, 'ws');
    expect((await beside.execute('SELECT count(*) AS n FROM t')).rows[0]?.n).toBe(1n);
    await Promise.all([atRest(other), atRest(writer)]);
    // Both rest: a write through the one that reads wakes the other.
    await beside.execute('INSERT INTO t VALUES (2)');
    await Promise.all([atRest(other), atRest(writer)]);
    await writer.close();
    await beside.execute('INSERT INTO t VALUES (3)');
    expect((await beside.execute('SELECT count(*) AS n FROM t')).rows[0]?.n).toBe(3n);
  });

  it('acknowledges on a branch while main rests', async () => {
    const { world: one, gateway, client } = await start('g1', { branchIdleMs: 60_000 });
    await writes(gateway);
    await client.execute('CREATE TABLE t (v)');
    branches = new BranchWorld(one);
    await branches.create('dev');
    const dev = one.client(`ws://${gateway.address}/branch/dev`, 'ws');
    await dev.execute('INSERT INTO t VALUES (1)');
    await atRest(gateway);
    await dev.execute('INSERT INTO t VALUES (2)');
    expect((await dev.execute('SELECT count(*) AS n FROM t')).rows[0]?.n).toBe(2n);
    expect(mainOf(gateway)?.awake).toBe(false);
    expect((await client.execute('SELECT count(*) AS n FROM t')).rows[0]?.n).toBe(0n);
  });
});
