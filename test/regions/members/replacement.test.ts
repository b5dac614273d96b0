/** The agent's part in replacing a storage node, over real nodes. */
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import type { MembersAct } from '../../../regions/members/core/members-request.ts';
import { Replacement } from '../../../regions/members/replacement.ts';
import { type Member, machine, probeNode, type RegionClient } from '../../../storage/index.ts';
import { type RunningNode, startStorageNode } from '../../../storage/node/node-process.ts';
import { nodeId } from '../../../storage/redo/ids.ts';
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
} from '../../storage/region-harness.ts';

let nodes: TestRegion | undefined;
let spare: RunningNode | undefined;

afterEach(async () => {
  await spare?.close();
  await nodes?.close();
  spare = undefined;
  nodes = undefined;
});

/** An agent's coordinator, with links of its own. */
function agent(links: RegionClient): Replacement {
  const probe = (target: Member) => probeNode({ cluster, secret, region, target });
  return new Replacement({ region, links, probe, runtime: machine, log: silent });
}

async function region6(): Promise<{
  readonly links: RegionClient;
  readonly writer: TestWriter;
  readonly port: number;
}> {
  nodes = await startRegion();
  const links = nodes.client();
  const writer = await TestWriter.open(nodes.client(), 1);
  await writer.untilDurable(writer.driver.commit(smallMtr(1, 1)));
  const [port = 0] = await freePorts(1);
  return { links, writer, port };
}

async function startSpare(port: number): Promise<void> {
  if (nodes === undefined) throw new Error('no region');
  const peers = nodes.nodes.map(({ config }) => ({
    node: config.node,
    az: config.az,
    address: config.listen,
  }));
  const node = nodeId('n7');
  const listen = `127.0.0.1:${port}`;
  const dataDir = join(nodes.directory, 'n7');
  spare = await startStorageNode(
    { cluster, secret, region, node, az: azOf(nodeId('n6')), listen, dataDir, peers },
    { logger: silent },
  );
}

const replace = (port: number, out = 'n6', node = 'n7'): MembersAct => ({
  act: 'replace',
  out,
  node,
  address: `127.0.0.1:${port}`,
});

describe('the agent of a region', { timeout: 60_000 }, () => {
  test('refuses what cannot be, in words, and begins nothing while the new node does not answer', async () => {
    const { links, writer, port } = await region6();
    const replacement = agent(links);
    expect(replacement.serve(replace(port, 'n9'))).toMatchObject({
      code: 'CANNOT_REPLACE',
      message: expect.stringContaining('n9 is not a storage node of this region'),
    });
    expect(replacement.serve(replace(port))).toMatchObject({ members: { change: { phase: 'probing' } } });
    expect(replacement.serve(replace(port, 'n5', 'n8'))).toMatchObject({ code: 'CANNOT_REPLACE' });
    await eventually('it has looked', () => replacement.members.ended !== null);
    expect(replacement.members).toMatchObject({
      epoch: 0,
      joining: null,
      ended: { outcome: 'refused', message: expect.stringContaining('n7 does not answer at') },
    });
    writer.driver.close();
  });

  test('R68: started again in the middle, goes on by itself with what the nodes say is under way', async () => {
    const { links, writer, port } = await region6();
    await startSpare(port);
    const first = agent(links);
    first.serve(replace(port));
    await eventually('it is under way', () => first.members.joining !== null);
    first.close();
    if (nodes === undefined) throw new Error('no region');
    // The next one has other links, and its configuration.
    const again = nodes.client();
    const second = agent(again);
    await eventually('it hears of it', () => again.membership.epoch > 0);
    await eventually('it goes on', () => {
      second.look([]);
      return second.members.joining === null && second.members.nodes.some(({ id }) => id === 'n7');
    });
    expect(second.members.nodes.map(({ id, role }) => [id, role])).toEqual(
      ['n1', 'n2', 'n3', 'n4', 'n5', 'n7'].map((id) => [id, 'member']),
    );
    await writer.untilDurable(writer.driver.commit(smallMtr(1, 2)));
    // Asked for what is done already, it says so.
    second.serve(replace(port));
    await eventually('it has ended', () => second.members.ended?.outcome === 'replaced');
    second.close();
    writer.driver.close();
  });

  test('tells a node the membership that it has missed', async () => {
    const { links, writer, port } = await region6();
    if (nodes === undefined) throw new Error('no region');
    await nodes.node('n1').kill();
    await startSpare(port);
    const replacement = agent(links);
    replacement.serve(replace(port));
    await eventually('it has ended', () => replacement.members.ended?.outcome === 'replaced');
    await nodes.node('n1').start();
    await eventually('n1 has it installed', async () => {
      replacement.look([nodeId('n1')]);
      const n1 = await links.request(nodeId('n1'), { kind: 'status' }, 1_000);
      return n1.kind === 'status' && n1.membership?.epoch === 2;
    });
    writer.driver.close();
  });
});
