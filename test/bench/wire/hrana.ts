/** What the libSQL protocol's two transports share: statements and batches as JSON text, and what an answer says. */
import { z } from 'zod';
import type { Params, Workload } from '../load/workload.ts';

const args = (params: readonly number[]): string => {
  let text = '';
  for (const param of params) text += `${text === '' ? '' : ','}{"type":"integer","value":"${param}"}`;
  return text;
};

/** A statement as JSON without its closing brace; `sql` is its text, or the id it is stored under. */
function opening(sql: string | number, wantRows: boolean): string {
  const text = typeof sql === 'number' ? `"sql_id":${sql}` : `"sql":${JSON.stringify(sql)}`;
  return `{${text},"want_rows":${wantRows}`;
}

/** @param sqlOf text or stored id of statement `at`; −1 BEGIN, −2 COMMIT, −3 ROLLBACK. */
export function statementsOf(workload: Workload, sqlOf: (at: number) => string | number) {
  const heads = workload.statements.map((sql, at) => opening(sqlOf(at), sql.startsWith('SELECT')));
  const control = (at: number): string => `${opening(sqlOf(at), false)}}`;
  const begin = control(-1);
  const commit = control(-2);
  const rollback = control(-3);
  const one = (params: Params, at: number): string => `${heads[at]},"args":[${args(params[at] ?? [])}]}`;
  const last = workload.statements.length;
  return {
    one,
    begin,
    commit,
    /** As the stock client sends `batch(…, 'write')`: each step if the one before succeeded, else a rollback. */
    batch: (params: Params): string => {
      let steps = `{"stmt":${begin}}`;
      for (let at = 0; at < last; at++)
        steps += `,{"condition":{"type":"ok","step":${at}},"stmt":${one(params, at)}}`;
      return `{"steps":[${steps},{"condition":{"type":"ok","step":${last}},"stmt":${commit}},{"condition":{"type":"not","cond":{"type":"ok","step":${last + 1}}},"stmt":${rollback}}]}`;
    },
  };
}

export const controlSql = ['BEGIN IMMEDIATE', 'COMMIT', 'ROLLBACK'] as const;

const noStepFailed = /"step_errors":\[(?:null,?)*\]/;

/** What went wrong in an answer, or null. Looks at the text: parsing every answer would cost the generator more than asking. */
export function failureIn(text: string, kind: Workload['kind']): string | null {
  if (text.includes('"response_error"') || text.includes('"type":"error"')) return text.slice(0, 300);
  return kind === 'batch' && !noStepFailed.test(text) ? text.slice(0, 300) : null;
}

const resultSchema = z.object({ rows: z.array(z.array(z.looseObject({ value: z.unknown().optional() }))) });

/** First value of the first row of a statement's result. */
export function firstValue(result: unknown): string | null {
  const value = resultSchema.parse(result).rows[0]?.[0]?.value;
  return value === undefined || value === null ? null : String(value);
}
