/** rqlite through its HTTP API: statements with their parameters, as JSON. One request is one entry of its log. */
import { z } from 'zod';
import { dialHttp, type HttpAnswer } from './http.ts';
import type { Connect } from './socket.ts';

const answerSchema = z.object({
  results: z.array(
    z.looseObject({ error: z.string().optional(), values: z.array(z.array(z.unknown())).optional() }),
  ),
});

/** Null when everything asked for was done. */
function failureOf({ status, body }: HttpAnswer): string | null {
  if (status !== 200) return `${status}: ${body.slice(0, 300)}`;
  // Success is told without the word, so that most answers need no parsing.
  return body.includes('"error"') ? body.slice(0, 300) : null;
}

const statement = (sql: string, values: readonly number[]): string =>
  `[${JSON.stringify(sql)}${values.map((value) => `,${value}`).join('')}]`;

export const connectRqlite: Connect = async (options) => {
  const line = await dialHttp(options);
  const { workload } = options;
  if (workload?.kind === 'interactive') throw new Error('rqlite has no interactive transactions');
  return {
    lanes:
      workload === null
        ? []
        : [
            {
              run: (params, done) => {
                line.waiting.expect((answer) =>
                  done(answer instanceof Error ? answer.message : failureOf(answer)),
                );
                const all = workload.statements.map((sql, at) => statement(sql, params[at] ?? []));
                if (workload.kind === 'batch') line.post('/db/request?transaction', `[${all.join(',')}]`);
                else line.post(workload.writes ? '/db/execute' : '/db/query', `[${all[0]}]`);
              },
            },
          ],
    query: async (sql) => {
      line.post('/db/request', `[${statement(sql, [])}]`);
      const answer = await line.waiting.next();
      const failure = failureOf(answer);
      if (failure !== null) throw new Error(failure);
      const value = answerSchema.parse(JSON.parse(answer.body)).results[0]?.values?.[0]?.[0];
      return value === undefined || value === null ? null : String(value);
    },
    close: () => line.close(),
  };
};
