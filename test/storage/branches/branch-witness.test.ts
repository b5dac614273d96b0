import { describe, expect, test } from 'vitest';
import { emptyNodeState } from '../../../storage/node/core/node-events.ts';
import { epoch, lsn } from '../../../storage/redo/ids.ts';
import { branchLimits } from '../../../storage/redo/limits.ts';
import type { BranchStatus } from '../../../storage/wire/core/messages.ts';
import { fork, frameBytes } from '../samples.ts';
import { dev, founded, OneNode } from './one-node.ts';

const forks = [fork(1, 0, 0), fork(2, 1, 100, dev)];
const standing = (more: Partial<BranchStatus> = {}): BranchStatus => ({
  branch: dev,
  head: epoch(2),
  sealed: epoch(2),
  vdl: lsn(120),
  scl: lsn(120),
  last: lsn(120),
  fresh: false,
  ...more,
});

/** A node that came back empty and has caught up with main. */
function returned(): OneNode {
  const node = new OneNode(emptyNodeState);
  node.fork(fork(1, 0, 0));
  node.append({ authority: 1, vdl: 0, frames: [{ base: 0, commits: 10 }] });
  node.append({ authority: 1, vdl: 100 });
  expect(node.node.main.hydrated).toBe(true);
  return node;
}

const isWitness = (node: OneNode): boolean => node.node.branches.find(dev)?.hydrated ?? false;
const repairOf = (node: OneNode) =>
  [node.tick(), node.tick(400), node.tick()].flat().find(({ kind }) => kind === 'repair');
/** A peer gives two frames of `dev`. */
function repair(node: OneNode): void {
  node.step({ kind: 'repaired', forks: [], frames: frameBytes({ epoch: 2, base: 100, commits: 2 }) });
}

