import { describe, expect, test } from 'vitest';
import { CopyJudge, type CopyLook, copyJudgeLimits } from '../../../regions/nats/core/nats-copy-judge.ts';

const well: CopyLook = {
  isReachable: true,
  isStoreGone: false,
  isCurrent: true,
  othersCurrent: 2,
  voters: 3,
};
const gone: CopyLook = { ...well, isStoreGone: true };
const lost: CopyLook = { ...well, isCurrent: false };

/** Seconds at which it has the server started again, looking once a second with what `lookAt` sees. */
function restarts(
  judge: CopyJudge,
  lookAt: (second: number) => CopyLook,
  seconds: number,
): readonly number[] {
  const at: number[] = [];
  for (let second = 0; second < seconds; second++)
    if (judge.judge(lookAt(second), second * 1_000)) at.push(second);
  return at;
}

describe('a NATS server and its copy of the control record', () => {
  test('is left alone while its copy is current', () => {
    const judge = new CopyJudge();
    expect(restarts(judge, () => well, 600)).toEqual([]);
    expect(judge.trouble).toBeNull();
  });

  test('is started again within seconds when its store was deleted under it, although it says that all is well', () => {
    const judge = new CopyJudge();
    expect(restarts(judge, (second) => (second < 3 ? gone : well), 60)).toEqual([2]);
    expect(judge.trouble).toBeNull();
  });

  test('is left alone when its store is missing for a moment only, as at its own start', () => {
    expect(restarts(new CopyJudge(), (second) => (second % 2 === 0 ? gone : well), 60)).toEqual([]);
  });

  test('is started again when it has had no vote for longer than a healed cut takes, and then ever more rarely', () => {
    const judge = new CopyJudge();
    const at = restarts(judge, () => lost, 2_000);
    expect(at[0]).toBe(copyJudgeLimits.lostMs / 1_000);
    const pauses = at.slice(1).map((second, index) => second - (at[index] ?? 0));
    expect(pauses).toEqual([60, 120, 240, 480, 600]);
    expect(judge.trouble).toContain('no vote: it is started again');
  });

  test('counts anew after it was well', () => {
    const lostAt = (second: number): CopyLook => (second === 40 ? well : lost);
    expect(restarts(new CopyJudge(), lostAt, 90)).toEqual([41 + copyJudgeLimits.lostMs / 1_000]);
  });

  test.each([
    ['is frozen, stopped or cut off', { ...lost, isReachable: false }],
    ['is judged by nobody, since no leader answers', { ...lost, isCurrent: null }],
  ])('is not started again while it %s', (_name, look) => {
    const judge = new CopyJudge();
    expect(restarts(judge, () => look, 600)).toEqual([]);
    expect(judge.trouble).toBeNull();
  });

  test('is not started empty where the others are no majority: the record would be lost with it', () => {
    const judge = new CopyJudge();
    expect(restarts(judge, () => ({ ...gone, othersCurrent: 1 }), 600)).toEqual([]);
    expect(judge.trouble).toBe(
      'its store was deleted while it runs, and only 1 of the other 2 servers have a copy: start those first',
    );
    const alone = new CopyJudge();
    expect(restarts(alone, () => ({ ...gone, voters: 1, othersCurrent: 0 }), 600)).toEqual([]);
    expect(alone.trouble).toContain('there is no other copy: do not stop it');
  });
});
