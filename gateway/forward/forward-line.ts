/**
 * How messages reach the writer's gateway: what is asked in one turn travels as one message, and what is answered there in one turn
 * comes back as one. So many clients of a region that forwards cost few messages, and their writes meet in one commit group. Who
 * asks alone is not held up. A gateway that knows no bundles refuses the first one, and is asked one by one from then on.
 */
import type { NatsConnection, RequestOutcome } from '../../regions/index.ts';
import type { Runtime, Timer } from '../../storage/index.ts';
import { sendSoon } from './bundle-pace.ts';
import { bundlesOf, joinPieces, pieceBytes, splitPieces } from './core/forward-bundle.ts';
import { decodeReply, encodeRequest, type ForwardRequest } from './core/forward-messages.ts';

/** Word that an answer has come waits so long for a message that leaves anyway. */
const noticeMs = 10;
/** Writers of which is known how they are spoken to. */
const lanesMax = 64;

type Line = Pick<NatsConnection, 'publish' | 'request' | 'requestMany'>;

interface Asked {
  readonly message: Uint8Array;
  readonly timeoutMs: number;
  readonly resolve: (outcome: RequestOutcome) => void;
}

interface Outgoing {
  readonly message: Uint8Array;
  /** Null for what wants no answer. */
  readonly asked: Asked | null;
}

/** What is on its way to one writer. */
interface Lane {
  readonly subject: string;
  /** How that gateway is spoken to, as far as it has shown. */
  speaks: 'unknown' | 'bundles' | 'singles';
  asked: Asked[];
  notices: Uint8Array[];
  /** When the last bundle left. */
  sentAtMs: number;
  isScheduled: boolean;
  notice: Timer | null;
}

const noHeader = (): undefined => undefined;

export class ForwardLine {
  private readonly nats: Line;
  private readonly bytesMax: () => number;
  private readonly runtime: Pick<Runtime, 'nowMs' | 'after' | 'turn'>;
  private readonly lanes = new Map<string, Lane>();

  /** @param bytesMax of one message, without its header. */
  constructor(nats: Line, bytesMax: () => number, runtime: Pick<Runtime, 'nowMs' | 'after' | 'turn'>) {
    this.nats = nats;
    this.bytesMax = bytesMax;
    this.runtime = runtime;
  }

  /** Asks a gateway; as the connection's `request`. */
  ask(subject: string, request: ForwardRequest, timeoutMs: number): Promise<RequestOutcome> {
    const message = encodeRequest(request);
    const lane = this.laneOf(subject);
    if (lane.speaks === 'singles' || pieceBytes(message) > this.bytesMax())
      return this.nats.request(subject, message, timeoutMs);
    return new Promise((resolve) => {
      lane.asked.push({ message, timeoutMs, resolve });
      this.schedule(lane);
    });
  }

  /** Tells a gateway something that it does not answer, soon. */
  tell(subject: string, request: ForwardRequest): void {
    const message = encodeRequest(request);
    const lane = this.laneOf(subject);
    if (lane.speaks !== 'bundles') {
      // It may be about what was asked just before.
      if (lane.asked.length > 0) this.send(lane);
      this.nats.publish(subject, message);
      return;
    }
    lane.notices.push(message);
    // Others may wait for what the stream holds, or does.
    if (request.kind === 'close' || request.kind === 'cancel') this.schedule(lane);
    else lane.notice ??= this.runtime.after(noticeMs, () => this.send(lane));
  }

  private laneOf(subject: string): Lane {
    const known = this.lanes.get(subject);
    if (known !== undefined) return known;
    if (this.lanes.size >= lanesMax) {
      // A lane that is forgotten goes on with what it has under way.
      const [oldest] = this.lanes.keys();
      if (oldest !== undefined) this.lanes.delete(oldest);
    }
    const lane: Lane = {
      subject,
      speaks: 'unknown',
      asked: [],
      notices: [],
      sentAtMs: Number.NEGATIVE_INFINITY,
      isScheduled: false,
      notice: null,
    };
    this.lanes.set(subject, lane);
    return lane;
  }

  private schedule(lane: Lane): void {
    if (lane.isScheduled) return;
    lane.isScheduled = true;
    sendSoon(this.runtime, lane.sentAtMs, () => this.send(lane));
  }

  private send(lane: Lane): void {
    lane.isScheduled = false;
    lane.notice?.stop();
    lane.notice = null;
    lane.sentAtMs = this.runtime.nowMs();
    const { asked, notices, subject } = lane;
    lane.asked = [];
    lane.notices = [];
    const [only] = asked;
    if (only !== undefined && asked.length === 1 && notices.length === 0) {
      void this.nats.request(subject, only.message, only.timeoutMs).then(only.resolve);
      return;
    }
    const notes = notices.map((message): Outgoing => ({ message, asked: null }));
    const asks = asked.map((each): Outgoing => ({ message: each.message, asked: each }));
    for (const bundle of bundlesOf(
      [...asks, ...notes],
      ({ message }) => pieceBytes(message),
      this.bytesMax(),
    ))
      this.sendBundle(lane, bundle);
  }

  private sendBundle(lane: Lane, bundle: readonly Outgoing[]): void {
    const { nats, runtime } = this;
    const open = new Map<number, Asked>();
    for (const [id, { asked }] of bundle.entries()) if (asked !== null) open.set(id, asked);
    const message = bundleOf(bundle.map((piece) => piece.message));
    if (open.size === 0) {
      nats.publish(lane.subject, message);
      return;
    }
    const sent = nats.requestMany(lane.subject, message, (reply) => {
      if (reply.kind === 'no-responders') return end({ kind: 'no-responders' });
      const decoded = decodeReply(reply.data);
      const pieces =
        decoded.kind === 'ok' && decoded.value.kind === 'bundle' ? splitPieces(decoded.value.bytes) : null;
      if (pieces?.kind !== 'ok') return alone();
      lane.speaks = 'bundles';
      for (const piece of pieces.value) {
        open.get(piece.id)?.resolve({ kind: 'reply', data: piece.message, header: noHeader });
        open.delete(piece.id);
      }
      if (open.size === 0) stop();
    });
    const timeoutMs = Math.max(...[...open.values()].map((asked) => asked.timeoutMs));
    const timer = runtime.after(timeoutMs, () => end({ kind: 'timeout' }));
    const stop = (): void => {
      timer.stop();
      if (sent.kind === 'sent') sent.stop();
    };
    const end = (outcome: RequestOutcome): void => {
      stop();
      for (const asked of open.values()) asked.resolve(outcome);
      open.clear();
    };
    /** It has run nothing of what it did not understand. */
    const alone = (): void => {
      stop();
      lane.speaks = 'singles';
      for (const { message: own, timeoutMs: ownMs, resolve } of open.values())
        void nats.request(lane.subject, own, ownMs).then(resolve);
      open.clear();
    };
    if (sent.kind !== 'sent') end({ kind: sent.kind });
  }
}

const bundleOf = (messages: readonly Uint8Array[]): Uint8Array =>
  encodeRequest({ kind: 'bundle', bytes: joinPieces(messages.map((message, id) => ({ id, message }))) });
