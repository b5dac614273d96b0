/**
 * The writer's side of forwarding: calls of other gateways, each run once, their answers kept until they are fetched, and
 * the streams their transactions live in. A gateway that is not the writer, or is about to stop, says so.
 */
import { setTimeout as pause } from 'node:timers/promises';
import type { NatsConnection, NatsMessage } from '../../regions/index.ts';
import { type BranchName, everyBeside, mainBranch, monotonicMs, unreachable } from '../../storage/index.ts';
import type { Logger } from '../../telemetry/index.ts';
import type { RequestSpan } from '../observe/request-tracer.ts';
import type { Release } from '../reign/reign.ts';
import { adviseFailure } from '../sql/errors.ts';
import { splitPieces } from './core/forward-bundle.ts';
import { decodeCall, encodeResult, type ForwardCall, type ForwardResult } from './core/forward-call.ts';
import {
  decodeRequest,
  encodeReply,
  encodeRequest,
  type ForwardReply,
  type ForwardRequest,
  isNotice,
  joinParts,
  splitParts,
} from './core/forward-messages.ts';
import { countedFailureOf } from './core/outcomes.ts';
import { type PeerAnswer, PeerLiveness } from './core/peer-liveness.ts';
import { writeRefused } from './core/read-only.ts';
import { classAtWriter } from './core/routing.ts';
import type { ServiceLimits } from './core/service-limits.ts';
import type { Database, DatabaseDirectory } from './database.ts';
import { type Call, type CallState, owesAnswers } from './forward-calls.ts';
import {
  type Done,
  gone,
  isLeaving,
  malformed,
  notBegun,
  type Refused,
  refusal,
  unknownBranch,
} from './forward-refusals.ts';
import { BundleReplies } from './forward-replies.ts';
import { type LocalAnswer, type LocalPlace, LocalSession } from './local-session.ts';

export interface ForwardServerOptions {
  readonly nats: NatsConnection;
  /** The subject of this very process. */
  readonly subject: string;
  /** The subject of the gateway that names its streams and calls after `peer`; null when that is no name of a gateway. */
  readonly subjectOf: (peer: string) => string | null;
  readonly log: Logger;
  readonly databases: DatabaseDirectory;
  readonly limits: ServiceLimits;
}

interface Stream {
  readonly database: Database;
  readonly session: LocalSession;
  /** The gateway whose client it is. */
  readonly peer: string;
  touchedAtMs: number;
  calls: number;
}

const sweepEveryMs = 1_000;
const lookEveryMs = 100;
/** Room for headers in a reply. */
const headerRoom = 4 * 1024;

/** A gateway names its streams after itself; see `ForwardClient.newId`. */
function peerOf(stream: string): string {
  return stream.slice(0, Math.max(0, stream.lastIndexOf('.')));
}

const drainPollMs = 5;

export class ForwardServer {
  private readonly options: ForwardServerOptions;
  private readonly calls = new Map<string, Call>();
  private leaving = false;
  private readonly streams = new Map<string, Stream>();
  private readonly stops: readonly (() => void)[];
  private readonly unsubscribe: ReturnType<NatsConnection['subscribe']>;
  private readonly peers: PeerLiveness;
  private heldBytes = 0;

  constructor(options: ForwardServerOptions) {
    this.options = options;
    this.unsubscribe = options.nats.subscribe(options.subject, (message) => this.receive(message));
    this.stops = [
      everyBeside(sweepEveryMs, () => this.sweep()),
      everyBeside(lookEveryMs, () => this.lookForPeers()),
    ];
    this.peers = new PeerLiveness(options.limits);
  }

  /**
   * G104: begins nothing for others any more, and waits until what it has begun is answered and its answer fetched, at most for
   * `waitMs`. Who does not come for an answer is waited for no longer than somebody who lives takes to ask again.
   */
  async drain(waitMs: number): Promise<void> {
    this.leaving = true;
    const untilMs = monotonicMs() + waitMs;
    while (owesAnswers(this.calls.values(), monotonicMs()) && monotonicMs() < untilMs)
      await pause(drainPollMs);
  }

