/** Runs sequences through the engine and through stock SQLite, and tells where they differ. */
import { isDeepStrictEqual } from 'node:util';
import { type EnginePair, OracleStream } from './engines.ts';
import { operationsOf } from './sequences.ts';
import { type Answer, StockSqlite } from './stock.ts';

export interface Difference {
  readonly seed: number;
  readonly way: 'writer' | 'reader first';
  /** What ran up to where they differ, as text. */
  readonly operations: readonly string[];
  readonly stock: Answer;
  readonly engine: Answer;
}

/** The first difference of a seed's sequence, or null. */
export async function compareSeed(
  pair: EnginePair,
  seed: number,
  way: Difference['way'],
): Promise<Difference | null> {
  await pair.begin();
  const stock = new StockSqlite();
  const stream = new OracleStream(pair, way === 'reader first');
  const ran: string[] = [];
  try {
    for (const operation of operationsOf(seed)) {
      ran.push(
        operation.kind === 'batch'
          ? `batch ${operation.steps.map(({ condition, statement }) => `${condition === null ? '' : `${JSON.stringify(condition)} `}${statement.sql}`).join(' | ')}`
          : operation.kind === 'execute'
            ? operation.statement.sql
            : `${operation.kind} ${operation.sql}`,
      );
      const expected = stock.perform(operation);
      const engine = await stream.perform(operation);
      if (!isDeepStrictEqual(engine, expected))
        return { seed, way, operations: ran, stock: expected, engine };
    }
    return null;
  } finally {
    stream.close();
    stock.close();
  }
}
