/**
 * Spans of client requests and their commits, from facts recorded on the way. Nothing here is on the path of an answer
 * but additions to maps, and nothing at all happens without a collector.
 */

import {
  type AppendFacts,
  type Epoch,
  everyBeside,
  type Lsn,
  monotonicMs,
  wallUs,
} from '../../storage/index.ts';
import {
  type AppendRow,
  attributes,
  attributeValues,
  childContext,
  type DbSystem,
  formatTraceparent,
  newSpanId,
  parseTraceparent,
  queryText,
  serverSpanName,
  spanNames,
  type Telemetry,
  type TraceContext,
} from '../../telemetry/index.ts';
import type { EngineCommitEvent } from '../engine/commit-events.ts';
import type { EngineCommit, EngineTrace } from '../engine/core/engine-protocol.ts';
import { sqlstateOf } from '../postgres/core/sqlstate.ts';
import { type SqlOperation, statementsOf, verbOf } from '../sql/operation.ts';
import type { SqlError } from '../sql/sql.ts';
import { appendRows } from './commit-spans.ts';
import type { SpanLimits } from './core/span-limits.ts';

/** A request of a client under way. */
export interface RequestSpan {
  readonly context: TraceContext;
  readonly parentSpanId: string | null;
  readonly startUs: number;
}

export interface RequestTracerOptions {
  readonly telemetry: Telemetry;
  readonly system: DbSystem;
  /** The database, as `namespaceOf` says. */
  readonly namespace: string;
  readonly nodes: readonly { readonly node: string; readonly az: string }[];
  readonly limits: SpanLimits;
}

interface WaitingCommit {
  readonly lsn: Lsn;
  readonly epoch: Epoch;
  readonly redoBytes: number;
  readonly commitTimeUs: number;
  readonly traceId: string;
  readonly spanId: string;
  parentSpanId: string | null;
  durableUs: number | null;
  durableAtMs: number;
  /** Its answer waits for another region: whose request it was is told with that. */
  isHeld: boolean;
  facts: AppendFacts | null;
}

/** As the client hears it: PostgreSQL's own errors have their SQLSTATE, and so have Sextant's in its protocol. */
const statusOf = ({ kind }: SqlOperation, { code }: SqlError): string =>
  kind === 'wire' && !/^[0-9A-Z]{5}$/.test(code) ? sqlstateOf(code) : code;

/** For commits that no later one pushes out. */
const sweepEveryMs = 50;

export class RequestTracer {
  private nodes: RequestTracerOptions['nodes'];
  readonly enabled: boolean;
  private readonly options: RequestTracerOptions;
  /** In LSN order. */
  private readonly waiting = new Map<Lsn, WaitingCommit>();
  /** Those of them that are not durable. */
  private pending: WaitingCommit[] = [];
  /** Durable here, while answers wait for another region. */
  private held: WaitingCommit[] = [];
  private last: {
    readonly facts: AppendFacts;
    readonly acks: number;
    readonly appends: readonly AppendRow[];
  } | null = null;
  private readonly stopSweeping: (() => void) | null;
  private sweepPlanned = false;

  constructor(options: RequestTracerOptions) {
    this.nodes = options.nodes;
    this.options = options;
    this.enabled = options.telemetry.enabled;
    this.stopSweeping = this.enabled ? everyBeside(sweepEveryMs, () => this.sweep()) : null;
  }

  /** The region has these storage nodes from now on: a commit is told with what each of them took. */
  useNodes(nodes: RequestTracerOptions['nodes']): void {
    this.nodes = nodes;
  }

  /** The span of a client's request; null when nothing is traced. */
  begin(traceparent: string | null): RequestSpan | null {
    if (!this.enabled && traceparent === null) return null;
    const parent = traceparent === null ? null : parseTraceparent(traceparent);
    const context = this.options.telemetry.begin(parent);
    if (context === null) return null;
    return { context, parentSpanId: parent?.spanId ?? null, startUs: this.enabled ? wallUs() : 0 };
  }

