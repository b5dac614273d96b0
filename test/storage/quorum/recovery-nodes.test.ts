import { describe, expect, it } from 'vitest';
import { epoch, type Lsn, lsn, type NodeId, nodeId } from '../../../storage/redo/ids.ts';
import { Caller } from '../../simulation/region/caller.ts';
import { Cluster, calm } from '../../simulation/region/cluster.ts';
import { Writer } from '../../simulation/region/cluster-writer.ts';
import { Takeover } from '../../simulation/region/takeover.ts';
import { fork, sixNodes } from '../samples.ts';
import { begun, forkGoal, freshNodes, recover, recovered, settle } from './recoveries.ts';

describe('recovery over nodes that come and go', () => {
  it('goes on with a fifth node when one of the first four dies after its promise', () => {
    const { cluster, writer } = begun();
    const [a, b] = [nodeId('n5'), nodeId('n6')];
    cluster.kill(a);
    cluster.kill(b);
    const takeover = new Takeover(cluster, forkGoal(2));
    cluster.runUntil(() => takeover.recovery.phase === 'surveying', 5_000);
    cluster.kill(nodeId('n1'));
    cluster.start(a);
    expect(cluster.runUntil(() => takeover.done, 5_000)).toBe(true);
    expect(takeover.outcome).toMatchObject({ kind: 'recovered', outcome: { vdl: writer.volume.vdl } });
  });

  it('copies to another when the node it copies to dies in the middle', () => {
    const cluster = new Cluster(3, calm);
    const writer = new Writer(cluster, recovered(cluster, forkGoal(1)));
    cluster.runFor(300);
    // Three of six have everything; a fourth had it and is lost with its disk.
    cluster.kill(nodeId('n5'));
    cluster.kill(nodeId('n6'));
    for (let at = 0; at < 300; at++) writer.commitRandom();
    cluster.runUntil(() => writer.volume.vdl >= writer.volume.lastLsn, 5_000);
    writer.stop();
    cluster.kill(nodeId('n1'));
    cluster.start(nodeId('n5'));
    cluster.start(nodeId('n6'));
    const takeover = new Takeover(cluster, forkGoal(2));
    cluster.runUntil(() => takeover.recovery.phase === 'replicating', 5_000);
    expect(takeover.recovery.phase).toBe('replicating');
    for (const id of ['n5', 'n6'].map(nodeId)) {
      if (takeover.done) break;
      cluster.kill(id);
      cluster.runFor(30);
      cluster.start(id);
    }
    expect(cluster.runUntil(() => takeover.done, 20_000)).toBe(true);
    expect(takeover.outcome).toMatchObject({ kind: 'recovered', outcome: { vdl: writer.volume.vdl } });
  });

  it('puts together what no single node has, behind holes below what was durable', () => {
    // Three groups, each on another four nodes: no node is complete, every frame has four copies.
    const homes: readonly (readonly number[])[] = [
      [1, 2, 3, 4],
      [3, 4, 5, 6],
      [1, 2, 5, 6],
    ];
    const cluster = new Cluster(5, calm);
    const caller = new Caller(cluster);
    const { forks } = recovered(cluster, forkGoal(1));
    const ends = new Map<number, Lsn>();
    let base = lsn(0);
    let told = lsn(0);
    for (let at = 0; at < 30; at++) {
      const pg = at % 3;
      const prev = ends.get(pg) ?? lsn(0);
      const { bytes, end } = cluster.truth.plant({ epoch: 1, pg, base, prev });
      for (const n of homes[pg] ?? []) {
        const request = {
          kind: 'append',
          authority: epoch(1),
          durable: { head: epoch(1), vdl: told },
          lowWater: lsn(0),
          frames: bytes,
        } as const;
        caller.call(nodeId(`n${n}`), request, () => undefined);
        cluster.runFor(5);
      }
      ends.set(pg, end);
      base = end;
      if (at < 25) told = end;
    }
    expect(Math.max(...sixNodes.map((id) => cluster.core(id).segment.volumeEnd(epoch(1))))).toBeLessThan(
      told,
    );
    const { vdl } = recovered(cluster, forkGoal(2));
    expect(vdl).toBe(base);
    expect(forks).toEqual([fork(1, 0, 0)]);
  });
});

describe('nodes that lost their disk (S6)', () => {
  const replace = (cluster: Cluster, ...ids: readonly NodeId[]) => {
    for (const id of ids) {
      cluster.wipe(id);
      cluster.start(id);
    }
  };

  it('are no witnesses until they have caught up, and are afterwards', () => {
    const { cluster, writer } = begun();
    replace(cluster, nodeId('n1'), nodeId('n2'));
    expect(freshNodes(cluster)).toEqual(['n1', 'n2']);
    writer.commitRandom();
    cluster.runUntil(() => freshNodes(cluster).length === 0, 10_000);
    expect(freshNodes(cluster)).toEqual([]);
    settle(cluster, writer);
  });

  it('do not make a recovery overlook what two others still have', () => {
    for (let seed = 0; seed < 20; seed++) {
      const cluster = new Cluster(seed, calm);
      const writer = new Writer(cluster, recovered(cluster, forkGoal(1)));
      for (let at = 0; at < 10; at++) writer.commitRandom();
      settle(cluster, writer);
      // The last transactions are on the first four only, and two of those lose their disks.
      cluster.kill(nodeId('n5'));
      cluster.kill(nodeId('n6'));
      for (let at = 0; at < 10; at++) writer.commitRandom();
      cluster.runUntil(() => writer.volume.vdl >= writer.volume.lastLsn, 5_000);
      writer.stop();
      const vdl = writer.volume.vdl;
      cluster.truth.announced.length = 0;
      cluster.kill(nodeId('n3'));
      cluster.kill(nodeId('n4'));
      replace(cluster, nodeId('n1'), nodeId('n2'));
      cluster.start(nodeId('n5'));
      cluster.start(nodeId('n6'));
      // Four promises are to be had now, but only two of nodes that remember.
      const takeover = new Takeover(cluster, forkGoal(2));
      expect(cluster.runUntil(() => takeover.done, 2_000)).toBe(false);
      cluster.start(nodeId('n4'));
      // One that remembers speaks, and dies again as soon as it has promised.
      if (seed % 2 === 0) {
        cluster.runUntil(() => takeover.recovery.phase !== 'sealing', 3_000);
        cluster.kill(nodeId('n4'));
        expect(cluster.runUntil(() => takeover.done, 2_000)).toBe(false);
        cluster.start(nodeId('n3'));
      }
      expect(cluster.runUntil(() => takeover.done, 10_000)).toBe(true);
      expect(takeover.outcome).toMatchObject({ kind: 'recovered', outcome: { vdl } });
    }
  });

  it('too many of them make recovery say so instead of beginning anew', () => {
    const { cluster } = begun();
    replace(cluster, ...sixNodes.slice(0, 4));
    expect(recover(cluster, forkGoal(2)).outcome).toEqual({
      kind: 'failed',
      reason: 'only 2 of six storage nodes hold their data; three are needed',
    });
  });

  it('stay fresh although a recovery has taught them the path and copied to them', () => {
    const { cluster, writer } = begun();
    writer.stop();
    replace(cluster, nodeId('n1'), nodeId('n2'), nodeId('n3'));
    recovered(cluster, forkGoal(2));
    expect(freshNodes(cluster)).toEqual(['n1', 'n2', 'n3']);
  });
});
