import { describe, expect, it } from 'vitest';
import { epoch, nodeId } from '../../../storage/redo/ids.ts';
import { Cluster, calm, rough } from '../../simulation/region/cluster.ts';
import { Writer } from '../../simulation/region/cluster-writer.ts';
import { Takeover } from '../../simulation/region/takeover.ts';
import { fork, sixNodes } from '../samples.ts';
import { begun, forkGoal, recover, recovered, settle } from './recoveries.ts';

describe('recovery', () => {
  it('founds a volume on six empty nodes', () => {
    const cluster = new Cluster(1);
    expect(recovered(cluster, forkGoal(1))).toEqual({
      head: 1,
      forks: [fork(1, 0, 0)],
      vdl: 0,
      tree: [fork(1, 0, 0)],
    });
  });

  it('does not found one while a node is missing, since that may be the one that knows better', () => {
    const cluster = new Cluster(1);
    cluster.kill(nodeId('n3'));
    const takeover = new Takeover(cluster, forkGoal(1));
    expect(cluster.runUntil(() => takeover.done, 5_000)).toBe(false);
    cluster.start(nodeId('n3'));
    expect(cluster.runUntil(() => takeover.done, 5_000)).toBe(true);
  });

  it('forks at the end of what a crashed writer made durable, and goes on from there', () => {
    const { cluster, writer } = begun();
    writer.stop();
    const { vdl, forks } = recovered(cluster, forkGoal(2));
    expect(vdl).toBe(writer.volume.vdl);
    expect(forks).toEqual([fork(1, 0, 0), fork(2, 1, vdl)]);
    const next = new Writer(cluster, { head: epoch(2), forks, vdl, tree: forks });
    const end = next.commitRandom();
    settle(cluster, next);
    expect(next.volume.vdl).toBe(end);
  });

  it('is possible with any four nodes, and not with three', () => {
    for (let a = 0; a < 6; a++) {
      for (let b = a + 1; b < 6; b++) {
        const { cluster, writer } = begun(a * 6 + b, 5);
        for (const at of [a, b]) cluster.kill(sixNodes[at] ?? nodeId('none'));
        expect(recovered(cluster, forkGoal(2)).vdl).toBe(writer.volume.vdl);
      }
    }
    const { cluster } = begun();
    for (const id of sixNodes.slice(0, 3)) cluster.kill(id);
    const takeover = new Takeover(cluster, forkGoal(2));
    expect(cluster.runUntil(() => takeover.done, 5_000)).toBe(false);
  });

  it('counts what gets on, and counts nothing while it only repeats itself', () => {
    const { cluster } = begun();
    for (const id of sixNodes.slice(0, 3)) cluster.kill(id);
    const takeover = new Takeover(cluster, forkGoal(2));
    cluster.runFor(1_000);
    const { progress } = takeover.recovery;
    expect(progress).toBe(3);
    cluster.runFor(4_000);
    expect(takeover.recovery.progress).toBe(progress);
    cluster.start(sixNodes[0] ?? nodeId('none'));
    expect(cluster.runUntil(() => takeover.done, 5_000)).toBe(true);
    // The fourth that sealed, three phases, and four that forked.
    expect(takeover.recovery.progress).toBeGreaterThanOrEqual(progress + 8);
  });

  it('fences the writer before it: what that commits afterwards is never durable', () => {
    const { cluster, writer } = begun();
    const { vdl } = recovered(cluster, forkGoal(2));
    writer.commitRandom();
    cluster.runUntil(() => writer.over, 5_000);
    expect(writer.fencedBy).toBe(2);
    expect(writer.volume.vdl).toBe(vdl);
  });

  it('is fenced itself by a newer one, whichever finishes first', () => {
    const { cluster } = begun();
    const older = new Takeover(cluster, forkGoal(2));
    const newer = new Takeover(cluster, forkGoal(3));
    cluster.runUntil(() => older.done && newer.done, 10_000);
    expect(newer.outcome).toMatchObject({ kind: 'recovered', outcome: { head: 3 } });
    expect(older.outcome).toEqual({ kind: 'fenced', by: 3 });
    expect(recover(cluster, forkGoal(2)).outcome).toMatchObject({ kind: 'fenced' });
  });

  it('does not fork an epoch twice', () => {
    const { cluster } = begun();
    recovered(cluster, forkGoal(2));
    expect(recover(cluster, forkGoal(2)).outcome).toMatchObject({
      kind: 'failed',
      reason: expect.stringContaining('take a new one'),
    });
  });

  it('that dies after any of its steps is followed by one that loses nothing', { timeout: 30_000 }, () => {
    for (let dieAfter = 0; dieAfter < 60; dieAfter++) {
      const cluster = new Cluster(dieAfter, rough);
      const writer = new Writer(cluster, recovered(cluster, forkGoal(1)));
      for (let at = 0; at < 30; at++) cluster.after(at * 5, () => writer.commitRandom());
      cluster.runFor(150);
      const first = recover(cluster, forkGoal(2), dieAfter);
      if (first.outcome === null) expect(first.killed).toBe(true);
      const { vdl, forks, head } = recovered(cluster, forkGoal(3));
      expect(vdl).toBeGreaterThanOrEqual(Math.max(0, ...cluster.truth.announced.map((one) => one.vdl)));
      // A fork that any of the nodes it heard had recorded is an ancestor, even when four never had it.
      const finished = first.outcome?.kind === 'recovered';
      if (finished) expect(forks.map((step) => step.epoch)).toEqual([1, 2, 3]);
      const next = new Writer(cluster, { head, forks, vdl, tree: forks });
      const end = next.commitRandom();
      cluster.faults = calm;
      for (const id of sixNodes) cluster.start(id);
      settle(cluster, next);
      for (const id of sixNodes) {
        expect(
          Buffer.compare(cluster.readFrom(id, forks, head, end), cluster.truth.bytesOf(forks, head, end)),
        ).toBe(0);
      }
    }
  });

  it('that died while founding, on one node or all, is followed by one that founds', () => {
    for (let dieAfter = 0; dieAfter <= 18; dieAfter++) {
      const cluster = new Cluster(dieAfter);
      recover(cluster, forkGoal(1), dieAfter);
      const { vdl, head, forks } = recovered(cluster, forkGoal(2));
      expect([vdl, head]).toEqual([0, 2]);
      const writer = new Writer(cluster, { head, forks, vdl, tree: forks });
      const end = writer.commitRandom();
      settle(cluster, writer);
      expect(writer.volume.vdl).toBe(end);
    }
  });
});
