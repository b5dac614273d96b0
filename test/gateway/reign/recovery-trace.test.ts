import { expect, test } from 'vitest';
import { RecoveryTrace, recoveryError } from '../../../gateway/reign/recovery-trace.ts';
import { operationTrace } from '../../../regions/core.ts';
import { machine, type Runtime } from '../../../storage/process/runtime.ts';
import { epoch, lsn } from '../../../storage/redo/ids.ts';
import type { SpanFact } from '../../../telemetry/index.ts';

function traceOf(operation: string | null) {
  const spans: SpanFact[] = [];
  const clock = { ms: 500, us: 7_000_000 };
  const runtime: Runtime = { ...machine, nowMs: () => clock.ms, wallUs: () => clock.us };
  const telemetry = { enabled: true, recordMany: (facts: readonly SpanFact[]) => void spans.push(...facts) };
  const trace = new RecoveryTrace({
    cluster: 'c1',
    namespace: 'c1',
    epoch: epoch(4),
    operation,
    telemetry,
    runtime,
  });
  const pass = (ms: number): void => {
    clock.ms += ms;
    // The wall clock is set back meanwhile: durations come from the other one.
    clock.us -= 1_000_000;
  };
  return { spans, trace, pass };
}

test('a recovery is a span with its phases, below the move that asked for it, whatever the wall clock does', () => {
  const { spans, trace, pass } = traceOf('eu-west-1.ab12');
  pass(30);
  trace.phase('surveying');
  pass(20);
  trace.phase('forking');
  trace.phase('forking');
  pass(10);
  trace.found(lsn(4_711));
  pass(40);
  expect(spans).toEqual([]);
  trace.ended(null);
  trace.ended(recoveryError({ kind: 'aborted' }));
  const move = operationTrace('c1', 'eu-west-1.ab12');
  const [root, ...phases] = spans;
  expect(root).toMatchObject({
    name: 'recovery',
    context: { traceId: move.traceId, sampled: true },
    parentSpanId: move.spanId,
    startUs: 7_000_000,
    endUs: 7_100_000,
    attributes: { 'sextant.epoch': 4, 'sextant.vdl': 4_711, 'sextant.operation.id': 'eu-west-1.ab12' },
  });
  expect(root).not.toHaveProperty('error');
  expect(
    phases.map(({ name, startUs, endUs, parentSpanId }) => [
      name,
      startUs - 7_000_000,
      endUs - 7_000_000,
      parentSpanId === root?.context.spanId,
    ]),
  ).toEqual([
    ['recovery sealing', 0, 30_000, true],
    ['recovery surveying', 30_000, 50_000, true],
    ['recovery forking', 50_000, 60_000, true],
    ['recovery opening', 60_000, 100_000, true],
  ]);
});

test('one that brings no writer is an error, in the phase in which it ended, and a trace of its own without a move', () => {
  const { spans, trace, pass } = traceOf(null);
  pass(15_000);
  trace.ended(recoveryError({ kind: 'timeout', phase: 'sealing' }));
  expect(spans.map(({ name, error, parentSpanId }) => [name, error?.code, parentSpanId])).toEqual([
    ['recovery', 'TIMEOUT', null],
    ['recovery sealing', 'TIMEOUT', spans[0]?.context.spanId],
  ]);
  expect(spans[0]?.attributes).not.toHaveProperty('sextant.operation.id');
  expect(recoveryError({ kind: 'fenced', by: epoch(9) })).toMatchObject({ code: 'FENCED' });
});
