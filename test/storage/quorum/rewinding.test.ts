import { describe, expect, it } from 'vitest';
import type { RecoveryGoal } from '../../../storage/quorum/core/recovery.ts';
import { epoch, type Lsn, lsn, mainBranch, nodeId } from '../../../storage/redo/ids.ts';
import { Cluster, calm, rough } from '../../simulation/region/cluster.ts';
import { Writer } from '../../simulation/region/cluster-writer.ts';
import { Takeover } from '../../simulation/region/takeover.ts';
import { sixNodes } from '../samples.ts';

const goal = (of: number, since?: number, to?: { epoch: number; lsn: number }): RecoveryGoal => ({
  kind: 'fork',
  branch: mainBranch,
  epoch: epoch(of),
  ...(since !== undefined &&
    to !== undefined && {
      rewind: { since: epoch(since), to: { epoch: epoch(to.epoch), lsn: lsn(to.lsn) } },
    }),
});

function recover(cluster: Cluster, asked: RecoveryGoal, dieAfter?: number) {
  const takeover = new Takeover(cluster, asked, dieAfter);
  if (!cluster.runUntil(() => takeover.done, 30_000))
    cluster.fail(`recovery stands still while ${takeover.recovery.phase}`);
  return takeover.outcome?.kind === 'recovered' ? takeover.outcome.outcome : null;
}

function recovered(cluster: Cluster, asked: RecoveryGoal) {
  return recover(cluster, asked) ?? cluster.fail('a recovery has not ended well');
}

function settle(cluster: Cluster, writer: Writer): void {
  const { lastLsn } = writer.volume;
  const held = () =>
    cluster.up.every((id) => {
      const { tree, segment } = cluster.core(id);
      return tree.has(writer.epoch) && segment.volumeEnd(writer.epoch) >= lastLsn;
    });
  if (!cluster.runUntil(() => held() && writer.volume.vdl >= lastLsn, 20_000))
    cluster.fail('the nodes are not level');
}

/** A volume whose first reign has made `commits` transactions, and where each ends. */
function begun(seed = 1, commits = 12) {
  const cluster = new Cluster(seed, calm);
  const writer = new Writer(cluster, recovered(cluster, goal(1)));
  const ends: Lsn[] = [];
  for (let at = 0; at < commits; at++) ends.push(writer.commitRandom());
  settle(cluster, writer);
  writer.stop();
  return { cluster, ends };
}

describe('S41: a recovery that makes a rewind', () => {
  it('forks at the place, says what it left, and goes forward again on the path that was left', () => {
    const { cluster, ends } = begun();
    const [to = 0, end = 0] = [ends[4], ends.at(-1)];
    const back = recovered(cluster, goal(2, 2, { epoch: 1, lsn: to }));
    expect(back).toMatchObject({ vdl: to, rewind: { kind: 'done' } });
    expect(back.forks.at(-1)).toEqual({ epoch: 2, branch: mainBranch, parent: 1, forkLsn: to, left: 1 });
    const writer = new Writer(cluster, back);
    writer.commitRandom();
    settle(cluster, writer);
    writer.stop();
    const forward = recovered(cluster, goal(3, 3, { epoch: 1, lsn: end }));
    expect(forward.forks.at(-1)).toEqual({ epoch: 3, branch: mainBranch, parent: 1, forkLsn: end, left: 2 });
    const next = new Writer(cluster, forward);
    const last = next.commitRandom();
    settle(cluster, next);
    for (const id of sixNodes)
      expect(
        Buffer.compare(
          cluster.readFrom(id, forward.forks, epoch(3), last),
          cluster.truth.bytesOf(forward.forks, epoch(3), last),
        ),
      ).toBe(0);
  });

  it('is made once, wherever the one who made it died, and keeps what was written behind it', {
    timeout: 60_000,
  }, () => {
    for (let dieAfter = 0; dieAfter < 40; dieAfter++) {
      const { cluster, ends } = begun(dieAfter);
      cluster.faults = rough;
      const to = { epoch: 1, lsn: ends[3] ?? 0 };
      const first = recover(cluster, goal(2, 2, to), dieAfter);
      let written = 0;
      if (first !== null) {
        const writer = new Writer(cluster, first);
        written = writer.commitRandom();
        cluster.faults = calm;
        settle(cluster, writer);
        writer.stop();
        cluster.faults = rough;
      }
      const second = recovered(cluster, goal(3, 2, to));
      expect(second.vdl).toBe(first === null ? to.lsn : written);
      if (first !== null) expect(second.rewind).toEqual({ kind: 'found' });
      cluster.faults = calm;
      for (const id of sixNodes) cluster.start(id);
      const next = new Writer(cluster, second);
      const last = next.commitRandom();
      settle(cluster, next);
      expect(next.volume.vdl).toBe(last);
    }
  });

  it('gives up what is not there, and goes on from where the branch was durable', () => {
    const { cluster, ends } = begun();
    const end = ends.at(-1) ?? 0;
    expect(recovered(cluster, goal(2, 2, { epoch: 1, lsn: end + 40 }))).toMatchObject({
      vdl: end,
      rewind: { kind: 'given-up', reason: expect.stringContaining('is not durable here') },
    });
    expect(recovered(cluster, goal(3, 3, { epoch: 9, lsn: 1 }))).toMatchObject({
      vdl: end,
      rewind: { kind: 'given-up', reason: expect.stringContaining('knows epoch 9') },
    });
    // Along a path that was left and of which nobody has so much: the branch is surveyed along its own.
    const back = recovered(cluster, goal(4, 4, { epoch: 1, lsn: ends[2] ?? 0 }));
    const writer = new Writer(cluster, back);
    const written = writer.commitRandom();
    settle(cluster, writer);
    writer.stop();
    const forward = recovered(cluster, goal(5, 5, { epoch: 1, lsn: end + 40 }));
    expect(forward).toMatchObject({ vdl: written, rewind: { kind: 'given-up' } });
    expect(forward.forks.at(-1)).toEqual({ epoch: 5, branch: mainBranch, parent: 4, forkLsn: written });
  });

  it('copies what it goes back to until four have it', () => {
    const { cluster, ends } = begun();
    for (const id of ['n1', 'n2'].map(nodeId)) cluster.kill(id);
    const back = recovered(cluster, goal(2, 2, { epoch: 1, lsn: ends[1] ?? 0 }));
    const writer = new Writer(cluster, back);
    const end = writer.commitRandom();
    settle(cluster, writer);
    writer.stop();
    for (const id of ['n1', 'n2'].map(nodeId)) cluster.start(id);
    for (const id of ['n5', 'n6'].map(nodeId)) cluster.kill(id);
    expect(recovered(cluster, goal(3, 3, { epoch: 2, lsn: end })).vdl).toBe(end);
  });
});
