/**
 * One statement on its way to the writer in another gateway, however often it has to be sent: one `forward` span and one count
 * (G38, T11). An outage in which each waiting write asks again and again is no flood of telemetry.
 */
import { monotonicMs, wallUs } from '../../storage/index.ts';
import type { SqlError } from '../sql/sql.ts';
import type { GatewayMetrics } from './gateway-metrics.ts';
import type { RequestSpan, RequestTracer } from './request-tracer.ts';

/** What came of sending it once. */
export type ForwardEnd = 'result' | 'notRun' | 'unknown' | 'tooLarge';

/** What became of a forwarded statement in the end: answered by the writer, or run by this gateway, which had become it. */
export type ForwardFate = 'ok' | 'here' | Exclude<ForwardEnd, 'result'>;

export class ForwardTrail {
  private readonly tracer: RequestTracer;
  private readonly metrics: GatewayMetrics;
  private readonly span: RequestSpan | null;
  private readonly child: ReturnType<RequestTracer['forwarded']>;
  private readonly startUs = wallUs();
  private readonly startMs = monotonicMs();
  private attempts = 0;
  private to = '';
  private last: { readonly end: ForwardEnd; readonly error: SqlError | null } | null = null;
  private isHere = false;

  constructor(tracer: RequestTracer, metrics: GatewayMetrics, span: RequestSpan | null) {
    this.tracer = tracer;
    this.metrics = metrics;
    this.span = span;
    this.child = tracer.forwarded(span);
  }

  /** It is sent once more. @returns the trace context to send with it, the same each time. */
  sent(to: string): string | null {
    this.attempts += 1;
    this.to = to;
    this.metrics.forwardSent();
    return this.child?.traceparent ?? null;
  }

  heard(end: ForwardEnd, error: SqlError | null): void {
    this.last = { end, error };
  }

  /** No writer took it, and this gateway runs it. */
  ranHere(): void {
    this.isHere = true;
  }

  /** The client is answered. */
  ended(): void {
    const { last } = this;
    if (last === null) return;
    const isHere = this.isHere && last.end === 'notRun';
    const fate: ForwardFate = isHere ? 'here' : last.end === 'result' ? 'ok' : last.end;
    this.metrics.forwarded(fate, monotonicMs() - this.startMs);
    const facts = { startUs: this.startUs, to: this.to, attempts: this.attempts };
    this.tracer.forwardEnded(this.span, this.child?.spanId, facts, isHere ? null : last.error);
  }
}
