/** Applies what does not conflict of a loss to the database as it is now, and says what does. */
import { comparePlaces } from '../compare/compare-places.ts';
import { type Difference, rowsIn } from '../compare/core/difference.ts';
import { PlaceReader, textOf } from '../compare/place-reader.ts';
import type { SqlLink } from '../transfer/sql-link.ts';
import { TransferError } from '../transfer/transfer-error.ts';
import type { Span } from './core/chosen-writes.ts';
import { type ComposedLoss, compose } from './core/composed-loss.ts';
import { entangledConflict } from './core/judgement.ts';
import { copiesId, distinctInserts, KeylessCopies } from './core/keyless-copies.ts';
import type { LostRow } from './core/lost-row.ts';
import { type BatchBounds, batchesOf } from './core/replay-order.ts';
import { countStatement } from './core/replay-statement.ts';
import type { ReplayResult } from './core/replay-summary.ts';
import { lostSchema } from './core/schema-left.ts';
import { type ApplierListener, RowApplier } from './row-applier.ts';
import { readTarget } from './target-reader.ts';

export interface LossWish {
  /** The lost writes, as places between which they lie. */
  readonly spans: readonly Span[];
  /** Where the loss begins: what is there now has come from there. */
  readonly fork: string;
  /** Lost rows that are held at once. */
  readonly limit: number;
  /** Hears how many rows of a table have been read, at both places together. */
  readonly comparing: (table: string, rows: number) => void;
}

/** Lost writes as what they come to, row by row. */
export interface ReadLoss extends ComposedLoss {
  readonly copies: KeylessCopies;
}

/**
 * Reads lost writes where they are.
 * @param link to a gateway of the region that has the loss.
 * @throws TransferError when it does not answer or refuses, or the loss is larger than the limit.
 */
export async function readLoss(link: SqlLink, wish: LossWish): Promise<ReadLoss> {
  const spans: Difference[] = [];
  let room = wish.limit;
  for (const span of wish.spans) {
    const difference = await comparePlaces(link, { ...span, limit: room, progress: wish.comparing });
    const rows = rowsIn(difference);
    if (rows > room)
      throw new TransferError(
        `more than --limit ${wish.limit} rows differ, ${wish.limit - room + rows} so far, and half of them would bring back half a loss: ` +
          'give a larger one, or --only some of the writes. Nothing has been changed',
      );
    room -= rows;
    spans.push(difference);
  }
  const loss = compose(spans);
  return { ...loss, copies: await copiesAtFork(link, wish.fork, loss.rows) };
}

export interface ReplayOptions {
  /** Everything is tried, and taken back. */
  readonly dryRun: boolean;
  readonly bounds?: BatchBounds;
  readonly patienceMs?: number;
}

/**
 * Brings back what does not conflict.
 * @param link to a gateway whose writes are the deployment's.
 * @throws TransferError when it does not answer for long, or refuses. What was committed stays, and the same replay goes on there.
 */
export async function replayLoss(
  link: SqlLink,
  { rows, entangled, schema, notCompared, copies }: ReadLoss,
  options: ReplayOptions,
  listener: ApplierListener,
): Promise<ReplayResult> {
  const target = await readTarget(link);
  const done = await new RowApplier(link, target, { ...options, copies }, listener).run(rows);
  return {
    ...done,
    conflicts: [...entangled.map(({ row, why }) => entangledConflict(row, why)), ...done.conflicts],
    schema: lostSchema(schema, target),
    notCompared,
  };
}

/** So many rows are looked for in one pass over a table, in a request that a gateway takes. */
const countedAtOnce: BatchBounds = { rows: 500, chars: 4 * 1024 * 1024 };

async function copiesAtFork(from: SqlLink, fork: string, rows: readonly LostRow[]): Promise<KeylessCopies> {
  const counts = new Map<string, number>();
  const reader = new PlaceReader(from, fork);
  try {
    const tables = distinctInserts(rows);
    if (tables.length > 0) await reader.open();
    for (const some of tables.flatMap((each) => batchesOf(each, countedAtOnce)))
      for (const [row, count] of await countedAt(reader, some)) counts.set(copiesId(row), count);
  } finally {
    await reader.close();
  }
  return new KeylessCopies(rows, (row) => counts.get(copiesId(row)) ?? 0);
}

async function countedAt(
  reader: PlaceReader,
  rows: readonly LostRow[],
): Promise<readonly (readonly [LostRow, number])[]> {
  try {
    const [counted] = await reader.ask([countStatement(rows)]);
    return (counted ?? []).flatMap(([index, count]): [LostRow, number][] => {
      const row = rows[Number(textOf(index))];
      return row === undefined ? [] : [[row, Number(textOf(count))]];
    });
  } catch (error) {
    // The table, or a column of it, has come with the lost writes: there were no such rows.
    if (error instanceof TransferError && /no such (table|column)/.test(error.message)) return [];
    throw error;
  }
}
