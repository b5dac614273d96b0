import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { GatewayWorld, ready, urlOf, writes } from '../gateway/process/gateway-harness.ts';
import type { Answer } from './answer.ts';
import { EnginePair, EngineTarget } from './engine-target.ts';
import { scriptOf } from './generator.ts';
import {
  type Divergence,
  diverges,
  GatewayTarget,
  report,
  StockSqlite,
  shrink,
  type Target,
} from './oracle.ts';
import { differing } from './run-scripts.ts';
import type { Operation } from './script.ts';

const stock = new StockSqlite();
afterAll(() => stock.close());

/** Runs every INSERT on a connection of its own, as a stream does that lives in two places. */
const twoPlaces: Target = {
  name: 'two places',
  run: (script) => {
    const operations: Operation[] = [];
    const own: boolean[] = [];
    for (const operation of script.operations) {
      const moves = operation.kind === 'execute' && operation.statement.sql.startsWith('INSERT');
      if (moves) operations.push({ kind: 'reopen' });
      operations.push(operation);
      own.push(...(moves ? [false, true] : [true]));
    }
    const answers = stock.run({ ...script, operations });
    return Promise.resolve(answers.filter((_, at) => own[at]));
  },
};

const sqlite: Target = { name: 'SQLite', run: (script) => Promise.resolve(stock.run(script)) };

async function firstOf(target: Target, seeds: number): Promise<Divergence> {
  for (let seed = 1; seed <= seeds; seed++) {
    const found = await diverges(stock, target, scriptOf(seed));
    if (found !== null) return found;
  }
  throw new Error(`no difference in ${seeds} scripts`);
}

describe('the oracle', { retry: 0 }, () => {
  it('makes the same script of a seed every time, and finds no difference between SQLite and itself', async () => {
    for (let seed = 1; seed <= 50; seed++) {
      expect(scriptOf(seed)).toEqual(scriptOf(seed));
      expect(await diverges(stock, sqlite, scriptOf(seed))).toBeNull();
    }
  });

  it('finds a stream that lives in two places within a few scripts, and shows it in a few statements', async () => {
    const found = await firstOf(twoPlaces, 20);
    const small = await shrink(stock, twoPlaces, found);
    expect(small.script.operations.length).toBeLessThanOrEqual(3);
    expect(await diverges(stock, twoPlaces, small.script)).not.toBeNull();
    expect(report(small)).toContain('curl -s $GATEWAY');
  });

  it('finds a single value that is wrong', async () => {
    const wrong = (answer: Answer): Answer =>
      answer.outcome.kind === 'result' && answer.outcome.affected === 2
        ? { ...answer, outcome: { ...answer.outcome, affected: 3 } }
        : answer;
    const found = await firstOf(
      { name: 'wrong', run: (script) => Promise.resolve(stock.run(script).map(wrong)) },
      30,
    );
    expect(found.stock.outcome).toMatchObject({ affected: 2 });
  });
});

describe('generated scripts', { retry: 0 }, () => {
  it.each([
    ['the writing engine', false],
    ['a reading engine, and the writing one where that refuses', true],
  ] as const)(
    'are answered by %s as by one connection of stock SQLite',
    async (_what, readerFirst) => {
      const pair = await EnginePair.start();
      const target = new EngineTarget(pair, readerFirst);
      for (let seed = 1; seed <= 200; seed++) {
        const found = await diverges(stock, target, scriptOf(seed));
        if (found !== null) expect(report(await shrink(stock, target, found))).toBe('');
      }
      await pair.close();
    },
    120_000,
  );

  const scripts = Array.from({ length: 100 }, (_, seed) => ({ ...scriptOf(seed + 1, 10), pipeline: 16 }));
  let world: GatewayWorld;
  let urls: { readonly writer: string; readonly other: string };

  beforeAll(async () => {
    world = await GatewayWorld.start();
    const writer = await world.gateway('g1');
    await writes(writer);
    const other = await world.gateway('g2');
    urls = { writer: urlOf(writer), other: urlOf(other) };
    await Promise.all([ready(urls.writer), ready(urls.other)]);
  });
  afterAll(() => world.close());

  /** What differs, as a person can paste it; the first one only, made small. */
  async function differences(name: keyof typeof urls): Promise<string> {
    const lanes = Array.from(
      { length: 8 },
      (_, lane) =>
        new GatewayTarget({ name, url: urls[name], primaryUrl: urls.writer, own: `${name}${lane}_` }),
    );
    const found = await differing(stock, lanes, scripts);
    const [lane] = lanes;
    const [first] = found;
    if (first === undefined || lane === undefined) return '';
    const seeds = found.map(({ script }) => script.seed);
    const small = await shrink(stock, lane, first, 200, 20_000);
    return `${seeds.length} of ${scripts.length} scripts differ (seeds ${seeds.slice(0, 20).join(', ')})\n${report(small)}`;
  }

  it('are answered by the writer as by one connection of stock SQLite', async () => {
    expect(await differences('writer')).toBe('');
  }, 240_000);

  it('are answered by a gateway that is not the writer as by one connection of stock SQLite', async () => {
    expect(await differences('other')).toBe('');
  }, 240_000);
});
