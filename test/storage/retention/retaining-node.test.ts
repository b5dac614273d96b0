import { describe, expect, it } from 'vitest';
import { epoch, type Lsn, zeroLsn } from '../../../storage/redo/ids.ts';
import type { RetainedReply } from '../../../storage/wire/core/messages.ts';
import { ask, RottingNode } from '../node/rotting-node.ts';
import { eventually } from '../region-harness.ts';

const reign = epoch(1);

async function retain(node: RottingNode, keepFrom: Lsn): Promise<RetainedReply> {
  if (node.parts === undefined) throw new Error('the node is not up');
  const request = {
    kind: 'retain',
    head: reign,
    keepFrom,
    sinceUs: 0,
    bytesMax: 0,
    copies: keepFrom,
  } as const;
  const reply = await ask(node.parts, request);
  if (reply.kind !== 'retained') throw new Error(`a ${reply.kind}`);
  return reply;
}

describe('a node with real log files and images', () => {
  it('drops what lies below its images, and is complete from there on after a restart', async () => {
    const node = new RottingNode();
    node.folding = { storeAfterMs: 1 };
    await node.fill();
    await eventually('images are stored', async () => (await retain(node, zeroLsn)).images > zeroLsn);
    const before = node.parts?.log.files.map(({ number }) => number) ?? [];
    const whole = await node.readPages();
    expect(whole).toHaveLength(7);
    const { floor, images } = await retain(node, node.end);
    expect(floor).toEqual({ epoch: reign, lsn: images });
    await eventually('files are dropped', async () => node.parts?.log.files[0]?.number !== before[0]);
    const left = node.parts?.log.files.map(({ number }) => number) ?? [];
    expect(before.slice(-left.length)).toEqual(left);
    await node.stop();
    const { node: core, runtime } = await node.start();
    expect([core.state.floor.lsn, core.segment.volumeEnd(reign)]).toEqual([images, node.end]);
    expect(await node.fetch()).toBeNull();
    await eventually('the log is indexed again', async () => (await node.readPages()) !== null);
    expect(await node.readPages()).toEqual(whole);
    expect(node.fatal).toEqual([]);
    await runtime.close();
  });
});
