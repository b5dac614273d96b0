import { afterEach, describe, expect, it } from 'vitest';
import { locate } from '../../../storage/index.ts';
import { epoch, type Lsn, lsn, zeroLsn } from '../../../storage/redo/ids.ts';
import { ask, RottingNode } from '../node/rotting-node.ts';
import { eventually, smallMtr, startRegion, type TestRegion, TestWriter } from '../region-harness.ts';

let region: TestRegion | null = null;
afterEach(async () => {
  await region?.close();
  region = null;
});

describe('the nodes of a region', () => {
  it('say what a time or an LSN means, also on a path that was left, and when they were away for the newest of it', async () => {
    region = await startRegion();
    const client = region.client();
    await eventually('all six are up', () => client.upNodes.length === 6);
    const first = await TestWriter.open(client, 1);
    const ends: Lsn[] = [];
    for (let at = 1; at <= 20; at++) {
      ends.push(first.driver.commit(smallMtr(1, at * 10)));
      await first.untilDurable(ends.at(-1) ?? zeroLsn);
    }
    const end = ends.at(-1) ?? zeroLsn;
    const wish = { head: epoch(1), upTo: end, atUs: null };
    const at = (index: number) => ({ kind: 'located', lsn: ends[index], commitTimeUs: (index + 1) * 10 });
    expect(await locate(client, wish)).toEqual(at(19));
    expect(await locate(client, { ...wish, atUs: 79 })).toEqual(at(6));
    expect(await locate(client, { ...wish, atUs: 80 })).toEqual(at(7));
    expect(await locate(client, { ...wish, upTo: lsn((ends[4] ?? 0) + 1) })).toEqual(at(4));
    expect(await locate(client, { ...wish, atUs: 9 })).toEqual({
      kind: 'located',
      lsn: 0,
      commitTimeUs: null,
    });
    expect(await locate(client, { ...wish, head: epoch(7) })).toEqual({ kind: 'unknownEpoch' });
    // Asked in turn: the one that was away for the rest says that it is not complete, and another answers.
    await region.node('n1').kill();
    const last = first.driver.commit(smallMtr(1, 999));
    await first.untilDurable(last);
    expect(await locate(client, { ...wish, upTo: last })).toMatchObject({ lsn: last, commitTimeUs: 999 });
    expect(await locate(client, { ...wish, upTo: lsn(last + 1) })).toMatchObject({ kind: 'unavailable' });
    first.driver.close();
  });

  it('name their floor for what lies below, and the floor itself without its time', async () => {
    const node = new RottingNode();
    node.folding = { storeAfterMs: 1 };
    await node.fill();
    const retain = async (keepFrom: Lsn) => {
      if (node.parts === undefined) throw new Error('the node is not up');
      const request = { kind: 'retain', head: epoch(1), keepFrom, sinceUs: 0, bytesMax: 0 } as const;
      const reply = await ask(node.parts, { ...request, copies: keepFrom });
      return reply.kind === 'retained' ? reply : null;
    };
    await eventually('images are stored', async () => ((await retain(zeroLsn))?.images ?? 0) > 0);
    const before = node.parts?.log.files[0]?.number;
    const floor = (await retain(node.end))?.floor.lsn ?? zeroLsn;
    await eventually('files are dropped', async () => node.parts?.log.files[0]?.number !== before);
    if (node.parts === undefined) throw new Error('the node is not up');
    const question = { kind: 'locate', head: epoch(1), atUs: null } as const;
    expect(await ask(node.parts, { ...question, upTo: lsn(floor - 1) })).toMatchObject({
      kind: 'refused',
      code: 'BELOW_FLOOR',
      floor: { epoch: 1, lsn: floor },
    });
    expect(await ask(node.parts, { ...question, upTo: node.end, atUs: 0 })).toMatchObject({
      code: 'BELOW_FLOOR',
    });
    expect(await ask(node.parts, { ...question, upTo: floor })).toMatchObject({
      kind: 'located',
      lsn: floor,
    });
    expect(await ask(node.parts, { ...question, upTo: node.end })).toMatchObject({ lsn: node.end });
    await node.parts.runtime.close();
  });
});