describe('S34: a node that came back empty', () => {
  test('asks its peers at once, until three that kept their data have told which branches there are', () => {
    const node = new OneNode(emptyNodeState);
    expect(node.made.map(({ kind }) => kind)).toContain('askPeers');
    expect(node.tick(branchLimits.askAtOnceMs).map(({ kind }) => kind)).toContain('askPeers');
    for (const peer of ['n2', 'n3', 'n2']) node.hear(peer, {});
    node.hear('n4', { isWhole: false });
    expect(node.node.care.known.isWhole).toBe(false);
    node.hear('n5', {});
    expect(node.node.care.known.isWhole).toBe(true);
    // In a region without branches nobody is asked again.
    expect(node.tick(60_000).map(({ kind }) => kind)).not.toContain('askPeers');
  });

  test('takes the word of all others where none of them kept data: the region is new', () => {
    const node = new OneNode(emptyNodeState);
    for (const peer of ['n2', 'n3', 'n4', 'n5']) node.hear(peer, { isWhole: false });
    expect(node.node.care.known.isWhole).toBe(false);
    node.hear('n6', { isWhole: false });
    expect(node.node.care.known.isWhole).toBe(true);
    node.restart();
    expect(node.node.care.known.isWhole).toBe(true);
  });

  test('knows at once that there are none where the first recovery of the region found all nodes empty', () => {
    const node = new OneNode(emptyNodeState);
    node.ask({ kind: 'survey', authority: epoch(1), head: epoch(0), forks: [], isNew: true });
    expect(node.node.care.known.isWhole).toBe(true);
    node.restart();
    expect(node.node.care.known.isWhole).toBe(true);
    const returnedAlone = new OneNode(emptyNodeState);
    returnedAlone.ask({ kind: 'survey', authority: epoch(1), head: epoch(0), forks: [] });
    expect(returnedAlone.node.care.known.isWhole).toBe(false);
  });

  test('says that it would be no witness of a branch that began now, until it holds what is durable of main', () => {
    const node = new OneNode(emptyNodeState);
    node.ask({ kind: 'survey', authority: epoch(1), head: epoch(0), forks: [], isNew: true });
    expect(node.node.care.known).toMatchObject({ isWhole: true, mayWitness: false });
    node.fork(fork(2, 0, 0, dev));
    expect(isWitness(node)).toBe(false);
    const begun = returned();
    for (const peer of ['n2', 'n3', 'n4']) begun.hear(peer, {});
    expect(begun.node.care.known).not.toHaveProperty('mayWitness');
    begun.fork(fork(2, 1, 100, dev));
    expect(isWitness(begun)).toBe(true);
  });

  test('is no witness of a branch that was there before, and one of a branch that begins afterwards', () => {
    const early = returned();
    early.fork(...forks);
    expect(early.seal('dev', 5)).toMatchObject({ kind: 'sealed', fresh: true });
    const late = returned();
    for (const peer of ['n2', 'n3', 'n4']) late.hear(peer, {});
    late.fork(...forks);
    expect(late.seal('dev', 5)).toMatchObject({ kind: 'sealed', fresh: false });
    const sealedOnly = returned();
    expect(sealedOnly.seal('dev', 5)).toMatchObject({ kind: 'sealed', fresh: true });
  });

  test('is one again when the writer of the branch says what is durable and all of it is here', () => {
    const node = returned();
    node.fork(...forks);
    node.append({ authority: 2, vdl: 110 });
    expect(isWitness(node)).toBe(false);
    node.append({ authority: 2, vdl: 110, frames: [{ epoch: 2, base: 100 }] });
    node.tick();
    expect(isWitness(node)).toBe(true);
  });

  test('hears from its peers what is durable on a branch without a writer, and fetches it', () => {
    const node = returned();
    for (const peer of ['n2', 'n3', 'n4']) node.hear(peer, { forks, branches: [standing()] });
    expect(node.node.branches.find(dev)?.durable).toEqual({ head: 2, vdl: 120 });
    expect(isWitness(node)).toBe(false);
    expect(repairOf(node)).toMatchObject({ head: 2, from: 100, durable: { head: 2, vdl: 120 } });
    repair(node);
    node.tick();
    expect(isWitness(node)).toBe(true);
    expect(node.node.state.branches).toMatchObject([{ branch: dev, hydrated: true }]);
  });

  test.each([
    ['two witnesses', [standing(), standing()]],
    ['one of three that came back empty, too', [standing(), standing(), standing({ fresh: true })]],
    ['one that knows an older path', [standing(), standing(), standing({ head: epoch(1) })]],
    ['one that holds more than is called durable', [standing(), standing(), standing({ last: lsn(140) })]],
  ])('is none by the word of %s', (_, told) => {
    const node = returned();
    for (const [at, branch] of told.entries()) node.hear(`n${at + 2}`, { forks, branches: [branch] });
    repair(node);
    node.tick();
    expect(node.node.segment.volumeEnd(epoch(2))).toBe(120);
    expect(isWitness(node)).toBe(false);
  });

  test('takes no word that was given before its own membership was heard of', () => {
    const node = new OneNode({
      ...founded,
      forks,
      branches: [
        { branch: dev, sealed: epoch(2), durable: { head: epoch(2), vdl: lsn(100) }, hydrated: false },
      ],
      members: { current: { epoch: 3, members: [], joining: null }, promised: null, accepted: null },
    });
    const branches = [standing({ vdl: lsn(100), last: lsn(100) })];
    const tell = (peer: string, members: number) => {
      node.hear(peer, { branches, members });
      return isWitness(node);
    };
    node.step({ kind: 'repaired', forks: [], frames: frameBytes({ base: 0, commits: 10 }) });
    expect([tell('n2', 3), tell('n3', 3), tell('n4', 2), tell('n4', 3)]).toEqual([false, false, false, true]);
  });

  test("is no copy of everything, and takes nobody's place, while it lacks a branch", () => {
    const node = returned();
    const members = () => node.ask({ kind: 'members', act: { act: 'tell' } });
    expect(members()).toMatchObject({ fresh: true });
    for (const peer of ['n2', 'n3', 'n4']) node.hear(peer, { forks, branches: [standing()] });
    expect(members()).toMatchObject({ fresh: true });
    repair(node);
    node.tick();
    expect(members()).toMatchObject({ fresh: false });
  });
});

test('one question at a time is put to peers, and each branch has its turn', () => {
  const node = new OneNode({ ...founded, forks });
  node.append({ authority: 1, vdl: 100 });
  node.append({ authority: 2, vdl: 120 });
  const asked: number[] = [];
  for (let round = 0; round < 30 && asked.length < 6; round++) {
    const repairs = node.tick(100).filter(({ kind }) => kind === 'repair');
    expect(repairs.length).toBeLessThanOrEqual(1);
    for (const effect of repairs) {
      if (effect.kind === 'repair') asked.push(effect.head);
      node.step({ kind: 'repairFailed' });
    }
  }
  expect([...asked].sort()).toEqual([1, 1, 1, 2, 2, 2]);
});
