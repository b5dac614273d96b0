/** A writer under an RPO: what waits for another region, what lets it go, and what it is told when nothing does. */
import type { Client } from '@libsql/client';
import { afterEach, describe, expect, it } from 'vitest';
import type { RunningGateway } from '../../../gateway/process/gateway.ts';
import { eventually } from '../../storage/region-harness.ts';
import { codeOf, GatewayWorld, urlOf, writes } from './gateway-harness.ts';
import { acknowledge, demand } from './rpo-harness.ts';

let world: GatewayWorld | null = null;

afterEach(async () => {
  await world?.close();
  world = null;
});

interface Writer {
  readonly one: GatewayWorld;
  readonly gateway: RunningGateway;
  readonly client: Client;
}

async function writer(writeWaitMs = 60_000): Promise<Writer> {
  world = await GatewayWorld.start();
  const gateway = await world.gateway('g1', {
    limits: { writeWaitMs, quorumWaitMs: Math.min(writeWaitMs, 1_000), readWaitMs: 1_000 },
  });
  await writes(gateway);
  const client = world.client(gateway);
  await client.execute('CREATE TABLE t (id INTEGER PRIMARY KEY)');
  return { one: world, gateway, client };
}

const insert = (client: Client, id: number): Promise<unknown> =>
  client.execute({ sql: 'INSERT INTO t VALUES (?)', args: [id] });
const count = async (client: Client): Promise<number> =>
  Number((await client.execute('SELECT count(*) AS n FROM t')).rows[0]?.n);

/** Whether it has not settled after a time in which it would have without a policy. */
async function waits(promise: Promise<unknown>): Promise<boolean> {
  const settled = promise.then(
    () => true,
    () => true,
  );
  return !(await Promise.race([
    settled,
    new Promise<false>((resolve) => setTimeout(() => resolve(false), 400)),
  ]));
}

describe('an RPO of 0', () => {
  it('holds the answer to a write, and reads of it, until another region has it durable in this reign', async () => {
    const all = await writer();
    const { client, gateway, one } = all;
    await demand(all, 0);
    await acknowledge(all);
    const before = gateway.report().vdl;
    const write = insert(client, 1);
    expect(await waits(write)).toBe(true);
    // Reads go on at what every answer so far has seen; a global read decides about the write, so it waits.
    const reader = one.client(gateway);
    expect(await count(reader)).toBe(0);
    const globally = one.client(`${gateway.address}/read/global/`);
    const read = count(globally);
    expect(await waits(read)).toBe(true);
    await acknowledge(all, { vdl: before });
    await acknowledge(all, { head: 99 });
    expect(await waits(write)).toBe(true);
    expect(gateway.report().hold).toMatchObject({ rpoMs: 0, answers: expect.any(Number) });
    const metrics = await (await fetch(`${urlOf(gateway)}/metrics`)).text();
    expect(metrics).toMatch(/sextant_rpo_held_answers\{[^}]*\} [1-9]/);
    await acknowledge(all);
    await write;
    expect([await read.catch(codeOf), await count(reader)]).toEqual([expect.anything(), 1]);
    expect(gateway.report().hold).toBeUndefined();
    expect(await (await fetch(`${urlOf(gateway)}/metrics`)).text()).toMatch(
      /sextant_rpo_hold_duration_seconds_count\{[^}]*\} [1-9]/,
    );
  });

  it('lets everything go as soon as the policy is switched off', async () => {
    const all = await writer();
    await demand(all, 0);
    const write = insert(all.client, 1);
    expect(await waits(write)).toBe(true);
    await demand(all, null);
    await write;
    await insert(all.client, 2);
  });

  it('gives an answer up after writeWaitMs, names the policy and the way out, and keeps the write', async () => {
    const all = await writer(1_500);
    const { client, gateway } = all;
    await demand(all, 0);
    const error = await insert(client, 1).catch((reason: unknown) => reason);
    expect(codeOf(error)).toBe('SEXTANT_COMMIT_UNKNOWN');
    for (const words of ['durable in this region', 'policy --rpo-ms 0', 'sextant policy --rpo-ms off'])
      expect(String(error)).toContain(words);
    expect(await count(client)).toBe(0);
    await acknowledge(all);
    await eventually(
      'the write is there once another region has it',
      async () => (await count(client)) === 1,
    );
    expect(gateway.report().hold).toBeUndefined();
  });

  it('is not ready while answers have waited for long, and says why', async () => {
    const all = await writer();
    await demand(all, 0);
    const write = insert(all.client, 1);
    await eventually('the gateway is not ready', async () => {
      const answer = await fetch(`${urlOf(all.gateway)}/readyz`);
      return answer.status === 503 && (await answer.text()).includes('policy --rpo-ms 0');
    });
    await acknowledge(all);
    await write;
  });

  it('after a restart of the writer holds reads, too, until another region has what the reign began with', async () => {
    // The answer is given up soon, or it would hold up the end of its gateway.
    const all = await writer(1_000);
    await demand(all, 0);
    await acknowledge(all);
    expect(await insert(all.client, 1).catch(codeOf)).toBe('SEXTANT_COMMIT_UNKNOWN');
    await all.gateway.close();
    const gateway = await all.one.gateway('g1', { limits: { writeWaitMs: 60_000, quorumWaitMs: 1_000 } });
    await writes(gateway);
    const again = { ...all, gateway };
    const read = count(all.one.client(gateway));
    expect(await waits(read)).toBe(true);
    await acknowledge(again);
    expect(await read).toBe(1);
  });
});

describe('an RPO of N milliseconds', () => {
  it('lets answers go while the best secondary is not further behind, and holds them while it is', async () => {
    const all = await writer();
    const { client } = all;
    await demand(all, 3_000);
    // How old what was there before is nobody knows.
    const first = insert(client, 1);
    expect(await waits(first)).toBe(true);
    await acknowledge(all);
    await first;
    await insert(client, 2);
    await new Promise((resolve) => setTimeout(resolve, 3_100));
    const late = insert(client, 3);
    expect(await waits(late)).toBe(true);
    await acknowledge(all);
    await late;
  });
});
