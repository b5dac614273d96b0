/** What other gateways send to this one: each message, and each piece of a bundle, is answered as its request is served. */
import type { NatsConnection, NatsMessage } from '../../regions/index.ts';
import type { Runtime } from '../../storage/index.ts';
import { BundleReplies } from './bundle-replies.ts';
import { splitPieces } from './core/forward-bundle.ts';
import { type ForwardLimits, partBytesOf } from './core/forward-limits.ts';
import {
  decodeRequest,
  encodeReply,
  type ForwardReply,
  type ForwardRequest,
  isNotice,
} from './core/forward-messages.ts';

export interface ForwardInboxOptions {
  readonly nats: Pick<NatsConnection, 'subscribe' | 'maxPayloadBytes'>;
  /** The subject of this very process. */
  readonly subject: string;
  readonly limits: ForwardLimits;
  readonly runtime: Pick<Runtime, 'nowMs' | 'after' | 'turn'>;
  /** @returns null for a request that wants no answer. */
  readonly serve: (request: SingleRequest) => ForwardReply | Promise<ForwardReply> | null;
}

/** What is no bundle of others. */
export type SingleRequest = Exclude<ForwardRequest, { kind: 'bundle' }>;

type Decoded = ReturnType<typeof decodeRequest>;

export class ForwardInbox {
  private readonly options: ForwardInboxOptions;
  private readonly unsubscribe: ReturnType<NatsConnection['subscribe']>;

  constructor(options: ForwardInboxOptions) {
    this.options = options;
    this.unsubscribe = options.nats.subscribe(options.subject, (message) => this.receive(message));
  }

  /** What the server has sent by then is still answered. */
  close(): void {
    this.unsubscribe(true);
  }

  /** Most of an answer that one message takes. */
  get partBytes(): number {
    return partBytesOf(this.options.limits, this.options.nats.maxPayloadBytes);
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
    const replies = new BundleReplies(message, this.partBytes, this.options.runtime);
    for (const piece of pieces.value) {
      const decoded = decodeRequest(piece.message);
      if (!message.wantsAnswer && !isNotice(decoded)) continue;
      const reply = this.answerTo(decoded);
      if (reply instanceof Promise) void reply.then((settled) => replies.add(piece.id, settled));
      else if (reply !== null) replies.add(piece.id, reply);
    }
  }

  private answerTo(decoded: Decoded): ForwardReply | Promise<ForwardReply> | null {
    if (decoded.kind === 'malformed') return malformed(decoded.reason);
    if (decoded.value.kind === 'bundle') return malformed('a bundle within a bundle');
    return this.options.serve(decoded.value);
  }
}

const malformed = (message: string): ForwardReply => ({ kind: 'refused', reason: 'malformed', message });
