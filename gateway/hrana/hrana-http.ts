/**
 * The libSQL protocol over HTTP, below the routes of Hono, which would cost as much as the rest: pipelines and cursors in JSON and
 * protobuf, and the older APIs that know no streams. Requests come from Node's parser or, whole, from `direct/`.
 */
import { isUtf8 } from 'node:buffer';
import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { type Authenticator, beyondBranch, type Grant, sessionOptions } from '../access/auth.ts';
import type { HttpAnswer, HttpRequest } from '../direct/exchange.ts';
import { RequestBodies } from '../direct/request-bodies.ts';
import { bookmarkHeader, formatBookmark } from '../sql/bookmark.ts';
import { encodeErrorBody } from '../sql/error-body.ts';
import { adviseError, adviseFailure, describeError } from '../sql/errors.ts';
import type {
  SessionOptions,
  SqlError,
  SqlOutcome,
  SqlRequestContext,
  SqlService,
  SqlSession,
} from '../sql/sql.ts';
import { type AnswerHolder, resultBytes } from './core/answer-budget.ts';
import {
  type AnswerText,
  fits,
  joinText,
  releaseText,
  sendable,
  textBytes,
  textLength,
  wholeText,
} from './core/answer-text.ts';
import { encodeCursorEntries, encodeError } from './core/hrana-encode.ts';
import {
  type CursorRequest,
  createDecoder,
  type HranaDecoder,
  type Pipeline,
} from './core/hrana-messages.ts';
import { readRequest } from './core/hrana-protobuf-read.ts';
import { writeCursor, writePipeline } from './core/hrana-protobuf-write.ts';
import type { HranaTarget } from './core/hrana-target.ts';
import type { GatewayLimits } from './core/protocol-limits.ts';
import { contextOf, readySteps } from './core/stored-sql.ts';
import { runOlder } from './hrana-older.ts';
import { runFrom } from './hrana-pipeline.ts';
import { type StreamLease, StreamRegistry } from './hrana-registry.ts';
import { largeAnswerBytes, type SlowReaders } from './slow-readers.ts';

/** Clients compare this header with `===`: a charset after it would hide every error message. */
const jsonHeader = { 'content-type': 'application/json' } as const;
const protobufHeader = { 'content-type': 'application/x-protobuf' } as const;

export interface HranaHttpOptions {
  readonly service: SqlService;
  readonly auth: Authenticator;
  readonly limits: GatewayLimits;
  readonly readers: SlowReaders;
  readonly traceFromHeaders: (headers: IncomingMessage['headers']) => string | null;
  /** Told of a connection whose peer has shown a token that holds. */
  readonly proven: (socket: Duplex) => void;
}

/** Ends the response with a JSON error; `error` repeats the message for clients that read only that. */
export function sendError(response: HttpAnswer, error: SqlError): void {
  if (response.destroyed || response.headersSent) return;
  const body = encodeErrorBody(error);
  response.writeHead(describeError(error.code).httpStatus, {
    ...jsonHeader,
    'content-length': Buffer.byteLength(body),
  });
  response.end(body);
}

/** How a body is read and its answer written. */
interface Encoding {
  readonly header: typeof jsonHeader | typeof protobufHeader;
  pipeline(body: Buffer): SqlOutcome<Pipeline>;
  cursor(body: Buffer): SqlOutcome<CursorRequest>;
  /** A text leaves in one write with the headers before it. */
  writePipeline(json: AnswerText): AnswerText;
  writeCursor(lines: string): Buffer;
}

type Endpoint =
  | { readonly kind: 'pipeline' | 'cursor'; readonly encoding: 'json' | 'protobuf' }
  | { readonly kind: 'execute' | 'batch' | 'statements' };

const endpoints: ReadonlyMap<string, Endpoint> = new Map<string, Endpoint>([
  ['/v2/pipeline', { kind: 'pipeline', encoding: 'json' }],
  ['/v3/pipeline', { kind: 'pipeline', encoding: 'json' }],
  ['/v3/cursor', { kind: 'cursor', encoding: 'json' }],
  ['/v3-protobuf/pipeline', { kind: 'pipeline', encoding: 'protobuf' }],
  ['/v3-protobuf/cursor', { kind: 'cursor', encoding: 'protobuf' }],
  ['/v1/execute', { kind: 'execute' }],
  ['/v1/batch', { kind: 'batch' }],
  ['/', { kind: 'statements' }],
]);

/** Whether the POST path is one of the protocol's. */
export function isHranaPost(path: string): boolean {
  return endpoints.has(path);
}

/** What is known of a request before its body. */
interface Asked {
  readonly context: SqlRequestContext;
  readonly options: SessionOptions;
  readonly client: string;
  /** Whom the streams belong to that it opens. */
  readonly owner: string;
}

