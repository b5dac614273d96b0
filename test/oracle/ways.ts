/** The ways by which a client's stream reaches a gateway: the same requests, and one form of answer. */
import { once } from 'node:events';
import { WebSocket } from 'ws';
import { z } from 'zod';

/** `stored`: over HTTP, with the text of each statement stored first. `cursor`: batches and statements as cursors. */
export const ways = ['pipeline', 'socket', 'stored', 'cursor'] as const;
export type Way = (typeof ways)[number];

const requestMs = 60_000;

const column = z.object({ name: z.string().nullable(), decltype: z.string().nullish() });
const value = z.discriminatedUnion('type', [
  z.object({ type: z.literal('null') }),
  z.object({ type: z.literal('integer'), value: z.string() }),
  z.object({ type: z.literal('float'), value: z.number() }),
  z.object({ type: z.literal('text'), value: z.string() }),
  z.object({ type: z.literal('blob'), base64: z.string() }),
]);
const row = z.array(value);
const statementResult = z.object({
  cols: z.array(column),
  rows: z.array(row),
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
  z.object({ type: z.enum(['close', 'store_sql', 'close_sql', 'open_stream', 'close_stream']) }),
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
const socketMessage = z.discriminatedUnion('type', [
  z.object({ type: z.enum(['hello_ok', 'hello_error']) }),
  z.object({ type: z.literal('response_ok'), request_id: z.number(), response }),
  z.object({ type: z.literal('response_error'), request_id: z.number(), error }),
]);
const cursorStart = z.object({ baton: z.string().nullable() });
const cursorEntry = z.discriminatedUnion('type', [
  z.object({ type: z.literal('step_begin'), step: z.number(), cols: z.array(column) }),
  z.object({ type: z.literal('row'), row }),
  z.object({
    type: z.literal('step_end'),
    affected_row_count: z.number(),
    last_insert_rowid: z.string().nullable(),
  }),
  z.object({ type: z.literal('step_error'), step: z.number(), error }),
  z.object({ type: z.literal('error'), error }),
]);

export type WireColumn = z.infer<typeof column>;
export type WireValue = z.infer<typeof value>;
export type WireResult = z.infer<typeof statementResult>;
export type WireError = z.infer<typeof error>;
export type Result = z.infer<typeof pipelineResult>['results'][number];

interface WireStatement {
  readonly sql?: string;
  readonly sql_id?: number;
}

/** A request of a Hrana stream, as a pipeline has it. */
export interface Request {
  readonly type: string;
  readonly sql?: string;
  readonly sql_id?: number;
  readonly stmt?: WireStatement;
  readonly batch?: { readonly steps: readonly { readonly stmt: WireStatement }[] };
}

export interface Transport {
  /** An answer for each request. What is no answer of the protocol is an error of code `HTTP`. */
  post(requests: readonly Request[]): Promise<readonly Result[]>;
  close(): Promise<void>;
}

export function transportOf(way: Way, url: string): Transport {
  switch (way) {
    case 'pipeline':
      return new Pipeline(url);
    case 'socket':
      return new Socket(url);
    case 'stored':
      return new Stored(new Pipeline(url));
    case 'cursor':
      return new Cursors(url);
  }
}

const failed = (cause: unknown): Result => ({
  type: 'error',
  error: { code: 'HTTP', message: String(cause) },
});

class Pipeline implements Transport {
  protected baton: string | null = null;
  protected readonly url: string;

  constructor(url: string) {
    this.url = url;
  }

  async post(requests: readonly Request[]): Promise<readonly Result[]> {
    try {
      const text = await this.send('/v3/pipeline', { requests });
      const { baton, results } = pipelineResult.parse(JSON.parse(text));
      this.baton = baton;
      return results;
    } catch (cause) {
      this.baton = null;
      return requests.map(() => failed(cause));
    }
  }

  /** @throws Error when the answer is none of the protocol's */
  protected async send(path: string, body: object): Promise<string> {
    const answer = await fetch(`${this.url}${path}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ baton: this.baton, ...body }),
      signal: AbortSignal.timeout(requestMs),
    });
    const text = await answer.text();
    if (!answer.ok) throw new Error(`${answer.status} ${text}`);
    return text;
  }

  async close(): Promise<void> {
    if (this.baton !== null) await this.post([{ type: 'close' }]);
    this.baton = null;
  }
}

/** Stores each text before it is used, and forgets it afterwards. */
class Stored implements Transport {
  private readonly inner: Transport;
  private texts = 0;

  constructor(inner: Transport) {
    this.inner = inner;
  }

  async post(requests: readonly Request[]): Promise<readonly Result[]> {
    const sent: Request[] = [];
    const places: number[] = [];
    for (const request of requests) {
      const ids: number[] = [];
      const stored = <T extends { readonly sql?: string }>({ sql, ...rest }: T) => {
        const id = this.texts++;
        ids.push(id);
        sent.push(Object.assign({ type: 'store_sql', sql_id: id }, sql === undefined ? {} : { sql }));
        return { ...rest, sql_id: id };
      };
      const { type, sql, stmt, batch } = request;
      const changed = {
        type,
        ...(sql === undefined ? {} : { sql_id: stored({ sql }).sql_id }),
        ...(stmt === undefined ? {} : { stmt: stored(stmt) }),
        ...(batch === undefined
          ? {}
          : { batch: { steps: batch.steps.map((step) => ({ ...step, stmt: stored(step.stmt) })) } }),
      };
      places.push(sent.length);
      sent.push(changed);
      for (const id of ids) sent.push(Object.assign({ type: 'close_sql' }, { sql_id: id }));
    }
    const results = await this.inner.post(sent);
    return places.map((place) => results[place] ?? failed('no result'));
  }

  close(): Promise<void> {
    return this.inner.close();
  }
}

/** Statements and batches as cursors, everything else in pipelines between them. */
class Cursors extends Pipeline {
  override async post(requests: readonly Request[]): Promise<readonly Result[]> {
    const results: Result[] = [];
    for (const request of requests) {
      const steps = request.batch?.steps ?? (request.stmt === undefined ? null : [{ stmt: request.stmt }]);
      results.push(...(steps === null ? await super.post([request]) : [await this.cursor(request, steps)]));
    }
    return results;
  }

  private async cursor(request: Request, steps: readonly object[]): Promise<Result> {
    try {
      const text = await this.send('/v3/cursor', { batch: { steps } });
      const [start = '', ...lines] = text.split('\n').filter((line) => line !== '');
      this.baton = cursorStart.parse(JSON.parse(start)).baton;
      const { results, errors, error: whole } = collect(steps.length, lines);
      if (whole !== null) return { type: 'error', error: whole };
      if (request.batch !== undefined)
        return {
          type: 'ok',
          response: { type: 'batch', result: { step_results: results, step_errors: errors } },
        };
      const [result] = results;
      const [wrong] = errors;
      if (wrong) return { type: 'error', error: wrong };
      return result ? { type: 'ok', response: { type: 'execute', result } } : failed('an empty cursor');
    } catch (cause) {
      this.baton = null;
      return failed(cause);
    }
  }
}

/** @throws Error at an entry that is none */
function collect(steps: number, lines: readonly string[]) {
  const results = new Array<WireResult | null>(steps).fill(null);
  const errors = new Array<WireError | null>(steps).fill(null);
  let whole: WireError | null = null;
  let open: { readonly step: number; readonly cols: WireColumn[]; readonly rows: WireValue[][] } | null =
    null;
  for (const line of lines) {
    const entry = cursorEntry.parse(JSON.parse(line));
    switch (entry.type) {
      case 'step_begin':
        open = { step: entry.step, cols: entry.cols, rows: [] };
        break;
      case 'row':
        open?.rows.push(entry.row);
        break;
      case 'step_end': {
        if (open === null) throw new Error('a step ends that has not begun');
        const { step, cols, rows } = open;
        const { affected_row_count, last_insert_rowid } = entry;
        results[step] = { cols, rows, affected_row_count, last_insert_rowid };
        break;
      }
      case 'step_error':
        errors[entry.step] = entry.error;
        break;
      case 'error':
        whole = entry.error;
        break;
    }
  }
  return { results, errors, error: whole };
}

const streamId = 1;

/** One stream on a WebSocket of its own. */
class Socket implements Transport {
  private readonly url: string;
  private socket: WebSocket | null = null;
  private requests = 0;
  private readonly waiting = new Map<number, (result: Result) => void>();

  constructor(url: string) {
    this.url = url.replace(/^http/, 'ws');
  }

  async post(requests: readonly Request[]): Promise<readonly Result[]> {
    try {
      const socket = this.socket ?? (await this.open());
      return await Promise.all(requests.map((request) => this.ask(socket, request)));
    } catch (cause) {
      return requests.map(() => failed(cause));
    }
  }

  private async open(): Promise<WebSocket> {
    const socket = new WebSocket(this.url, ['hrana3'], { handshakeTimeout: requestMs });
    this.socket = socket;
    await once(socket, 'open');
    socket.on('message', (text) => this.take(String(text)));
    socket.on('error', () => undefined);
    socket.on('close', (code, reason) => {
      this.socket = null;
      for (const [id] of this.waiting) this.settle(id, failed(`the socket was closed: ${code} ${reason}`));
    });
    socket.send(JSON.stringify({ type: 'hello', jwt: null }));
    await this.ask(socket, { type: 'open_stream' });
    return socket;
  }

  private ask(socket: WebSocket, request: Request): Promise<Result> {
    const id = this.requests++;
    socket.send(
      JSON.stringify({ type: 'request', request_id: id, request: { ...request, stream_id: streamId } }),
    );
    return new Promise((resolve) => {
      this.waiting.set(id, resolve);
    });
  }

  private take(text: string): void {
    const message = socketMessage.parse(JSON.parse(text));
    if (message.type === 'response_ok')
      this.settle(message.request_id, { type: 'ok', response: message.response });
    if (message.type === 'response_error')
      this.settle(message.request_id, { type: 'error', error: message.error });
  }

  private settle(id: number, result: Result): void {
    this.waiting.get(id)?.(result);
    this.waiting.delete(id);
  }

  async close(): Promise<void> {
    const { socket } = this;
    if (socket === null) return;
    await this.ask(socket, { type: 'close_stream' });
    socket.close();
  }
}
