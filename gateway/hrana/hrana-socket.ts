/**
 * One WebSocket of the libSQL protocol. Requests of one stream run in order, streams run beside
 * each other; what a lost socket leaves open is rolled back.
 */
import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import type { RawData, WebSocket } from 'ws';
import { type Authenticator, beyondBranch, type Grant, sessionOptions } from '../access/auth.ts';
import { adviseError, adviseFailure, limitFailure } from '../sql/errors.ts';
import type { SqlError, SqlOutcome, SqlRequestContext, SqlService, SqlSession } from '../sql/sql.ts';
import type { AnswerHolder } from './core/answer-budget.ts';
import { type AnswerText, fits, joinText, textLength } from './core/answer-text.ts';
import { encodeError } from './core/hrana-encode.ts';
import { type HranaDecoder, newerThanFirst, type SocketRequest } from './core/hrana-messages.ts';
import type { HranaTarget } from './core/hrana-target.ts';
import { plainWrite } from './core/merged-writes.ts';
import type { GatewayLimits } from './core/protocol-limits.ts';
import { contextOf, readyRequest, readySteps, SqlStore } from './core/stored-sql.ts';
import { SocketCursor } from './hrana-cursor.ts';
import { type FrameEncoding, frameBytes, readFrame, writeFrame } from './hrana-frames.ts';
import { MessageOrder } from './message-order.ts';
import { runRequest } from './run-request.ts';
import { largeAnswerBytes, type SlowReaders } from './slow-readers.ts';
import {
  type Job,
  JobQueue,
  type OpenCursor,
  type Plan,
  type QueuedJob,
  type SocketStream,
} from './socket-stream.ts';

/** WebSocket close codes used, as sqld uses them. */
const closeCodes = {
  goingAway: 1001,
  frameType: 1003,
  badData: 1007,
  violation: 1008,
  internal: 1011,
} as const;

export interface HranaWsOptions {
  readonly service: SqlService;
  readonly auth: Authenticator;
  readonly limits: GatewayLimits;
  readonly readers: SlowReaders;
  readonly traceFromHeaders: (headers: IncomingMessage['headers']) => string | null;
  /** Told of a connection whose peer has shown a token that holds. */
  readonly proven: (socket: Duplex) => void;
}

/** What the upgrade request said. */
export interface SocketCaller {
  readonly version: 1 | 2 | 3;
  readonly encoding: FrameEncoding;
  readonly context: SqlRequestContext;
  /** The database and the consistency that its streams are opened with, and what its client has seen. */
  readonly target: Pick<HranaTarget, 'branch' | 'readPreference' | 'bookmark'>;
  /** Whom its answers are counted to. */
  readonly client: string;
}

function answer(outcome: SqlOutcome<AnswerText>): Plan {
  return { kind: 'answer', outcome };
}

function ok(type: string): SqlOutcome<string> {
  return { ok: true, value: `{"type":"${type}"}` };
}

function misuse(detail: string): SqlOutcome<never> {
  return adviseFailure('SEXTANT_PROTOCOL_ERROR', detail);
}

