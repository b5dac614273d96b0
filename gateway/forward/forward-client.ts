/**
 * Sends operations to the writer in another gateway and fetches their answers. Every message is a NATS request, so that
 * "nobody is there" is known at once; a request may be sent again, since the writer runs a call once (G30).
 */

import type { NatsConnection, RequestOutcome } from '../../regions/index.ts';
import {
  type BranchName,
  type Epoch,
  type Lsn,
  pause,
  type Runtime,
  type Timer,
} from '../../storage/index.ts';
import { decodeResult, encodeCall, type ForwardCall, type ForwardResult } from './core/forward-call.ts';
import { type ForwardLimits, partBytesOf } from './core/forward-limits.ts';
import {
  decodeReply,
  encodeRequest,
  type ForwardRefusal,
  type ForwardReply,
  type ForwardRequest,
  joinParts,
  splitParts,
} from './core/forward-messages.ts';
import { type InVain, WriterSilence } from './core/writer-silence.ts';
import type { RemoteWriter, WriterStanding } from './core/writer-standing.ts';
import { ForwardLine } from './forward-line.ts';

export interface ForwardClientOptions {
  readonly nats: Pick<NatsConnection, 'maxPayloadBytes' | 'publish' | 'request' | 'requestMany' | 'flush'>;
  /** Differs between any two processes that forward. */
  readonly me: string;
  readonly limits: ForwardLimits;
  /** How that writer stands by the control records that were seen. */
  readonly standingOf: (writer: RemoteWriter) => WriterStanding;
  readonly runtime: Runtime;
}

export type ForwardOutcome =
  | { readonly kind: 'result'; readonly result: Extract<ForwardResult, { kind: 'answered' }> }
  /** It has not run and never will: try elsewhere, or again. */
  | { readonly kind: 'notRun'; readonly reason: ForwardRefusal | 'nobody' | 'disconnected' }
  /** It was sent, and what became of it cannot be found out. */
  | { readonly kind: 'unknown'; readonly reason: string }
  /** It cannot be sent, or its answer cannot be: the message names the limit. */
  | { readonly kind: 'tooLarge'; readonly message: string };

export type PositionOutcome =
  | { readonly kind: 'position'; readonly epoch: Epoch; readonly vdl: Lsn }
  | { readonly kind: 'none'; readonly reason: string };

/** How long one message may be on its way, besides what the writer holds it for. */
const messageMs = 800;
/** Parts of one answer asked for at once. */
const partsAtOnce = 4;
const resendMs = 20;
/** Before a question that reached nobody, or did not leave, is asked again: a connection is made again in some 300 ms. */
const redialMs = 100;
/** A NATS server that lives takes in what was sent within this time. */
const flushMs = 300;
/** A writer that stops gives its place up while its last answers are on their way, and so is the word that nobody listens any more. */
const lateAnswerMs = 400;

type Sent = { readonly kind: 'reply'; readonly reply: ForwardReply } | { readonly kind: InVain };

export class ForwardClient {
  private readonly options: ForwardClientOptions;
  private readonly line: ForwardLine;
  /** Messages that wait for an answer of a writer which was the writer when they left. */
  private readonly waiting = new Set<{ readonly writer: RemoteWriter; readonly replaced: () => void }>();
  private ids = 0;

  constructor(options: ForwardClientOptions) {
    this.options = options;
    this.line = new ForwardLine(options.nats, () => this.partBytes, options.runtime);
  }

  /** A name for a stream or a call that nobody else uses. */
  newId(): string {
    this.ids += 1;
    return `${this.options.me}.${this.ids}`;
  }

  /** Runs a call at the writer. Resolves when its fate is known, or cannot be. */
  async call(writer: RemoteWriter, branch: BranchName, call: ForwardCall): Promise<ForwardOutcome> {
    const bytes = encodeCall(call);
    const { forwardCallBytes } = this.options.limits;
    if (bytes.length > forwardCallBytes) {
      return {
        kind: 'tooLarge',
        message: `The request takes ${bytes.length} bytes; the limit forwardCallBytes = ${forwardCallBytes} is reached`,
      };
    }
    const id = this.newId();
    const parts = splitParts(bytes, this.partBytes);
    for (const [index, part] of parts.entries()) {
      const count = parts.length;
      const request: ForwardRequest = { kind: 'part', branch, call: id, index, count, bytes: part };
      if (index === parts.length - 1) return this.finish(writer, id, call, request);
      const taken = await this.send(writer, request);
      if (taken.kind === 'reply' && taken.reply.kind === 'received') continue;
      if (taken.kind === 'reply' && taken.reply.kind === 'refused') return refused(taken.reply);
      // A call that was never complete has not run.
      this.forget(writer, id);
      return notRun(taken.kind === 'reply' ? 'silent' : taken.kind);
    }
    throw new Error('a call has at least one part');
  }

