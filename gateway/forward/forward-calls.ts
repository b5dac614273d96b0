/** The writer's side of calls: what `core/call-table.ts` says is to be run is run, and who asks for its end hears of it. */
import { type BranchName, type Runtime, unreachable } from '../../storage/index.ts';
import { type CallEnd, type CallStep, CallTable, partOf } from './core/call-table.ts';
import { decodeCall, type ForwardCall } from './core/forward-call.ts';
import type { ForwardLimits } from './core/forward-limits.ts';
import type { ForwardReply, ForwardRequest } from './core/forward-messages.ts';

export interface ForwardCallsOptions {
  readonly limits: ForwardLimits;
  readonly runtime: Pick<Runtime, 'nowMs' | 'after'>;
  /** Runs a call, once. */
  readonly run: (branch: BranchName, call: ForwardCall) => Promise<CallEnd>;
}

/** What gateways ask about calls. */
export type CallRequest = Extract<ForwardRequest, { kind: 'part' | 'poll' | 'forget' }>;

export class ForwardCalls {
  private readonly options: ForwardCallsOptions;
  private readonly table: CallTable;
  /** Who waits for the end of a call that runs. */
  private readonly waiting = new Map<string, ((end: CallEnd) => void)[]>();

  constructor(options: ForwardCallsOptions) {
    this.options = options;
    this.table = new CallTable(options.limits);
  }

  /** @returns null for a request that wants no answer. An answer to a call that runs comes within `forwardHoldMs`. */
  serve(request: CallRequest): ForwardReply | Promise<ForwardReply> | null {
    switch (request.kind) {
      case 'part': {
        const step = this.table.takePart(request, this.nowMs);
        if (step.kind === 'run') this.begin(request.call, request.branch, step.bytes);
        return this.replyTo(request.call, step, 0);
      }
      case 'poll':
        return this.replyTo(
          request.call,
          this.table.poll(request.call, request.part, this.nowMs),
          request.part,
        );
      case 'forget':
        this.table.forget(request.call);
        return null;
      default:
        return unreachable(request);
    }
  }

  /** Lets go of what nobody came for within `forwardKeepMs`. */
  sweep(): void {
    this.table.sweep(this.nowMs);
  }

  /** Whether some call runs, or has an answer that its caller may still come for. */
  get owesAnswers(): boolean {
    return this.table.owesAnswers(this.nowMs);
  }

  private get nowMs(): number {
    return this.options.runtime.nowMs();
  }

  private begin(id: string, branch: BranchName, bytes: Uint8Array): void {
    const decoded = decodeCall(bytes);
    const run =
      decoded.kind === 'malformed'
        ? Promise.resolve<CallEnd>({ kind: 'refused', reason: 'malformed', message: decoded.reason })
        : this.options.run(branch, decoded.value);
    this.waiting.set(id, []);
    void run.then((end) => {
      const waiting = this.waiting.get(id) ?? [];
      this.waiting.delete(id);
      this.table.ended(id, end, this.nowMs);
      for (const waiter of waiting) waiter(end);
    });
  }

  /** A part of the answer, or word that there is none yet. */
  private replyTo(id: string, step: CallStep, part: number): ForwardReply | Promise<ForwardReply> {
    return step.kind === 'reply' ? step.reply : this.hold(id, part);
  }

  private hold(id: string, part: number): Promise<ForwardReply> {
    const { runtime, limits } = this.options;
    const waiting = this.waiting.get(id) ?? [];
    return new Promise((resolve) => {
      const waiter = (end: CallEnd): void => {
        timer.stop();
        resolve(partOf(end, part));
      };
      const timer = runtime.after(limits.forwardHoldMs, () => {
        waiting.splice(waiting.indexOf(waiter), 1);
        resolve({ kind: 'running' });
      });
      waiting.push(waiter);
    });
  }
}
