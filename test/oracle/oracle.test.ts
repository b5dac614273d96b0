import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { GatewayWorld, ready, urlOf, writes } from '../gateway/process/gateway-harness.ts';
import type { Answer, Outcome, StatementAnswer } from './answer.ts';
import { type Agreement, agreement } from './differences.ts';
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

  it('accounts for a stream that is told of a transaction which SQLite has rolled back, and for nothing else', () => {
    const full: StatementAnswer = { kind: 'error', code: 'SQLITE_FULL', message: 'database or disk is full' };
    const told: StatementAnswer = {
      kind: 'error',
      code: 'SEXTANT_TRANSACTION_ABORTED',
      message:
        'The transaction was rolled back when a statement failed (SQLITE_FULL: database or disk is full).',
    };
    const row: StatementAnswer = { kind: 'result', columns: [], rows: [['1']], affected: 0, rowid: null };
    const skipped: StatementAnswer = { kind: 'skipped' };
    const statement = { sql: 'SELECT 1', args: [] };
    const execute: Operation = { kind: 'execute', statement };
    const batch: Operation = {
      kind: 'batch',
      steps: [statement, statement, statement].map((one) => ({ ...one, condition: null })),
    };
    const open = (outcome: Outcome): Answer => ({ outcome, autocommit: false });
    const closed = (outcome: Outcome): Answer => ({ outcome, autocommit: true });
    const steps = (...all: StatementAnswer[]): Outcome => ({ kind: 'batch', steps: all });
    const table: [Operation, Answer, Answer, Agreement][] = [
      [execute, closed(full), open(full), 'parted'],
      [execute, closed(full), closed(full), 'same'],
      [execute, closed(row), open(row), 'differs'],
      [execute, closed(full), open(told), 'differs'],
      [batch, closed(steps(row, full, row)), open(steps(row, full, told)), 'parted'],
      [batch, closed(steps(row, full, skipped)), open(steps(row, full, skipped)), 'parted'],
      [batch, closed(steps(row, full, row)), open(steps(told, full, told)), 'differs'],
      [batch, closed(steps(row, row, row)), open(steps(row, row, told)), 'differs'],
      [batch, closed(steps(row, full, row)), open(steps(row, full, full)), 'differs'],
    ];
    for (const [operation, one, other, expected] of table)
      expect([one, other, agreement(operation, one, other)]).toEqual([one, other, expected]);
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
