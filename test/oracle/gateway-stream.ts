/** A script's operations on the streams of a gateway, over HTTP. */
import { z } from 'zod';
import { type Answer, description, type Outcome, ownColumns, type StatementAnswer } from './answer.ts';
import { namePrefix, type Operation, renamed, wireRequest } from './script.ts';
import { cell, settingPragma } from './stock-stream.ts';

const requestMs = 60_000;

const column = z.object({ name: z.string().nullable(), decltype: z.string().nullish() });
const value = z.discriminatedUnion('type', [
  z.object({ type: z.literal('null') }),
  z.object({ type: z.literal('integer'), value: z.string() }),
  z.object({ type: z.literal('float'), value: z.number() }),
  z.object({ type: z.literal('text'), value: z.string() }),
  z.object({ type: z.literal('blob'), base64: z.string() }),
]);
const statementResult = z.object({
  cols: z.array(column),
  rows: z.array(z.array(value)),
  affected_row_count: z.number(),
  last_insert_rowid: z.string().nullable(),
});
const error = z.object({ message: z.string(), code: z.string().nullish() });
const response = z.discriminatedUnion('type', [
  z.object({ type: z.literal('execute'), result: statementResult }),
  z.object({
    type: z.literal('batch'),
    result: z.object({
      step_results: z.array(statementResult.nullable()),
      step_errors: z.array(error.nullable()),
    }),
  }),
  z.object({ type: z.literal('sequence') }),
  z.object({
    type: z.literal('describe'),
    result: z.object({ params: z.array(z.unknown()), cols: z.array(column), is_readonly: z.boolean() }),
  }),
  z.object({ type: z.literal('get_autocommit'), is_autocommit: z.boolean() }),
  z.object({ type: z.literal('close') }),
]);
const pipelineResult = z.object({
  baton: z.string().nullable(),
  results: z.array(
    z.discriminatedUnion('type', [
      z.object({ type: z.literal('ok'), response }),
      z.object({ type: z.literal('error'), error }),
    ]),
  ),
});
type Result = z.infer<typeof pipelineResult>['results'][number];

export class GatewayStream {
  private readonly url: string;
  private readonly own: string;
  private baton: string | null = null;

  /** @param own the prefix of this run's names, in place of `namePrefix`. */
  constructor(url: string, own: string) {
    this.url = url;
    this.own = own;
  }

  /** Runs operations, `pipeline` of them in a request. What is no answer of the protocol is an error of code `HTTP`. */
  async run(operations: readonly Operation[], pipeline: number): Promise<readonly Answer[]> {
    const answers: Answer[] = [];
    let waiting: Exclude<Operation, { kind: 'reopen' }>[] = [];
    const flush = async (): Promise<void> => {
      if (waiting.length > 0) answers.push(...(await this.send(waiting)));
      waiting = [];
    };
    for (const operation of operations) {
      if (operation.kind === 'reopen') {
        await flush();
        await this.close();
        answers.push({ outcome: { kind: 'done' }, autocommit: true });
        continue;
      }
      waiting.push(operation);
      if (waiting.length >= pipeline) await flush();
    }
    await flush();
    return answers;
  }

  async close(): Promise<void> {
    if (this.baton !== null) await this.post([{ type: 'close' }]);
    this.baton = null;
  }

  private async send(
    operations: readonly Exclude<Operation, { kind: 'reopen' }>[],
  ): Promise<readonly Answer[]> {
    const autocommit = { type: 'get_autocommit' };
    const results = await this.post(operations.flatMap((one) => [wireRequest(one, this.own), autocommit]));
    return operations.map((operation, at) => {
      const state = results[2 * at + 1];
      return {
        outcome: this.outcome(operation, results[2 * at]),
        autocommit:
          state?.type !== 'ok' || state.response.type !== 'get_autocommit' || state.response.is_autocommit,
      };
    });
  }

  private async post(requests: readonly object[]): Promise<readonly Result[]> {
    const failed = (message: string): readonly Result[] => {
      this.baton = null;
      return requests.map(() => ({ type: 'error', error: { code: 'HTTP', message } }));
    };
    try {
      const answer = await fetch(`${this.url}/v3/pipeline`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ baton: this.baton, requests }),
        signal: AbortSignal.timeout(requestMs),
      });
      const text = await answer.text();
      if (!answer.ok) return failed(`${answer.status} ${text}`);
      const { baton, results } = pipelineResult.parse(JSON.parse(text));
      this.baton = baton;
      return results;
    } catch (cause) {
      return failed(String(cause));
    }
  }

  private outcome(operation: Operation, result: Result | undefined): Outcome {
    if (result === undefined) return { kind: 'error', code: 'HTTP', message: 'no result' };
    if (result.type === 'error') return this.failed(result.error);
    const { response: found } = result;
    switch (found.type) {
      case 'execute':
        return this.result(found.result);
      case 'batch': {
        const { step_results: results, step_errors: errors } = found.result;
        return {
          kind: 'batch',
          steps: results.map((one, at) => {
            const wrong = errors[at];
            return one !== null ? this.result(one) : wrong ? this.failed(wrong) : { kind: 'skipped' };
          }),
        };
      }
      case 'describe': {
        const sql = operation.kind === 'describe' ? operation.sql : '';
        if (settingPragma.test(sql)) return { kind: 'done' };
        const { params, cols, is_readonly: isReadonly } = found.result;
        return description(sql, this.columns(cols), params.length, isReadonly);
      }
      default:
        return { kind: 'done' };
    }
  }

  private name(text: string): string {
    return renamed(text, this.own, namePrefix);
  }

  private columns(columns: readonly z.infer<typeof column>[]) {
    return columns.map(({ name, decltype }) => ({
      name: name === null ? null : this.name(name),
      decltype: decltype ?? null,
    }));
  }

  private result(result: z.infer<typeof statementResult>): StatementAnswer {
    return {
      kind: 'result',
      columns: ownColumns(this.columns(result.cols)),
      rows: result.rows.map((row) => row.map((one) => this.cell(one))),
      affected: result.affected_row_count,
      rowid: result.last_insert_rowid,
    };
  }

  private cell(one: z.infer<typeof value>): string {
    switch (one.type) {
      case 'null':
        return cell(null);
      case 'integer':
        return cell(BigInt(one.value));
      case 'float':
        return cell(one.value);
      case 'text':
        return cell(this.name(one.value));
      case 'blob':
        return cell(new Uint8Array(Buffer.from(one.base64, 'base64')));
    }
  }

  private failed({ code, message }: z.infer<typeof error>): StatementAnswer {
    return { kind: 'error', code: code ?? 'none', message: this.name(message) };
  }
}