  close(): void {
    this.leaving = true;
    this.unsubscribe(true);
    for (const stop of this.stops) stop();
    for (const { session } of this.streams.values()) session.close();
    this.streams.clear();
  }

  private receive(message: NatsMessage): void {
    const decoded = decodeRequest(message.data);
    if (decoded.kind === 'ok' && decoded.value.kind === 'bundle') {
      this.receiveBundle(message, decoded.value.bytes);
      return;
    }
    if (!message.wantsAnswer && !isNotice(decoded)) {
      message.passOver();
      return;
    }
    const reply = this.answerTo(decoded);
    if (reply === null) return;
    void Promise.resolve(reply).then((settled) => message.respond(encodeReply(settled)));
  }

  private receiveBundle(message: NatsMessage, bytes: Uint8Array): void {
    const pieces = splitPieces(bytes);
    if (pieces.kind === 'malformed') {
      message.respond(encodeReply(malformed(pieces.reason)));
      return;
    }
    const replies = new BundleReplies(message, this.partBytes);
    for (const piece of pieces.value) {
      const decoded = decodeRequest(piece.message);
      if (!message.wantsAnswer && !isNotice(decoded)) continue;
      const reply = this.answerTo(decoded);
      if (reply instanceof Promise) void reply.then((settled) => replies.add(piece.id, settled));
      else if (reply !== null) replies.add(piece.id, reply);
    }
  }

  /** Most of an answer that one message takes. */
  private get partBytes(): number {
    const { limits, nats } = this.options;
    const most = nats.maxPayloadBytes || limits.forwardPartBytes;
    return Math.max(1_024, Math.min(limits.forwardPartBytes, most - headerRoom));
  }

  private answerTo(decoded: ReturnType<typeof decodeRequest>): ForwardReply | Promise<ForwardReply> | null {
    return decoded.kind === 'malformed' ? malformed(decoded.reason) : this.serve(decoded.value);
  }

  /** @returns null for a request that wants no answer. */
  private serve(request: ForwardRequest): ForwardReply | Promise<ForwardReply> | null {
    switch (request.kind) {
      case 'part':
        return this.takePart(request);
      case 'poll':
        return this.poll(request.call, request.part);
      case 'forget':
        this.drop(request.call);
        return null;
      case 'close':
        this.closeStream(request.stream);
        return null;
      case 'cancel':
        this.streams.get(request.stream)?.session.cancel();
        return null;
      case 'position':
        return this.position(request.branch);
      case 'ping':
        return { kind: 'received' };
      case 'bundle':
        return malformed('a bundle within a bundle');
      default:
        return unreachable(request);
    }
  }

  /**
   * The lease has to be valid now, or somebody else may have acknowledged more. What other regions have yet to prove counts,
   * too: a region that reads there has it.
   */
  private async position(branch: BranchName): Promise<ForwardReply> {
    const database = this.options.databases.find(branch);
    const refused = database === null ? null : database.begin();
    if (database === null || refused !== null) return unknownBranch(branch, refused);
    const reply = await this.positionOf(database);
    database.ended();
    return reply;
  }

  private async positionOf(database: Database): Promise<ForwardReply> {
    const { volume } = database;
    const reign = volume.standing;
    if (reign === null) {
      database.watch.want();
      return refusal(database);
    }
    const release = await new Promise<Release>((resolve) =>
      volume.prove(() => reign.settle(reign.free, resolve)),
    );
    if (release !== 'free') return refusal(database);
    return { kind: 'position', epoch: reign.epoch, vdl: reign.vdl };
  }