export class HranaHttp {
  readonly #options: HranaHttpOptions;
  readonly #decoder: HranaDecoder;
  readonly #streams: StreamRegistry;
  readonly #bodies: RequestBodies;
  readonly #encodings: Readonly<Record<'json' | 'protobuf', Encoding>>;

  constructor(options: HranaHttpOptions) {
    this.#options = options;
    this.#decoder = createDecoder(options.limits);
    this.#streams = new StreamRegistry(options.service, options.limits);
    this.#bodies = new RequestBodies(options.limits);
    this.#encodings = encodings(this.#decoder, options.limits);
  }

  /** Streams open now. */
  get openStreams(): number {
    return this.#streams.size;
  }

  /** Rolls back and closes every stream. */
  close(): Promise<void> {
    return this.#streams.close();
  }

  /** Answers one POST whose path passed `isHranaPost`. Settles when the response is handed to the socket. */
  async handle(request: IncomingMessage, response: HttpAnswer, target: HranaTarget): Promise<void> {
    const verdict = this.#options.auth.verifyHeader(request.headers.authorization);
    const grant = this.#admitted(verdict instanceof Promise ? await verdict : verdict, request, target);
    // A client that left while its token was checked sends no body: waiting for one would never end.
    if (request.destroyed) return;
    if (!grant.ok) return this.#refuse(request, response, grant.error);
    const body = await this.#bodies.read(request);
    if (!body.ok) return this.#refuse(request, response, body.error);
    await this.#answerBody(body.value, request, response, target, grant.value);
  }

  /** As `handle`, of a request whose body is there. */
  async handleWhole(
    request: HttpRequest,
    response: HttpAnswer,
    target: HranaTarget,
    body: Buffer,
  ): Promise<void> {
    const verdict = this.#options.auth.verifyHeader(request.headers.authorization);
    const grant = this.#admitted(verdict instanceof Promise ? await verdict : verdict, request, target);
    // Nobody is there any more to whom the answer could go.
    if (response.destroyed) return;
    if (!grant.ok) return sendError(response, grant.error);
    const bound = this.#bodies.take(body);
    if (bound !== null) return sendError(response, bound);
    await this.#answerBody(body, request, response, target, grant.value);
  }

