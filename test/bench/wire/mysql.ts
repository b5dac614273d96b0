/** The MySQL protocol as MariaDB speaks it: statements prepared once and executed in binary; a batch is several commands written at once. */
import type { Params } from '../load/workload.ts';
import { type Connect, dial, type Line, Waiting } from './socket.ts';

const byte = (value: number): string => String.fromCharCode(value & 255);
const u32le = (value: number): string =>
  byte(value) + byte(value >>> 8) + byte(value >>> 16) + byte(value >>> 24);
const i64le = (value: number): string => u32le(value) + u32le(Math.floor(value / 2 ** 32));

const packet = (sequence: number, body: string): string =>
  `${byte(body.length)}${byte(body.length >>> 8)}${byte(body.length >>> 16)}${byte(sequence)}${body}`;
const command = (code: number, body: string): string => packet(0, byte(code) + body);
const query = (sql: string): string => command(0x03, sql);

const longlong = `${byte(0x08)}\0`;
function executeStatement(id: number, params: readonly number[]): string {
  const head = `${u32le(id)}\0${u32le(1)}`;
  if (params.length === 0) return command(0x17, head);
  let values = '';
  for (const param of params) values += i64le(param);
  const nulls = '\0'.repeat((params.length + 7) >> 3);
  return command(0x17, `${head}${nulls}${byte(1)}${longlong.repeat(params.length)}${values}`);
}

interface Answer {
  readonly error: string | null;
  readonly value: string | null;
  /** Id of a statement that was prepared. */
  readonly statement: number;
}

const okHeader = 0x00;
const errorHeader = 0xff;
const endHeader = 0xfe;

/** Follows the packets of one answer. `take` gives the answer once it is whole. */
class AnswerReader {
  private state: 'first' | 'columns' | 'rows' | 'definitions' = 'first';
  private value: string | null = null;
  private statement = 0;
  private endsLeft = 0;
  private preparing: boolean = false;

  /** The next answer is that of a COM_STMT_PREPARE. */
  expectPrepared(): void {
    this.preparing = true;
  }

  take(bytes: Buffer, start: number, end: number): Answer | null {
    const header = bytes[start];
    if (header === errorHeader) return this.end(bytes.toString('utf8', start + 9, end));
    const isEnd = header === endHeader && end - start < 9;
    switch (this.state) {
      case 'first':
        if (this.preparing) {
          this.statement = bytes.readUInt32LE(start + 1);
          this.endsLeft =
            (bytes.readUInt16LE(start + 5) > 0 ? 1 : 0) + (bytes.readUInt16LE(start + 7) > 0 ? 1 : 0);
          if (this.endsLeft === 0) return this.end(null);
          this.state = 'definitions';
          return null;
        }
        if (header === okHeader) return this.end(null);
        this.state = 'columns';
        return null;
      case 'columns':
        if (isEnd) this.state = 'rows';
        return null;
      case 'rows':
        if (isEnd) return this.end(null);
        this.value ??= textValue(bytes, start);
        return null;
      case 'definitions':
        if (isEnd) this.endsLeft -= 1;
        return this.endsLeft === 0 ? this.end(null) : null;
    }
  }

  private end(error: string | null): Answer {
    const answer = { error, value: this.value, statement: this.statement };
    this.state = 'first';
    this.value = null;
    this.preparing = false;
    return answer;
  }
}

/** First value of a text row, when it is short; binary rows are never looked at. */
function textValue(bytes: Buffer, start: number): string {
  const length = bytes[start] ?? 0;
  return length < 251 ? bytes.toString('utf8', start + 1, start + 1 + length) : '';
}

const protocol41 = 0x200;
const transactions = 0x2000;
const secureConnection = 0x8000;
const withDatabase = 0x8;
const pluginAuth = 0x80000;

const greeting =
  u32le(protocol41 | transactions | secureConnection | withDatabase | pluginAuth) +
  u32le(2 ** 24 - 1) +
  byte(45) +
  '\0'.repeat(23) +
  'bench\0\0bench\0mysql_native_password\0';

export const connectMysql: Connect = async (options) => {
  const waiting = new Waiting<Answer>();
  const reader = new AnswerReader();
  let greeted = false;
  const line: Line = await dial(
    options,
    (bytes, start, end) => {
      if (end - start < 4) return 0;
      const length = 4 + bytes.readUIntLE(start, 3);
      if (end - start < length) return 0;
      const at = start + 4;
      if (!greeted) {
        greeted = true;
        if (bytes[at] === errorHeader)
          waiting.answer(new Error(bytes.toString('utf8', at + 3, start + length)));
        else line.write(packet(1, greeting));
      } else if (bytes[at] === endHeader && length > 13 && bytes[start + 3] === 2) {
        // The server wants another way to authenticate: there is no password in any.
        line.write(packet(3, ''));
      } else {
        const answer = reader.take(bytes, at, start + length);
        if (answer !== null) waiting.answer(answer);
      }
      return length;
    },
    (reason) => waiting.end(reason),
  );
  const checked = async (): Promise<Answer> => {
    const answer = await waiting.next();
    if (answer.error !== null) throw new Error(answer.error);
    return answer;
  };
  const ask = (text: string): Promise<Answer> => {
    const answer = checked();
    line.write(text);
    return answer;
  };
  await checked();
  const statements: number[] = [];
  for (const sql of options.workload?.statements ?? []) {
    reader.expectPrepared();
    statements.push((await ask(command(0x16, sql))).statement);
  }
  const begin = query('BEGIN');
  const commit = query('COMMIT');
  const commandsOf = (params: Params): string[] => {
    const own = params.map((values, at) => executeStatement(statements[at] ?? 0, values));
    return options.workload?.kind === 'single' ? own : [begin, ...own, commit];
  };
  const oneByOne = options.workload?.kind === 'interactive';
  return {
    lanes: [
      {
        run: (params, done) => {
          const commands = commandsOf(params);
          let failed: string | null = null;
          let answered = 0;
          const hear = (answer: Answer | Error): void => {
            answered += 1;
            failed ??= answer instanceof Error ? answer.message : answer.error;
            if (answer instanceof Error || answered === commands.length) {
              done(failed);
              return;
            }
            waiting.expect(hear);
            if (oneByOne) line.write(commands[answered] ?? '');
          };
          waiting.expect(hear);
          line.write(oneByOne ? (commands[0] ?? '') : commands.join(''));
        },
      },
    ],
    query: async (sql) => (await ask(query(sql))).value,
    close: () => line.close(),
  };
};
