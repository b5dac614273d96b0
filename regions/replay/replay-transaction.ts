/** One transaction of a replay, at a gateway, as any client has one. */
import { troubleOf } from '../transfer/core/import-trouble.ts';
import type { LinkFailure, LinkStatement, SqlLink, WireAnswer } from '../transfer/sql-link.ts';

/** What became of a statement. */
export interface StepEnd {
  /** Null when it failed, or the transaction was over. */
  readonly rows: readonly (readonly WireAnswer[])[] | null;
  readonly changes: number;
  readonly error: { readonly code: string; readonly message: string } | null;
}

/** Nothing of the transaction counts, or nobody knows whether it does. */
export class TransactionLost extends Error {
  override readonly name = 'TransactionLost';
  readonly failure: LinkFailure;
  readonly atCommit: boolean;

  constructor(failure: LinkFailure, atCommit = false) {
    super(failure.message);
    this.failure = failure;
    this.atCommit = atCommit;
  }
}

/** It was ended by somebody else, as by a move of the primary. */
export const over: LinkFailure = {
  kind: 'failed',
  code: 'SEXTANT_TRANSACTION_ABORTED',
  message: 'the transaction was over before its end',
};

/** What asks for less of it, beside what troubles an import. */
const tooMuch = new Set(['RESPONSE_TOO_LARGE', 'SQLITE_TOOBIG']);

/** What a failure means: try again, try with less, or it would fail again. */
export function meaningOf(code: string | null): 'again' | 'smaller' | 'stop' {
  if (code !== null && tooMuch.has(code)) return 'smaller';
  const trouble = troubleOf(code, false);
  return trouble === 'moved' ? 'stop' : trouble;
}

export class ReplayTransaction {
  private readonly link: SqlLink;
  private baton: string | null = null;

  constructor(link: SqlLink) {
    this.link = link;
  }

  /** Begins it, with the first statements in it. @throws TransactionLost */
  async begin(statements: readonly LinkStatement[]): Promise<readonly StepEnd[]> {
    const [begun, ...ends] = await this.send([{ sql: 'BEGIN IMMEDIATE' }, ...statements]);
    if (begun?.error) throw new TransactionLost({ kind: 'failed', ...begun.error });
    return ends;
  }

  /**
   * Carries statements out, each whatever became of the ones before: a failed one has changed nothing.
   * @throws TransactionLost when the request failed, or a statement for what it has to be done again.
   */
  async run(statements: readonly LinkStatement[]): Promise<readonly StepEnd[]> {
    return statements.length === 0 ? [] : this.send(statements);
  }

  /** @throws TransactionLost `atCommit`: where its meaning is `again`, it is not known whether it counts. */
  async commit(): Promise<void> {
    const [end] = await this.send([{ sql: 'COMMIT' }], true);
    const error = end?.error ?? null;
    if (error !== null) throw new TransactionLost({ kind: 'failed', ...error }, true);
    if (end?.rows === null) throw new TransactionLost(over, true);
  }

  /** Takes everything back and ends the stream. Never throws. */
  async end(): Promise<void> {
    if (this.baton !== null) await this.link.close(this.baton);
    this.baton = null;
  }

  private async send(statements: readonly LinkStatement[], isCommit = false): Promise<readonly StepEnd[]> {
    const answer = await this.link.askWithin(this.baton, statements);
    if (answer.kind === 'failed') throw new TransactionLost(answer, isCommit);
    this.baton = answer.baton;
    const ends = statements.map((_, at) => ({
      rows: answer.rows[at] ?? null,
      changes: answer.changes[at] ?? 0,
      error: answer.errors[at] ?? null,
    }));
    const lost = ends.find(({ error }) => error !== null && meaningOf(error.code) !== 'stop')?.error;
    if (lost) throw new TransactionLost({ kind: 'failed', ...lost }, isCommit);
    return ends;
  }
}
