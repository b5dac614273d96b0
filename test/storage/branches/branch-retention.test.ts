import { describe, expect, test } from 'vitest';
import { branchName, epoch, lsn } from '../../../storage/redo/ids.ts';
import { nodeLimits } from '../../../storage/redo/limits.ts';
import type { Holdings } from '../../../storage/retention/core/retention.ts';
import type { RetainRequest } from '../../../storage/wire/core/messages.ts';
import { fork } from '../samples.ts';
import { dev, founded, OneNode } from './one-node.ts';

const at = (lsnOf: number, of = 1) => ({ epoch: epoch(of), lsn: lsn(lsnOf) });
/** Files of main up to 40, 80, 120, of `dev` up to 100, and one that is open. */
const holdings: Holdings = {
  files: [1, 2, 3, 4, 5].map((number) => ({
    number,
    bytes: 80,
    isRolled: number < 5,
    lastCommitUs: number,
  })),
  boundaries: [at(40), at(80), at(120)],
  imageBytes: 3,
};
const devAt = (keepFrom: number, head = 2) => ({ head: epoch(head), keepFrom: lsn(keepFrom) });

/** `dev` left main at 80, has written 20, and main went on. */
function node(): OneNode {
  const made = new OneNode();
  made.append({ authority: 1, frames: [{ base: 0, commits: 4 }] });
  made.append({ authority: 1, frames: [{ base: 40, commits: 4 }] });
  made.append({ authority: 1, vdl: 80, frames: [{ base: 80, commits: 4 }] });
  made.fork(fork(1, 0, 0), fork(2, 1, 80, dev));
  made.append({ authority: 2, vdl: 80, frames: [{ epoch: 2, base: 80, commits: 2 }] });
  made.append({ authority: 2, vdl: 100 });
  made.append({ authority: 1, vdl: 120, frames: [{ base: 120, commits: 2 }] });
  made.append({ authority: 1, vdl: 140 });
  return made;
}

/** @returns the floor afterwards, and the highest file that is dropped. */
function collect(made: OneNode, branches?: RetainRequest['branches']) {
  const from = made.made.length;
  made.retain(branches === undefined ? {} : { branches }, holdings);
  const dropped = made.made
    .slice(from)
    .flatMap((effect) => (effect.kind === 'dropLog' ? [effect.through] : []));
  return [made.node.state.floor.lsn, dropped.at(-1) ?? 0];
}

describe('S33: what a branch that lives needs of the log', () => {
  test.each<[string, RetainRequest['branches'], readonly [number, number]]>([
    [
      'stays: the floor lies where it left, and its own files remain',
      { knownTo: epoch(2), live: [devAt(100)] },
      [80, 2],
    ],
    ['stays when the agent does not know about branches', undefined, [80, 2]],
    [
      'stays below its beginning where a region has not got so far',
      { knownTo: epoch(2), live: [devAt(40)] },
      [40, 1],
    ],
    ['goes when the branch was deleted', { knownTo: epoch(2), live: [] }, [120, 3]],
    ['stays when the list is older than the branch', { knownTo: epoch(1), live: [] }, [80, 2]],
    [
      'is not known of a head that the node lacks: nothing goes',
      { knownTo: epoch(9), live: [devAt(9, 9)] },
      [0, 0],
    ],
  ])('%s', (_, branches, expected) => {
    expect(collect(node(), branches)).toEqual(expected);
  });

  test('is let go as soon as the branch is deleted, and not before', () => {
    const made = node();
    expect(collect(made, { knownTo: epoch(2), live: [devAt(100)] })).toEqual([80, 2]);
    expect(collect(made, { knownTo: epoch(2), live: [devAt(100)] })).toEqual([80, 0]);
    expect(made.node.segment.volumeEnd(epoch(2))).toBe(100);
    expect(collect(made, { knownTo: epoch(3), live: [] })).toEqual([120, 3]);
    expect(made.node.segment.volumeEnd(epoch(2))).toBe(0);
    expect(made.node.segment.volumeEnd(epoch(1))).toBe(140);
    // Nobody is asked for what it lacks any more.
    expect([made.tick(500), made.tick(500)].flat().map(({ kind }) => kind)).not.toContain('repair');
  });

  test('counts for the path that its writer left as well, until a newer list', () => {
    const made = node();
    made.fork(fork(1, 0, 0), fork(2, 1, 80, dev), fork(5, 2, 90, dev));
    expect(collect(made, { knownTo: epoch(5), live: [devAt(90, 5)] })).toEqual([80, 2]);
  });

  test.each([
    ['left above the floor has to be among them, too', 130, 2],
    ['left below the floor, of which it holds nothing, does not matter', 80, 1],
  ])('where a node lacks images, a branch that %s', (_, forkLsn, path) => {
    const forks = [fork(1, 0, 0), fork(2, 1, forkLsn, dev)];
    const made = new OneNode({
      ...founded,
      forks,
      durable: { head: epoch(1), vdl: lsn(300) },
      floor: at(120),
    });
    made.node.opened({
      base: { at: at(120), fuzzyTo: lsn(120) },
      point: { head: epoch(1), lsn: lsn(120) },
      standing: null,
    });
    made.tick(nodeLimits.repairAfterMs);
    made.step({ kind: 'repairFailed', floor: at(200) });
    expect([...made.tick(), ...made.tick()]).toContainEqual({
      kind: 'fetchImages',
      head: path,
      fromPage: 1,
    });
  });

  test('is not begun below the floor: the branch would have no copy', () => {
    const made = node();
    collect(made, { knownTo: epoch(2), live: [] });
    const late = (from: number, parent = 1) =>
      made.fork(fork(1, 0, 0), fork(7, parent, from, branchName('late')));
    expect(late(90)).toMatchObject({ code: 'BELOW_FLOOR', floor: at(120) });
    expect(made.node.tree.has(epoch(7))).toBe(false);
    expect(late(130)).toMatchObject({ kind: 'forked' });
    expect(late(130)).toMatchObject({ kind: 'forked' });
  });

  test('is not begun below the floor by way of a reign that this node has missed', () => {
    const made = node();
    collect(made, { knownTo: epoch(2), live: [] });
    const other = branchName('other');
    const late = (missed: number, from: number) =>
      made.fork(fork(1, 0, 0), fork(6, 1, missed, other), fork(7, 6, from, branchName('late')));
    expect(late(90, 130)).toMatchObject({ code: 'BELOW_FLOOR', floor: at(120) });
    expect(late(130, 90)).toMatchObject({ code: 'BELOW_FLOOR', floor: at(120) });
    expect(late(130, 140)).toMatchObject({ kind: 'forked' });
  });
});
