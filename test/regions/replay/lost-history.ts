/** A loss in SQLite files: a database at the fork, each lost write after the other, and what has been written since. */
import { DatabaseSync } from 'node:sqlite';
import type { Span } from '../../../regions/replay/core/chosen-writes.ts';
import type { ReplayResult } from '../../../regions/replay/core/replay-summary.ts';
import { type LossWish, type ReplayOptions, readLoss, replayLoss } from '../../../regions/replay/replay.ts';
import { FileGateway } from './file-gateway.ts';

function made(...texts: readonly string[]): DatabaseSync {
  const database = new DatabaseSync(':memory:');
  for (const text of texts) database.exec(text);
  return database;
}

export interface LostHistory {
  readonly gateway: FileGateway;
  readonly now: DatabaseSync;
  readonly run: (wish?: Partial<LossWish & ReplayOptions>) => Promise<ReplayResult>;
  /** The lost writes from one to another, counted from 1. */
  readonly span: (from: number, to: number) => Span;
  readonly rows: (sql: string) => readonly unknown[];
  readonly notes: readonly string[];
}

/** @param lost writes, in order. @param since what was written to the new line of history. */
export function lostHistory(fork: string, lost: readonly string[], since = ''): LostHistory {
  const places = Object.fromEntries(
    [...lost.keys(), lost.length].map((count) => [
      `1:${10 * (count + 1)}`,
      made(fork, ...lost.slice(0, count)),
    ]),
  );
  const now = made(fork, since);
  const gateway = new FileGateway({ ...places, now });
  const span = (from: number, to: number): Span => ({
    before: `1:${10 * from}`,
    after: `1:${10 * (to + 1)}`,
  });
  const notes: string[] = [];
  return {
    gateway,
    now,
    span,
    notes,
    run: async (wish = {}) => {
      const spans = [span(1, lost.length)];
      const loss = await readLoss(gateway, {
        spans,
        fork: '1:10',
        limit: 10_000,
        comparing: () => undefined,
        ...wish,
      });
      const listener = { progress: () => undefined, note: (text: string) => notes.push(text) };
      return replayLoss(gateway, loss, { dryRun: false, patienceMs: 5_000, ...wish }, listener);
    },
    rows: (sql) =>
      now
        .prepare(sql)
        .all()
        .map((row) => ({ ...row })),
  };
}

/** Counts of a result: applied, already there, in conflict. */
export const countsOf = ({ applied, alreadyThere, conflicts }: ReplayResult): readonly number[] => [
  applied.length,
  alreadyThere.length,
  conflicts.length,
];

/** `table: reason`, one for each conflict. */
export const reasonsOf = ({ conflicts }: ReplayResult): readonly string[] =>
  conflicts.map(({ row, reason }) => `${row.shape.name}: ${reason}`);