export class HranaSocket {
  readonly #ws: WebSocket;
  readonly #socket: Duplex;
  readonly #options: HranaWsOptions;
  readonly #decoder: HranaDecoder;
  readonly #caller: SocketCaller;
  readonly #holder: AnswerHolder;
  readonly #store: SqlStore;
  readonly #streams = new Map<number, SocketStream>();
  /** Streams whose client has closed them behind what still runs there, as stock clients do with every statement. */
  readonly #leaving = new Set<SocketStream>();
  readonly #cursors = new Map<number, OpenCursor>();
  readonly #closings = new Set<Promise<void>>();
  readonly #order = new MessageOrder<RawData>(
    (data) => this.#receive(data),
    () => this.#throttle(),
  );
  readonly #ping: NodeJS.Timeout;
  /** Who says no hello gives the connection back. */
  readonly #greeting: NodeJS.Timeout;
  readonly #flags: { alive: boolean; paused: boolean; corked: boolean; draining: boolean } = {
    alive: true,
    paused: false,
    corked: false,
    draining: false,
  };
  #grant: Grant | null = null;
  #inFlight = 0;
  #inFlightBytes = 0;
  #cursorBytes = 0;

  /** `onEnd` is called once, when the socket and all its sessions are closed. `socket` is the one below `ws`. */
  constructor(
    ws: WebSocket,
    socket: Duplex,
    options: HranaWsOptions,
    decoder: HranaDecoder,
    caller: SocketCaller,
    onEnd: () => void,
  ) {
    this.#ws = ws;
    this.#socket = socket;
    this.#options = options;
    this.#decoder = decoder;
    this.#caller = caller;
    this.#holder = options.readers.open(caller.client, (error) => {
      // Behind all that is waiting no close frame would be read: the socket is cut, and its memory given back.
      this.#ws.close(closeCodes.violation, error.code);
      this.#abandon();
      this.#ws.terminate();
    });
    this.#store = new SqlStore(options.limits.storedSqlPerWebsocket, options.limits.storedSqlBytes);
    this.#ping = setInterval(() => this.#heartbeat(), options.limits.websocketPingMs).unref();
    const { firstRequestMs } = options.limits;
    this.#greeting = setTimeout(
      () => this.#shut(closeCodes.violation, `No hello within the limit firstRequestMs = ${firstRequestMs}`),
      firstRequestMs,
    ).unref();
    ws.on('pong', () => {
      this.#flags.alive = true;
    });
    // Every error is followed by `close`; there is nothing to add to it.
    ws.on('error', () => {});
    ws.on('message', (data, isBinary) => {
      this.#flags.alive = true;
      if (this.#ws.readyState !== this.#ws.OPEN) return;
      if (isBinary === (caller.encoding === 'protobuf')) this.#order.take(data);
      else this.#shut(closeCodes.frameType, `Only ${isBinary ? 'text' : 'binary'} messages are accepted`);
    });
    socket.on('drain', () => this.#throttle());
    ws.on('close', () => {
      clearInterval(this.#ping);
      clearTimeout(this.#greeting);
      this.#abandon();
      this.#options.readers.set(this.#holder, 0);
      void Promise.all(this.#closings).then(onEnd);
    });
  }

  /** Requests received and not yet answered. */
  get requestsInFlight(): number {
    return this.#inFlight;
  }

  /** Takes no new streams, lets running requests and open transactions finish, then says goodbye. */
  drain(): void {
    this.#flags.draining = true;
    this.#closeWhenDrained();
  }

  cut(): void {
    this.#ws.terminate();
  }

  #heartbeat(): void {
    const { alive, paused } = this.#flags;
    // A socket that is not being read cannot show that it is alive.
    if (!alive && !paused) {
      this.#ws.terminate();
      return;
    }
    this.#flags.alive = false;
    this.#ws.ping();
  }

  /** Closes the socket for a reason and rolls back at once, whatever the peer does about the close. */
  #shut(code: number, reason: string): void {
    // A close frame holds 123 bytes of reason; a cut multi-byte character is dropped.
    const short = Buffer.from(reason)
      .subarray(0, 120)
      .toString('utf8')
      .replace(/\uFFFD+$/, '');
    this.#ws.close(code, short);
    this.#abandon();
  }

  /** Drops what waits and closes every session, which rolls back. */
  #abandon(): void {
    for (const stream of [...this.#streams.values(), ...this.#leaving]) {
      stream.queue.clear();
      this.#track(this.#endStream(stream));
    }
    this.#streams.clear();
    this.#leaving.clear();
    for (const { cursor } of this.#cursors.values()) cursor.close();
    this.#cursors.clear();
  }

  #track(closing: Promise<void>): void {
    this.#closings.add(closing);
    void closing.finally(() => this.#closings.delete(closing));
  }

  #closeWhenDrained(): void {
    if (!this.#flags.draining || this.#inFlight > 0) return;
    for (const { session } of this.#streams.values()) {
      if (session.ok && !session.value.isAutocommit()) return;
    }
    this.#shut(closeCodes.goingAway, 'The gateway is stopping');
  }

  /** A promise when the message is a hello whose token has to be checked: what comes after it waits. */
  #receive(data: RawData): void | Promise<void> {
    // The socket may have been closed since the message came.
    if (this.#ws.readyState !== this.#ws.OPEN) return;
    const { encoding } = this.#caller;
    const message = readFrame(data, encoding, this.#decoder, this.#options.limits);
    if (!message.ok) {
      const isBadData = message.error.message.startsWith('The request is not valid');
      this.#shut(isBadData ? closeCodes.badData : closeCodes.violation, message.error.message);
      return;
    }
    if (message.value.kind === 'hello') {
      const verdict = this.#options.auth.verify(message.value.jwt);
      if (verdict instanceof Promise) return verdict.then((grant) => this.#greet(grant));
      return this.#greet(verdict);
    }
    const { requestId } = message.value;
    const plan = this.#plan(message.value.request);
    if (plan === null) this.#shut(closeCodes.violation, 'The first message must be hello');
    else if (plan.kind === 'answer') this.#answer(requestId, plan.outcome);
    else this.#enqueue(requestId, frameBytes(data), plan);
  }

  /** Answers a hello; a socket that was closed while its token was checked hears nothing. */
  #greet(verdict: SqlOutcome<Grant>): void {
    if (this.#ws.readyState !== this.#ws.OPEN) return;
    const grant = verdict.ok ? this.#reaching(verdict.value) : verdict;
    if (grant.ok) {
      // What is open belongs to whoever said hello before (G41).
      if (this.#grant !== null && this.#grant.owner !== grant.value.owner) this.#abandon();
      this.#grant = grant.value;
      clearTimeout(this.#greeting);
      this.#options.proven(this.#socket);
      this.#send('{"type":"hello_ok"}');
      return;
    }
    this.#grant = null;
    this.#send(`{"type":"hello_error","error":${encodeError(grant.error)}}`);
    this.#shut(closeCodes.violation, grant.error.code);
  }

  /** A grant for another database, or a database that is not there, is told at once: every stream would fail. */
  #reaching(grant: Grant): SqlOutcome<Grant> {
    const { branch } = this.#caller.target;
    const error = beyondBranch(grant, branch) ?? this.#options.service.branchProblem?.(branch) ?? null;
    return error === null ? { ok: true, value: grant } : { ok: false, error };
  }

  /** Null when the client may not ask anything yet. */
  #plan(wire: unknown): Plan | null {
    if (this.#grant === null) return null;
    const lapsed = this.#options.auth.lapsed(this.#grant);
    if (lapsed !== null) return answer({ ok: false, error: lapsed });
    const request = this.#decoder.socketRequest(wire);
    if (!request.ok) return answer(request);
    const newer = this.#caller.version === 1 ? newerThanFirst(request.value) : null;
    return newer === null ? this.#planRequest(request.value, this.#grant) : answer(misuse(newer));
  }

  #planRequest(request: SocketRequest, grant: Grant): Plan {
    switch (request.kind) {
      case 'open_stream':
        return answer(this.#openStream(request.streamId, grant));
      case 'close_stream':
        return this.#closeStream(request.streamId);
      case 'store': {
        // Carried out at once: a stored text is the connection's, and later messages count on it.
        const error = this.#store.apply(request.request);
        return answer(error === null ? ok(request.request.kind) : { ok: false, error });
      }
      case 'stream': {
        const opened = this.#opened(request.streamId);
        if (!opened.ok) return answer(opened);
        const { stream, session } = opened.value;
        // Stored texts are read now: a close_sql may overtake this request while it waits.
        const ready = readyRequest(request.request, this.#store);
        if (!ready.ok) return { kind: 'queue', stream, job: () => ready };
        const context = contextOf(ready.value, this.#caller.context);
        const { responseBytes } = this.#options.limits;
        const job: Job = () => runRequest(session, ready.value, context, responseBytes);
        return { kind: 'queue', stream, job, write: plainWrite(ready.value) };
      }
      case 'open_cursor':
        return this.#openCursor(request);
      case 'fetch_cursor': {
        const { cursorId, maxCount } = request;
        const open = this.#cursors.get(cursorId);
        if (open === undefined) return answer(misuse(`Cursor ${cursorId} is not open`));
        const { cursorChunkBytes } = this.#options.limits;
        const job: Job = () => ({ ok: true, value: open.cursor.fetch(maxCount, cursorChunkBytes) });
        return { kind: 'queue', stream: open.stream, job };
      }
      case 'close_cursor': {
        const { cursorId } = request;
        const open = this.#cursors.get(cursorId);
        if (open === undefined) return answer(ok('close_cursor'));
        return { kind: 'queue', stream: open.stream, job: () => this.#closeCursor(cursorId, open) };
      }
    }
  }

  #openStream(streamId: number, grant: Grant): SqlOutcome<string> {
    const { websocketStreamsPerConnection } = this.#options.limits;
    if (this.#streams.has(streamId)) return misuse(`Stream ${streamId} is already open`);
    const full = this.#streams.size >= websocketStreamsPerConnection;
    const session = full
      ? limitFailure('websocketStreamsPerConnection', websocketStreamsPerConnection)
      : this.#flags.draining
        ? adviseFailure('SEXTANT_SHUTTING_DOWN', 'This gateway is stopping')
        : this.#options.service.openSession(sessionOptions(grant, this.#caller.target));
    // A failed stream is kept, within bounds, so that requests already under way get the reason.
    if (session.ok || this.#streams.size < 2 * websocketStreamsPerConnection) {
      this.#streams.set(streamId, { session, queue: this.#queueOf(session), closed: false, cursorId: null });
    }
    return session.ok ? ok('open_stream') : session;
  }

  /** Clients close streams that failed to open, too; closing what is not open succeeds. */
  #closeStream(streamId: number): Plan {
    const stream = this.#streams.get(streamId);
    if (stream === undefined) return answer(ok('close_stream'));
    this.#streams.delete(streamId);
    this.#leaving.add(stream);
    if (stream.cursorId !== null) {
      this.#cursors.get(stream.cursorId)?.cursor.close();
      this.#cursors.delete(stream.cursorId);
    }
    const job = async () => {
      const closing = this.#endStream(stream);
      this.#leaving.delete(stream);
      this.#track(closing);
      await closing;
      return ok('close_stream');
    };
    return { kind: 'queue', stream, job };
  }

  /** The stream and its session; a stream that failed to open keeps answering with the reason. */
  #opened(streamId: number): SqlOutcome<{ readonly stream: SocketStream; readonly session: SqlSession }> {
    const stream = this.#streams.get(streamId);
    if (stream === undefined) return misuse(`Stream ${streamId} is not open`);
    return stream.session.ok
      ? { ok: true, value: { stream, session: stream.session.value } }
      : stream.session;
  }

  #openCursor(request: Extract<SocketRequest, { kind: 'open_cursor' }>): Plan {
    const { streamId, cursorId } = request;
    const opened = this.#opened(streamId);
    if (!opened.ok) return answer(opened);
    const { stream, session } = opened.value;
    if (stream.cursorId !== null || this.#cursors.has(cursorId)) {
      return answer(misuse(`Cursor ${cursorId}, or another one of stream ${streamId}, is already open`));
    }
    const cursor = new SocketCursor((change) => {
      this.#cursorBytes += change;
      this.#count();
    });
    this.#cursors.set(cursorId, { stream, cursor });
    stream.cursorId = cursorId;
    const steps = readySteps(request.steps, this.#store, false);
    const job = async () => {
      const outcome = steps.ok
        ? await session.batch(
            steps.value,
            contextOf({ kind: 'batch', steps: steps.value }, this.#caller.context),
          )
        : steps;
      cursor.fill(outcome);
      return ok('open_cursor');
    };
    return { kind: 'queue', stream, job };
  }

  /** What waits for the client: messages, and what its cursors hold until it has read them. */
  #count(): void {
    this.#options.readers.set(this.#holder, this.#ws.bufferedAmount + this.#cursorBytes);
  }

  #closeCursor(cursorId: number, open: OpenCursor): SqlOutcome<string> {
    if (this.#cursors.get(cursorId) === open) this.#cursors.delete(cursorId);
    open.cursor.close();
    if (open.stream.cursorId === cursorId) open.stream.cursorId = null;
    return ok('close_cursor');
  }

  /** Runs a job after those before it on the stream, and answers with its outcome. */
  #enqueue(requestId: number, bytes: number, plan: Extract<Plan, { kind: 'queue' }>): void {
    this.#inFlight += 1;
    this.#inFlightBytes += bytes;
    this.#throttle();
    plan.stream.queue.push({ requestId, bytes, run: plan.job, write: plan.write ?? null });
  }

  #queueOf(session: SqlOutcome<SqlSession>): JobQueue {
    return new JobQueue({
      session,
      context: this.#caller.context,
      responseBytes: this.#options.limits.responseBytes,
      finished: (job, outcome) => this.#finish(job, outcome),
      failed: (error) => {
        this.#shut(closeCodes.internal, 'Internal error');
        throw error;
      },
    });
  }

  #finish(job: QueuedJob, outcome: SqlOutcome<AnswerText>): void {
    this.#inFlight -= 1;
    this.#inFlightBytes -= job.bytes;
    this.#answer(job.requestId, outcome);
    this.#closeWhenDrained();
  }

  async #endStream(stream: SocketStream): Promise<void> {
    if (stream.closed) return;
    stream.closed = true;
    if (stream.session.ok) await stream.session.value.close();
  }

  #answer(requestId: number, outcome: SqlOutcome<AnswerText>): void {
    if (!outcome.ok) {
      this.#fail(requestId, outcome.error);
      return;
    }
    const { responseBytes } = this.#options.limits;
    const text = joinText([
      `{"type":"response_ok","request_id":${requestId},"response":`,
      outcome.value,
      '}',
    ]);
    if (fits(text, responseBytes)) this.#send(text);
    else {
      this.#fail(
        requestId,
        adviseError('RESPONSE_TOO_LARGE', `The limit responseBytes = ${responseBytes} is reached`),
      );
    }
  }

  #fail(requestId: number, error: SqlError): void {
    this.#send(`{"type":"response_error","request_id":${requestId},"error":${encodeError(error)}}`);
  }

  /** Sends; all that is sent in one turn of the event loop leaves in one write. */
  #send(text: AnswerText): void {
    if (this.#ws.readyState !== this.#ws.OPEN) return;
    if (!this.#flags.corked) {
      this.#flags.corked = true;
      this.#socket.cork();
      process.nextTick(() => {
        this.#flags.corked = false;
        this.#socket.uncork();
        this.#throttle();
      });
    }
    const { encoding } = this.#caller;
    this.#ws.send(writeFrame(text, encoding), { binary: encoding === 'protobuf' });
    if (textLength(text) >= largeAnswerBytes) this.#count();
  }

  /** Stops or resumes reading the socket by how much is waiting, inside and towards the peer. */
  #throttle(): void {
    const { limits } = this.#options;
    const buffered = this.#ws.bufferedAmount;
    if (buffered + this.#cursorBytes !== this.#holder.bytes) this.#count();
    const load = Math.max(
      this.#order.waiting ? 1 : 0,
      this.#inFlight / limits.requestsInFlightPerConnection,
      this.#inFlightBytes / limits.requestBytesInFlightPerConnection,
      buffered / limits.bufferedBytesPerConnection,
    );
    const { paused } = this.#flags;
    if (!paused && load >= 1) {
      this.#flags.paused = true;
      this.#ws.pause();
    } else if (paused && load <= 0.5) {
      this.#flags.paused = false;
      this.#ws.resume();
    }
  }
}
