/** PostgreSQL's protocol, version 3: statements prepared once, then Bind, Execute and Sync; a batch is one pipeline with one Sync. */
import type { Workload } from '../load/workload.ts';
import { type Connect, dial, type Lane, type Line, u16, u32, Waiting } from './socket.ts';

const message = (type: string, body: string): string => `${type}${u32(body.length + 4)}${body}`;
const sync = message('S', '');
const execute = message('E', `\0${u32(0)}`);

function bind(statement: string, params: readonly number[]): string {
  let values = '';
  for (const param of params) {
    const text = String(param);
    values += u32(text.length) + text;
  }
  return message('B', `\0${statement}\0${u16(0)}${u16(params.length)}${values}${u16(0)}`);
}

/** `?` as `$1`, `$2`, … */
export function numbered(sql: string): string {
  let count = 0;
  return sql.replaceAll('?', () => `$${++count}`);
}

const char = (text: string): number => text.charCodeAt(0);
const ready = char('Z');
const error = char('E');
const row = char('D');

interface Answer {
  readonly error: string | null;
  readonly value: string | null;
}

function errorText(bytes: Buffer, start: number, end: number): string {
  const fields = bytes.toString('utf8', start + 5, end).split('\0');
  return fields.find((field) => field.startsWith('M'))?.slice(1) ?? 'an error';
}

export const connectPostgres: Connect = async (options) => {
  const waiting = new Waiting<Answer>();
  let failed: string | null = null;
  let value: string | null = null;
  const line = await dial(
    options,
    (bytes, start, end) => {
      if (end - start < 5) return 0;
      const length = 1 + bytes.readUInt32BE(start + 1);
      if (end - start < length) return 0;
      switch (bytes[start]) {
        case ready: {
          const answer = { error: failed, value };
          failed = null;
          value = null;
          waiting.answer(answer);
          break;
        }
        case error:
          failed = errorText(bytes, start, start + length);
          break;
        case row:
          if (value === null && bytes.readInt16BE(start + 5) > 0 && bytes.readInt32BE(start + 7) >= 0)
            value = bytes.toString('utf8', start + 11, start + 11 + bytes.readInt32BE(start + 7));
      }
      return length;
    },
    (reason) => waiting.end(reason),
  );
  const ask = async (text: string): Promise<string | null> => {
    line.write(text);
    const answer = await waiting.next();
    if (answer.error !== null) throw new Error(answer.error);
    return answer.value;
  };
  const startup = `${u32(196_608)}user\0bench\0database\0postgres\0\0`;
  await ask(u32(startup.length + 4) + startup);
  const { workload } = options;
  if (workload !== null) {
    const prepare = (name: string, sql: string) => message('P', `${name}\0${numbered(sql)}\0${u16(0)}`);
    const statements = workload.statements.map((sql, at) => prepare(`s${at}`, sql));
    await ask([prepare('begin', 'BEGIN'), prepare('commit', 'COMMIT'), ...statements, sync].join(''));
  }
  return {
    lanes:
      workload === null
        ? []
        : [workload.kind === 'interactive' ? interactive(line, waiting) : pipelined(line, waiting, workload)],
    query: (sql) => ask(message('Q', `${sql}\0`)),
    close: () => line.close(),
  };
};

function pipelined(line: Line, waiting: Waiting<Answer>, workload: Workload): Lane {
  const batch = workload.kind === 'batch';
  const begin = batch ? bind('begin', []) + execute : '';
  const end = (batch ? bind('commit', []) + execute : '') + sync;
  return {
    run: (params, done) => {
      waiting.expect((answer) => done(answer instanceof Error ? answer.message : answer.error));
      let text = begin;
      for (let at = 0; at < params.length; at++) text += bind(`s${at}`, params[at] ?? []) + execute;
      line.write(text + end);
    },
  };
}

function interactive(line: Line, waiting: Waiting<Answer>): Lane {
  return {
    run: (params, done) => {
      const steps = [
        bind('begin', []),
        ...params.map((values, at) => bind(`s${at}`, values)),
        bind('commit', []),
      ];
      let failed: string | null = null;
      const step = (at: number): void => {
        const text = steps[at];
        if (text === undefined) {
          done(failed);
          return;
        }
        waiting.expect((answer) => {
          const error = answer instanceof Error ? answer.message : answer.error;
          failed ??= error;
          // After an error COMMIT rolls back; the statements between would only fail too.
          if (answer instanceof Error) done(failed);
          else step(error !== null && at < steps.length - 1 ? steps.length - 1 : at + 1);
        });
        line.write(text + execute + sync);
      };
      step(0);
    },
  };
}
