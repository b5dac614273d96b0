import { expect, test } from 'vitest';
import { RestWatch, restLimits } from '../../../storage/process/core/rest-watch.ts';

const { busyShare, quietShare, quietLooks } = restLimits;
const looks = (watch: RestWatch, share: number, times: number): readonly boolean[] =>
  Array.from({ length: times }, () => watch.look(share));
const onceAtTheEnd = [...Array<boolean>(quietLooks - 1).fill(false), true];

test('a process comes to rest once after its start, however long it rests', () => {
  const watch = new RestWatch();
  expect(looks(watch, quietShare, quietLooks)).toEqual(onceAtTheEnd);
  expect(looks(watch, 0, 100)).not.toContain(true);
});

test('one that was busy comes to rest again, and one that had a little to do does not', () => {
  const watch = new RestWatch();
  looks(watch, 0, quietLooks);
  looks(watch, busyShare, 10);
  expect(looks(watch, 0, 10)).not.toContain(true);
  looks(watch, busyShare + 0.01, 1);
  expect(looks(watch, 0, quietLooks)).toEqual(onceAtTheEnd);
});

test('a busy moment puts the rest off', () => {
  const watch = new RestWatch();
  looks(watch, 0, quietLooks - 1);
  expect(watch.look(quietShare + 0.01)).toBe(false);
  expect(looks(watch, 0, quietLooks)).toEqual(onceAtTheEnd);
});