  private takePart(request: Extract<ForwardRequest, { kind: 'part' }>): ForwardReply | Promise<ForwardReply> {
    const { limits } = this.options;
    const { call: id, branch, index, count, bytes } = request;
    let call = this.calls.get(id);
    if (call === undefined) {
      if (this.calls.size >= limits.forwardCalls || this.heldBytes + bytes.length > limits.forwardHeldBytes) {
        const message = `forwardCalls = ${limits.forwardCalls} or forwardHeldBytes = ${limits.forwardHeldBytes} is reached`;
        return { kind: 'refused', reason: 'busy', message };
      }
      call = {
        state: { kind: 'receiving', parts: Array.from({ length: count }), bytes: 0 },
        touchedAtMs: monotonicMs(),
      };
      this.calls.set(id, call);
    }
    call.touchedAtMs = monotonicMs();
    const { state } = call;
    if (state.kind !== 'receiving') return this.answer(id, call, 0);
    if (index >= state.parts.length || count !== state.parts.length) {
      this.drop(id);
      return { kind: 'refused', reason: 'malformed', message: 'parts that do not belong together' };
    }
    if (state.parts[index] === undefined) {
      // A copy unless it is used at once: the message is the connection's buffer.
      state.parts[index] = count === 1 ? bytes : bytes.slice();
      state.bytes += bytes.length;
      this.heldBytes += bytes.length;
    }
    if (state.bytes > limits.forwardCallBytes) {
      this.drop(id);
      const message = `The limit forwardCallBytes = ${limits.forwardCallBytes} is reached`;
      return { kind: 'refused', reason: 'too-large', message };
    }
    const parts = state.parts.filter((part) => part !== undefined);
    if (parts.length < count) return { kind: 'received' };
    this.begin(call, branch, joinParts(parts), state.bytes);
    return this.answer(id, call, 0);
  }

  private begin(call: Call, branch: BranchName, bytes: Uint8Array, held: number): void {
    const decoded = decodeCall(bytes);
    this.heldBytes -= held;
    if (decoded.kind === 'malformed') {
      call.state = { kind: 'refused', reason: 'malformed', message: decoded.reason };
      return;
    }
    const running: Extract<CallState, { kind: 'running' }> = { kind: 'running', waiting: [] };
    call.state = running;
    void this.perform(branch, decoded.value).then((state) => {
      call.state = state;
      call.touchedAtMs = monotonicMs();
      if (state.kind === 'done') this.heldBytes += state.bytes;
      for (const waiter of running.waiting) waiter(state);
    });
  }

  private poll(id: string, part: number): ForwardReply | Promise<ForwardReply> {
    const call = this.calls.get(id);
    if (call !== undefined && call.state.kind !== 'receiving') {
      call.touchedAtMs = monotonicMs();
      return this.answer(id, call, part);
    }
    this.drop(id);
    this.calls.set(id, { state: { kind: 'cancelled' }, touchedAtMs: monotonicMs() });
    return { kind: 'unknown' };
  }

  /** A part of the result, or word that there is none yet. */
  private answer(id: string, call: Call, part: number): ForwardReply | Promise<ForwardReply> {
    const { state } = call;
    if (state.kind === 'refused') this.calls.delete(id);
    return state.kind === 'running' ? this.hold(state, part) : this.replyOf(state, part);
  }

  private hold(state: Extract<CallState, { kind: 'running' }>, part: number): Promise<ForwardReply> {
    return new Promise((resolve) => {
      const waiter = (ended: CallState): void => {
        clearTimeout(timer);
        resolve(this.replyOf(ended, part));
      };
      const timer = setTimeout(() => {
        state.waiting.splice(state.waiting.indexOf(waiter), 1);
        resolve({ kind: 'running' });
      }, this.options.limits.forwardHoldMs);
      state.waiting.push(waiter);
    });
  }

  private replyOf(state: CallState, part: number): ForwardReply {
    if (state.kind === 'refused') return state;
    if (state.kind !== 'done') return { kind: 'unknown' };
    const bytes = state.parts[part];
    if (bytes === undefined)
      return { kind: 'refused', reason: 'malformed', message: `the answer has ${state.parts.length} parts` };
    return { kind: 'part', index: part, count: state.parts.length, bytes };
  }