  /**
   * The span of a request that another gateway has forwarded here, below that one's `forward` (G39). Whether the trace is kept
   * was decided there. Without a collector it is what came, so that what others export hangs on a span that exists.
   */
  arrived(traceparent: string | null): RequestSpan | null {
    const parent = traceparent === null ? null : parseTraceparent(traceparent);
    if (parent === null) return null;
    if (!this.enabled) return { context: parent, parentSpanId: null, startUs: 0 };
    return { context: childContext(parent), parentSpanId: parent.spanId, startUs: wallUs() };
  }

  /** What travels into the commit record. */
  engineTrace(context: TraceContext | null): EngineTrace | null {
    return context === null ? null : { traceId: context.traceId, flags: context.sampled ? 1 : 0 };
  }

  /** A child context for a forwarded request, and its header. */
  forwarded(span: RequestSpan | null): { readonly spanId: string; readonly traceparent: string } | null {
    if (span === null) return null;
    const spanId = this.enabled ? newSpanId() : span.context.spanId;
    return { spanId, traceparent: formatTraceparent({ ...span.context, spanId }) };
  }

  forwardEnded(
    span: RequestSpan | null,
    spanId: string | undefined,
    facts: { readonly startUs: number; readonly to: string; readonly attempts: number },
    error: SqlError | null,
  ): void {
    if (!this.enabled || span === null || spanId === undefined) return;
    this.options.telemetry.record({
      name: spanNames.forward,
      kind: 'client',
      context: { ...span.context, spanId },
      parentSpanId: span.context.spanId,
      startUs: facts.startUs,
      endUs: wallUs(),
      attributes: {
        [attributes.messagingSystem]: attributeValues.messagingSystemNats,
        [attributes.targetRegion]: facts.to,
        [attributes.attempts]: facts.attempts,
      },
      ...(error !== null && { error }),
    });
  }

  readWaited(span: RequestSpan | null, startUs: number, consistency: string): void {
    if (!this.enabled || span === null) return;
    this.options.telemetry.record({
      name: spanNames.readWait,
      kind: 'internal',
      context: { ...span.context, spanId: newSpanId() },
      parentSpanId: span.context.spanId,
      startUs,
      endUs: wallUs(),
      attributes: { [attributes.consistency]: consistency },
    });
  }

  /** The answer of a request leaves. */
  ended(
    span: RequestSpan | null,
    operation: SqlOperation,
    error: SqlError | null,
    consistency: string | null,
  ): void {
    if (!this.enabled || span === null || !span.context.sampled) return;
    const verb = verbOf(operation);
    const texts = statementsOf(operation);
    const { system } = this.options;
    this.options.telemetry.recordServer({
      context: span.context,
      parentSpanId: span.parentSpanId,
      startUs: span.startUs,
      endUs: wallUs(),
      name: serverSpanName(verb === '' ? null : verb),
      namespace: this.options.namespace,
      verb,
      system,
      text: queryText(texts[0] ?? '', system),
      batchSize: verb === 'BATCH' ? texts.length : null,
      consistency,
      error: error === null ? null : { ...error, status: statusOf(operation, error) },
    });
  }

  /** The engine has committed; the answers follow. The redo of a group is counted in equal parts. */
  commitsMade({ mtr, commits }: EngineCommitEvent, epoch: Epoch): void {
    if (!this.enabled) return;
    const redoBytes = Math.round(mtr.byteLength / commits.length);
    for (const { lsn, commitTimeUs, spanId, trace } of commits) {
      if (trace === null || spanId === null || (trace.flags & 1) === 0) continue;
      if (this.waiting.size >= this.options.limits.spansWaiting) this.emitOldest();
      const waiting: WaitingCommit = {
        lsn,
        epoch,
        redoBytes,
        commitTimeUs,
        traceId: trace.traceId,
        spanId,
        parentSpanId: null,
        durableUs: null,
        durableAtMs: 0,
        isHeld: false,
        facts: null,
      };
      this.waiting.set(lsn, waiting);
      this.pending.push(waiting);
    }
  }

  /** These commits were made by the request with this context. */
  committed(commits: readonly EngineCommit[], parent: TraceContext | null): void {
    if (!this.enabled || parent === null) return;
    for (const { lsn } of commits) {
      const commit = this.waiting.get(lsn);
      if (commit !== undefined) commit.parentSpanId = parent.spanId;
    }
  }

