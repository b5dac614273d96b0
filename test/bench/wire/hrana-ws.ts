/**
 * The libSQL protocol over WebSocket, with a WebSocket client of its own: frames are masked with zeros, which the protocol
 * allows and which leaves the payload as it is.
 */
import { z } from 'zod';
import type { Params, Workload } from '../load/workload.ts';
import { controlSql, failureIn, firstValue, statementsOf } from './hrana.ts';
import { type Connect, type Done, dial, type Lane, type Line } from './socket.ts';

const textFrame = 0x81;
const pongFrame = 0x8a;
const pingOpcode = 9;
const closeOpcode = 8;

/** A frame from a client; `ascii` is its payload. */
export function frame(first: number, ascii: string): string {
  const size = ascii.length;
  const length =
    size < 126
      ? String.fromCharCode(128 | size)
      : size < 65_536
        ? String.fromCharCode(128 | 126, size >>> 8, size & 255)
        : String.fromCharCode(
            128 | 127,
            0,
            0,
            0,
            0,
            (size >>> 24) & 255,
            (size >>> 16) & 255,
            (size >>> 8) & 255,
            size & 255,
          );
  return `${String.fromCharCode(first)}${length}\0\0\0\0${ascii}`;
}

/** Where the payload of the server's frame at `start` lies; null while the frame is not whole. */
export function payloadAt(
  bytes: Buffer,
  start: number,
  end: number,
): { readonly from: number; readonly to: number } | null {
  if (end - start < 2) return null;
  const short = (bytes[start + 1] ?? 0) & 127;
  const head = short < 126 ? 2 : short === 126 ? 4 : 10;
  if (end - start < head) return null;
  const size =
    short < 126 ? short : short === 126 ? bytes.readUInt16BE(start + 2) : bytes.readUInt32BE(start + 6);
  const from = start + head;
  return end - from < size ? null : { from, to: from + size };
}

const answerSchema = z.looseObject({
  type: z.string(),
  response: z.looseObject({ result: z.unknown().optional() }).optional(),
});
const requestId = /"request_id":(\d+)/;

/** Requests of one socket by id, so that many streams can share it. */
class Requests {
  private readonly waiting = new Map<number, (text: string | Error) => void>();
  private readonly line: () => Line;
  private next = 1;
  private ended: Error | null = null;

  constructor(line: () => Line) {
    this.line = line;
  }

  send(request: string, hear: (text: string | Error) => void): void {
    if (this.ended !== null) {
      hear(this.ended);
      return;
    }
    const id = this.next++;
    this.waiting.set(id, hear);
    this.line().write(frame(textFrame, `{"type":"request","request_id":${id},"request":${request}}`));
  }

  async ask(request: string): Promise<unknown> {
    const text = await new Promise<string>((resolve, reject) => {
      this.send(request, (answer) => (answer instanceof Error ? reject(answer) : resolve(answer)));
    });
    const parsed = answerSchema.parse(JSON.parse(text));
    if (parsed.type !== 'response_ok') throw new Error(text.slice(0, 2_000));
    return parsed.response?.result;
  }

  hear(text: string): void {
    const id = Number(requestId.exec(text)?.[1]);
    const waiter = this.waiting.get(id);
    // `hello_ok` has no id, and nobody waits for it.
    if (waiter === undefined) return;
    this.waiting.delete(id);
    waiter(text);
  }

  end(reason: string): void {
    this.ended = new Error(reason);
    const waiters = [...this.waiting.values()];
    this.waiting.clear();
    for (const waiter of waiters) waiter(this.ended);
  }
}