  /** Asks the writer up to where everything of a branch that was acknowledged is durable. */
  async position(writer: RemoteWriter, branch: BranchName, waitMs: number): Promise<PositionOutcome> {
    const answer = await this.options.nats.request(
      writer.subject,
      encodeRequest({ kind: 'position', branch }),
      Math.min(waitMs, messageMs),
    );
    if (answer.kind !== 'reply') return { kind: 'none', reason: answer.kind };
    const decoded = decodeReply(answer.data);
    if (decoded.kind === 'malformed') return { kind: 'none', reason: decoded.reason };
    return decoded.value.kind === 'position' ? decoded.value : { kind: 'none', reason: decoded.value.kind };
  }

  /** Whether that start of a gateway gives a sign of life. While the NATS server itself says nothing, nothing is said of gateways. */
  async ping(subject: string, waitMs: number): Promise<'alive' | 'nobody' | 'silent' | 'unable'> {
    const { kind } = await this.options.nats.request(subject, encodeRequest({ kind: 'ping' }), waitMs);
    if (kind === 'reply') return 'alive';
    if (kind === 'no-responders') return 'nobody';
    if (kind === 'disconnected') return 'unable';
    return (await this.options.nats.flush(flushMs)) === 'flushed' ? 'silent' : 'unable';
  }

  /** The client of a stream is gone. A message that is lost costs nothing: the stream idles out. */
  closeStream(writer: RemoteWriter, stream: string): void {
    this.line.tell(writer.subject, { kind: 'close', stream });
  }

  /** Asks the writer to stop what runs in a stream; a message that is lost stops nothing. */
  cancelStream(writer: RemoteWriter, stream: string): void {
    this.line.tell(writer.subject, { kind: 'cancel', stream });
  }

  private get partBytes(): number {
    const { limits, nats } = this.options;
    return partBytesOf(limits, nats.maxPayloadBytes);
  }

  /** There is news of who writes: whoever waits for one that was replaced looks at once whether that is still there. */
  writerChanged(): void {
    for (const { writer, replaced } of [...this.waiting])
      if (this.options.standingOf(writer) !== 'writes') replaced();
  }

  /**
   * As the connection's request, and given up soon after the writer is replaced meanwhile. Only what comes within that time says
   * whether the message arrived.
   */
  private ask(writer: RemoteWriter, request: ForwardRequest): Promise<RequestOutcome> {
    const { limits, runtime, standingOf } = this.options;
    const asked = this.line.ask(writer.subject, request, limits.forwardHoldMs + messageMs);
    if (standingOf(writer) !== 'writes') return asked;
    return new Promise((resolve) => {
      let timer: Timer | undefined;
      const replaced = (): void => {
        timer ??= runtime.after(lateAnswerMs, () => resolve({ kind: 'timeout' }));
      };
      const entry = { writer, replaced };
      this.waiting.add(entry);
      void asked.then((answer) => {
        timer?.stop();
        this.waiting.delete(entry);
        resolve(answer);
      });
    });
  }

  private async send(writer: RemoteWriter, request: ForwardRequest): Promise<Sent> {
    const answer = await this.ask(writer, request);
    switch (answer.kind) {
      case 'reply': {
        const decoded = decodeReply(answer.data);
        return decoded.kind === 'ok' ? { kind: 'reply', reply: decoded.value } : { kind: 'silent' };
      }
      case 'no-responders':
        return { kind: 'nobody' };
      case 'disconnected':
      case 'too-large':
        return { kind: 'unsent' };
      case 'timeout':
      case 'failed':
        return { kind: 'silent' };
    }
  }

  /** Waits until the writer may be asked again. @returns why there is no use in it; null when it may be asked. */
  private async wait(silence: WriterSilence, writer: RemoteWriter, how: InVain): Promise<string | null> {
    const { runtime, standingOf } = this.options;
    silence.unanswered(how);
    const verdict = silence.verdict(standingOf(writer), runtime.nowMs());
    if (verdict === null) await pause(runtime, how === 'silent' ? resendMs : redialMs);
    return verdict;
  }

