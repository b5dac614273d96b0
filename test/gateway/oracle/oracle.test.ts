/** Whatever a stream does, it is answered as by stock SQLite on one connection. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { compareSeed } from './compare.ts';
import { EnginePair } from './engines.ts';

let pair: EnginePair;
beforeAll(async () => {
  pair = await EnginePair.start();
});
afterAll(() => pair.close());

const seeds = Array.from({ length: 100 }, (_, seed) => seed);

test.each(['writer', 'reader first'] as const)(
  'random sequences of statements are answered as stock SQLite does: %s',
  { retry: 0, timeout: 120_000 },
  async (way) => {
    for (const seed of seeds) expect(await compareSeed(pair, seed, way)).toBeNull();
  },
);
