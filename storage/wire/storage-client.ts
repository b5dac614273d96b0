/**
 * One storage node as others see it: a link that keeps itself up, typed requests over it, and a check that the process
 * at the address is the node it is meant to be. Nothing here retries a request; who asked knows whether that is right.
 */

import type { Credentials } from '../identity/credentials.ts';
import type { MembershipSight } from '../members/core/membership-sight.ts';
import { machine, type Runtime } from '../process/runtime.ts';
import { plainBytes } from '../redo/bytes.ts';
import type { NodeId, RegionId } from '../redo/ids.ts';
import {
  type Decoded,
  decodeReply,
  type EncodedMessage,
  encodeReply,
  encodeRequest,
} from './core/message-codec.ts';
import type { StorageReply, StorageRequest } from './core/messages.ts';
import { scoped } from './core/scoped-message.ts';
import { connectLink, type Link, type LinkOptions } from './link.ts';
import { passingRefusals } from './link-protocol.ts';
import { LinkRpc, type RpcBody, type RpcResult } from './link-rpc.ts';

/** Where a node listens and what it should answer to. */
export interface NodeTarget {
  readonly node: NodeId;
  readonly az: string;
  /** `host:port`. */
  readonly address: string;
}

/** The node did not answer; whether it acted on the request is unknown unless `sent` is false. */
export interface Unanswered {
  readonly kind: 'unanswered';
  readonly reason: string;
  readonly sent: boolean;
}

export type Answer = StorageReply | Unanswered;

/** What a client of nodes runs on; what is left out is this machine and its network. */
export interface LinkPlace {
  readonly dial?: (options: LinkOptions) => Link;
  /** What links are encrypted with; left out, they are plain text. */
  readonly credentials?: Credentials;
  readonly runtime?: Runtime;
}

export interface StorageClientOptions {
  readonly cluster: string;
  readonly secret: string;
  readonly region: RegionId;
  readonly target: NodeTarget;
  readonly place?: LinkPlace;
  /** What each request says of its sender's membership, and who hears of a newer one; left out, only the configured one is known. */
  readonly sight?: MembershipSight;
  /** The link is open and the node is the one that was meant. Followed by one `onDown`. */
  readonly onUp?: () => void;
  readonly onDown?: () => void;
  /**
   * Someone answers at the address and will not, or must not, be talked to; `message` says what to put right. Of a node that comes
   * up or ends nothing is told: `onUp` and `onDown` do that.
   */
  readonly onRefused?: (message: string) => void;
}

/** Requests one link may have unanswered. */
const pendingMax = 4_096;
/** How long a node has to say which one it is, and after what pause it is asked again. */
const introductionMs = 2_000;

export class StorageClient {
  readonly target: NodeTarget;
  private readonly options: StorageClientOptions;
  private readonly runtime: Runtime;
  private readonly link: Link;
  private readonly rpc: LinkRpc;
  private phase: 'down' | 'introducing' | 'up' | 'closed' = 'down';
  private refusalMessage: string | null = null;
  private connection = 0;

  constructor(options: StorageClientOptions) {
    const { dial = connectLink, runtime = machine, credentials } = options.place ?? {};
    const { cluster, region, target } = options;
    const expected = { cluster, region, role: 'storage', name: target.node } as const;
    this.options = options;
    this.runtime = runtime;
    this.target = target;
    this.rpc = new LinkRpc({
      send: (message) => this.link.send(message),
      onRequest: () => false,
      onNotice: () => undefined,
      pendingMax,
      runtime,
    });
    this.link = dial({
      address: target.address,
      cluster,
      secret: options.secret,
      ...(credentials !== undefined && { secured: { credentials, expected } }),
      random: () => runtime.random(),
      onOpen: () => this.introduce(),
      onMessage: (bytes) => void this.rpc.receive(bytes),
      onClose: () => this.closed(),
      onRefused: ({ code, message }) => this.refused(`${code}: ${message}`, passingRefusals.has(code)),
    });
  }

  get isUp(): boolean {
    return this.phase === 'up';
  }

  /** Why the process at the address was not accepted, or did not accept us; null once it has. */
  get refusal(): string | null {
    return this.refusalMessage;
  }

  /** Asks; `done` runs once, never inside this call, at the latest after `timeoutMs`. */
  ask(request: StorageRequest, timeoutMs: number, done: (answer: Answer) => void): void {
    this.askEncoded(encodeRequest(request), timeoutMs, done);
  }

  /** As `ask`, for a request that was encoded for several nodes at once. */
  askEncoded(encoded: EncodedMessage, timeoutMs: number, done: (answer: Answer) => void): void {
    if (this.phase !== 'up') {
      const reason = this.refusalMessage ?? `${this.target.node} at ${this.target.address} is not reachable`;
      queueMicrotask(() => done({ kind: 'unanswered', reason, sent: false }));
      return;
    }
    this.send(encoded, timeoutMs, done);
  }

