/**
 * One transaction of an import, as one request: what it does, and a note of how far the import is then, both or neither. A small
 * file is one transaction, without any note.
 */
import { type ImportPosition, progressTable } from './import-plan.ts';
import type { WireValue } from './wire-value.ts';

/** A statement with its arguments in JSON, and where the import stands after it. */
export interface ImportStep {
  readonly sql: string;
  /** JSON texts of the arguments. */
  readonly args: readonly string[];
  readonly rows: number;
  /** Of `sql` and `args`. */
  readonly bytes: number;
  readonly what: string;
  readonly after: ImportPosition;
  /** Rows times the indexes that they are entered into: what bounds the pages that a transaction changes. */
  readonly entries: number;
  /** It goes into the same request as the step before it. */
  readonly joins: boolean;
}

export interface BatchLimits {
  /** Of one request. */
  readonly bytes: number;
  readonly steps: number;
  readonly entries: number;
}

/** A request takes 2 MiB, well below what a gateway takes; a gateway elsewhere hands it on to the writer in parts. */
export const defaultBatchLimits: BatchLimits = { bytes: 2 * 1024 * 1024, steps: 2_000, entries: 40_000 };

/** Where a request would be too large, the next ones are half as large, down to one statement. */
export const halved = ({ bytes, steps, entries }: BatchLimits): BatchLimits => ({
  bytes: Math.ceil(bytes / 2),
  steps: Math.ceil(steps / 2),
  entries: Math.ceil(entries / 2),
});

export interface ImportBatch {
  readonly steps: readonly ImportStep[];
  readonly from: ImportPosition;
  readonly to: ImportPosition;
  readonly isFirst: boolean;
  readonly isLast: boolean;
}

/** Takes steps until a bound is met: at least one. @returns null when there is none. */
export function takeBatch(
  from: ImportPosition,
  steps: Iterator<ImportStep>,
  ahead: { next: ImportStep | null },
  limits: BatchLimits,
): ImportBatch | null {
  const taken: ImportStep[] = [];
  let [bytes, entries] = [0, 0];
  for (;;) {
    const step: ImportStep | null = ahead.next ?? steps.next().value ?? null;
    ahead.next = step;
    if (step === null) break;
    const isFull =
      taken.length >= limits.steps ||
      bytes + step.bytes > limits.bytes ||
      entries + step.entries > limits.entries;
    if (isFull && !step.joins && taken.length > 0) break;
    taken.push(step);
    ahead.next = null;
    bytes += step.bytes;
    entries += step.entries;
  }
  const last = taken.at(-1);
  if (last === undefined) return null;
  return {
    steps: taken,
    from,
    to: last.after,
    isFirst: from.part === 0 && from.row === 0,
    isLast: ahead.next === null,
  };
}

const text = (value: string): string => JSON.stringify({ type: 'text', value });
const integer = (value: number): string => `{"type":"integer","value":"${value}"}`;

/** A note of progress is made only by who knows the one before (G47): two that import at once cannot both do a part. */
const advance = `UPDATE ${progressTable} SET part = CASE WHEN source = ?1 AND part = ?2 AND row = ?3 THEN ?4 END, row = ?5`;

interface WireStep {
  readonly sql: string;
  readonly args: readonly string[];
}

function notes(
  batch: ImportBatch,
  source: string,
): { readonly before: readonly WireStep[]; readonly after: readonly WireStep[] } {
  const { from, to, isFirst, isLast } = batch;
  if (isFirst && isLast) return { before: [], after: [] };
  const make = {
    sql: `CREATE TABLE ${progressTable} (source TEXT NOT NULL, part INTEGER NOT NULL, row INTEGER NOT NULL)`,
    args: [],
  };
  const begin = {
    sql: `INSERT INTO ${progressTable} (source, part, row) VALUES (?, ?, ?)`,
    args: [text(source), integer(to.part), integer(to.row)],
  };
  const go = {
    sql: advance,
    args: [text(source), ...[from.part, from.row, to.part, to.row].map(integer)],
  };
  const end = { sql: `DROP TABLE ${progressTable}`, args: [] };
  return { before: isFirst ? [make, begin] : [go], after: isLast ? [end] : [] };
}

/** Body of the request, and which step of it each statement of the batch is. */
export interface BatchRequest {
  readonly body: string;
  /** Index of the step that changes the note of progress; null without one. */
  readonly noteStep: number | null;
  /** Index of the batch's first step. */
  readonly firstStep: number;
  readonly commitStep: number;
}

const wireStep = ({ sql, args }: WireStep, condition: string | null): string => {
  const when = condition === null ? '' : `"condition":${condition},`;
  return `{${when}"stmt":{"sql":${JSON.stringify(sql)},"args":[${args.join(',')}],"want_rows":false}}`;
};
const ifOk = (step: number): string => `{"type":"ok","step":${step}}`;

/** @param source what tells this file and these options from others. */
export function batchRequest(batch: ImportBatch, source: string): BatchRequest {
  const { before, after } = notes(batch, source);
  const opening: readonly WireStep[] = [
    { sql: 'PRAGMA foreign_keys = OFF', args: [] },
    { sql: 'BEGIN IMMEDIATE', args: [] },
    ...before,
  ];
  const all = [...opening, ...batch.steps, ...after, { sql: 'COMMIT', args: [] }];
  const commitStep = all.length - 1;
  const steps = all.map((step, at) => wireStep(step, at === 0 ? null : ifOk(at - 1)));
  steps.push(
    wireStep(
      { sql: 'ROLLBACK', args: [] },
      `{"type":"and","conds":[${ifOk(1)},{"type":"not","cond":${ifOk(commitStep)}}]}`,
    ),
  );
  return {
    body: `{"baton":null,"requests":[{"type":"batch","batch":{"steps":[${steps.join(',')}]}},{"type":"close"}]}`,
    noteStep: before.length === 0 ? null : opening.length - 1,
    firstStep: opening.length,
    commitStep,
  };
}

/** Everything is tried and undone: a step that fails leaves the others to be tried. */
export function rehearsalRequest(statements: readonly { readonly sql: string }[]): string {
  const steps = [
    wireStep({ sql: 'BEGIN IMMEDIATE', args: [] }, null),
    ...statements.map(({ sql }) => wireStep({ sql, args: [] }, ifOk(0))),
    wireStep({ sql: 'ROLLBACK', args: [] }, ifOk(0)),
  ];
  return `{"baton":null,"requests":[{"type":"batch","batch":{"steps":[${steps.join(',')}]}},{"type":"close"}]}`;
}

/** Rows that go into one statement: as many arguments as SQLite compiles fast, and so many bytes. */
export const stepLimits = { args: 1_000, bytes: 256 * 1024 } as const;

/** Bytes of a step in a request, roughly. */
export const stepBytes = (sql: string, values: readonly WireValue[]): number =>
  values.reduce((sum, { json }) => sum + json.length + 1, sql.length + 64);
