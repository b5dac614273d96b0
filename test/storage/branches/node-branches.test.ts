import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { branchName, epoch, lsn } from '../../../storage/redo/ids.ts';
import { fork } from '../samples.ts';
import { dev, founded, OneNode, other, threeBranches } from './one-node.ts';

/** Main up to 100, everything durable, and two branches from there. */
function withBranches(): OneNode {
  const node = new OneNode();
  node.append({ authority: 1, vdl: 0, frames: [{ base: 0, commits: 10 }] });
  node.append({ authority: 1, vdl: 100 });
  node.fork(...threeBranches.slice(0, 2));
  node.fork(...threeBranches);
  return node;
}

describe('a node with branches', () => {
  test('sealing one branch leaves the others writing', () => {
    const node = withBranches();
    expect(node.append({ authority: 2, vdl: 100 })).toMatchObject({ kind: 'acked' });
    expect(node.seal('dev', 9)).toMatchObject({ kind: 'sealed', fresh: false, empty: false });
    expect(node.append({ authority: 2, vdl: 100, frames: [{ epoch: 2, base: 100 }] })).toMatchObject({
      code: 'SEALED',
      sealed: 9,
    });
    expect(node.append({ authority: 1, vdl: 100, frames: [{ base: 100 }] })).toMatchObject({
      kind: 'acked',
      scls: [[0, 110]],
    });
    expect(node.append({ authority: 3, vdl: 100, frames: [{ epoch: 3, base: 100 }] })).toMatchObject({
      kind: 'acked',
      scls: [[0, 110]],
    });
    expect([node.node.sealed, node.node.branches.named(dev, true).sealed]).toEqual([1, 9]);
    // What concerns main is refused by main's seal, whatever is sealed elsewhere.
    expect(node.seal('main', 8)).toMatchObject({ kind: 'sealed' });
    expect(node.append({ authority: 3, vdl: 110 })).toMatchObject({ kind: 'acked' });
    expect(node.append({ authority: 1, vdl: 110 })).toMatchObject({ code: 'SEALED', sealed: 8 });
  });

  test('an authority that is newer than the seal of its branch seals that branch alone', () => {
    const node = withBranches();
    expect(node.append({ authority: 7, head: 2, vdl: 100 })).toMatchObject({ kind: 'acked' });
    const { main, live } = node.node.branches;
    expect(main.sealed).toBe(1);
    expect(live.map(({ name, sealed }) => [name, sealed])).toEqual([
      ['main', 1],
      ['dev', 7],
      ['other', 0],
    ]);
  });

  test('frames of a sealed branch that come late are kept by whoever copies them, and never acknowledged to their writer', () => {
    const node = withBranches();
    node.seal('dev', 9);
    const late = [{ epoch: 2, base: 100 }];
    expect(node.append({ authority: 2, frames: late })).toMatchObject({ code: 'SEALED' });
    expect(node.node.segment.volumeEnd(epoch(2))).toBe(100);
    // The recovery that has sealed the branch names no head when it copies.
    expect(node.append({ authority: 9, head: 0, frames: late })).toMatchObject({ kind: 'acked' });
    expect(node.node.segment.volumeEnd(epoch(2))).toBe(110);
    expect(node.node.sealed).toBe(1);
    // One that was overtaken by a newer seal is told so.
    node.seal('dev', 12);
    expect(node.seal('dev', 9)).toMatchObject({ code: 'SEALED', sealed: 12 });
  });

  test('a copy under an authority that sealed nothing here seals nothing', () => {
    const node = withBranches();
    expect(node.append({ authority: 30, head: 0, frames: [{ base: 100 }] })).toMatchObject({ kind: 'acked' });
    expect(node.node.branches.all.map(({ sealed }) => sealed)).toEqual([1, 0, 0]);
    expect(node.append({ authority: 1, vdl: 100 })).toMatchObject({ kind: 'acked' });
  });

  test('two branches from one place write the same LSNs, and each reads its own', () => {
    const node = withBranches();
    for (const head of [1, 2, 3]) {
      node.append({ authority: head, vdl: 100, frames: [{ epoch: head, base: 100, commits: head }] });
      node.append({ authority: head, vdl: 100 + 10 * head });
    }
    const ends = [1, 2, 3].map((of) => node.node.segment.volumeEnd(epoch(of)));
    expect(ends).toEqual([110, 120, 130]);
    expect([1, 2, 3].map((of) => node.node.branches.durableOn(epoch(of)))).toEqual([110, 120, 130]);
    expect(node.fetch(2, 0)).toEqual({ kind: 'frames', bases: [0, 100] });
    const pages = { kind: 'readPages', readPoint: lsn(130), pages: [] } as const;
    expect(node.ask({ ...pages, head: epoch(2) })).toMatchObject({ code: 'NOT_COMPLETE' });
    const caller = 1_000;
    expect(node.step({ kind: 'request', caller, request: { ...pages, head: epoch(3) } })).toMatchObject([
      { kind: 'replyPages', head: 3, readPoint: 130 },
    ]);
  });

  test('a branch of a branch knows what either parent has durable', () => {
    const node = withBranches();
    node.append({ authority: 2, vdl: 100, frames: [{ epoch: 2, base: 100, commits: 3 }] });
    node.append({ authority: 2, vdl: 130 });
    node.fork(...threeBranches.slice(0, 2), fork(4, 2, 120, branchName('grandchild')));
    expect(node.node.branches.durableOn(epoch(4))).toBe(120);
    expect(node.node.segment.volumeEnd(epoch(4))).toBe(120);
    node.seal('dev', 5);
    expect(node.append({ authority: 4, vdl: 120, frames: [{ epoch: 4, base: 120 }] })).toMatchObject({
      kind: 'acked',
      scls: [[0, 130]],
    });
    expect(node.fetch(4, 100)).toEqual({ kind: 'frames', bases: [100, 120] });
  });

  test('what main has durable below the fork is durable on a branch that was learned before it came', () => {
    const node = new OneNode();
    node.fork(...threeBranches.slice(0, 2));
    expect(node.node.branches.durableOn(epoch(2))).toBe(0);
    node.append({ authority: 1, vdl: 0, frames: [{ base: 0, commits: 20 }] });
    node.append({ authority: 1, vdl: 200 });
    expect(node.node.branches.durableOn(epoch(2))).toBe(100);
    node.tick();
    expect(node.node.branches.named(dev, true).durable).toEqual({ head: 2, vdl: 100 });
  });

  test('low water is told per branch', () => {
    const node = withBranches();
    node.append({ authority: 1, vdl: 100, lowWater: 90 });
    node.append({ authority: 2, vdl: 100, lowWater: 40 });
    expect(node.node.branches.live.map(({ lowWater }) => lowWater)).toEqual([90, 40, 0]);
  });

  test('a fork, a survey and a seal that name a branch are refused by its own seal', () => {
    const node = withBranches();
    node.seal('dev', 9);
    const forks = threeBranches.slice(0, 2);
    expect(node.ask({ kind: 'survey', authority: epoch(8), head: epoch(2), forks })).toMatchObject({
      sealed: 9,
    });
    expect(
      node.ask({ kind: 'survey', authority: epoch(8), head: epoch(3), forks: threeBranches }),
    ).toMatchObject({
      kind: 'surveyed',
      volumeEnd: 100,
      vdl: 100,
    });
    expect(node.fork(...forks, fork(8, 2, 100, dev))).toMatchObject({ code: 'SEALED', sealed: 9 });
    expect(node.fork(...forks, fork(9, 2, 100, dev))).toMatchObject({ kind: 'forked' });
  });

  test('what it keeps per branch outlives its process', () => {
    const node = withBranches();
    node.seal('dev', 9);
    node.append({ authority: 3, vdl: 100, frames: [{ epoch: 3, base: 100 }] });
    node.append({ authority: 3, vdl: 110 });
    node.restart([
      { base: 0, commits: 10 },
      { epoch: 3, base: 100 },
    ]);
    expect(node.append({ authority: 2, vdl: 100 })).toMatchObject({ code: 'SEALED', sealed: 9 });
    expect(node.node.branches.durableOn(epoch(3))).toBe(110);
    expect(node.node.state.branches).toEqual([
      { branch: dev, sealed: 9, durable: { head: 2, vdl: 100 }, hydrated: true },
      { branch: other, sealed: 3, durable: { head: 3, vdl: 110 }, hydrated: true },
    ]);
    // A region without branches writes the state that older versions read.
    expect(new OneNode().node.state).toEqual(founded);
  });

  test('a name that is used again begins anew, and keeps its seal', () => {
    const node = withBranches();
    node.append({ authority: 2, vdl: 100, frames: [{ epoch: 2, base: 100 }] });
    node.append({ authority: 2, vdl: 110 });
    node.fork(fork(1, 0, 0), fork(6, 1, 50, dev));
    const again = node.node.branches.named(dev, true);
    expect([again.durable, again.sealed, again.hydrated]).toEqual([{ head: 6, vdl: 50 }, 2, true]);
    expect(node.append({ authority: 6, vdl: 50, frames: [{ epoch: 6, base: 50 }] })).toMatchObject({
      kind: 'acked',
      scls: [[0, 60]],
    });
  });

  test('any order of words leaves each branch with the newest of its own', () => {
    const word = fc.record({
      of: fc.constantFrom(1, 2, 3),
      kind: fc.constantFrom('seal', 'append'),
      authority: fc.integer({ min: 0, max: 12 }),
      vdl: fc.integer({ min: 0, max: 100 }),
    });
    const nameOf = ['', 'main', 'dev', 'other'] as const;
    fc.assert(
      fc.property(fc.array(word, { maxLength: 40 }), (words) => {
        const node = withBranches();
        const sealed = [0, 1, 0, 0];
        const durable = [0, 100, 100, 100];
        for (const { of, kind, authority, vdl } of words) {
          const before = sealed[of] ?? 0;
          const isRefused = authority < before;
          const reply =
            kind === 'seal'
              ? node.seal(nameOf[of] ?? '', authority)
              : node.append({ authority, head: of, vdl: vdl + 100 });
          expect(reply.kind === 'refused').toBe(isRefused);
          if (isRefused) continue;
          sealed[of] = Math.max(before, authority);
          if (kind === 'append') durable[of] = Math.max(durable[of] ?? 0, vdl + 100);
        }
        expect(node.node.branches.live.map((branch) => branch.sealed)).toEqual(sealed.slice(1));
        expect([1, 2, 3].map((of) => node.node.branches.durableOn(epoch(of)))).toEqual(durable.slice(1));
      }),
      { numRuns: 200 },
    );
  });
});
