import { describe, expect, it } from 'vitest';
import { durableEnd } from '../../../storage/quorum/core/durable-end.ts';
import { lsn, pgId } from '../../../storage/redo/ids.ts';

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
