import { expect, it } from 'vitest';
import { LargeCommitWatch } from '../../../gateway/reign/core/large-commit.ts';
import { lsn } from '../../../storage/core.ts';

const MiB = 2 ** 20;
const at = (vdl: number, vcl: number, last: number) => ({
  vdl: lsn(vdl * MiB),
  vcl: lsn(vcl * MiB),
  lastLsn: lsn(last * MiB),
});

it('a large commit is told of after two seconds, every five, and when it is durable', () => {
  const watch = new LargeCommitWatch();
  const told: string[] = [];
  for (let second = 0; second <= 14; second++) {
    const done = second >= 12;
    const news = watch.look(done ? at(110, 110, 111) : at(10, 10 + 8 * second, 110), second * 1_000);
    if (news !== null)
      told.push(`${second} s: ${news.kind} ${news.storedBytes / MiB} of ${news.bytes / MiB}`);
  }
  expect(told).toEqual(['2 s: under way 16 of 100', '7 s: under way 56 of 100', '12 s: durable 100 of 100']);
});

it('what is small, or durable within two seconds, is not worth a word', () => {
  const watch = new LargeCommitWatch();
  const places = [
    at(0, 0, 15),
    at(15, 15, 15),
    at(15, 15, 40),
    at(15, 20, 40),
    at(40, 40, 40),
    at(40, 40, 41),
  ];
  expect(places.map((place, second) => watch.look(place, second * 1_000))).toEqual(places.map(() => null));
});

it('a reign that ends takes its commit with it, and the next one begins with nothing', () => {
  const watch = new LargeCommitWatch();
  watch.look(at(10, 10, 110), 0);
  expect(watch.look(at(10, 30, 110), 2_000)?.kind).toBe('under way');
  expect(watch.look(null, 3_000)).toBeNull();
  expect(watch.look(at(10, 10, 10), 9_000)).toBeNull();
  expect(watch.look(at(200, 200, 200), 10_000)).toBeNull();
});