  private async perform(branch: BranchName, call: ForwardCall): Promise<CallState> {
    const database = this.options.databases.find(branch);
    if (database === null) return unknownBranch(branch, null);
    const refused = database.begin();
    if (refused !== null) return notBegun(call, database, { ok: false, error: refused });
    const state = await this.performOn(database, call);
    database.ended();
    return state;
  }

  private async performOn(database: Database, call: ForwardCall): Promise<CallState> {
    const { limits } = this.options;
    const span = database.tracer.arrived(call.traceparent);
    const found = await this.streamFor(database, call);
    if (found.kind !== 'stream') return found;
    const { stream } = found;
    stream.calls += 1;
    const result = await this.run(database, stream.session, call, span);
    stream.calls -= 1;
    stream.touchedAtMs = monotonicMs();
    if (result.kind === 'notRun' || (stream.session.isAutocommit && stream.session.place === 'idle'))
      this.endStream(call.stream, stream);
    let bytes = encodeResult(call.operation.kind, result);
    if (bytes.length > limits.forwardCallBytes) {
      const outcome = adviseFailure(
        'RESPONSE_TOO_LARGE',
        `The answer takes ${bytes.length} bytes; the limit forwardCallBytes = ${limits.forwardCallBytes} is reached`,
      );
      bytes = encodeResult(call.operation.kind, result.kind === 'answered' ? { ...result, outcome } : result);
    }
    return { kind: 'done', parts: splitParts(bytes, this.partBytes), bytes: bytes.length };
  }

  /** The stream of a call: the one its transaction lives in, or a new one if this gateway writes, or is about to. */
  private async streamFor(
    database: Database,
    call: ForwardCall,
  ): Promise<{ readonly kind: 'stream'; readonly stream: Stream } | Done | Refused> {
    const known = this.streams.get(call.stream);
    if (known?.database === database) {
      this.peers.heard(known.peer, monotonicMs());
      return { kind: 'stream', stream: known };
    }
    if (!call.fresh) return notBegun(call, database, gone);
    if (this.leaving) return isLeaving;
    const { limits } = this.options;
    const { watch, volume, sessions } = database;
    const sinceMs = monotonicMs();
    while (watch.place() !== 'here') {
      watch.want();
      const left = watch.patienceMs(sinceMs, monotonicMs());
      if (!watch.isComing || left <= 0) return refusal(database);
      await watch.next(left);
      if (this.leaving) return isLeaving;
    }
    if (this.streams.size >= limits.remoteStreams) {
      return {
        kind: 'refused',
        reason: 'busy',
        message: `remoteStreams = ${limits.remoteStreams} is reached`,
      };
    }
    const session = new LocalSession(volume, sessions);
    const peer = peerOf(call.stream);
    const stream: Stream = { database, session, peer, touchedAtMs: monotonicMs(), calls: 0 };
    this.streams.set(call.stream, stream);
    this.peers.opened(stream.peer, monotonicMs());
    return { kind: 'stream', stream };
  }

