/** One SQL session over a gateway's HTTP pipeline (Hrana 2), as the commands use it. */
import { z } from 'zod';
import { ask } from './admin-client.ts';
import { CliError, paint, table } from './output.ts';

const valueSchema = z.discriminatedUnion('type', [
  z.object({ type: z.literal('null') }),
  z.object({ type: z.literal('integer'), value: z.string() }),
  z.object({ type: z.literal('float'), value: z.number() }),
  z.object({ type: z.literal('text'), value: z.string() }),
  z.object({ type: z.literal('blob'), base64: z.string() }),
]);
type SqlValue = z.output<typeof valueSchema>;

const resultSchema = z.object({
  cols: z.array(z.object({ name: z.string().nullish() })),
  rows: z.array(z.array(valueSchema)),
  affected_row_count: z.number().default(0),
  last_insert_rowid: z.string().nullish(),
});
/** Columns, rows and counts of one executed statement. */
export type SqlResult = z.output<typeof resultSchema>;

const pipelineSchema = z.object({
  baton: z.string().nullish(),
  base_url: z.string().nullish(),
  results: z.array(
    z.discriminatedUnion('type', [
      z.object({
        type: z.literal('ok'),
        response: z.looseObject({ type: z.string(), result: resultSchema.optional() }),
      }),
      z.object({
        type: z.literal('error'),
        error: z.object({ message: z.string(), code: z.string().nullish() }),
      }),
    ]),
  ),
});

/** A statement may wait for a move of the primary to end. */
const statementTimeoutMs = 60_000;

/** A stream on one gateway. Transactions span calls until `close`, or until the gateway forgets an idle stream. */
export class SqlSession {
  readonly #headers: Readonly<Record<string, string>>;
  #base: string;
  #baton: string | undefined;

  constructor(gateway: string, headers: Readonly<Record<string, string>>) {
    this.#base = gateway;
    this.#headers = headers;
  }

  /** @throws CliError with the gateway's code when the statement failed. */
  async execute(sql: string): Promise<SqlResult> {
    const results = await this.#pipeline([{ type: 'execute', stmt: { sql, want_rows: true } }]);
    const first = results[0];
    if (first?.type === 'error') throw new CliError(first.error.message, first.error.code ?? undefined);
    const result = first?.response.result;
    if (result === undefined) throw new CliError('the gateway gave no result');
    return result;
  }

  async close(): Promise<void> {
    if (this.#baton === undefined) return;
    await this.#pipeline([{ type: 'close' }]).catch(() => undefined);
    this.#baton = undefined;
  }

  async #pipeline(requests: readonly object[]): Promise<z.output<typeof pipelineSchema>['results']> {
    const body = { baton: this.#baton ?? null, requests };
    const answer = await ask(this.#base, '/v2/pipeline', this.#headers, body, statementTimeoutMs);
    if (answer.kind !== 'ok') {
      this.#baton = undefined;
      throw new CliError(answer.message, answer.kind === 'refused' ? answer.code : undefined);
    }
    const parsed = pipelineSchema.safeParse(answer.body);
    if (!parsed.success) throw new CliError('the gateway gave an answer this version cannot read');
    this.#baton = parsed.data.baton ?? undefined;
    this.#base = parsed.data.base_url ?? this.#base;
    return parsed.data.results;
  }
}

function plain(value: SqlValue): string | number | null {
  switch (value.type) {
    case 'null':
      return null;
    case 'integer': {
      const number = Number(value.value);
      return Number.isSafeInteger(number) ? number : value.value;
    }
    case 'blob':
      return value.base64;
    case 'float':
    case 'text':
      return value.value;
  }
}

function shown(value: SqlValue): string {
  if (value.type === 'null') return paint('dim', 'NULL');
  if (value.type === 'blob') return `x'${Buffer.from(value.base64, 'base64').toString('hex')}'`;
  return String(value.value).replaceAll('\n', '\\n');
}

const namesOf = (result: SqlResult): string[] =>
  result.cols.map(({ name }, index) => name ?? `column${index + 1}`);

/** Rows as objects; integers beyond 2^53 as strings, blobs as base64. */
export function resultAsJson(result: SqlResult): object {
  const names = namesOf(result);
  return {
    columns: names,
    rows: result.rows.map((row) =>
      Object.fromEntries(row.map((value, index) => [names[index] ?? '', plain(value)])),
    ),
    affectedRows: result.affected_row_count,
    lastInsertRowid: result.last_insert_rowid ?? null,
  };
}

/** A table, or how many rows were changed when the statement returns none. */
export function resultAsText(result: SqlResult): string {
  if (result.cols.length === 0) {
    const count = result.affected_row_count;
    return paint('dim', count === 0 ? 'ok' : `ok, ${count} ${count === 1 ? 'row' : 'rows'} changed`);
  }
  const count = paint('dim', `(${result.rows.length} ${result.rows.length === 1 ? 'row' : 'rows'})`);
  return `${table(
    namesOf(result),
    result.rows.map((row) => row.map(shown)),
  )}\n${count}`;
}
