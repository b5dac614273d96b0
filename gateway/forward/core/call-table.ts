/**
 * The calls of other gateways, as the writer keeps them: each runs once, however often its messages are sent (G30), and one that
 * was asked for before it came never runs (G31). An answer stays until whoever asked has all of it. Pure.
 */
import type { ForwardLimits } from './forward-limits.ts';
import {
  type ForwardRefusal,
  type ForwardReply,
  type ForwardRequest,
  joinParts,
} from './forward-messages.ts';

/** Nothing of the call has run, or ever will. */
export interface Refused {
  readonly kind: 'refused';
  readonly reason: ForwardRefusal;
  readonly message: string;
}

/** A whole answer, in parts. */
export interface Done {
  readonly kind: 'done';
  readonly parts: readonly Uint8Array[];
  readonly bytes: number;
}

/** How a call ends. */
export type CallEnd = Done | Refused;

type CallState =
  | { readonly kind: 'receiving'; readonly parts: (Uint8Array | undefined)[]; bytes: number }
  | { readonly kind: 'running' }
  | CallEnd
  /** Somebody asked for it before it came: it must not run any more. */
  | { readonly kind: 'cancelled' };

interface Call {
  state: CallState;
  touchedAtMs: number;
}

/** What a message about a call leads to. */
export type CallStep =
  | { readonly kind: 'reply'; readonly reply: ForwardReply }
  /** The call is whole and has not run: it is to be run now, and how it ends is to be told to `ended`. */
  | { readonly kind: 'run'; readonly bytes: Uint8Array }
  /** It runs: whoever asks hears of its end. */
  | { readonly kind: 'runs' };

/** An answer that nobody asked for again within this time was read, or is of nobody who lives. */
const fetchMs = 500;

export class CallTable {
  private readonly limits: ForwardLimits;
  private readonly calls = new Map<string, Call>();
  private heldBytes = 0;

  constructor(limits: ForwardLimits) {
    this.limits = limits;
  }

  /** A part of a call has come. */
  takePart(part: Extract<ForwardRequest, { kind: 'part' }>, nowMs: number): CallStep {
    const { limits } = this;
    const { call: id, index, count, bytes } = part;
    let call = this.calls.get(id);
    if (call === undefined) {
      if (this.calls.size >= limits.forwardCalls || this.heldBytes + bytes.length > limits.forwardHeldBytes) {
        const message = `forwardCalls = ${limits.forwardCalls} or forwardHeldBytes = ${limits.forwardHeldBytes} is reached`;
        return reply({ kind: 'refused', reason: 'busy', message });
      }
      call = {
        state: { kind: 'receiving', parts: Array.from({ length: count }), bytes: 0 },
        touchedAtMs: nowMs,
      };
      this.calls.set(id, call);
    }
    call.touchedAtMs = nowMs;
    const { state } = call;
    if (state.kind !== 'receiving') return this.answer(id, state, 0);
    if (index >= state.parts.length || count !== state.parts.length) {
      this.forget(id);
      return reply({ kind: 'refused', reason: 'malformed', message: 'parts that do not belong together' });
    }
    if (state.parts[index] === undefined) {
      // A copy unless it is used at once: the message is the connection's buffer.
      state.parts[index] = count === 1 ? bytes : bytes.slice();
      state.bytes += bytes.length;
      this.heldBytes += bytes.length;
    }
    if (state.bytes > limits.forwardCallBytes) {
      this.forget(id);
      const message = `The limit forwardCallBytes = ${limits.forwardCallBytes} is reached`;
      return reply({ kind: 'refused', reason: 'too-large', message });
    }
    const parts = state.parts.filter((each) => each !== undefined);
    if (parts.length < count) return reply({ kind: 'received' });
    this.heldBytes -= state.bytes;
    call.state = { kind: 'running' };
    return { kind: 'run', bytes: joinParts(parts) };
  }

  /** A call that was run, or could not be, has ended. */
  ended(id: string, end: CallEnd, nowMs: number): void {
    if (end.kind === 'done') this.heldBytes += end.bytes;
    this.calls.set(id, { state: end, touchedAtMs: nowMs });
  }

  /** Somebody asks what became of a call. One that is not whole here will not run any more. */
  poll(id: string, part: number, nowMs: number): CallStep {
    const call = this.calls.get(id);
    if (call !== undefined && call.state.kind !== 'receiving') {
      call.touchedAtMs = nowMs;
      return this.answer(id, call.state, part);
    }
    this.forget(id);
    this.calls.set(id, { state: { kind: 'cancelled' }, touchedAtMs: nowMs });
    return reply({ kind: 'unknown' });
  }

  /** Whoever asked has what it wanted, or wants nothing any more. What runs goes on. */
  forget(id: string): void {
    const call = this.calls.get(id);
    if (call === undefined || call.state.kind === 'running') return;
    if (call.state.kind === 'receiving' || call.state.kind === 'done') this.heldBytes -= call.state.bytes;
    this.calls.delete(id);
  }

  /** Lets go of what nobody came for. */
  sweep(nowMs: number): void {
    for (const [id, call] of this.calls)
      if (nowMs - call.touchedAtMs > this.limits.forwardKeepMs) this.forget(id);
  }

  /** Whether some call runs, or has an answer that its caller, who forgets what it has, may still come for (G104). */
  owesAnswers(nowMs: number): boolean {
    for (const { state, touchedAtMs } of this.calls.values()) {
      if (state.kind === 'running') return true;
      if (state.kind === 'done' && nowMs - touchedAtMs < fetchMs) return true;
    }
    return false;
  }

  private answer(id: string, state: Exclude<CallState, { kind: 'receiving' }>, part: number): CallStep {
    if (state.kind === 'running') return { kind: 'runs' };
    if (state.kind === 'refused') this.calls.delete(id);
    return reply(state.kind === 'cancelled' ? { kind: 'unknown' } : partOf(state, part));
  }
}

/** What is said of a call that has ended to one who asks for a part of its answer. */
export function partOf(end: CallEnd, part: number): ForwardReply {
  if (end.kind === 'refused') return end;
  const bytes = end.parts[part];
  if (bytes === undefined)
    return { kind: 'refused', reason: 'malformed', message: `the answer has ${end.parts.length} parts` };
  return { kind: 'part', index: part, count: end.parts.length, bytes };
}

const reply = (said: ForwardReply): CallStep => ({ kind: 'reply', reply: said });
