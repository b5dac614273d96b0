import { describe, expect, test } from 'vitest';
import { moveLimits } from '../../../regions/control/core/move-limits.ts';
import { LossCollector, type LostTrace } from '../../../regions/moves/core/loss-report.ts';
import { lossSpans } from '../../../regions/moves/core/loss-spans.ts';
import { operationTrace } from '../../../regions/moves/core/move-spans.ts';
import { encodeFrame, type ReceivedFrame, splitFrames } from '../../../storage/redo/frame.ts';
import { epoch, type Lsn, lsn, pgId, regionId } from '../../../storage/redo/ids.ts';
import { encodeMtr } from '../../../storage/redo/record.ts';
import { encodeTraceContext, keptTrace, type TraceContext } from '../../../telemetry/index.ts';

/** One commit for each context, a microsecond apart. */
function frameOf(base: Lsn, contexts: readonly (TraceContext | null)[]): ReceivedFrame {
  const parts = contexts.flatMap((context, index) => {
    const trace = context === null ? null : encodeTraceContext(context);
    const commit = { kind: 'commit' as const, commitTimeUs: 1_000 + index, trace };
    return encodeMtr([], [commit], 1 << 20).runs.map((run) => run.bytes);
  });
  const split = splitFrames(encodeFrame({ epoch: epoch(1), pg: pgId(0), base, prevPg: base }, parts));
  if (split.kind === 'bad' || split.frames[0] === undefined) throw new Error('the frame does not check');
  return split.frames[0];
}

const about = { epoch: epoch(3), orphanEpoch: epoch(1), region: regionId('us-east-1'), foundAtMs: 9_000 };
const collected = (contexts: readonly (TraceContext | null)[]): LossCollector => {
  const collector = new LossCollector({ from: lsn(0), to: lsn(Number.MAX_SAFE_INTEGER) });
  collector.add(frameOf(lsn(0), contexts));
  return collector;
};
const spansOf = (collector: LossCollector, operation: string | null) =>
  lossSpans({
    cluster: 'c1',
    report: collector.report(about),
    traces: collector.traces,
    operation,
    lookedAtUs: 8_500_000,
  });

describe('lost writes', () => {
  const [one, two] = [keptTrace(), keptTrace()];
  const unsampled = { ...keptTrace(), sampled: false };

  test('have an error span each in their own traces, within the commit, and linked to the failover', () => {
    const [whole, ...lost] = spansOf(collected([one, null, unsampled, two]), 'eu-west-1.ab12');
    const failover = operationTrace('c1', 'eu-west-1.ab12');
    expect(whole).toMatchObject({
      name: 'losses',
      parentSpanId: null,
      startUs: 8_500_000,
      endUs: 9_000_000,
      links: [failover],
      error: { code: 'WRITES_LOST' },
      attributes: {
        'sextant.operation.id': 'eu-west-1.ab12',
        'sextant.epoch': 1,
        'sextant.source.region': 'us-east-1',
        'sextant.lost_writes': 4,
        'sextant.lost_writes_marked': 2,
      },
    });
    expect(lost).toHaveLength(2);
    for (const [at, context] of [one, two].entries())
      expect(lost[at]).toMatchObject({
        name: 'lost',
        context: { traceId: context.traceId, sampled: true },
        parentSpanId: context.spanId,
        startUs: 1_000 + 3 * at,
        endUs: 1_000 + 3 * at,
        links: [failover],
        error: { code: 'WRITE_LOST' },
      });
    const positions = lost.map(({ attributes }) => attributes['sextant.lsn']);
    expect(positions).toEqual(
      [0, 3].map((index) => collected([one, null, unsampled, two]).report(about).commits[index]?.lsn),
    );
  });

  test('are linked to the report when nobody who is heard knows the failover', () => {
    const [whole, lost] = spansOf(collected([one]), null);
    expect(whole).not.toHaveProperty('links');
    expect(lost?.links).toMatchObject([{ traceId: whole?.context.traceId, spanId: whole?.context.spanId }]);
  });

  test('are the same spans when the report is made again, and others in another region', () => {
    expect(spansOf(collected([one]), 'm')).toEqual(spansOf(collected([one]), 'm'));
    const elsewhere = lossSpans({
      cluster: 'c1',
      report: collected([one]).report({ ...about, region: regionId('ap-northeast-1') }),
      traces: collected([one]).traces,
      operation: 'm',
      lookedAtUs: 0,
    });
    expect(elsewhere[1]?.context.spanId).not.toBe(spansOf(collected([one]), 'm')[1]?.context.spanId);
  });

  test('beyond ten thousand are counted and not marked', () => {
    const collector = new LossCollector({ from: lsn(0), to: lsn(Number.MAX_SAFE_INTEGER) });
    let base = 0;
    for (let frame = 0; frame < 11; frame += 1) {
      const next = frameOf(
        lsn(base),
        Array.from({ length: 1_000 }, () => one),
      );
      collector.add(next);
      base = next.header.end;
    }
    const traces: readonly LostTrace[] = collector.traces;
    expect(traces).toHaveLength(moveLimits.lossSpansMax);
    const [whole, ...lost] = spansOf(collector, 'm');
    expect(lost).toHaveLength(10_000);
    expect(whole?.attributes).toMatchObject({
      'sextant.lost_writes': 11_000,
      'sextant.lost_writes_marked': 10_000,
    });
  });
});
