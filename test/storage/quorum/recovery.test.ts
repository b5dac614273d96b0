import { describe, expect, it } from 'vitest';
import { commonPoint, EpochTree } from '../../../storage/history/epoch-tree.ts';
import { durableEnd } from '../../../storage/quorum/core/durable-end.ts';
import {
  Recovery,
  type RecoveryEffect,
  type RecoveryEvent,
  type RecoveryGoal,
} from '../../../storage/quorum/core/recovery.ts';
import { epoch, type Lsn, lsn, mainBranch, type NodeId, nodeId, pgId } from '../../../storage/redo/ids.ts';
import { Cluster, calm, rough } from '../simulation/cluster.ts';
import { Writer } from '../simulation/cluster-writer.ts';
import { fork, sixNodes } from '../simulation/samples.ts';
import { Takeover } from '../simulation/takeover.ts';

const forkGoal = (of: number): RecoveryGoal => ({ kind: 'fork', branch: mainBranch, epoch: epoch(of) });

function recover(cluster: Cluster, goal: RecoveryGoal, dieAfter?: number) {
  const takeover = new Takeover(cluster, goal, dieAfter);
  const done = cluster.runUntil(() => takeover.done, 30_000);
  if (!done) cluster.fail(`recovery stands still while ${takeover.recovery.phase}`);
  return takeover;
}

function recovered(cluster: Cluster, goal: RecoveryGoal) {
  const { outcome } = recover(cluster, goal);
  return outcome?.kind === 'recovered' ? outcome.outcome : cluster.fail(JSON.stringify(outcome));
}

/** A volume with one reign, and `commits` transactions that all six have. */
function begun(seed = 1, commits = 20): { readonly cluster: Cluster; readonly writer: Writer } {
  const cluster = new Cluster(seed, calm);
  const writer = new Writer(cluster, recovered(cluster, forkGoal(1)));
  for (let at = 0; at < commits; at++) writer.commitRandom();
  settle(cluster, writer);
  return { cluster, writer };
}

function endAt(cluster: Cluster, id: NodeId, writer: Writer): number {
  const { tree, segment } = cluster.core(id);
  return tree.has(writer.epoch) ? segment.volumeEnd(writer.epoch) : 0;
}

function settle(cluster: Cluster, writer: Writer): void {
  const { lastLsn } = writer.volume;
  const held = () => cluster.up.every((id) => endAt(cluster, id, writer) >= lastLsn);
  if (!cluster.runUntil(() => held() && writer.volume.vdl >= lastLsn, 20_000))
    cluster.fail('the nodes are not level');
  // Everyone hears of it.
  cluster.runFor(500);
}

const freshNodes = (cluster: Cluster) => sixNodes.filter((id) => !cluster.core(id).state.hydrated);

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
        cluster.rpc(nodeId(`n${n}`), request, () => undefined);
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

describe('the durable end told by surveys', () => {
  type Answer = Parameters<typeof durableEnd>[0][number];
  const answer = (
    volumeEnd: number,
    vdl: number,
    chain: Answer['chain'],
    scls: readonly (readonly [number, number])[] = [],
  ): Answer => ({
    volumeEnd: lsn(volumeEnd),
    vdl: lsn(vdl),
    chain,
    scls: scls.map(([pg, scl]) => [pgId(pg), lsn(scl)] as const),
  });
  const at = (base: number, end: number, pg = 0, cpl = end) => [base, end, pg, cpl] as const;

  it.each([
    ['nothing at all', [answer(0, 0, []), answer(0, 0, []), answer(0, 0, [])], 0],
    [
      'the highest told, when nothing lies above it',
      [answer(50, 20, []), answer(50, 50, []), answer(0, 0, [])],
      50,
    ],
    ['a frame that one of three holds', [answer(10, 0, [at(0, 10)]), answer(0, 0, []), answer(0, 0, [])], 10],
    [
      'the last commit, not the end of a frame',
      [answer(20, 0, [at(0, 10), at(10, 20, 0, -1)]), answer(0, 0, []), answer(0, 0, [])],
      10,
    ],
    [
      'where the chain has a hole',
      [answer(10, 0, [at(0, 10), at(20, 30)]), answer(0, 0, []), answer(0, 0, [])],
      10,
    ],
    [
      'over a hole that another fills, group by group',
      [
        answer(0, 0, [at(10, 20, 1), at(30, 40, 1)], [[1, 40]]),
        answer(10, 0, [at(0, 10), at(20, 30)], [[0, 30]]),
        answer(0, 0, []),
      ],
      40,
    ],
    [
      'not a frame whose group nobody has all of',
      [
        answer(
          10,
          0,
          [at(0, 10), at(10, 20, 1)],
          [
            [0, 10],
            [1, 0],
          ],
        ),
        answer(0, 0, []),
        answer(0, 0, []),
      ],
      10,
    ],
    [
      'on from a told point inside a frame',
      [answer(40, 20, [at(10, 30, 0, 20), at(30, 40)]), answer(0, 0, []), answer(10, 10, [])],
      40,
    ],
    [
      'only above the told point, whatever lies below',
      [answer(0, 0, [at(0, 10), at(10, 20)]), answer(0, 30, []), answer(0, 0, [])],
      30,
    ],
  ])('is %s', (_, answers, expected) => {
    expect(durableEnd(answers, 'any')).toBe(expected);
  });

  it('counts, when only looking, what four can have had: all of four, or as many as four less the silent', () => {
    const has = answer(10, 0, [at(0, 10)]);
    const lacks = answer(0, 0, []);
    expect(durableEnd([has, has, has, lacks, lacks, lacks], 'acknowledgeable')).toBe(0);
    expect(durableEnd([has, has, has, has, lacks, lacks], 'acknowledgeable')).toBe(10);
    expect(durableEnd([has, has, lacks, lacks], 'acknowledgeable')).toBe(10);
    expect(durableEnd([has, lacks, lacks, lacks], 'acknowledgeable')).toBe(0);
    expect(durableEnd([has, lacks, lacks], 'acknowledgeable')).toBe(10);
    // Refilled on another path, a node may have held anything of this one.
    const knows = answer(30, 10, [at(10, 20), at(20, 30)]);
    const refilled = answer(0, 10, []);
    expect(durableEnd([knows, knows, refilled, refilled, refilled, refilled], 'acknowledgeable')).toBe(30);
    expect(
      durableEnd(
        [knows, answer(10, 10, []), answer(10, 10, []), refilled, refilled, refilled],
        'acknowledgeable',
      ),
    ).toBe(30);
    expect(
      durableEnd([knows, ...Array.from({ length: 5 }, () => answer(10, 10, []))], 'acknowledgeable'),
    ).toBe(10);
  });
});