  /** @param free commits beyond wait for another region. */
  durableAt(vdl: Lsn, facts: readonly AppendFacts[], free: Lsn): void {
    if (!this.enabled) return;
    const nowUs = wallUs();
    const nowMs = monotonicMs();
    let durable = 0;
    for (const commit of this.pending) {
      if (commit.lsn > vdl) break;
      commit.durableUs = nowUs;
      commit.durableAtMs = nowMs;
      commit.facts = facts.find((batch) => commit.lsn > batch.lsnFrom && commit.lsn <= batch.lsnTo) ?? null;
      if (commit.lsn > free && this.held.length < this.options.limits.spansWaiting) {
        commit.isHeld = true;
        this.held.push(commit);
      }
      durable += 1;
    }
    this.pending.splice(0, durable);
    this.planSweep();
  }

  /** What waited for another region up to here may leave. */
  freedAt(free: Lsn): void {
    if (this.held.length === 0) return;
    const endUs = wallUs();
    let left = 0;
    for (const commit of this.held) {
      const { lsn, traceId, spanId, durableUs } = commit;
      if (lsn > free) break;
      left += 1;
      commit.isHeld = false;
      commit.durableAtMs = monotonicMs();
      this.options.telemetry.record({
        name: spanNames.rpoWait,
        kind: 'internal',
        context: { traceId, spanId: newSpanId(), sampled: true },
        parentSpanId: spanId,
        startUs: durableUs ?? endUs,
        endUs,
        attributes: { [attributes.lsn]: lsn },
      });
    }
    this.held.splice(0, left);
    this.planSweep();
  }

  /** A reign is over: what was not durable is recorded as unknown. */
  reignEnded(): void {
    this.held = [];
    for (const commit of this.waiting.values()) this.emit(commit);
    this.waiting.clear();
    this.pending = [];
  }

  close(): void {
    this.stopSweeping?.();
    this.reignEnded();
  }

  /**
   * The batch before has most likely heard of all its nodes by now, and what is recorded soon does not outlive the young
   * generation. Answers of this batch go first.
   */
  private planSweep(): void {
    if (this.sweepPlanned) return;
    this.sweepPlanned = true;
    setImmediate(() => {
      this.sweepPlanned = false;
      this.sweep();
    });
  }

  private sweep(): void {
    const nowMs = monotonicMs();
    for (const commit of this.waiting.values()) {
      if (commit.durableUs === null || commit.isHeld) break;
      const isWhole = commit.parentSpanId !== null && (commit.facts?.acks.length ?? 0) >= this.nodes.length;
      if (!isWhole && nowMs - commit.durableAtMs < this.options.limits.spanWaitMs) continue;
      this.waiting.delete(commit.lsn);
      this.emit(commit);
    }
  }

  private emitOldest(): void {
    const oldest = this.waiting.values().next().value;
    if (oldest === undefined) return;
    this.waiting.delete(oldest.lsn);
    this.emit(oldest);
  }

  private emit(commit: WaitingCommit): void {
    const { facts, durableUs } = commit;
    const endUs = durableUs ?? wallUs();
    this.options.telemetry.recordCommit(
      {
        traceId: commit.traceId,
        spanId: commit.spanId,
        parentSpanId: commit.parentSpanId,
        lsn: commit.lsn,
        epoch: commit.epoch,
        redoBytes: commit.redoBytes,
        startUs: commit.commitTimeUs,
        endUs,
        durable: durableUs !== null,
      },
      facts === null ? this.appendsOf(commit, endUs) : this.batchAppends(facts, endUs),
    );
  }

  /** The appends of a batch, made once while its commits are given out one after another. */
  private batchAppends(facts: AppendFacts, endUs: number): readonly AppendRow[] {
    const { last } = this;
    if (last?.facts === facts && last.acks === facts.acks.length) return last.appends;
    const appends = appendRows(facts.acks, facts.sentAtUs, endUs, this.nodes);
    this.last = { facts, acks: facts.acks.length, appends };
    return appends;
  }

  private appendsOf(commit: WaitingCommit, endUs: number): readonly AppendRow[] {
    return appendRows([], commit.commitTimeUs, endUs, this.nodes);
  }
}
