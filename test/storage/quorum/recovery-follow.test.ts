import { describe, expect, it } from 'vitest';
import { commonPoint, EpochTree } from '../../../storage/history/epoch-tree.ts';
import { Recovery, type RecoveryEffect, type RecoveryEvent } from '../../../storage/quorum/core/recovery.ts';
import { epoch, lsn, mainBranch, type NodeId } from '../../../storage/redo/ids.ts';
import { Writer } from '../../simulation/region/cluster-writer.ts';
import { fork, sixNodes } from '../samples.ts';
import { begun, recover, recovered, settle } from './recoveries.ts';

describe('a region that follows', () => {
  it('takes up the new path where its own left it, and can be asked exactly what stayed behind', () => {
    for (let cut = 0; cut < 30; cut += 7) {
      const { cluster, writer } = begun(cut, 30);
      writer.stop();
      const own = writer.volume.vdl;
      // Elsewhere epoch 5 was forked at an earlier consistency point; here that is a loss, and meant to be one.
      cluster.truth.announced.length = 0;
      const at = [lsn(0), ...cluster.truth.cpls].sort((a, b) => a - b)[cut] ?? lsn(0);
      const path = [fork(1, 0, 0), fork(5, 1, at)];
      const goal = {
        kind: 'follow',
        branch: mainBranch,
        epoch: epoch(5),
        head: epoch(5),
        forks: path,
      } as const;
      expect(recovered(cluster, goal)).toEqual({ head: 5, forks: path, vdl: at, tree: path });
      // Once more, as after a crash of whoever asked: the same answer.
      expect(recovered(cluster, goal)).toEqual({ head: 5, forks: path, vdl: at, tree: path });
      const follower = new Writer(cluster, { head: epoch(5), forks: path, vdl: at, tree: path });
      follower.commitRandom();
      settle(cluster, follower);
      const left = recovered(cluster, {
        kind: 'inspect',
        branch: mainBranch,
        epoch: epoch(5),
        head: epoch(1),
      });
      expect([left.head, left.vdl]).toEqual([1, own]);
      expect(commonPoint(new EpochTree(left.tree), { head: left.head, lsn: left.vdl }, epoch(5))).toBe(at);
    }
  });

  it('begins with nothing when the path leaves below the floors of all that answer, and waits a moment for the silent (S18)', () => {
    const path = [fork(1, 0, 0), fork(5, 1, 50)];
    const goal = {
      kind: 'follow',
      branch: mainBranch,
      epoch: epoch(5),
      head: epoch(5),
      forks: path,
    } as const;
    const follow = (speaking: readonly NodeId[], ends: readonly number[]) => {
      const recovery = new Recovery([sixNodes], goal);
      const said: RecoveryEffect[] = [];
      const step = (event: RecoveryEvent, nowMs: number): void => {
        for (const effect of recovery.step(event, nowMs)) {
          said.push(effect);
          if (effect.kind !== 'send' || !speaking.includes(effect.node)) continue;
          const { node, request } = effect;
          const volumeEnd = lsn(ends[sixNodes.indexOf(node)] ?? 0);
          const floor = { epoch: epoch(1), lsn: lsn(volumeEnd > 0 ? 40 : 80) };
          if (request.kind === 'seal')
            step(
              {
                kind: 'answered',
                node,
                reply: { kind: 'sealed', forks: path.slice(0, 1), fresh: false, empty: false },
              },
              nowMs,
            );
          if (request.kind === 'survey')
            step(
              {
                kind: 'answered',
                node,
                reply: { kind: 'surveyed', volumeEnd, scls: [], vdl: lsn(50), chain: [], floor },
              },
              nowMs,
            );
        }
      };
      step({ kind: 'start' }, 0);
      for (let nowMs = 20; nowMs <= 3_000; nowMs += 20) step({ kind: 'tick' }, nowMs);
      const asked = said.flatMap((effect) => (effect.kind === 'send' ? [effect.request.kind] : []));
      return {
        end: said.find(({ kind }) => kind !== 'send'),
        toldNodes: asked.includes('append'),
        phase: recovery.phase,
      };
    };
    const nothing = { kind: 'recovered', outcome: { head: 5, vdl: 0, tree: path } };
    expect(follow(sixNodes, [])).toMatchObject({ end: nothing, toldNodes: false });
    expect(follow(sixNodes.slice(0, 4), [])).toMatchObject({ end: nothing, toldNodes: false });
    // One that has it all fills the others.
    expect(follow(sixNodes, [50])).toMatchObject({ end: undefined, toldNodes: true, phase: 'replicating' });
  });

  it('is told when the path it is to take contradicts what it recorded', () => {
    const { cluster } = begun();
    const forks = [fork(1, 0, 7), fork(5, 1, 10)];
    const goal = { kind: 'follow', branch: mainBranch, epoch: epoch(5), head: epoch(5), forks } as const;
    expect(recover(cluster, goal).outcome).toEqual({
      kind: 'failed',
      reason: "the primary's epoch 1 contradicts what this region recorded",
    });
  });

  it('cannot inspect an epoch nobody knows', () => {
    const { cluster } = begun();
    expect(
      recover(cluster, { kind: 'inspect', branch: mainBranch, epoch: epoch(1), head: epoch(9) }).outcome,
    ).toEqual({
      kind: 'failed',
      reason: 'no storage node knows epoch 9',
    });
  });
});
