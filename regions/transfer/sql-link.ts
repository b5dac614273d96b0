/** Requests to a gateway in the libSQL protocol, with bodies that are made elsewhere; the answers are checked here. */
import { z } from 'zod';
import { TransferError } from './transfer-error.ts';

/** The largest statement of an import takes 30 s, and may wait for a move of the primary. */
const requestTimeoutMs = 120_000;

const errorSchema = z.looseObject({ message: z.string(), code: z.string().nullish() });
const valueSchema = z.discriminatedUnion('type', [
  z.object({ type: z.literal('null') }),
  z.object({ type: z.literal('integer'), value: z.string() }),
  z.object({ type: z.literal('float'), value: z.number() }),
  z.object({ type: z.literal('text'), value: z.string() }),
  z.object({ type: z.literal('blob'), base64: z.string() }),
]);
export type WireAnswer = z.output<typeof valueSchema>;
const rowsSchema = z.looseObject({
  rows: z.array(z.array(valueSchema)),
  affected_row_count: z.int().default(0),
});
const batchSchema = z.looseObject({
  step_results: z.array(rowsSchema.nullable()),
  step_errors: z.array(errorSchema.nullable()),
});
const responseSchema = z.looseObject({
  baton: z.string().nullable(),
  results: z.array(
    z.discriminatedUnion('type', [
      z.looseObject({
        type: z.literal('ok'),
        response: z.looseObject({ type: z.string(), result: z.unknown().optional() }),
      }),
      z.looseObject({ type: z.literal('error'), error: errorSchema }),
    ]),
  ),
});

/** Why a request has no answer, or not the one that was asked for. `code` is null when nobody answered. */
export interface LinkFailure {
  readonly kind: 'failed';
  readonly code: string | null;
  readonly message: string;
}

export interface BatchAnswer {
  readonly kind: 'answered';
  readonly baton: string | null;
  /** For each step its rows; null when it was skipped or failed. */
  readonly rows: readonly (readonly (readonly WireAnswer[])[] | null)[];
  /** For each step how many rows it changed; 0 when it was skipped or failed. */
  readonly changes: readonly number[];
  readonly errors: readonly ({ readonly code: string; readonly message: string } | null)[];
}

/** A statement with its arguments in JSON. */
export interface LinkStatement {
  readonly sql: string;
  readonly args?: readonly string[];
}

const afterTheOneBefore = (at: number): string =>
  at === 0 ? '' : `"condition":{"type":"ok","step":${at - 1}},`;
const inTransaction = '"condition":{"type":"not","cond":{"type":"is_autocommit"}},';

const stepsOf = (
  statements: readonly LinkStatement[],
  conditionOf: (at: number) => string = afterTheOneBefore,
): string =>
  statements
    .map(({ sql, args = [] }, at) => {
      const condition = conditionOf(at);
      return `{${condition}"stmt":{"sql":${JSON.stringify(sql)},"args":[${args.join(',')}],"want_rows":true}}`;
    })
    .join(',');

const emptyBatch = '{"type":"batch","batch":{"steps":[]}}';

/** The first step that failed, as the failure of the whole. */
export function failureIn(answer: BatchAnswer | LinkFailure): LinkFailure | null {
  if (answer.kind === 'failed') return answer;
  const error = answer.errors.find((each) => each !== null) ?? null;
  return error === null ? null : { kind: 'failed', ...error };
}

export class SqlLink {
  readonly gateway: string;
  private readonly url: string;
  private readonly headers: Readonly<Record<string, string>>;

  /** @param gateway its URL. @param token of a client; null where none is asked for. Reads see every write acknowledged anywhere. */
  constructor(gateway: string, token: string | null) {
    this.gateway = gateway;
    this.url = `${gateway.replace(/\/+$/, '')}/read/global/v3/pipeline`;
    this.headers = {
      'content-type': 'application/json',
      ...(token !== null && { authorization: `Bearer ${token}` }),
    };
  }

  /** Sends a pipeline whose first request is a batch. Never throws. */
  async batch(body: string): Promise<BatchAnswer | LinkFailure> {
    let status = 0;
    let text = '';
    try {
      const { url, headers } = this;
      const signal = AbortSignal.timeout(requestTimeoutMs);
      const response = await fetch(url, { method: 'POST', headers, body, signal });
      status = response.status;
      text = await response.text();
    } catch (error) {
      const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
      const reason = cause instanceof Error ? cause.message : String(cause);
      return { kind: 'failed', code: null, message: `${this.gateway} does not answer (${reason})` };
    }
    return this.read(status, text);
  }

  /** Statements in a stream of their own, each only if the one before it succeeded. */
  ask(statements: readonly LinkStatement[]): Promise<BatchAnswer | LinkFailure> {
    return this.batch(
      `{"baton":null,"requests":[{"type":"batch","batch":{"steps":[${stepsOf(statements)}]}},{"type":"close"}]}`,
    );
  }

  /** Statements in a stream that stays open. @param baton of the answer before; null begins one. */
  askOn(baton: string | null, statements: readonly LinkStatement[]): Promise<BatchAnswer | LinkFailure> {
    return this.batch(
      `{"baton":${JSON.stringify(baton)},"requests":[{"type":"batch","batch":{"steps":[${stepsOf(statements)}]}}]}`,
    );
  }

  /**
   * Statements in a transaction, whatever becomes of the ones before; skipped once it is over.
   * @param baton null begins a stream: the first statement begins the transaction then, and has no condition.
   */
  askWithin(baton: string | null, statements: readonly LinkStatement[]): Promise<BatchAnswer | LinkFailure> {
    const steps = stepsOf(statements, (at) => (baton === null && at === 0 ? '' : inTransaction));
    return this.batch(
      `{"baton":${JSON.stringify(baton)},"requests":[{"type":"batch","batch":{"steps":[${steps}]}}]}`,
    );
  }

  /** Ends a stream. Never throws: one that nobody uses is forgotten in time. */
  async close(baton: string): Promise<void> {
    await this.batch(`{"baton":${JSON.stringify(baton)},"requests":[${emptyBatch},{"type":"close"}]}`);
  }

  private read(status: number, text: string): BatchAnswer | LinkFailure {
    const json = parsed(text);
    if (status !== 200) {
      const said = errorSchema.safeParse(json);
      const message = said.success ? said.data.message : `${this.gateway} answers HTTP ${status}`;
      // What is between here and the gateway may be away for a moment.
      return { kind: 'failed', code: said.data?.code ?? (status >= 500 ? null : `HTTP_${status}`), message };
    }
    const response = responseSchema.safeParse(json);
    const first = response.data?.results[0];
    if (first?.type === 'error')
      return { kind: 'failed', code: first.error.code ?? 'UNKNOWN', message: first.error.message };
    const batch = batchSchema.safeParse(first?.response.result);
    if (!batch.success)
      throw new TransferError(
        `${this.gateway} gave an answer that is not of the libSQL protocol: is it a gateway?`,
      );
    return {
      kind: 'answered',
      baton: response.data?.baton ?? null,
      rows: batch.data.step_results.map((result) => result?.rows ?? null),
      changes: batch.data.step_results.map((result) => result?.affected_row_count ?? 0),
      errors: batch.data.step_errors.map((error) =>
        error === null ? null : { code: error.code ?? 'UNKNOWN', message: error.message },
      ),
    };
  }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
