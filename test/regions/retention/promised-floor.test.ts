import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { branchFloor, higherPromise, promisedFloor } from '../../../regions/retention/core/promised-floor.ts';
import { epoch, lsn } from '../../../storage/redo/ids.ts';
import { fork } from '../../storage/samples.ts';

describe('a branch may leave', () => {
  it.each([
    ['from where five of six nodes can tell pages', [10, 20, 30, 40, 50, 60], 50],
    ['from where all can that answered, where fewer than five did', [30, 10, 20], 30],
    ['anywhere, where nobody has let anything go', [0, 0, 0, 0, 0, 9], 0],
    ['anywhere, while nobody has answered', [], 0],
  ])('%s', (_, floors, from) => expect(branchFloor(floors)).toBe(from));
});

describe('R96: a region promises', () => {
  it.each([
    ['what five of six nodes have let go', [10, 20, 30, 40, 50, 60], 50],
    ['as if a node that did not answer had all of its log', [undefined, 20, 30, 40, 50, 60], 50],
    ['the less, the more do not answer', [undefined, undefined, 30, undefined, 50, 60], 50],
    [
      'nothing, where two have let something go',
      [undefined, undefined, undefined, undefined, undefined, 60],
      0,
    ],
    ['nothing, where it names too few nodes', [40, 40], 0],
  ])('%s', (_, floors, promised) => expect(promisedFloor(floors)).toBe(promised));

  it('no more than a branch leaves at, later and by the word of five other nodes', () => {
    const floors = fc.array(fc.nat(100), { minLength: 6, maxLength: 6 });
    const answers = fc.array(fc.boolean(), { minLength: 6, maxLength: 6 });
    fc.assert(
      fc.property(floors, answers, floors, fc.nat(6), (first, answered, raised, silent) => {
        const promised = promisedFloor(first.map((floor, at) => (answered[at] ? floor : undefined)));
        const later = first.map((floor, at) => floor + (raised[at] ?? 0));
        expect(promised).toBeLessThanOrEqual(branchFloor(later.filter((_, at) => at !== silent)));
      }),
    );
  });

  const forks = [fork(1, 0, 0), fork(2, 1, 100), fork(3, 1, 40)];
  const at = (of: number, vdl: number) => ({ epoch: epoch(of), vdl: lsn(vdl), forks });

  it.each([
    ['nothing is known', null, at(1, 30), at(1, 30)],
    ['the news go further', at(1, 30), at(2, 60), at(2, 60)],
    ['what is known goes further on the same path', at(1, 60), at(2, 30), at(1, 60)],
    ['what is known left the path of the news further up', at(2, 120), at(3, 30), at(2, 120)],
    ['what is known left the path of the news below', at(2, 120), at(3, 50), at(3, 50)],
  ])('of two promises the higher one holds: %s', (_, known, news, higher) =>
    expect(higherPromise(known, news)).toEqual(higher),
  );
});
