import { generateKeyPairSync, sign } from 'node:crypto';
import { request } from 'node:http';
import { type Client, createClient } from '@libsql/client';
import { afterEach, describe, expect, it } from 'vitest';
import { z } from 'zod';
import type { RunningGateway } from '../../../gateway/process/gateway.ts';
import { eventually } from '../../storage/region-harness.ts';
import { codeOf, GatewayWorld, ready, urlOf, writes } from '../process/gateway-harness.ts';
import { BranchWorld } from './branch-world.ts';

let world: GatewayWorld | null = null;
let branches: BranchWorld | null = null;
const clients: Client[] = [];

afterEach(async () => {
  for (const client of clients.splice(0)) client.close();
  branches?.close();
  await world?.close();
  world = null;
});

/** A stock client of a database, by its URL alone. */
function clientOf(
  gateway: RunningGateway | string,
  branch: string | null,
  scheme: 'http' | 'ws' = 'http',
  authToken?: string,
): Client {
  const address = typeof gateway === 'string' ? gateway.replace(/^\w+:\/\//, '') : gateway.address;
  const path = branch === null ? '' : `/branch/${branch}/`;
  const client = createClient({
    url: `${scheme}://${address}${path}`,
    intMode: 'bigint',
    ...(authToken !== undefined && { authToken }),
  });
  clients.push(client);
  return client;
}

const textsOf = async (client: Client, sql = 'SELECT v FROM t ORDER BY id'): Promise<string[]> =>
  (await client.execute(sql)).rows.map(({ v }) => String(v));

/** A writer with a table of one row on main. */
async function start(options: Parameters<GatewayWorld['gateway']>[1] = {}) {
  const one = await GatewayWorld.start();
  world = one;
  const beside = new BranchWorld(one);
  branches = beside;
  const gateway = await one.gateway('g1', options);
  await writes(gateway);
  const main = clientOf(gateway, null);
  await main.executeMultiple(
    "CREATE TABLE t (id INTEGER PRIMARY KEY, v); INSERT INTO t (v) VALUES ('from main')",
  );
  return { one, beside, gateway, main };
}

describe('branches of a gateway', () => {
  it('are databases of their own that stock clients reach by URL alone, over HTTP and WebSocket', async () => {
    const { one, beside, gateway, main } = await start();
    await beside.create('dev');
    await beside.create('qa');
    const other = await one.gateway('g2');
    await ready(urlOf(other));
    const dev = clientOf(gateway, 'dev');
    const qa = clientOf(gateway, 'qa', 'ws');
    // What was there when they left is theirs, too.
    await eventually('the branches are known', async () => (await textsOf(qa).catch(() => [])).length === 1);
    expect([await textsOf(dev), await textsOf(qa)]).toEqual([['from main'], ['from main']]);
    const insert = (client: Client, v: string) =>
      client.execute({ sql: 'INSERT INTO t (v) VALUES (?)', args: [v] });
    const numbers = Array.from({ length: 20 }, (_, index) => index);
    const named = { main, dev, qa };
    await Promise.all(
      Object.entries(named).flatMap(([name, client]) => numbers.map((n) => insert(client, `${name} ${n}`))),
    );
    for (const [name, client] of Object.entries(named)) {
      const texts = new Set(await textsOf(client));
      expect(texts, name).toEqual(new Set(['from main', ...numbers.map((n) => `${name} ${n}`)]));
    }
    // A gateway that does not write takes any statement of any branch, and reads what it wrote.
    const remote = clientOf(other, 'dev', 'ws');
    await insert(remote, 'from afar');
    expect(await textsOf(remote, "SELECT v FROM t WHERE v = 'from afar'")).toEqual(['from afar']);
    expect(await textsOf(dev, "SELECT v FROM t WHERE v = 'from afar'")).toEqual(['from afar']);
    const transaction = await remote.transaction('write');
    await transaction.execute("DELETE FROM t WHERE v = 'from afar'");
    await transaction.commit();
    const global = clientOf(other, 'dev/read/global');
    expect(await textsOf(global, "SELECT v FROM t WHERE v = 'from afar'")).toEqual([]);
    expect(await textsOf(main, "SELECT v FROM t WHERE v LIKE 'dev%'")).toEqual([]);
    // The host form of libSQL's namespaces.
    expect(await byHost(gateway, 'qa.localhost')).toContain('qa 7');
    expect(await byHost(gateway, 'db.localhost')).toContain('main 7');
    const metrics = await (await fetch(`${urlOf(gateway)}/metrics`)).text();
    for (const namespace of ['test', 'test|dev', 'test|qa'])
      expect(metrics).toMatch(
        new RegExp(
          `sextant_database_commits_total\\{[^}]*db_namespace="${namespace.replace('|', '\\|')}"[^}]*\\} 2[0-9]`,
        ),
      );
  });

  it('that are not there are named, with those that are, and the slash a URL has to end with', async () => {
    const { beside, gateway } = await start();
    await beside.create('dev');
    const wrong = [clientOf(gateway, 'nowhere'), clientOf(gateway, 'nowhere', 'ws')];
    for (const client of wrong)
      await expect(client.execute('SELECT 1')).rejects.toMatchObject({
        code: 'SEXTANT_BRANCH_UNKNOWN',
        message: expect.stringMatching(/There is no branch nowhere; there are main, dev/),
      });
    const cut = createClient({ url: `${urlOf(gateway)}/branch/dev` });
    clients.push(cut);
    await expect(cut.execute('SELECT 1')).rejects.toMatchObject({
      code: 'SEXTANT_BRANCH_UNKNOWN',
      message: expect.stringContaining('with the slash at its end'),
    });
  });
});

describe('a branch that has nothing to do', () => {
  it('gives its engines back, and answers again, reads and writes, in the reign it had', async () => {
    const { one, beside, gateway } = await start({ limits: { branchIdleMs: 300 } });
    await beside.create('dev');
    const dev = clientOf(gateway, 'dev', 'ws');
    await dev.execute("INSERT INTO t (v) VALUES ('before')");
    const { record } = await one.record();
    expect(await rests(gateway)).toEqual({ rests: 1, wakes: 1 });
    const askedAtMs = performance.now();
    expect(await textsOf(dev)).toEqual(['from main', 'before']);
    const readMs = performance.now() - askedAtMs;
    await dev.execute("INSERT INTO t (v) VALUES ('after')");
    expect(await textsOf(dev)).toEqual(['from main', 'before', 'after']);
    // No epoch was spent on it.
    expect((await one.record()).record.branches).toEqual(record.branches);
    expect(readMs).toBeLessThan(3_000);
    expect(await rests(gateway)).toEqual({ rests: 2, wakes: 2 });
    // A write alone wakes it, too.
    await dev.execute("INSERT INTO t (v) VALUES ('later')");
    expect(await textsOf(dev)).toHaveLength(4);
  });

  it('stays while a transaction is open, and lets no other take its place then', async () => {
    const { beside, gateway } = await start({ limits: { branchIdleMs: 200, openBranches: 1 } });
    await beside.create('dev');
    await beside.create('qa');
    const qa = clientOf(gateway, 'qa');
    const transaction = await clientOf(gateway, 'dev', 'ws').transaction('write');
    await transaction.execute("INSERT INTO t (v) VALUES ('kept')");
    await new Promise((resolve) => setTimeout(resolve, 600));
    await expect(qa.execute('SELECT 1')).rejects.toMatchObject({
      code: 'SEXTANT_LIMIT',
      message: expect.stringContaining('openBranches = 1 other branches are in use (dev)'),
    });
    await transaction.commit();
    expect(await textsOf(qa)).toEqual(['from main']);
    expect(await textsOf(clientOf(gateway, 'dev'))).toEqual(['from main', 'kept']);
  });
});

describe('a branch that was deleted', () => {
  it('is gone for its open streams, and another one of its name is another database', async () => {
    const { beside, gateway, main } = await start();
    await beside.create('dev');
    const dev = clientOf(gateway, 'dev', 'ws');
    await dev.execute("INSERT INTO t (v) VALUES ('old')");
    await beside.delete('dev');
    await eventually('it is gone', async () => {
      const code = await dev.execute('SELECT 1').then(() => 'ok', codeOf);
      return code === 'SEXTANT_BRANCH_UNKNOWN';
    });
    await main.execute("INSERT INTO t (v) VALUES ('new')");
    await beside.create('dev');
    const again = clientOf(gateway, 'dev');
    await eventually('it is there', async () => (await textsOf(again).catch(() => [])).length === 2);
    await again.execute("INSERT INTO t (v) VALUES ('newer')");
    expect(await textsOf(again)).toEqual(['from main', 'new', 'newer']);
  });

  it('and one that its nodes do not know yet, is not shown as an empty one', async () => {
    const { beside, gateway } = await start({
      limits: { readWaitMs: 300, writeWaitMs: 600, quorumWaitMs: 500 },
    });
    await beside.create('dev', false);
    const dev = clientOf(gateway, 'dev');
    await eventually('the gateway knows it', async () => {
      const code = await textsOf(dev).then(String, codeOf);
      return code === 'SEXTANT_STORAGE_UNAVAILABLE';
    });
    await expect(dev.execute('CREATE TABLE x (id)')).rejects.toMatchObject({ code: 'SEXTANT_NO_WRITER' });
    await beside.install('dev');
    await eventually('it is there', async () => (await textsOf(dev).catch(() => [])).length === 1);
    await eventually('it is written', () =>
      dev.execute("INSERT INTO t (v) VALUES ('first')").then(
        () => true,
        () => false,
      ),
    );
    expect(await textsOf(dev)).toEqual(['from main', 'first']);
  });
});

describe('a writer whose nodes were sealed for another', () => {
  it('acknowledges nothing more on a branch, although nobody has sealed that (G49)', async () => {
    const { one, beside, gateway } = await start();
    await beside.create('dev');
    const dev = clientOf(gateway, 'dev', 'ws');
    await dev.execute("INSERT INTO t (v) VALUES ('before')");
    const { record } = await one.record();
    await beside.sealMain();
    const told = await dev.execute("INSERT INTO t (v) VALUES ('sealed')").then(() => 'ok', codeOf);
    // A gateway that has noticed by then writes in a later reign; in the one that was sealed nothing is acknowledged.
    if (told === 'ok') expect((await one.record()).record.epoch).toBeGreaterThan(record.epoch);
    else expect(told).toBe('SEXTANT_COMMIT_UNKNOWN');
    // It becomes the writer again, in a later epoch, and the branch with it.
    await dev.execute("INSERT INTO t (v) VALUES ('after')");
    expect((await textsOf(dev)).filter((text) => text !== 'sealed')).toEqual([
      'from main',
      'before',
      'after',
    ]);
  });
});

describe('a token for one branch', () => {
  it('is refused on every other, over HTTP and WebSocket, and changes nothing of the deployment', async () => {
    const { privateKey, publicKey } = generateKeyPairSync('ed25519');
    const one = await GatewayWorld.start();
    world = one;
    branches = new BranchWorld(one);
    const jwtPublicKey = publicKey.export({ type: 'spki', format: 'pem' }).toString();
    const auth = { jwtPublicKey, expiry: 'required', clockToleranceMs: 5_000 } as const;
    const gateway = await one.gateway('g1', {}, { auth });
    await writes(gateway);
    const token = (claims: object): string => {
      const parts = [
        { alg: 'EdDSA' },
        { scope: 'admin', exp: Math.floor(Date.now() / 1_000) + 600, ...claims },
      ];
      const text = parts.map((part) => Buffer.from(JSON.stringify(part)).toString('base64url')).join('.');
      return `${text}.${sign(null, Buffer.from(text), privateKey).toString('base64url')}`;
    };
    const [all, onDev, onMain] = [token({}), token({ id: 'dev' }), token({ id: 'main' })];
    await clientOf(gateway, null, 'http', all).executeMultiple('CREATE TABLE t (id INTEGER PRIMARY KEY, v)');
    await branches.create('dev');
    await branches.create('qa');
    const run = (branch: string | null, jwt: string, scheme: 'http' | 'ws'): Promise<string> =>
      clientOf(gateway, branch, scheme, jwt)
        .execute("INSERT INTO t (v) VALUES ('x')")
        .then(() => 'ok', codeOf);
    for (const scheme of ['http', 'ws'] as const) {
      expect(await run('dev', onDev, scheme)).toBe('ok');
      expect(await run('qa', onDev, scheme)).toBe('AUTH_BRANCH_MISSING');
      expect(await run(null, onDev, scheme)).toBe('AUTH_BRANCH_MISSING');
      expect(await run('dev', onMain, scheme)).toBe('AUTH_BRANCH_MISSING');
      for (const branch of [null, 'dev', 'qa']) expect(await run(branch, all, scheme)).toBe('ok');
    }
    const act = async (jwt: string): Promise<number> => {
      const body = JSON.stringify({ target: 'mars' });
      const headers = { authorization: `Bearer ${jwt}`, 'content-type': 'application/json' };
      const answer = await fetch(`${urlOf(gateway)}/v1/switchover`, { method: 'POST', body, headers });
      return answer.status;
    };
    expect([await act(onDev), await act(onMain), await act(all)]).toEqual([403, 404, 404]);
    // A stream that was opened on one branch does not go on at the URL of another.
    const ask = async (path: string, baton: string | null): Promise<unknown> => {
      const body = JSON.stringify({ baton, requests: [{ type: 'get_autocommit' }] });
      const headers = { authorization: `Bearer ${all}` };
      const answer = await fetch(`${urlOf(gateway)}${path}/v3/pipeline`, { method: 'POST', body, headers });
      return answer.json();
    };
    const { baton } = z.object({ baton: z.string() }).parse(await ask('/branch/dev', null));
    expect(await ask('/branch/qa', baton)).toMatchObject({ code: 'BATON_INVALID' });
    expect(await ask('/branch/dev', baton)).toMatchObject({ baton: expect.any(String) });
  });
});

describe('a writer that is killed', () => {
  it('while main and two branches write loses nothing that was acknowledged on any of them', async () => {
    const one = await GatewayWorld.start();
    world = one;
    branches = new BranchWorld(one);
    const first = await one.process('g1');
    const main = clientOf(first.url, null);
    await main.executeMultiple(
      "CREATE TABLE t (id INTEGER PRIMARY KEY, v); INSERT INTO t VALUES (-1, 'from main')",
    );
    await branches.create('dev');
    await branches.create('qa');
    const second = await one.process('g2');
    const names = [null, 'dev', 'qa'];
    const tallies = names.map((name) => ({ name, acknowledged: [] as number[], failed: [] as string[] }));
    let stop = false;
    const writing = tallies.map(async ({ name, acknowledged, failed }, at) => {
      const client = clientOf(second.url, name, at === 1 ? 'ws' : 'http');
      for (let id = 0; !stop; id += 1) {
        const sql = { sql: 'INSERT INTO t VALUES (?, ?)', args: [id, `${name} ${id}`] };
        await client.execute(sql).then(
          () => acknowledged.push(id),
          (error: unknown) => failed.push(codeOf(error)),
        );
      }
    });
    const each = (least: number) => () => tallies.every(({ acknowledged }) => acknowledged.length >= least);
    await eventually('all three write', each(10));
    await first.kill();
    const before = tallies.map(({ acknowledged }) => acknowledged.length);
    const goOn = () => tallies.every(({ acknowledged }, at) => acknowledged.length >= (before[at] ?? 0) + 5);
    await eventually('all three write on', goOn, 60_000);
    stop = true;
    await Promise.all(writing);
    for (const { name, acknowledged, failed } of tallies) {
      const { rows } = await clientOf(second.url, name).execute('SELECT id, v FROM t WHERE id >= 0');
      const found = new Map(rows.map(({ id, v }) => [Number(id), String(v)]));
      expect(
        acknowledged.filter((id) => found.get(id) !== `${name} ${id}`),
        `${name}: missing`,
      ).toEqual([]);
      expect(
        failed.every((code) => code === 'SEXTANT_COMMIT_UNKNOWN'),
        `${name}: ${failed}`,
      ).toBe(true);
      expect(rows.length - acknowledged.length, `${name}: more than was unknown`).toBeLessThanOrEqual(
        failed.length,
      );
    }
  }, 90_000);
});

/** Waits until every branch rests. @returns what was counted by then. */
async function rests(gateway: RunningGateway): Promise<{ readonly rests: number; readonly wakes: number }> {
  let text = '';
  await eventually('the branch rests', async () => {
    text = await (await fetch(`${urlOf(gateway)}/metrics`)).text();
    return /sextant_database_awake\{[^}]*db_namespace="test\|dev"[^}]*\} 0/.test(text);
  });
  const counted = (name: string): number =>
    Number(new RegExp(`^${name}\\{[^}]*\\} (\\d+)`, 'm').exec(text)?.[1]);
  return {
    rests: counted('sextant_database_rests_total'),
    wakes: counted('sextant_database_wake_duration_seconds_count'),
  };
}

/** What a SELECT answers that was sent with this `Host`, as text. */
function byHost(gateway: RunningGateway, host: string): Promise<string> {
  const [address = '', port = ''] = gateway.address.split(':');
  const body = JSON.stringify({
    requests: [{ type: 'execute', stmt: { sql: 'SELECT v FROM t' } }, { type: 'close' }],
  });
  return new Promise((resolve, reject) => {
    const sent = request(
      { host: address, port, method: 'POST', path: '/v2/pipeline', headers: { host: `${host}:${port}` } },
      (response) => {
        let text = '';
        response.on('data', (chunk: Buffer) => (text += chunk.toString()));
        response.on('end', () => resolve(text));
      },
    );
    sent.on('error', reject);
    sent.end(body);
  });
}
