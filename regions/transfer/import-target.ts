/** The database that an import goes to: what is there, asked until somebody answers. */
import { setTimeout as sleep } from 'node:timers/promises';
import { progressTable } from './core/import-plan.ts';
import { type TargetState, troubleOf } from './core/import-trouble.ts';
import type { BatchAnswer, LinkFailure, SqlLink } from './sql-link.ts';
import { TransferError } from './transfer-error.ts';

/** An outage is waited out for this long without any progress. */
export const patienceMs = 120_000;
/** Between two questions: each time twice as long. */
export const pauseMs = { first: 100, longest: 3_000 } as const;

const text = (value: string): string => JSON.stringify({ type: 'text', value });

const stateSql = `SELECT count(*), count(*) FILTER (WHERE name IN (SELECT value FROM json_each(?1))),
  count(*) FILTER (WHERE name = '${progressTable}') FROM sqlite_schema WHERE name NOT LIKE 'sqlite\\_%' ESCAPE '\\'`;

/** The first step of an answer failed, or there is none. */
function openingFailure(answer: BatchAnswer | LinkFailure): LinkFailure | null {
  if (answer.kind === 'failed') return answer;
  const error = answer.errors[0] ?? null;
  return error === null ? null : { kind: 'failed', ...error };
}

export class ImportTarget {
  readonly link: SqlLink;
  readonly patienceMs: number;
  private readonly onNote: (text: string) => void;
  private noted = '';

  /** @param onNote hears of an outage that is waited out, once for each reason in turn. */
  constructor(link: SqlLink, patience: number, onNote: (text: string) => void) {
    this.link = link;
    this.patienceMs = patience;
    this.onNote = onNote;
  }

  /** What went wrong, and that it is tried again. */
  waits(message: string): void {
    if (message === this.noted) return;
    this.noted = message;
    this.onNote(`${message}; the import goes on by itself`);
  }

  /** The outage is over: the next one is told again. */
  answered(): void {
    this.noted = '';
  }

  /**
   * What is there now. @param names of what the file holds. @param way what a person can do when nobody answers.
   * @throws TransferError when nobody answers for as long as the import is patient.
   */
  async state(names: readonly string[], way: string): Promise<TargetState> {
    const ask = () =>
      this.link.ask([
        { sql: stateSql, args: [text(JSON.stringify(names))] },
        { sql: `SELECT source, part, row FROM ${progressTable}` },
      ]);
    const answer = await this.patiently(ask, way);
    const [objects = 0, ours = 0, noted = 0] = (answer.rows[0]?.[0] ?? []).map((value) =>
      value.type === 'integer' ? Number(value.value) : 0,
    );
    const [source, part, row] = answer.rows[1]?.[0] ?? [];
    const note =
      source?.type === 'text' && part?.type === 'integer' && row?.type === 'integer'
        ? { source: source.value, part: Number(part.value), row: Number(row.value) }
        : null;
    return { objects: objects - noted, ours, note };
  }

  /** Asks until somebody answers. @param way what a person can do when nobody did. @throws TransferError then, or when it is refused. */
  async patiently(ask: () => Promise<BatchAnswer | LinkFailure>, way: string): Promise<BatchAnswer> {
    const sinceMs = performance.now();
    let pause: number = pauseMs.first;
    for (;;) {
      const answer = await ask();
      const failure = openingFailure(answer);
      if (failure === null && answer.kind === 'answered') return answer;
      const { code, message } = failure ?? { code: null, message: 'no answer' };
      const isLate = performance.now() - sinceMs >= this.patienceMs;
      if (isLate || troubleOf(code, false) !== 'again')
        throw new TransferError(`${message}; ${way}`, code ?? undefined);
      this.waits(message);
      await sleep(pause);
      pause = Math.min(pauseMs.longest, pause * 2);
    }
  }
}

/** @throws TransferError when something is there that would be mixed with what is imported. */
export function refuseToMix({ objects, note }: TargetState, intoExisting: boolean): void {
  if (objects === 0 || note !== null || intoExisting) return;
  const what = objects === 1 ? '1 table or view' : `${objects} tables, views, indexes and triggers`;
  throw new TransferError(
    `the database is not empty: it has ${what}. --into-existing adds to it, where no name is taken`,
  );
}

/**
 * What a person is told before a large file is read: that nobody answers there, or that something is there.
 * @throws TransferError saying so.
 */
export async function checkTarget(link: SqlLink, intoExisting: boolean): Promise<void> {
  const target = new ImportTarget(link, 0, () => {});
  refuseToMix(await target.state([], 'nothing has been read or written'), intoExisting);
}
