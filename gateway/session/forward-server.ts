/**
 * The writer's side of forwarding: the streams of clients of other gateways, in which their transactions live, and each call run
 * in its stream. A gateway that is not the writer, or is about to stop, says so.
 */
import type { NatsConnection } from '../../regions/index.ts';
import {
  type BranchName,
  everyBeside,
  machine,
  mainBranch,
  monotonicMs,
  pause,
  unreachable,
} from '../../storage/index.ts';
import type { Logger } from '../../telemetry/index.ts';
import type { CallEnd, Done, Refused } from '../forward/core/call-table.ts';
import { encodeResult, type ForwardCall, type ForwardResult } from '../forward/core/forward-call.ts';
import { encodeRequest, type ForwardReply, splitParts } from '../forward/core/forward-messages.ts';
import { ForwardCalls } from '../forward/forward-calls.ts';
import { ForwardInbox, type SingleRequest } from '../forward/forward-inbox.ts';
import type { RequestSpan } from '../observe/request-tracer.ts';
import type { Release } from '../reign/reign.ts';
import { adviseFailure } from '../sql/errors.ts';
import { countedFailureOf } from './core/outcomes.ts';
import { type PeerAnswer, PeerLiveness } from './core/peer-liveness.ts';
import { writeRefused } from './core/read-only.ts';
import { classAtWriter } from './core/routing.ts';
import type { ServiceLimits } from './core/service-limits.ts';
import type { Database, DatabaseDirectory } from './database.ts';
import { gone, isLeaving, notBegun, refusal, unknownBranch } from './forward-refusals.ts';
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
const drainPollMs = 5;

/** A gateway names its streams after itself; see `ForwardClient.newId`. */
function peerOf(stream: string): string {
  return stream.slice(0, Math.max(0, stream.lastIndexOf('.')));
}

export class ForwardServer {
  private readonly options: ForwardServerOptions;
  private readonly calls: ForwardCalls;
  private readonly inbox: ForwardInbox;
  private leaving = false;
  private readonly streams = new Map<string, Stream>();
  private readonly stops: readonly (() => void)[];
  private readonly peers: PeerLiveness;

  constructor(options: ForwardServerOptions) {
    this.options = options;
    const { nats, subject, limits } = options;
    this.peers = new PeerLiveness(limits);
    const run = (branch: BranchName, call: ForwardCall): Promise<CallEnd> => this.perform(branch, call);
    this.calls = new ForwardCalls({ limits, runtime: machine, run });
    const serve = (request: SingleRequest): ReturnType<ForwardServer['serve']> => this.serve(request);
    this.inbox = new ForwardInbox({ nats, subject, limits, runtime: machine, serve });
    this.stops = [
      everyBeside(sweepEveryMs, () => this.sweep()),
      everyBeside(lookEveryMs, () => this.lookForPeers()),
    ];
  }

  /**
   * G104: begins nothing for others any more, and waits until what it has begun is answered and its answer fetched, at most for
   * `waitMs`. Who does not come for an answer is waited for no longer than somebody who lives takes to ask again.
   */
  async drain(waitMs: number): Promise<void> {
    this.leaving = true;
    const untilMs = monotonicMs() + waitMs;
    while (this.calls.owesAnswers && monotonicMs() < untilMs) await pause(machine, drainPollMs);
  }

  close(): void {
    this.leaving = true;
    this.inbox.close();
    for (const stop of this.stops) stop();
    for (const { session } of this.streams.values()) session.close();
    this.streams.clear();
  }

  /** @returns null for a request that wants no answer. */
  private serve(request: SingleRequest): ForwardReply | Promise<ForwardReply> | null {
    switch (request.kind) {
      case 'part':
      case 'poll':
      case 'forget':
        return this.calls.serve(request);
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

  private async perform(branch: BranchName, call: ForwardCall): Promise<CallEnd> {
    const database = this.options.databases.find(branch);
    if (database === null) return unknownBranch(branch, null);
    const refused = database.begin();
    if (refused !== null) return notBegun(call, database, { ok: false, error: refused });
    const state = await this.performOn(database, call);
    database.ended();
    return state;
  }

  private async performOn(database: Database, call: ForwardCall): Promise<CallEnd> {
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
    return { kind: 'done', parts: splitParts(bytes, this.inbox.partBytes), bytes: bytes.length };
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

  /** Lets go of what nobody came for. */
  private sweep(): void {
    this.calls.sweep();
    const nowMs = monotonicMs();
    const { remoteStreamIdleMs } = this.options.limits;
    for (const [id, stream] of this.streams) {
      if (stream.calls === 0 && nowMs - stream.touchedAtMs > remoteStreamIdleMs) this.endStream(id, stream);
    }
  }
}
