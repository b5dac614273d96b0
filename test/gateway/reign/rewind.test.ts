/** A rewind as the gateways of a region carry it out: what is read and written, what clients are told, and who finishes it. */
import type { Client } from '@libsql/client';
import { afterEach, describe, expect, it } from 'vitest';
import { LibsqlSession } from '../../../regions/cli/sql/libsql-session.ts';
import { changeControl } from '../../../regions/control/control-link.ts';
import { beginRewind } from '../../../regions/control/core/rewind-record.ts';
import { type Epoch, epoch, lsn } from '../../../storage/redo/ids.ts';
import { eventually } from '../../storage/region-harness.ts';
import { codeOf, GatewayWorld, ready, urlOf, writes } from '../process/gateway-harness.ts';

let world: GatewayWorld | null = null;
const streams: LibsqlSession[] = [];
afterEach(async () => {
  for (const stream of streams.splice(0)) await stream.close();
  await world?.close();
  world = null;
});

async function start(options: { readonly children?: boolean } = {}): Promise<GatewayWorld> {
  world = await GatewayWorld.start(options);
  return world;
}

const positionOf = async (client: Client): Promise<number> => {
  const { rows } = await client.execute('PRAGMA sextant_position');
  return Number(String(rows[0]?.[0]).split(' ')[0]);
};

const valuesOf = async (client: Client): Promise<number[]> =>
  (await client.execute('SELECT v FROM t ORDER BY v')).rows.map(({ v }) => Number(v));

async function rewind(to: { epoch: number; lsn: number }, id: string): Promise<void> {
  if (world === null) throw new Error('no world');
  const store = world.store();
  const changed = await changeControl(store, ({ record }) =>
    beginRewind(record, { id, to: { epoch: epoch(to.epoch), lsn: lsn(to.lsn) }, startedAtMs: Date.now() }),
  );
  store.close();
  expect(changed.kind).toBe('changed');
}

/** The record's epoch once nothing of a rewind is left in it. */
async function rewound(): Promise<Epoch> {
  if (world === null) throw new Error('no world');
  const one = world;
  await eventually('the rewind is over', async () => (await one.record()).record.rewind === undefined);
  return (await one.record()).record.epoch;
}

describe('a rewind', () => {
  it('takes every gateway back and forward again, and tells whoever was in the middle of something', {
    timeout: 90_000,
  }, async () => {
    const one = await start();
    const writer = await one.gateway('g1');
    await writes(writer);
    const reader = await one.gateway('g2');
    await ready(urlOf(reader));
    const [here, there] = [one.client(writer), one.client(reader)];
    await here.execute('CREATE TABLE t (v INTEGER)');
    await here.execute('INSERT INTO t VALUES (1)');
    const to = await positionOf(here);
    for (let v = 2; v <= 40; v++) await here.execute(`INSERT INTO t VALUES (${v})`);
    const end = await positionOf(here);

    // Two that read, one that writes, and one at the other gateway that writes here.
    const open = [writer, reader].map((gateway) => new LibsqlSession(urlOf(gateway), null));
    const writing = [writer, reader].map((gateway) => new LibsqlSession(urlOf(gateway), null));
    streams.push(...open, ...writing);
    const [first, second] = writing;
    for (const stream of open) {
      await stream.execute('BEGIN READONLY');
      expect((await stream.execute('SELECT count(*) FROM t')).rows[0]?.[0]?.json).toBe(40);
    }
    await first?.execute('BEGIN IMMEDIATE');
    await first?.execute('INSERT INTO t VALUES (1000)');

    await rewind({ epoch: 1, lsn: to }, 'back');
    // What comes during the rewind waits, and runs behind it: none fails, and none of those before is left.
    const written: number[] = [];
    for (let v = 100; (await one.record()).record.rewind !== undefined || written.length < 20; v++) {
      await second?.execute(`INSERT INTO t VALUES (${v})`);
      written.push(v);
    }
    expect(await rewound()).toBe(2);
    const behind = (await valuesOf(here)).slice(1);
    expect(behind.length).toBeGreaterThan(0);
    expect(written.slice(-behind.length)).toEqual(behind);
    const count = behind.length + 1;
    await eventually('the other gateway has gone back', async () => (await valuesOf(there)).length === count);
    for (const stream of open) {
      expect(await stream.execute('SELECT count(*) FROM t').catch(codeOf)).toBe('SEXTANT_HISTORY_FORKED');
      expect(await stream.execute('SELECT count(*) FROM t').catch(codeOf)).toBe('SEXTANT_HISTORY_FORKED');
      await stream.execute('ROLLBACK');
      expect((await stream.execute('SELECT count(*) FROM t')).rows[0]?.[0]?.json).toBe(count);
    }
    expect(await first?.execute('INSERT INTO t VALUES (1001)').catch(codeOf)).toBe('SEXTANT_HISTORY_FORKED');
    await first?.execute('ROLLBACK');

    // The path that was left can still be read, and gone forward to.
    const past = await there.batch([`PRAGMA sextant_at = '1:${end}'`, 'SELECT count(*) FROM t'], 'read');
    expect(past[1]?.rows[0]?.[0]).toBe(40n);
    await rewind({ epoch: 1, lsn: end }, 'forward');
    expect(await rewound()).toBe(3);
    expect((await valuesOf(here)).length).toBe(40);
    await eventually('the other gateway has gone forward', async () => (await valuesOf(there)).length === 40);
    await there.execute('INSERT INTO t VALUES (41)');
    expect(await valuesOf(here)).toEqual(Array.from({ length: 41 }, (_, at) => at + 1));
  });

  it('is finished by the next start of a gateway that is killed half way, and made once', {
    timeout: 90_000,
  }, async () => {
    const one = await start();
    let gateway = await one.process('g1');
    const client = () => one.client(gateway.url);
    await client().execute('CREATE TABLE t (v INTEGER)');
    await client().execute('INSERT INTO t VALUES (0)');
    for (const [round, killAfterMs] of [0, 40, 150].entries()) {
      const to = await positionOf(client());
      const { epoch: reign } = (await one.record()).record;
      for (let v = 1; v <= 5; v++) await client().execute(`INSERT INTO t VALUES (${round * 100 + v})`);
      await rewind({ epoch: reign, lsn: to }, `round-${round}`);
      await new Promise((resolve) => setTimeout(resolve, killAfterMs));
      await gateway.kill();
      gateway = await one.process('g1');
      await client().execute(`INSERT INTO t VALUES (${round * 100 + 50})`);
      await rewound();
      const rounds = Array.from({ length: round + 1 }, (_, at) => at * 100 + 50);
      expect(await valuesOf(client())).toEqual([0, ...rounds]);
    }
  });
});
