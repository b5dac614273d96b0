/** Storage nodes of a real region are replaced while a real writer writes. */
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { ChangeDriver, probeNode, type RegionClient, runRecovery } from '../../../storage/index.ts';
import type { ChangeGoal, ChangeOutcome } from '../../../storage/members/core/member-change.ts';
import type { Member } from '../../../storage/members/core/membership.ts';
import { type RunningNode, startStorageNode } from '../../../storage/node/node-process.ts';
import { epoch, mainBranch, type NodeId, nodeId, pageNo } from '../../../storage/redo/ids.ts';
import { freePorts } from '../../free-ports.ts';
import {
  azOf,
  cluster,
  eventually,
  region,
  secret,
  silent,
  smallMtr,
  startRegion,
  type TestRegion,
  TestWriter,
} from '../region-harness.ts';

let nodes: TestRegion | undefined;
const spares: RunningNode[] = [];

afterEach(async () => {
  await Promise.all(spares.splice(0).map((spare) => spare.close()));
  await nodes?.close();
  nodes = undefined;
});

/** A new node beside the six, in the zone of the one that it is to replace. */
async function spare(name: string, out: string): Promise<Member> {
  if (nodes === undefined) throw new Error('no region');
  const [port] = await freePorts(1);
  const node = nodeId(name);
  const az = azOf(nodeId(out));
  const address = `127.0.0.1:${port}`;
  const peers = nodes.nodes.map(({ config }) => ({
    node: config.node,
    az: config.az,
    address: config.listen,
  }));
  const config = {
    cluster,
    secret,
    region,
    node,
    az,
    listen: address,
    dataDir: join(nodes.directory, name),
    peers,
  };
  spares.push(await startStorageNode(config, { logger: silent }));
  return { node, az, address };
}

function run(client: RegionClient, goal: ChangeGoal): Promise<ChangeOutcome> {
  return new Promise((resolve) => new ChangeDriver({ region: client, goal, onEnded: resolve }));
}

/** Writes without a pause; every commit has to become durable. */
function keepWriting(writer: TestWriter): { readonly written: () => number; stop(): Promise<void> } {
  let [seed, on] = [0, true];
  const loop = (async () => {
    while (on) {
      seed += 1;
      await writer.untilDurable(writer.driver.commit(smallMtr(1 + (seed % 50), seed)));
    }
  })();
  return {
    written: () => seed,
    stop: async () => {
      on = false;
      await loop;
    },
  };
}

describe('a storage node is replaced', () => {
  it('while a writer writes, though the old one is dead; then the new one counts', {
    timeout: 60_000,
  }, async () => {
    nodes = await startRegion();
    const client = nodes.client();
    const writer = await TestWriter.open(client, 1);
    await writer.untilDurable(writer.driver.commit(smallMtr(1, 1, 4_000)));
    await nodes.node('n6').kill();
    const load = keepWriting(writer);
    const joins = await spare('n7', 'n6');
    const agent = nodes.client();
    const before = load.written();
    const outcome = await run(agent, { kind: 'replace', joining: { out: nodeId('n6'), in: joins } });
    expect(outcome.kind).toBe('replaced');
    // The writer was told by the nodes that it writes to.
    await eventually('the writer counts the new six', () => client.membership.epoch === 2);
    expect(client.nodes).toEqual(['n1', 'n2', 'n3', 'n4', 'n5', 'n7'].map(nodeId));
    await load.stop();
    expect(load.written()).toBeGreaterThan(before);
    expect([writer.fencedBy, writer.lost]).toEqual([null, null]);
    // Two more may die: the new one is one of the four.
    await nodes.node('n1').kill();
    await nodes.node('n2').kill();
    await writer.untilDurable(writer.driver.commit(smallMtr(2, 7)));
    const end = writer.driver.vdl;
    writer.driver.close();
    // One who starts now from the old configuration takes over all the same, and reads from the new node.
    const late = nodes.client();
    const goal = { kind: 'fork', branch: mainBranch, epoch: epoch(2) } as const;
    const recovered = await runRecovery(late, goal, { timeoutMs: 15_000 });
    expect(recovered).toMatchObject({ kind: 'recovered', outcome: { vdl: end } });
    const read = await late.readPages(epoch(2), end, [pageNo(1), pageNo(2)]);
    expect(read.kind).toBe('pages');
    const filled = spares[0]?.node;
    expect(filled?.segment.volumeEnd(epoch(1))).toBeGreaterThanOrEqual(end);
  });

  it('and the replacement is given up again: the old one has counted all the time', {
    timeout: 60_000,
  }, async () => {
    nodes = await startRegion();
    const client = nodes.client();
    const writer = await TestWriter.open(client, 1);
    const load = keepWriting(writer);
    const joins = await spare('n7', 'n6');
    const agent = nodes.client();
    // It never answers from here on, so that the change cannot end by itself.
    await spares.splice(0)[0]?.close();
    const driver = new ChangeDriver({
      region: agent,
      goal: { kind: 'replace', joining: { out: nodeId('n6'), in: joins } },
      onEnded: (outcome) => expect.fail(outcome.kind),
    });
    await eventually('the proposal is in force', () => client.membership.epoch === 1);
    await eventually('it waits', () => driver.progress.waitsFor.includes('n7 at'));
    expect(driver.progress).toMatchObject({ phase: 'filling', membership: { epoch: 1 } });
    driver.close();
    // Another coordinator, which knows only what the nodes have kept.
    expect((await run(nodes.client(), { kind: 'cancel' })).kind).toBe('reverted');
    await eventually('the writer counts the six again', () => client.membership.epoch === 2);
    await load.stop();
    expect(client.nodes).toEqual(nodes.nodes.map(({ config }) => config.node));
    writer.driver.close();
  });

  it('S29: and its peers are told by the membership that every node keeps over a restart', {
    timeout: 60_000,
  }, async () => {
    nodes = await startRegion();
    const client = nodes.client();
    const writer = await TestWriter.open(client, 1);
    await writer.untilDurable(writer.driver.commit(smallMtr(1, 1)));
    const joins = await spare('n7', 'n6');
    await run(nodes.client(), { kind: 'replace', joining: { out: nodeId('n6'), in: joins } });
    await eventually('it is known', () => client.membership.epoch === 2);
    await writer.untilDurable(writer.driver.commit(smallMtr(1, 2)));
    writer.driver.close();
    await Promise.all(nodes.nodes.map((node) => node.kill()));
    await Promise.all(nodes.nodes.slice(0, 5).map((node) => node.start()));
    const late: RegionClient = nodes.client();
    await eventually('a new client hears of it', () => late.membership.epoch === 2);
    const known = (id: NodeId) => late.nodes.includes(id);
    expect([known(nodeId('n6')), known(nodeId('n7'))]).toEqual([false, true]);
  });

  it('is looked at before: one that does not answer, or is another one, is not taken', {
    timeout: 30_000,
  }, async () => {
    nodes = await startRegion();
    const joins = await spare('n7', 'n6');
    const target = (changes: Partial<Member>) => ({
      cluster,
      secret,
      region,
      target: { ...joins, ...changes },
    });
    expect(await probeNode(target({}))).toBeNull();
    expect(await probeNode(target({ node: nodeId('n8') }))).toContain(
      'is us-east-1/n7, expected us-east-1/n8',
    );
    const [nobody] = await freePorts(1);
    expect(await probeNode(target({ address: `127.0.0.1:${nobody}` }))).toContain('start it first');
  });
});
