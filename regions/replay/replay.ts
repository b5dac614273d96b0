/** Applies what does not conflict of a loss to the database as it is now, and says what does. */
import { comparePlaces } from '../compare/compare-places.ts';
import { type Difference, rowsIn } from '../compare/core/difference.ts';
import { PlaceReader, textOf } from '../compare/place-reader.ts';
import type { SqlLink } from '../transfer/sql-link.ts';
import { TransferError } from '../transfer/transfer-error.ts';
import type { Span } from './core/chosen-writes.ts';
import { type ComposedLoss, compose } from './core/composed-loss.ts';
import { entangledConflict } from './core/judgement.ts';
import { copiesOf, KeylessCopies } from './core/keyless-copies.ts';
import type { LostRow } from './core/lost-row.ts';
import type { BatchBounds } from './core/replay-order.ts';
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

/** So many texts of values are looked for in one pass over a table, in a request that a gateway takes. */
const textsAtOnce = { count: 500, chars: 4 * 1024 * 1024 } as const;

/** Parts of a list that are looked for at once: at least one text each. */
function* textParts(texts: readonly string[]): Generator<readonly string[]> {
  let [part, chars]: [string[], number] = [[], 0];
  for (const text of texts) {
    if (part.length > 0 && (part.length >= textsAtOnce.count || chars + text.length > textsAtOnce.chars)) {
      yield part;
      [part, chars] = [[], 0];
    }
    part.push(text);
    chars += text.length;
  }
  if (part.length > 0) yield part;
}

async function copiesAtFork(from: SqlLink, fork: string, rows: readonly LostRow[]): Promise<KeylessCopies> {
  const counts = new Map<string, number>();
  const reader = new PlaceReader(from, fork);
  try {
    const counted = copiesOf(rows);
    if (counted.length > 0) await reader.open();
    for (const { sample, texts } of counted)
      for (const some of textParts(texts))
        for (const [index, count] of await countedAt(reader, sample, some))
          counts.set(`${sample.shape.name} ${some[index]}`, count);
  } finally {
    await reader.close();
  }
  return new KeylessCopies(rows, (table, text) => counts.get(`${table} ${text}`) ?? 0);
}

async function countedAt(
  reader: PlaceReader,
  sample: LostRow,
  texts: readonly string[],
): Promise<readonly (readonly [number, number])[]> {
  try {
    const [rows] = await reader.ask([countStatement(sample, texts)]);
    return (rows ?? []).map(([index, count]) => [Number(textOf(index)), Number(textOf(count))] as const);
  } catch (error) {
    // The table, or a column of it, has come with the lost writes: there were no such rows.
    if (error instanceof TransferError && /no such (table|column)/.test(error.message)) return [];
    throw error;
  }
}