  private async run(
    database: Database,
    session: LocalSession,
    call: ForwardCall,
    span: RequestSpan | null,
  ): Promise<ForwardResult> {
    const { limits } = this.options;
    const { tracer, volume, watch } = database;
    const context = span?.context ?? null;
    const trace = tracer.engineTrace(context);
    // Who asks here wants no less than everything, and PostgreSQL's reading engines stay at a point of their own.
    const atLeast = volume.pointFor('global');
    const operation = call.operation.kind === 'wire' ? { ...call.operation, atLeast } : call.operation;
    let { state } = call;
    // G40: a reading thread cannot write, whatever the words of the operation are.
    const isWrite =
      !call.readOnly && classAtWriter(operation, () => database.sessions.keepWriter) === 'write';
    let where: LocalPlace = isWrite ? 'writer' : 'reader';
    for (;;) {
      const idle = session.place === 'idle';
      if (idle && where === 'writer' && volume.reign !== null) await volume.reign.room(limits.writeWaitMs);
      else if (idle) await volume.reached(volume.pointFor(state.readPreference), limits.readWaitMs);
      if (idle && watch.place() !== 'here') return { kind: 'notRun' };
      const answer = await new Promise<LocalAnswer>((resolve) =>
        session.run(operation, where, trace, state, resolve),
      );
      if (answer.kind === 'notRun') return answer;
      const code = answer.outcome.ok ? null : answer.outcome.error.code;
      if (code === 'SEXTANT_READ_RAISED') {
        // Here nothing is fresher: it only has to be noted.
        state = answer.state ?? state;
        continue;
      }
      if (idle && code === 'SEXTANT_READ_ONLY' && !call.readOnly) {
        // On a gateway that has become a reader meanwhile, a write is refused before anything ran.
        if (where === 'writer') return { kind: 'notRun' };
        where = 'writer';
        continue;
      }
      tracer.committed(answer.commits, context);
      const changed = answer.state ?? state;
      tracer.ended(span, operation, countedFailureOf(answer.outcome), changed.readPreference);
      return {
        kind: 'answered',
        outcome: code === 'SEXTANT_READ_ONLY' ? { ok: false, error: writeRefused } : answer.outcome,
        autocommit: session.isAutocommit,
        holds: session.place !== 'idle',
        state: changed === call.state ? null : changed,
        seenLsn: answer.seenLsn,
        epoch: answer.epoch,
      };
    }
  }

  private closeStream(id: string): void {
    const stream = this.streams.get(id);
    if (stream !== undefined) this.endStream(id, stream);
  }

  private endStream(id: string, stream: Stream): void {
    this.streams.delete(id);
    stream.session.close();
    this.peers.ended(stream.peer);
  }

  /** A gateway that is gone leaves no transaction behind that others would have to wait for. */
  private lookForPeers(): void {
    for (const peer of this.peers.due(monotonicMs())) void this.ask(peer);
  }

  private async ask(peer: string): Promise<void> {
    const { nats, subjectOf, limits, log } = this.options;
    const subject = subjectOf(peer);
    const answer =
      subject === null
        ? null
        : await nats.request(
            subject,
            encodeRequest({ kind: 'position', branch: mainBranch }),
            limits.peerAnswerMs,
          );
    const heard: PeerAnswer =
      // Without a connection of our own nothing can be said about others; the lease will say about us.
      answer === null || answer.kind === 'reply' || answer.kind === 'disconnected'
        ? 'alive'
        : answer.kind === 'no-responders'
          ? 'nobody'
          : 'silent';
    if (!this.peers.answered(peer, heard, monotonicMs())) return;
    const gone = [...this.streams].filter(([, stream]) => stream.peer === peer);
    log.warn({ peer, streams: gone.length }, 'a gateway is gone: its transactions here are rolled back');
    for (const [id, stream] of gone) this.endStream(id, stream);
  }

  private drop(id: string): void {
    const call = this.calls.get(id);
    if (call === undefined || call.state.kind === 'running') return;
    if (call.state.kind === 'receiving' || call.state.kind === 'done') this.heldBytes -= call.state.bytes;
    this.calls.delete(id);
  }

  /** Lets go of what nobody came for. */
  private sweep(): void {
    const nowMs = monotonicMs();
    const { forwardKeepMs, remoteStreamIdleMs } = this.options.limits;
    for (const [id, call] of this.calls) if (nowMs - call.touchedAtMs > forwardKeepMs) this.drop(id);
    for (const [id, stream] of this.streams) {
      if (stream.calls === 0 && nowMs - stream.touchedAtMs > remoteStreamIdleMs) this.endStream(id, stream);
    }
  }
}