  /** Sends the last part and follows the call to its end. */
  private async finish(
    writer: RemoteWriter,
    id: string,
    call: ForwardCall,
    last: ForwardRequest,
  ): Promise<ForwardOutcome> {
    const { limits, runtime } = this.options;
    const silence = new WriterSilence(limits, runtime.nowMs());
    let request = last;
    let mayHaveArrived = false;
    for (;;) {
      const sent = await this.send(writer, request);
      if (sent.kind !== 'reply') {
        mayHaveArrived ||= sent.kind === 'silent';
        if (!mayHaveArrived) return notRun(sent.kind);
        const reason = await this.wait(silence, writer, sent.kind);
        if (reason !== null) return { kind: 'unknown', reason };
        request = { kind: 'poll', call: id, part: 0 };
        continue;
      }
      const { reply } = sent;
      mayHaveArrived = true;
      silence.heard(runtime.nowMs());
      switch (reply.kind) {
        case 'running':
          request = { kind: 'poll', call: id, part: 0 };
          break;
        case 'refused':
          return refused(reply);
        case 'unknown':
          return { kind: 'notRun', reason: 'nobody' };
        case 'part':
          return this.fetch(writer, id, call, reply);
        case 'received':
        case 'position':
          return { kind: 'unknown', reason: `the writer answered a call with ${reply.kind}` };
      }
    }
  }

  /** Fetches the rest of an answer whose first part is here. */
  private async fetch(
    writer: RemoteWriter,
    id: string,
    call: ForwardCall,
    first: Extract<ForwardReply, { kind: 'part' }>,
  ): Promise<ForwardOutcome> {
    const parts: (Uint8Array | undefined)[] = Array.from({ length: first.count });
    parts[0] = first.bytes;
    const wanted = Array.from({ length: first.count - 1 }, (_, index) => index + 1);
    const failures: string[] = [];
    const worker = async (): Promise<void> => {
      for (let part = wanted.shift(); part !== undefined && failures.length === 0; part = wanted.shift()) {
        const fetched = await this.fetchPart(writer, id, part);
        if (typeof fetched === 'string') failures.push(`part ${part} of the answer did not come: ${fetched}`);
        else parts[part] = fetched;
      }
    };
    await Promise.all(Array.from({ length: Math.min(partsAtOnce, wanted.length) }, worker));
    this.forget(writer, id);
    const whole = parts.filter((part) => part !== undefined);
    if (whole.length !== first.count)
      return { kind: 'unknown', reason: failures[0] ?? 'the answer is incomplete' };
    const decoded = decodeResult(call.operation.kind, joinParts(whole));
    if (decoded.kind === 'malformed') return { kind: 'unknown', reason: decoded.reason };
    return decoded.value.kind === 'notRun'
      ? { kind: 'notRun', reason: 'not-writer' }
      : { kind: 'result', result: decoded.value };
  }

  /** @returns the part, or why it cannot be had. */
  private async fetchPart(writer: RemoteWriter, id: string, part: number): Promise<Uint8Array | string> {
    const { limits, runtime } = this.options;
    const silence = new WriterSilence(limits, runtime.nowMs());
    for (;;) {
      const sent = await this.send(writer, { kind: 'poll', call: id, part });
      if (sent.kind === 'reply') {
        if (sent.reply.kind === 'part') return sent.reply.bytes;
        if (sent.reply.kind !== 'running') return `the writer answers ${sent.reply.kind}`;
        silence.heard(runtime.nowMs());
      } else {
        const reason = await this.wait(silence, writer, sent.kind);
        if (reason !== null) return reason;
      }
    }
  }

  private forget(writer: RemoteWriter, id: string): void {
    this.line.tell(writer.subject, { kind: 'forget', call: id });
  }
}

/** A message that was certainly not acted on. */
const notRun = (how: InVain): ForwardOutcome => ({
  kind: 'notRun',
  reason: how === 'nobody' ? 'nobody' : 'disconnected',
});

function refused(reply: Extract<ForwardReply, { kind: 'refused' }>): ForwardOutcome {
  if (reply.reason === 'too-large') return { kind: 'tooLarge', message: reply.message };
  return { kind: 'notRun', reason: reply.reason };
}