  request(request: StorageRequest, timeoutMs: number): Promise<Answer> {
    return new Promise((resolve) => this.ask(request, timeoutMs, resolve));
  }

  /** Sends without wanting an answer. @returns whether it left. */
  notify(request: StorageRequest): boolean {
    if (this.phase !== 'up') return false;
    const { kind, body } = encodeRequest(request);
    const message = scoped(this.options.sight?.epoch ?? 0, kind, body);
    return this.rpc.notify(message.kind, message.body);
  }

  close(): void {
    if (this.phase === 'closed') return;
    const wasUp = this.phase === 'up';
    this.phase = 'closed';
    this.link.close();
    this.rpc.linkClosed();
    if (wasUp) this.options.onDown?.();
  }

  private send(encoded: EncodedMessage, timeoutMs: number, done: (answer: Answer) => void): void {
    const epoch = this.options.sight?.epoch ?? 0;
    const message = scoped(epoch, encoded.kind, encoded.body);
    this.rpc.request(message.kind, message.body, timeoutMs, (result) => {
      const answer = this.answerOf(result, timeoutMs);
      if (this.isStale(answer, epoch)) this.askEncoded(encoded, timeoutMs, done);
      else done(answer);
    });
  }

  /** Takes in the membership that an answer tells. @returns whether to ask again, with the newer one (S29). */
  private isStale(answer: Answer, epoch: number): boolean {
    const { sight } = this.options;
    const told = answer.kind === 'refused' || answer.kind === 'status' ? answer.membership : undefined;
    if (sight === undefined || told === undefined) return false;
    sight.heard(told);
    return answer.kind === 'refused' && answer.code === 'STALE_MEMBERS' && sight.epoch > epoch;
  }

  private answerOf(result: RpcResult, timeoutMs: number): Answer {
    const { node } = this.target;
    if (result.kind === 'failed') {
      const sent = result.reason !== 'not-sent' && result.reason !== 'too-many';
      const reason =
        result.reason === 'timeout' ? `no answer within ${timeoutMs} ms` : `the link: ${result.reason}`;
      return { kind: 'unanswered', reason: `${node}: ${reason}`, sent };
    }
    const decoded = decodeReplyBody(result.body);
    if (decoded.kind === 'message') return decoded.message;
    return { kind: 'unanswered', reason: `${node}: malformed answer: ${decoded.reason}`, sent: true };
  }

  /** S10: a wrong address must not lead to another node's, or another region's, data. */
  private introduce(): void {
    this.phase = 'introducing';
    const connection = ++this.connection;
    this.send(encodeRequest({ kind: 'status' }), introductionMs, (answer) => {
      if (this.phase !== 'introducing' || connection !== this.connection) return;
      const wrong = this.wrongIn(answer);
      if (wrong !== null) {
        this.phase = 'down';
        this.refused(wrong.reason, wrong.passes);
        // The address may be put right at the other side; the next connection asks again.
        this.runtime.after(introductionMs, () => {
          if (this.phase === 'down' && connection === this.connection && this.link.isOpen) this.introduce();
        });
        return;
      }
      this.phase = 'up';
      this.refusalMessage = null;
      this.options.onUp?.();
    });
  }

  /** Why an answer to the introduction is not that of the node we want; `passes` when the node may only be slow. */
  private wrongIn(answer: Answer): { readonly reason: string; readonly passes: boolean } | null {
    if (answer.kind !== 'status') {
      const said = answer.kind === 'refused' ? answer.code : `no usable answer within ${introductionMs} ms`;
      return { reason: `asked which node it is: ${said}`, passes: answer.kind === 'unanswered' };
    }
    const { target, region } = this.options;
    if (answer.node === target.node && answer.region === region) return null;
    const found = `${target.address} is ${answer.region}/${answer.node}, expected ${region}/${target.node}`;
    return { reason: `NODE_MISMATCH: ${found}`, passes: false };
  }

  private closed(): void {
    const wasUp = this.phase === 'up';
    if (this.phase !== 'closed') this.phase = 'down';
    this.connection += 1;
    // First the answers that will not come, then the news of the link: who is told can rely on nothing being out.
    this.rpc.linkClosed();
    if (wasUp && this.phase === 'down') this.options.onDown?.();
  }

  private refused(message: string, passes: boolean = false): void {
    const text = `${this.target.node} at ${this.target.address}: ${message}`;
    if (text === this.refusalMessage) return;
    this.refusalMessage = text;
    if (!passes) this.options.onRefused?.(text);
  }
}

/** A reply travels with its own kind in front, since one kind of request has several kinds of reply. */
export function encodeReplyBody(reply: StorageReply): RpcBody {
  const { kind, body } = encodeReply(reply);
  return [Uint8Array.of(kind), body];
}

function decodeReplyBody(body: Uint8Array): Decoded<StorageReply> {
  return decodeReply(body[0] ?? 0, plainBytes(body).subarray(1));
}
