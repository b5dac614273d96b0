/** The libSQL protocol over HTTP: a pipeline of one statement or batch, and `close`, as the stock client sends it. */
import { z } from 'zod';
import { controlSql, failureIn, firstValue, statementsOf } from './hrana.ts';
import { dialHttp } from './http.ts';
import type { Connect } from './socket.ts';

const path = '/v2/pipeline';
const close = '{"type":"close"}';
const pipelineSchema = z.object({
  results: z.array(
    z.looseObject({
      type: z.string(),
      response: z.looseObject({ result: z.unknown().optional() }).optional(),
      error: z.unknown().optional(),
    }),
  ),
});

export const connectHranaHttp: Connect = async (options) => {
  const line = await dialHttp(options);
  const { workload } = options;
  if (workload?.kind === 'interactive')
    throw new Error('interactive transactions are measured over WebSocket only');
  const statements =
    workload === null
      ? null
      : statementsOf(workload, (at) => workload.statements[at] ?? controlSql[-at - 1] ?? '');
  return {
    lanes:
      workload === null || statements === null
        ? []
        : [
            {
              run: (params, done) => {
                line.waiting.expect((answer) => {
                  if (answer instanceof Error) done(answer.message);
                  else if (answer.status !== 200) done(`${answer.status}: ${answer.body.slice(0, 300)}`);
                  else done(failureIn(answer.body, workload.kind));
                });
                const request =
                  workload.kind === 'batch'
                    ? `{"type":"batch","batch":${statements.batch(params)}}`
                    : `{"type":"execute","stmt":${statements.one(params, 0)}}`;
                line.post(path, `{"requests":[${request},${close}]}`);
              },
            },
          ],
    query: async (sql) => {
      line.post(
        path,
        `{"requests":[{"type":"execute","stmt":{"sql":${JSON.stringify(sql)},"want_rows":true}},${close}]}`,
      );
      const answer = await line.waiting.next();
      const parsed =
        answer.status === 200 ? pipelineSchema.parse(JSON.parse(answer.body)).results[0] : undefined;
      if (parsed?.type !== 'ok') throw new Error(answer.body.slice(0, 300));
      return firstValue(parsed.response?.result);
    },
    close: () => line.close(),
  };
};
