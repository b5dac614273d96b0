import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { EpochTree } from '../../../storage/history/epoch-tree.ts';
import { ReceiverDriver, runRecovery, TailReader } from '../../../storage/index.ts';
import { checkedFrames, splitFrames } from '../../../storage/redo/frame.ts';
import { type Epoch, epoch, type Lsn, mainBranch, zeroLsn } from '../../../storage/redo/ids.ts';
import { eventually, nodeIds, smallMtr, TestWriter } from '../region-harness.ts';
import { cleanups, framesOnDisk, open, untilComplete, writeSome } from './six-nodes.ts';

describe('tailing', () => {
  it('misses and repeats nothing when the node it reads from is killed', { timeout: 30_000 }, async () => {
    const { region, client } = await open({ children: true });
    const writer = await TestWriter.open(client, 1);
    const first = await writeSome(writer, 20);
    const seen: { readonly base: Lsn; readonly end: Lsn }[] = [];
    const passedOn: string[] = [];
    const tail = new TailReader({
      region: client,
      head: null,
      from: zeroLsn,
      durableOnly: true,
      onPassedOn: (node) => passedOn.push(node),
      onFrames: ({ frames }) => {
        const split = splitFrames(frames);
        if (split.kind === 'frames') seen.push(...split.frames.map(({ header }) => header));
      },
    });
    cleanups.push(() => tail.close());
    await eventually('caught up', () => tail.next >= first);
    const serving = tail.node;
    await region.node(serving ?? 'n1').kill();
    const end = await writeSome(writer, 20);
    await eventually('caught up again', () => tail.next >= end);
    expect(passedOn).toContain(serving);
    let at: Lsn = zeroLsn;
    for (const { base, end: to } of seen) {
      expect(base).toBe(at);
      at = to;
    }
    expect(at).toBe(end);
  });

  it('follows the newest reign, and goes back to where its path leaves what was read', async () => {
    const { region, client } = await open();
    const writer = await TestWriter.open(client, 1);
    const end = await writeSome(writer, 10);
    const heads: { head: Epoch; from: Lsn; forks: number }[] = [];
    const tail = new TailReader({
      region: client,
      head: null,
      from: zeroLsn,
      onFrames: ({ head, from, forks }) => heads.push({ head, from, forks: forks.length }),
    });
    cleanups.push(() => tail.close());
    await eventually('caught up', () => tail.next >= end);
    // One node takes what never becomes durable, and the tail reads it: it is not limited to what is durable.
    const others = nodeIds.slice(1).map((id) => region.node(id));
    await Promise.all(others.map((node) => node.kill()));
    const orphan = writer.driver.commit(smallMtr(9, 9));
    await eventually('the orphan was read', () => tail.next >= orphan);
    writer.driver.close();
    await Promise.all(others.map((node) => node.start()));
    await region.node('n1').kill();
    await eventually('five are up', () => client.upNodes.length === 5);
    const next = await TestWriter.open(client, 2);
    expect(next.driver.lastLsn).toBe(end);
    const after = await writeSome(next, 5);
    await eventually('caught up on the new path', () => heads.at(-1)?.head === 2 && tail.next >= after);
    expect(heads.find(({ head }) => head === 2)).toEqual({ head: 2, from: end, forks: 2 });
  });

  it('delivers nothing while paused, and everything afterwards', async () => {
    const { client } = await open();
    const writer = await TestWriter.open(client, 1);
    let calls = 0;
    const tail = new TailReader({ region: client, head: null, from: zeroLsn, onFrames: () => (calls += 1) });
    cleanups.push(() => tail.close());
    await eventually('the head is known', () => calls > 0);
    tail.pause();
    const before = { calls, next: tail.next };
    const end = await writeSome(writer, 10);
    expect({ calls, next: tail.next }).toEqual(before);
    tail.resume();
    await eventually('caught up', () => tail.next >= end);
  });
});

describe('receiving from another region', () => {
  it('stores the same bytes, and counts only what lies on the followed path', {
    timeout: 30_000,
  }, async () => {
    const from = await open();
    const to = await open();
    const writer = await TestWriter.open(from.client, 1);
    const end = await writeSome(writer, 20);
    const forks =
      writer.driver.epoch === 1
        ? [{ epoch: epoch(1), branch: mainBranch, parent: epoch(0), forkLsn: zeroLsn }]
        : [];
    const tree = new EpochTree(forks);
    const joined = await runRecovery(
      to.client,
      { kind: 'follow', branch: mainBranch, epoch: epoch(1), head: epoch(1), forks },
      { timeoutMs: 10_000 },
    );
    expect(joined.kind).toBe('recovered');
    const receiver = new ReceiverDriver({
      region: to.client,
      authority: epoch(1),
      head: epoch(1),
      forks,
      start: zeroLsn,
      onDurable: () => undefined,
      onFenced: () => undefined,
      onQuorumLost: () => undefined,
    });
    cleanups.push(() => receiver.close());
    const offers: string[] = [];
    const tail = new TailReader({
      region: from.client,
      head: epoch(1),
      from: zeroLsn,
      durableOnly: true,
      onFrames: ({ frames }) => offers.push(receiver.offer(checkedFrames(frames), tree).kind),
    });
    cleanups.push(() => tail.close());
    await eventually('durable there too', () => receiver.vdl >= end);
    expect(new Set(offers)).toEqual(new Set(['taken']));
    await untilComplete(to.client, nodeIds, end);
    expect(framesOnDisk(to.region.node('n2'))).toEqual(framesOnDisk(from.region.node('n5')));
    const frames = splitFrames(
      readFileSync(join(to.region.node('n1').config.dataDir, 'log', '0000000001.log')),
    );
    const last = frames.kind === 'frames' ? frames.frames.slice(-1) : [];
    expect(receiver.offer(last, tree)).toEqual({ kind: 'taken', next: end });
  });
});
