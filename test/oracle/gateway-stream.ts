/** A script's operations on the streams of a gateway. */
import { type Answer, description, type Outcome, ownColumns, type StatementAnswer } from './answer.ts';
import { namePrefix, type Operation, renamed, wireRequest } from './script.ts';
import { cell, settingPragma } from './stock-stream.ts';
import {
  type Result,
  type Transport,
  transportOf,
  type Way,
  type WireColumn,
  type WireError,
  type WireResult,
  type WireValue,
} from './ways.ts';

export class GatewayStream {
  private readonly way: Way;
  private readonly url: string;
  private readonly own: string;
  private transport: Transport | null = null;

  /** @param own the prefix of this run's names, in place of `namePrefix`. */
  constructor(url: string, own: string, way: Way = 'pipeline') {
    this.url = url;
    this.own = own;
    this.way = way;
  }

  /** Runs operations, `pipeline` of them at a time. What is no answer of the protocol is an error of code `HTTP`. */
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
    await this.transport?.close();
    this.transport = null;
  }

  private async send(
    operations: readonly Exclude<Operation, { kind: 'reopen' }>[],
  ): Promise<readonly Answer[]> {
    const autocommit = { type: 'get_autocommit' };
    this.transport ??= transportOf(this.way, this.url);
    const results = await this.transport.post(
      operations.flatMap((one) => [wireRequest(one, this.own), autocommit]),
    );
    return operations.map((operation, at) => {
      const state = results[2 * at + 1];
      return {
        outcome: this.outcome(operation, results[2 * at]),
        autocommit:
          state?.type !== 'ok' || state.response.type !== 'get_autocommit' || state.response.is_autocommit,
      };
    });
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

  private columns(columns: readonly WireColumn[]) {
    return columns.map(({ name, decltype }) => ({
      name: name === null ? null : this.name(name),
      decltype: decltype ?? null,
    }));
  }

  private result(result: WireResult): StatementAnswer {
    return {
      kind: 'result',
      columns: ownColumns(this.columns(result.cols)),
      rows: result.rows.map((row) => row.map((one) => this.cell(one))),
      affected: result.affected_row_count,
      rowid: result.last_insert_rowid,
    };
  }

  private cell(one: WireValue): string {
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

  private failed({ code, message }: WireError): StatementAnswer {
    return { kind: 'error', code: code ?? 'none', message: this.name(message) };
  }
}
