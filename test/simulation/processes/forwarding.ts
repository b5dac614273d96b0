/**
 * Writes on their way from one simulated gateway to the one that writes: the production client, inbox and calls over a NATS twin.
 * The text of a statement is the write, and its answer says it again, so that a large one travels in several parts both ways.
 */
import { z } from 'zod';
import type { CallEnd } from '../../../gateway/forward/core/call-table.ts';
import { encodeResult, type ForwardCall } from '../../../gateway/forward/core/forward-call.ts';
import { defaultForwardLimits, type ForwardLimits } from '../../../gateway/forward/core/forward-limits.ts';
import { type ForwardReply, splitParts } from '../../../gateway/forward/core/forward-messages.ts';
import { type RemoteWriter, WriterStandings } from '../../../gateway/forward/core/writer-standing.ts';
import { ForwardCalls } from '../../../gateway/forward/forward-calls.ts';
import { ForwardClient } from '../../../gateway/forward/forward-client.ts';
import { ForwardInbox, type SingleRequest } from '../../../gateway/forward/forward-inbox.ts';
import { gatewaySubject } from '../../../gateway/session/writer-watch.ts';
import { adviseFailure } from '../../../gateway/sql/errors.ts';
import { emptyResult } from '../../../gateway/sql/lost-transaction.ts';
import { freshStream } from '../../../gateway/sql/stream-state.ts';
import { parseJson } from '../../../regions/bus/core/messages.ts';
import type { ControlRecord, Holder } from '../../../regions/control/core/control-record.ts';
import { genesisEpoch, mainBranch, type RegionId, zeroLsn } from '../../../storage/redo/ids.ts';
import type { SimContext, WriteOutcome } from '../deployment/sim-types.ts';
import type { WrittenParts } from '../deployment/sim-workload.ts';
import type { NatsPart } from '../ports/nats.ts';
import type { RuntimeTwin } from '../ports/runtime.ts';
import type { Prng } from '../world/prng.ts';

export interface SimForwardingOptions {
  readonly context: SimContext;
  readonly time: RuntimeTwin;
  readonly chance: Prng;
  readonly nats: NatsPart;
  readonly region: RegionId;
  readonly me: Holder;
  readonly record: () => ControlRecord | null;
  /** Executes a write here; `retry` when this is not the writer. */
  readonly execute: (write: WrittenParts) => Promise<WriteOutcome>;
}

const sweepEveryMs = 1_000;
const fresh = { fresh: true, state: freshStream, traceparent: null, readOnly: false } as const;

const writeSchema = z.object({
  writeId: z.string(),
  parts: z.array(z.object({ page: z.int(), offset: z.int(), whole: z.boolean() })),
});

export class SimForwarding {
  private readonly options: SimForwardingOptions;
  private readonly limits: ForwardLimits;
  private readonly standings = new WriterStandings();
  private readonly client: ForwardClient;
  private readonly calls: ForwardCalls;
  private readonly inbox: ForwardInbox;

  constructor(options: SimForwardingOptions) {
    this.options = options;
    const { context, time, chance, nats, region, me } = options;
    this.limits = { ...defaultForwardLimits, forwardPartBytes: chance.pick([1_024, 512 * 1024]) };
    const { limits } = this;
    const subject = gatewaySubject(context.cluster, region, me);
    const standingOf = (writer: RemoteWriter) => this.standings.of(writer);
    this.client = new ForwardClient({ nats, me: me.incarnation, limits, standingOf, runtime: time });
    this.calls = new ForwardCalls({ limits, runtime: time, run: (_, call) => this.run(call) });
    this.inbox = new ForwardInbox({
      nats,
      subject,
      limits,
      runtime: time,
      serve: (asked) => this.serve(asked),
    });
    time.every(sweepEveryMs, () => this.calls.sweep());
  }

  /** The gateway that the newest control record that is known here names. */
  get writer(): RemoteWriter | null {
    const record = this.options.record();
    if (record === null || record.holder === null) return null;
    const { primary, holder } = record;
    return { subject: gatewaySubject(this.options.context.cluster, primary, holder), region: primary };
  }

  /** There is news of who writes. */
  writerChanged(): void {
    const state = this.options.record()?.state;
    if (state !== undefined) this.standings.saw(this.writer, state);
    this.client.writerChanged();
  }

  /** Has a write executed by that writer. `retry`: nothing was done. */
  async send(to: RemoteWriter, write: WrittenParts): Promise<WriteOutcome> {
    const statement = { sql: JSON.stringify(write), args: [], namedArgs: [], wantRows: true };
    const operation = { kind: 'execute', statement } as const;
    const sent = await this.client.call(to, mainBranch, { ...fresh, stream: this.client.newId(), operation });
    switch (sent.kind) {
      case 'result': {
        const { outcome, epoch, seenLsn } = sent.result;
        return outcome.ok
          ? { kind: 'committed', region: to.region, epoch, lsn: seenLsn }
          : { kind: 'unknown' };
      }
      case 'notRun':
        return { kind: 'retry' };
      case 'unknown':
        return { kind: 'unknown' };
      case 'tooLarge':
        return { kind: 'refused' };
    }
  }

  /** Whether a gateway of this region gives a sign of life. */
  ping(gateway: Holder, waitMs: number): ReturnType<ForwardClient['ping']> {
    const { context, region } = this.options;
    return this.client.ping(gatewaySubject(context.cluster, region, gateway), waitMs);
  }

  private serve(asked: SingleRequest): ForwardReply | Promise<ForwardReply> | null {
    const { defects, witness } = this.options.context;
    switch (asked.kind) {
      case 'part':
      case 'forget':
        return this.calls.serve(asked);
      case 'poll':
        witness.askedAgain();
        // The defect knows no call again that it has run.
        return this.calls.serve(
          defects.has('forgets-calls') ? { ...asked, call: `not ${asked.call}` } : asked,
        );
      case 'ping':
        return { kind: 'received' };
      case 'close':
      case 'cancel':
      case 'position':
        throw new Error(`no simulated gateway asks for ${asked.kind}`);
    }
  }

  private async run({ operation }: ForwardCall): Promise<CallEnd> {
    if (operation.kind !== 'execute') throw new Error(`no simulated gateway sends ${operation.kind}`);
    const { sql } = operation.statement;
    const write = parseJson(writeSchema, sql);
    if (write.kind === 'malformed') throw new Error(`a forwarded write cannot be read: ${write.reason}`);
    this.options.context.witness.ranForward();
    const outcome = await this.options.execute(write.value);
    if (outcome.kind === 'retry') return { kind: 'refused', reason: 'not-writer', message: 'not the writer' };
    const isCommitted = outcome.kind === 'committed';
    const bytes = encodeResult('execute', {
      kind: 'answered',
      outcome: isCommitted
        ? { ok: true, value: { ...emptyResult, columns: [{ name: 'write', decltype: null }], rows: [[sql]] } }
        : adviseFailure('SEXTANT_COMMIT_UNKNOWN', 'the reign ended'),
      autocommit: true,
      holds: false,
      state: null,
      seenLsn: isCommitted ? outcome.lsn : zeroLsn,
      epoch: isCommitted ? outcome.epoch : genesisEpoch,
    });
    return { kind: 'done', parts: splitParts(bytes, this.inbox.partBytes), bytes: bytes.length };
  }
}