export const connectHranaWs: Connect = async (options) => {
  const upgraded = Promise.withResolvers<void>();
  // When the connection itself fails nobody comes to wait for the upgrade.
  upgraded.promise.catch(() => undefined);
  const requests: Requests = new Requests(() => line);
  let open = false;
  const line: Line = await dial(
    options,
    (bytes, start, end) => {
      if (!open) {
        const head = bytes.toString('latin1', start, end);
        const length = head.indexOf('\r\n\r\n') + 4;
        if (length < 4) return 0;
        open = true;
        if (head.startsWith('HTTP/1.1 101')) upgraded.resolve();
        else upgraded.reject(new Error(`no WebSocket: ${head.slice(0, 200)}`));
        return length;
      }
      const payload = payloadAt(bytes, start, end);
      if (payload === null) return 0;
      const opcode = (bytes[start] ?? 0) & 15;
      const text = bytes.toString('latin1', payload.from, payload.to);
      if (opcode === pingOpcode) line.write(frame(pongFrame, text));
      else if (opcode === closeOpcode) requests.end(`the server closed the socket: ${text.slice(2)}`);
      else requests.hear(text);
      return payload.to - start;
    },
    (reason) => {
      upgraded.reject(new Error(reason));
      requests.end(reason);
    },
  );
  line.write(
    [
      'GET / HTTP/1.1',
      `host: ${options.host}:${options.port}`,
      'connection: Upgrade',
      'upgrade: websocket',
      'sec-websocket-version: 13',
      `sec-websocket-key: ${Buffer.alloc(16, 'sextant').toString('base64')}`,
      'sec-websocket-protocol: hrana3, hrana2',
      '\r\n',
    ].join('\r\n'),
  );
  await upgraded.promise;
  line.write(frame(textFrame, '{"type":"hello","jwt":null}'));
  const { workload } = options;
  const streams = Array.from({ length: options.streams }, (_, at) => at + 1);
  for (const stream of streams) await requests.ask(`{"type":"open_stream","stream_id":${stream}}`);
  const lanes = workload === null ? [] : await openLanes(requests, workload, streams);
  return {
    lanes,
    query: async (sql) =>
      firstValue(
        await requests.ask(
          `{"type":"execute","stream_id":1,"stmt":{"sql":${JSON.stringify(sql)},"want_rows":true}}`,
        ),
      ),
    close: () => line.close(),
  };
};

async function openLanes(
  requests: Requests,
  workload: Workload,
  streams: readonly number[],
): Promise<readonly Lane[]> {
  // Stored SQL, as the peers' prepared statements: ids of BEGIN, COMMIT and ROLLBACK follow those of the workload.
  const count = workload.statements.length;
  const stored = [...workload.statements, ...controlSql];
  for (const [id, sql] of stored.entries())
    await requests.ask(`{"type":"store_sql","sql_id":${id},"sql":${JSON.stringify(sql)}}`);
  const statements = statementsOf(workload, (at) => (at >= 0 ? at : count - at - 1));
  const execute = (stream: number, statement: string): string =>
    `{"type":"execute","stream_id":${stream},"stmt":${statement}}`;
  const hearing = (done: Done) => (answer: string | Error) =>
    done(answer instanceof Error ? answer.message : failureIn(answer, workload.kind));
  const interactive = (stream: number, params: Params, done: Done): void => {
    const steps = [statements.begin, ...params.map((_, at) => statements.one(params, at)), statements.commit];
    let failed: string | null = null;
    const step = (at: number): void => {
      const statement = steps[at];
      if (statement === undefined) {
        done(failed);
        return;
      }
      requests.send(execute(stream, statement), (answer) => {
        const error = answer instanceof Error ? answer.message : failureIn(answer, 'interactive');
        failed ??= error;
        if (answer instanceof Error) done(failed);
        else step(error !== null && at < steps.length - 1 ? steps.length - 1 : at + 1);
      });
    };
    step(0);
  };
  const runOn = (stream: number, params: Params, done: Done): void => {
    switch (workload.kind) {
      case 'single':
        requests.send(execute(stream, statements.one(params, 0)), hearing(done));
        return;
      case 'batch':
        requests.send(
          `{"type":"batch","stream_id":${stream},"batch":${statements.batch(params)}}`,
          hearing(done),
        );
        return;
      case 'interactive':
        interactive(stream, params, done);
    }
  };
  return streams.map((stream): Lane => ({ run: (params, done) => runOn(stream, params, done) }));
}
