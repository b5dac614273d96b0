import { describe, expect, it } from 'vitest';
import { epoch, lsn } from '../../../storage/redo/ids.ts';
import { ask, RottingNode } from '../node/rotting-node.ts';
import { eventually } from '../region-harness.ts';

const reign = epoch(1);

describe('a node with real log files', () => {
  it('drops what lies below its images, and is complete from there on after a restart', async () => {
    const node = new RottingNode();
    const middle = lsn(node.frames.slice(0, 400).reduce((sum, frame) => sum + frame.length - 36, 0));
    node.imagePoints = { boundaries: [{ epoch: reign, lsn: middle }], bytes: 1 };
    await node.fill();
    const before = node.parts?.log.files.map(({ number }) => number) ?? [];
    const request = {
      kind: 'retain',
      head: reign,
      keepFrom: node.end,
      sinceUs: 0,
      bytesMax: 0,
      copies: node.end,
    } as const;
    const reply = node.parts === undefined ? null : await ask(node.parts, request);
    expect(reply).toMatchObject({ kind: 'retained', floor: { epoch: 1, lsn: middle }, images: middle });
    await eventually('files are dropped', () =>
      Promise.resolve(node.parts?.log.files[0]?.number !== before[0]),
    );
    const left = node.parts?.log.files.map(({ number }) => number) ?? [];
    expect(before.slice(-left.length)).toEqual(left);
    await node.stop();
    const { node: core, runtime } = await node.start();
    expect([core.state.floor.lsn, core.segment.volumeEnd(reign)]).toEqual([middle, node.end]);
    expect(await node.fetch()).toBeNull();
    expect(node.fatal).toEqual([]);
    await runtime.close();
  });
});
