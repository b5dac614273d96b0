import { spawnSync } from 'node:child_process';
import { appendFileSync, existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { type AppendFacts, runRecovery } from '../../../storage/index.ts';
import { epoch, mainBranch, nodeId } from '../../../storage/redo/ids.ts';
import { eventually, nodeIds, smallMtr, TestWriter } from '../region-harness.ts';
import { cleanups, framesOnDisk, open, regions, untilComplete, writeSome } from './six-nodes.ts';

describe('writing to six nodes', () => {
  it('becomes durable, and every node ends with the same frames byte by byte', async () => {
    const { region, client } = await open();
    const writer = await TestWriter.open(client, 1);
    const end = await writeSome(writer, 40);
    await untilComplete(client, nodeIds, end);
    writer.driver.close();
    const logs = region.nodes.map(framesOnDisk);
    expect(logs[0]?.size).toBeGreaterThan(5);
    for (const log of logs) expect(log).toEqual(logs[0]);
  });

  it('shares frames between the commits of one turn of the event loop', async () => {
    const { region, client } = await open();
    const writer = await TestWriter.open(client, 1);
    for (let at = 0; at < 99; at++) writer.driver.commit(smallMtr(1, at));
    const last = writer.driver.commit(smallMtr(1, 99));
    await writer.untilDurable(last);
    await untilComplete(client, ['n1'], last);
    expect(framesOnDisk(region.node('n1')).size).toBe(1);
  });

  it('tells when each batch left, when each node had it and which node made the quorum', async () => {
    const { client } = await open();
    const facts: AppendFacts[] = [];
    const writer = await TestWriter.open(client, 1, {
      recordFacts: true,
      onDurable: (_vdl, more) => facts.push(...more),
    });
    const end = await writeSome(writer, 3);
    await eventually('all six acknowledged', () => facts.every(({ acks }) => acks.length === 6));
    expect(facts[0]?.lsnFrom).toBe(0);
    expect(facts.at(-1)?.lsnTo).toBe(end);
    for (const { acks, sentAtUs } of facts) {
      expect(acks.filter(({ quorum }) => quorum)).toHaveLength(1);
      expect(acks[3]?.quorum).toBe(true);
      expect(new Set(acks.map(({ az }) => az))).toEqual(new Set(['az1', 'az2', 'az3']));
      for (const ack of acks) expect(ack.ackedAtUs).toBeGreaterThanOrEqual(sentAtUs);
    }
  });
});

describe('losing nodes', () => {
  it('goes on without a zone, stops without three nodes, and repairs the nodes that come back', {
    timeout: 60_000,
  }, async () => {
    const { region, client } = await open({ children: true });
    const writer = await TestWriter.open(client, 1);
    await writeSome(writer, 20);
    await Promise.all([region.node('n1').kill(), region.node('n2').kill()]);
    const durable = await writeSome(writer, 40);

    await region.node('n3').kill();
    const unknown = writer.driver.commit(smallMtr(7, 7));
    await writer.until(() => writer.lost !== null);
    expect(writer.driver.vdl).toBe(durable);
    expect(unknown).toBeGreaterThan(durable);
    expect(writer.driver.isOver).toBe(true);

    await Promise.all(['n1', 'n2', 'n3'].map((id) => region.node(id).start()));
    await eventually('all six are up', () => client.upNodes.length === 6);
    const next = await TestWriter.open(client, 2);
    expect(next.driver.lastLsn).toBeGreaterThanOrEqual(durable);
    const end = await writeSome(next, 10);
    await untilComplete(client, nodeIds, end);
    next.driver.close();
    const complete = framesOnDisk(region.node('n4'));
    for (const id of ['n1', 'n2', 'n3']) {
      const log = framesOnDisk(region.node(id));
      for (const [key, bytes] of complete) {
        // What the second reign's writer found above VDL is an orphan that need not be everywhere.
        if (key.startsWith('1/') && Number(key.slice(2)) >= durable) continue;
        expect(log.get(key), `${id} ${key}`).toBe(bytes);
      }
    }
  });

  it('survives a kill of all six at once: what was durable is there, and a new writer goes on', {
    timeout: 60_000,
  }, async () => {
    const { region, client } = await open({ children: true });
    const writer = await TestWriter.open(client, 1);
    const durable = await writeSome(writer, 30);
    for (let at = 0; at < 50; at++) writer.driver.commit(smallMtr(3, at));
    await new Promise((resolve) => setImmediate(resolve));
    await Promise.all(region.nodes.map((node) => node.kill()));
    writer.driver.close();
    appendFileSync(
      join(region.node('n1').config.dataDir, 'log', '0000000001.log'),
      Buffer.from('SX\u0001\u0000torn write'),
    );
    await Promise.all(region.nodes.map((node) => node.start()));
    await eventually('all six are up', () => client.upNodes.length === 6);
    const next = await TestWriter.open(client, 2);
    expect(next.driver.lastLsn).toBeGreaterThanOrEqual(durable);
    const end = await writeSome(next, 5);
    await untilComplete(client, nodeIds, end);
  });

  it('passes over a frozen node', { timeout: 30_000 }, async () => {
    const { region, client } = await open({ children: true });
    const writer = await TestWriter.open(client, 1);
    await writeSome(writer, 5);
    region.node('n6').freeze();
    const frozenAt = performance.now();
    await writeSome(writer, 20);
    expect(performance.now() - frozenAt).toBeLessThan(1_500);
    region.node('n6').thaw();
    await untilComplete(client, ['n6'], writer.driver.vdl);
  });

  it('rebuilds a node that was wiped, and does not count it as a witness before', {
    timeout: 30_000,
  }, async () => {
    const { region, client } = await open();
    const writer = await TestWriter.open(client, 1);
    const end = await writeSome(writer, 30);
    const wiped = region.node('n5');
    await wiped.kill();
    rmSync(wiped.config.dataDir, { recursive: true });
    await wiped.start();
    expect(wiped.running?.node.state.hydrated).toBe(false);
    await untilComplete(client, ['n5'], end);
    await eventually('it is a witness again', () => wiped.running?.node.state.hydrated === true);
    expect(framesOnDisk(wiped)).toEqual(framesOnDisk(region.node('n1')));
  });
});

describe('a full disk', () => {
  it.skipIf(process.getuid?.() !== 0)(
    'keeps the quorum without that node, which heals once there is space',
    { timeout: 60_000 },
    async () => {
      const mounted = join('/tmp', `sextant-full-${process.pid}`);
      mkdirSync(mounted, { recursive: true });
      const mount = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=3m', 'tmpfs', mounted]);
      if (mount.status !== 0) throw new Error(`mount: ${mount.stderr}`);
      cleanups.push(async () => {
        for (const region of regions.splice(0)) await region.close();
        spawnSync('umount', [mounted]);
        rmSync(mounted, { recursive: true, force: true });
      });
      const dataDir = (node: string, directory: string): string =>
        join(node === 'n2' ? mounted : directory, node);
      const { client } = await open({ dataDir });
      const writer = await TestWriter.open(client, 1);
      await writeSome(writer, 5);
      const ballast = join(mounted, 'ballast');
      expect(() => writeFileSync(ballast, Buffer.alloc(4 * 2 ** 20))).toThrow(/ENOSPC/);
      // More than the space the log has made ahead.
      const durable = await writeSome(writer, 500, 900);
      const status = (await client.status()).find(({ node }) => node === 'n2')?.status;
      expect(status?.scl).toBeLessThan(durable);
      expect(existsSync(ballast)).toBe(true);
      rmSync(ballast);
      await untilComplete(client, ['n2'], durable);
    },
  );
});

describe('taking over', () => {
  it('forks at the durable end; the writer before is fenced and hears of nothing durable any more', async () => {
    const { client } = await open();
    const old = await TestWriter.open(client, 1);
    const end = await writeSome(old, 25);
    const next = await TestWriter.open(client, 2);
    expect(next.driver.lastLsn).toBe(end);
    const heard = old.durable.length;
    old.driver.commit(smallMtr(1, 1));
    await old.until(() => old.fencedBy !== null);
    expect(old.fencedBy).toBe(2);
    expect(old.durable).toHaveLength(heard);
    expect(old.driver.isOver).toBe(true);
    await writeSome(next, 5);
  });

  it('refuses to fork an epoch twice, and one that an other has passed', async () => {
    const { client } = await open();
    await TestWriter.open(client, 3);
    const again = await runRecovery(
      client,
      { kind: 'fork', branch: mainBranch, epoch: epoch(3) },
      { timeoutMs: 5_000 },
    );
    expect(again).toMatchObject({ kind: 'failed', reason: expect.stringContaining('earlier attempt') });
    const older = await runRecovery(
      client,
      { kind: 'fork', branch: mainBranch, epoch: epoch(2) },
      { timeoutMs: 5_000 },
    );
    expect(older).toEqual({ kind: 'fenced', by: 3 });
  });

  it('ends with a value when too few nodes answer, and when it is aborted', async () => {
    const { region, client } = await open();
    await Promise.all(['n1', 'n2', 'n3'].map((id) => region.node(id).kill()));
    const goal = { kind: 'fork', branch: mainBranch, epoch: epoch(1) } as const;
    expect(await runRecovery(client, goal, { timeoutMs: 300 })).toEqual({
      kind: 'timeout',
      phase: 'sealing',
    });
    const abort = new AbortController();
    const aborted = runRecovery(client, goal, { timeoutMs: 10_000, signal: abort.signal });
    abort.abort();
    expect(await aborted).toEqual({ kind: 'aborted' });
  });
});

describe('links', () => {
  it('says that the secret is wrong', async () => {
    const { region } = await open();
    const refusals: string[] = [];
    const stranger = region.client({
      secret: 'not the secret',
      onRefused: (_node, message) => refusals.push(message),
    });
    await eventually('all six refused', () => refusals.length === 6);
    expect(refusals[0]).toContain('LINK_SECRET_WRONG');
    expect(refusals.join()).not.toContain('not the secret');
    const answer = await stranger.request(nodeId('n1'), { kind: 'status' }, 1_000);
    expect(answer).toMatchObject({
      kind: 'unanswered',
      sent: false,
      reason: expect.stringContaining('LINK_SECRET_WRONG'),
    });
  });

  it('does not take one node for another', async () => {
    const { region } = await open();
    const refusals: string[] = [];
    const n2 = region.node('n2').config;
    region.client({
      nodes: [{ node: nodeId('n1'), az: 'az1', address: n2.listen }],
      onRefused: (_node, message) => refusals.push(message),
    });
    await eventually('refused', () => refusals.length === 1);
    expect(refusals[0]).toContain('us-east-1/n2, expected us-east-1/n1');
  });
});
