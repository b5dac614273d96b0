import fc from 'fast-check';
import { afterEach, describe, expect, test } from 'vitest';
import { type NatsConnection, openNatsConnection } from '../../../regions/bus/nats-connection.ts';
import { acquire, initialControlRecord } from '../../../regions/control/core/control-record.ts';
import {
  fencingSeals,
  isHolderFenced,
  RegionFence,
  sealAgainst,
} from '../../../regions/moves/core/region-fence.ts';
import { sealNodes, sealOldRegion, serveSeals } from '../../../regions/moves/seal-old-region.ts';
import { epoch, regionId } from '../../../storage/redo/ids.ts';
import { quorumLimits } from '../../../storage/redo/limits.ts';
import { startNatsServers, type TestServers, testToken } from '../../conformance/control-store-servers.ts';
import {
  cluster,
  nodeIds,
  region,
  smallMtr,
  startRegion,
  type TestRegion,
  TestWriter,
} from '../../storage/region-harness.ts';

describe('a region that is sealed against a reign', () => {
  test('R28: is fenced with three seals, and out of reach once fewer than three could still come', () => {
    const sealed = new RegionFence([nodeIds]);
    expect(nodeIds.slice(0, 3).map((node) => sealed.answered(node, true))).toEqual([
      'waiting',
      'waiting',
      'fenced',
    ]);
    const silent = new RegionFence([nodeIds]);
    const verdicts = nodeIds.map((node, at) => silent.answered(node, at < 2));
    expect(verdicts).toEqual(['waiting', 'waiting', 'waiting', 'waiting', 'waiting', 'unreachable']);
    expect(new RegionFence([nodeIds.slice(0, 2)]).verdict).toBe('unreachable');
  });

  /**
   * Seals and votes for one write come in any order, the write beginning somewhere among them. Answers whether a write that
   * began after `seals` seals, when the challenger goes ahead and the last ones may never come, can get a write quorum.
   */
  const durableAfter = (
    { order, begins }: { readonly order: readonly number[]; readonly begins: number },
    seals: number,
  ) => {
    const [sealed, votes] = [new Set<number>(), new Set<number>()];
    let begunLate = false;
    order.forEach((step, at) => {
      if (at === begins) begunLate = sealed.size >= seals;
      const node = step % quorumLimits.copies;
      if (step < quorumLimits.copies) {
        if (sealed.size < seals) sealed.add(node);
      } else if (at >= begins && !sealed.has(node)) votes.add(node);
    });
    return begunLate && votes.size >= quorumLimits.writeQuorum;
  };
  const steps = 2 * quorumLimits.copies;
  const runs = fc.record({
    order: fc.shuffledSubarray(
      Array.from({ length: steps }, (_, step) => step),
      { minLength: steps },
    ),
    begins: fc.nat(steps - 1),
  });

  test('R28: makes no write durable that began after the third seal', () => {
    fc.assert(
      fc.property(runs, (run) => {
        expect(durableAfter(run, fencingSeals)).toBe(false);
      }),
      { numRuns: 2_000 },
    );
  });

  test('could make such a write durable after two seals, so the test above can fail', () => {
    const found = fc
      .sample(runs, { numRuns: 2_000, seed: 1 })
      .filter((run) => durableAfter(run, fencingSeals - 1));
    expect(found.length).toBeGreaterThan(0);
  });

  test('R28: says nothing about a reign that was claimed since', () => {
    const first = acquire(initialControlRecord(region), {
      region,
      holder: { gateway: 'g1', incarnation: 'a' },
      lapsed: false,
    });
    if (first.kind === 'refused') throw new Error(first.reason);
    const next = acquire(first.record, {
      region,
      holder: { gateway: 'g1', incarnation: 'b' },
      lapsed: false,
    });
    if (next.kind === 'refused') throw new Error(next.reason);
    expect(isHolderFenced(first.record, epoch(1))).toBe(true);
    expect(isHolderFenced(next.record, epoch(1))).toBe(false);
    expect(isHolderFenced(first.record, null)).toBe(false);
  });
});

describe('the nodes of the old region', () => {
  let nodes: TestRegion | undefined;
  let servers: TestServers | undefined;
  const connections: NatsConnection[] = [];

  afterEach(async () => {
    await Promise.all(connections.splice(0).map((connection) => connection.close()));
    await nodes?.close();
    await servers?.stop();
    nodes = undefined;
    servers = undefined;
  });

  const connect = async (): Promise<NatsConnection> => {
    servers ??= await startNatsServers(1);
    const connection = openNatsConnection({
      servers: [servers.servers[0]?.url ?? ''],
      token: testToken,
      name: 'test',
    });
    connections.push(connection);
    await connection.whenConnected(10_000);
    return connection;
  };

  test('fence the writer when they are sealed through their agent, and take its next reign', async () => {
    nodes = await startRegion();
    const client = nodes.client();
    const writer = await TestWriter.open(client, 1);
    await writer.untilDurable(writer.driver.commit(smallMtr(1, 1)));
    const sealed: string[] = [];
    serveSeals({
      connection: await connect(),
      cluster,
      region,
      nodes: nodes.client(),
      onSealed: (reign, outcome) => sealed.push(`${reign} ${outcome}`),
    });
    const connection = await connect();
    const ask = () => sealOldRegion({ connection, cluster, region, reign: epoch(1) });
    while ((await ask()) !== 'fenced');
    expect(sealed.at(-1)).toBe('1 fenced');
    const after = writer.driver.commit(smallMtr(1, 2));
    await writer.until(() => writer.fencedBy !== null);
    expect(writer.driver.vdl).toBeLessThan(after);
    expect(writer.fencedBy).toBe(sealAgainst(epoch(1)));
    writer.driver.close();
    // The move was given up: the region goes on by itself, in the epoch that was sealed for.
    const successor = await TestWriter.open(client, 2);
    await successor.untilDurable(successor.driver.commit(smallMtr(1, 3)));
    // Asked late, about a reign that is over, it disturbs nobody.
    expect(await ask()).toBe('fenced');
    await successor.untilDurable(successor.driver.commit(smallMtr(1, 4)));
    successor.driver.close();
  });

  test('fence nobody while only two of them can be reached, or their agent is away', async () => {
    nodes = await startRegion();
    const client = nodes.client();
    const writer = await TestWriter.open(client, 1);
    await writer.untilDurable(writer.driver.commit(smallMtr(1, 1)));
    writer.driver.close();
    for (const node of nodes.nodes.slice(0, 4)) await node.kill();
    expect(await sealNodes(client, epoch(1))).toBe('unreachable');
    const connection = await connect();
    const other = regionId('eu-west-1');
    expect(await sealOldRegion({ connection, cluster, region: other, reign: epoch(1) })).toBe('unreachable');
  });
});