  /** What a token allows here; its connection counts as one that may use the gateway. */
  #admitted(grant: SqlOutcome<Grant>, request: HttpRequest, target: HranaTarget): SqlOutcome<Grant> {
    if (!grant.ok) return grant;
    this.#options.proven(request.socket);
    const beyond = beyondBranch(grant.value, target.branch);
    return beyond === null ? grant : { ok: false, error: beyond };
  }

  /** Answers a body that has been counted as in flight, until then. */
  async #answerBody(
    body: Buffer,
    request: HttpRequest,
    response: HttpAnswer,
    target: HranaTarget,
    grant: Grant,
  ): Promise<void> {
    try {
      const asked: Asked = {
        context: { traceparent: this.#options.traceFromHeaders(request.headers) },
        options: sessionOptions(grant, target),
        client: request.socket.remoteAddress ?? '',
        owner: grant.owner,
      };
      const endpoint = endpoints.get(target.path);
      if (endpoint === undefined) return;
      switch (endpoint.kind) {
        case 'pipeline':
          return await this.#pipeline(body, this.#encodings[endpoint.encoding], asked, response);
        case 'cursor':
          return await this.#cursor(body, this.#encodings[endpoint.encoding], asked, response);
        default:
          return await this.#older(endpoint.kind, body, asked, response);
      }
    } finally {
      this.#bodies.done(body);
    }
  }

  /** Refuses before the body was read; the rest of it is read and dropped, so that the client sees the answer. */
  #refuse(request: IncomingMessage, response: HttpAnswer, error: SqlError): void {
    sendError(response, error);
    request.resume();
  }

  async #pipeline(body: Buffer, encoding: Encoding, asked: Asked, response: HttpAnswer): Promise<void> {
    const decoded = encoding.pipeline(body);
    if (!decoded.ok) return sendError(response, decoded.error);
    const found = this.#take(decoded.value.baton, asked);
    const taken = found instanceof Promise ? await found : found;
    if (!taken.ok) return sendError(response, taken.error);
    const lease = taken.value;
    this.#endIfLost(response, lease);
    showBookmark(lease.stream.session, asked);

    const { responseBytes } = this.#options.limits;
    const { requests } = decoded.value;
    const state: { holder: AnswerHolder | null } = { holder: null };
    const parts: AnswerText[] = [];
    let length = 0;
    let closed = false;
    for (let at = 0; at < requests.length; ) {
      const ran = closed
        ? [adviseFailure('SEXTANT_PROTOCOL_ERROR', 'The stream was closed earlier in this pipeline')]
        : runFrom(lease.stream, requests, at, asked.context, responseBytes - length);
      const outcomes: readonly SqlOutcome<AnswerText>[] = ran instanceof Promise ? await ran : ran;
      closed ||= requests[at]?.kind === 'close';
      at += outcomes.length;
      for (const outcome of outcomes) {
        const result = this.#pipelineResult(outcome, responseBytes - length);
        parts.push(parts.length === 0 ? result : joinText([',', result]));
        length += textLength(result) + 1;
      }
      if (length < largeAnswerBytes) continue;
      state.holder ??= this.#hold(response, asked);
      this.#options.readers.set(state.holder, length);
      if (!response.destroyed && !response.writableEnded) continue;
      for (const part of parts) releaseText(part);
      return lease.end();
    }
    if (closed) lease.end();
    const baton = closed ? 'null' : `"${lease.baton}"`;
    const json = joinText([`{"baton":${baton},"base_url":null,"results":[`, ...parts, ']}']);
    this.#answer(response, encoding.writePipeline(json), encoding.header, asked, state.holder, lease);
  }

  /** What a pipeline's answer says of one request. */
  #pipelineResult(outcome: SqlOutcome<AnswerText>, maxLength: number): AnswerText {
    if (outcome.ok && fits(outcome.value, maxLength))
      return joinText(['{"type":"ok","response":', outcome.value, '}']);
    const error = outcome.ok
      ? adviseError(
          'RESPONSE_TOO_LARGE',
          `The limit responseBytes = ${this.#options.limits.responseBytes} is reached`,
        )
      : outcome.error;
    return `{"type":"error","error":${encodeError(error)}}`;
  }

  /** Counts an answer that is being made to its client. */
  #hold(response: HttpAnswer, asked: Asked): AnswerHolder {
    const { readers } = this.#options;
    const holder = readers.open(asked.client, (error) => {
      // An answer that has begun can only be cut off.
      if (response.headersSent) response.destroy();
      else sendError(response, error);
    });
    response.once('close', () => readers.set(holder, 0));
    return holder;
  }

  /** Sends the answer and gives the stream back. */
  #answer(
    response: HttpAnswer,
    body: AnswerText,
    header: Encoding['header'],
    asked: Asked,
    holder: AnswerHolder | null,
    lease: StreamLease,
  ): void {
    if (response.destroyed || response.headersSent) {
      releaseText(body);
      lease.end();
      return;
    }
    const seen = bookmarkOf(lease.stream.session);
    response.writeHead(200, { ...header, ...seen, 'content-length': textBytes(body) });
    this.#send(response, body, asked, holder);
    lease.release();
  }

  /** Hands an answer to its socket. */
  #send(response: HttpAnswer, body: AnswerText, asked: Asked, holder: AnswerHolder | null): void {
    const { readers } = this.#options;
    const length = textLength(body);
    if (length >= largeAnswerBytes || holder !== null) {
      readers.send(response, sendable(body), holder ?? this.#hold(response, asked));
      return;
    }
    response.end(typeof body === 'string' ? body : Buffer.concat(sendable(body)));
    // A client that asks on and on and reads nothing fills its socket with small answers.
    if (response.writableLength === 0) return;
    readers.set(this.#hold(response, asked), length);
    readers.guard(response);
  }

  /**
   * Ends the stream when the client is lost before it has the answer: it could never show the baton, and what still runs for
   * it delays others.
   */
  #endIfLost(response: HttpAnswer, lease: StreamLease): void {
    response.once('close', () => {
      if (!response.writableFinished) lease.end();
    });
  }

  /** The right to use the stream: a promise of it for one that goes on, whose earlier request (a cursor still being read) may not be done. */
  #take(baton: string | null, asked: Asked): SqlOutcome<StreamLease> | Promise<SqlOutcome<StreamLease>> {
    const taken = this.#streams.take(baton, asked.options, asked.owner);
    if (!taken.ok || baton === null) return taken;
    return taken.value.ready.then(() => {
      if (!taken.value.stream.closed) return taken;
      taken.value.release();
      return adviseFailure('STREAM_EXPIRED', 'The stream was closed while this request waited');
    });
  }

  async #cursor(body: Buffer, encoding: Encoding, asked: Asked, response: HttpAnswer): Promise<void> {
    const decoded = encoding.cursor(body);
    if (!decoded.ok) return sendError(response, decoded.error);
    const taken = await this.#take(decoded.value.baton, asked);
    if (!taken.ok) return sendError(response, taken.error);
    const lease = taken.value;
    this.#endIfLost(response, lease);
    showBookmark(lease.stream.session, asked);
    const steps = readySteps(decoded.value.steps, lease.stream.store, false);
    // The baton leaves before the batch runs: a cursor's client may already need it while reading.
    response.writeHead(200, encoding.header);
    response.write(encoding.writeCursor(`{"baton":"${lease.baton}","base_url":null}\n`));
    const outcome = steps.ok
      ? await lease.stream.session.batch(
          steps.value,
          contextOf({ kind: 'batch', steps: steps.value }, asked.context),
        )
      : steps;
    const holder = this.#hold(response, asked);
    this.#options.readers.set(holder, resultBytes(outcome));
    let chunk = '';
    for (const entry of encodeCursorEntries(outcome)) {
      chunk += `${entry}\n`;
      if (chunk.length < this.#options.limits.cursorChunkBytes) continue;
      if (!response.write(encoding.writeCursor(chunk)) && !(await this.#drained(response))) break;
      this.#options.readers.moved(holder);
      chunk = '';
    }
    if (response.destroyed) return lease.end();
    this.#options.readers.send(response, [encoding.writeCursor(chunk)], holder);
    lease.release();
  }

  /** Waits until the peer has taken what was written; false when it is gone or too slow, and then cut. */
  async #drained(response: HttpAnswer): Promise<boolean> {
    if (response.destroyed) return false;
    const { promise, resolve } = Promise.withResolvers<boolean>();
    const drained = () => resolve(true);
    const closed = () => resolve(false);
    const timer = setTimeout(() => response.destroy(), this.#options.limits.requestReadMs);
    response.once('drain', drained);
    response.once('close', closed);
    const result = await promise;
    clearTimeout(timer);
    response.off('drain', drained);
    response.off('close', closed);
    return result;
  }

  /** One request of an API without streams: it has a stream for itself, which ends with it. */
  async #older(
    kind: 'execute' | 'batch' | 'statements',
    body: Buffer,
    asked: Asked,
    response: HttpAnswer,
  ): Promise<void> {
    const text = textOf(body);
    if (!text.ok) return sendError(response, text.error);
    const opened = this.#options.service.openSession(asked.options);
    if (!opened.ok) return sendError(response, opened.error);
    const session = opened.value;
    response.once('close', () => void session.close());
    const { limits } = this.#options;
    const outcome = await runOlder(kind, text.value, session, this.#decoder, limits, asked.context);
    await session.close();
    if (!outcome.ok) return sendError(response, outcome.error);
    if (response.destroyed) return;
    const length = textBytes(outcome.value);
    response.writeHead(200, { ...jsonHeader, ...bookmarkOf(session), 'content-length': length });
    this.#send(response, outcome.value, asked, null);
  }
}

/** A stream that goes on is shown the bookmark of each of its requests. */
function showBookmark(session: SqlSession, { options }: Asked): void {
  if (options.bookmark !== undefined) session.show(options.bookmark);
}

/** What the stream has seen, for its client. */
function bookmarkOf({ bookmark }: SqlSession): Readonly<Record<string, string>> {
  return bookmark === null ? {} : { [bookmarkHeader]: formatBookmark(bookmark) };
}

function textOf(body: Buffer): SqlOutcome<string> {
  return isUtf8(body)
    ? { ok: true, value: body.toString('utf8') }
    : adviseFailure('SEXTANT_PROTOCOL_ERROR', 'The request is not valid UTF-8');
}

function encodings(
  decoder: HranaDecoder,
  limits: GatewayLimits,
): Readonly<Record<'json' | 'protobuf', Encoding>> {
  const read = (kind: 'pipeline' | 'cursor', body: Buffer): SqlOutcome<object> => {
    const request = readRequest(kind, body, limits.conditionDepth);
    return request.ok ? { ok: true, value: Object(request.value) } : request;
  };
  return {
    json: {
      header: jsonHeader,
      pipeline: (body) => {
        const text = textOf(body);
        return text.ok ? decoder.pipeline(text.value) : text;
      },
      cursor: (body) => {
        const text = textOf(body);
        return text.ok ? decoder.cursor(text.value) : text;
      },
      writePipeline: (json) => json,
      writeCursor: (lines) => Buffer.from(lines),
    },
    protobuf: {
      header: protobufHeader,
      pipeline: (body) => {
        const request = read('pipeline', body);
        return request.ok ? decoder.pipeline(request.value) : request;
      },
      cursor: (body) => {
        const request = read('cursor', body);
        return request.ok ? decoder.cursor(request.value) : request;
      },
      writePipeline: (json) => [writePipeline(wholeText(json))],
      writeCursor,
    },
  };
}
