import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { completeMove, release } from '../../../regions/control/core/control-record.ts';
import { moveSpans, operationTrace } from '../../../regions/moves/core/move-spans.ts';
import type { Operation } from '../../../regions/moves/core/operations.ts';
import { lsn } from '../../../storage/redo/ids.ts';
import type { SpanFact } from '../../../telemetry/index.ts';
import { Agent, eu, fresh, old, pass } from './moving/moves-agent.ts';

vi.mock('../../../storage/process/ticker.ts', () => import('../../storage/process/plain-ticker.ts'));

beforeEach(() => {
  vi.useFakeTimers({
    toFake: ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval', 'performance', 'Date', 'hrtime'],
  });
});
afterEach(() => {
  vi.useRealTimers();
});

const drain = (agent: Agent) => agent.change(release(agent.record, { holder: old, drainedTo: lsn(100) }));
const take = (agent: Agent, id: string) => {
  agent.change(completeMove(agent.record, { id, region: eu, holder: fresh }));
  agent.reports({ eu: { phase: 'writing', epoch: 2 } });
};
const names = (spans: readonly SpanFact[]) => spans.map(({ name }) => name);
const lengthMs = ({ startUs, endUs }: SpanFact) => (endUs - startUs) / 1_000;

/** One root, every other span below it, each beginning where the one before it ended, and all of the root's time filled. */
function expectWhole(spans: readonly SpanFact[], id: string): void {
  const [root, ...phases] = spans;
  if (root === undefined) throw new Error('there are no spans');
  const { traceId, spanId } = operationTrace('c1', id);
  expect(root).toMatchObject({ parentSpanId: null, context: { traceId, spanId, sampled: true } });
  expect(new Set(spans.map(({ context }) => context.spanId)).size).toBe(spans.length);
  let at = root.startUs;
  for (const phase of phases) {
    expect(phase).toMatchObject({ parentSpanId: spanId, context: { traceId, sampled: true }, startUs: at });
    at = phase.endUs;
  }
  expect(at).toBe(root.endUs);
}

test('a switchover is a trace of its phases, told once it has ended, and the operation names it', async () => {
  const agent = new Agent();
  const id = await agent.begin('switchover');
  await pass(100);
  drain(agent);
  await pass(40);
  expect(agent.spans).toEqual([]);
  take(agent, id);
  await pass(40);
  expect(names(agent.spans)).toEqual([
    'switchover',
    'switchover preparing',
    'switchover draining',
    'switchover catching-up',
    'switchover promoting',
  ]);
  expectWhole(agent.spans, id);
  const [root] = agent.spans;
  expect(root).toMatchObject({
    kind: 'internal',
    attributes: {
      'sextant.operation.id': id,
      'sextant.source.region': 'us-east-1',
      'sextant.target.region': 'eu-west-1',
      'sextant.epoch': 2,
    },
  });
  expect(root).not.toHaveProperty('error');
  expect(agent.operation(id).traceId).toBe(root?.context.traceId);
  await pass(60_000);
  expect(agent.spans).toHaveLength(5);
});

test('a failover tells what it put at risk, and ends when writes are back, not when that is known', async () => {
  const agent = new Agent();
  agent.change(release(agent.record, { holder: old, drainedTo: lsn(0) }));
  const id = await agent.begin('failover');
  await pass(100);
  agent.fork = null;
  take(agent, id);
  await pass(1_500);
  expect(agent.spans).toEqual([]);
  agent.fork = lsn(90);
  await pass(100);
  expectWhole(agent.spans, id);
  const [root] = agent.spans;
  expect(root).toMatchObject({ name: 'failover', attributes: { 'sextant.at_risk_bytes': 10 } });
  expect(lengthMs(root as SpanFact)).toBeLessThan(250);
});

test('a move that failed or was cancelled is an error, and so is the phase in which it did', async () => {
  const agent = new Agent();
  const id = await agent.begin('switchover');
  await pass(50);
  agent.moves.cancel(id);
  await pass(50);
  expect(names(agent.spans)).toEqual([
    'switchover',
    'switchover preparing',
    'switchover draining',
    'switchover giving-up',
  ]);
  expectWhole(agent.spans, id);
  expect(agent.spans.map(({ error }) => error?.code)).toEqual([
    'CANCELLED',
    undefined,
    undefined,
    'CANCELLED',
  ]);
});

test('a move that is taken up by another start of its agent is one trace without a hole (R42)', async () => {
  const first = new Agent();
  const id = await first.begin('switchover');
  await pass(100);
  // Killed here: what it kept is all that is left of it.
  first.moves.close();
  await pass(700);
  const second = new Agent(first.kept);
  second.record = first.record;
  second.seq = first.seq;
  second.saw();
  await pass(600);
  drain(second);
  await pass(40);
  take(second, id);
  await pass(40);
  expect(first.spans).toEqual([]);
  expect(names(second.spans)).toEqual([
    'switchover',
    'switchover preparing',
    'switchover draining',
    'switchover draining',
    'switchover catching-up',
    'switchover promoting',
  ]);
  expectWhole(second.spans, id);
  expect(lengthMs(second.spans[0] as SpanFact)).toBeGreaterThanOrEqual(1_400);
  expect(second.operation(id).traceId).toBe(operationTrace('c1', id).traceId);
});

test('spans that are made twice are the same ones, so that a collector may tell', () => {
  const operation: Operation = {
    id: 'eu-west-1.0123',
    kind: 'failover',
    target: 'eu-west-1',
    from: 'us-east-1',
    state: 'failed',
    phases: [{ name: 'promoting', startedAtMs: 5, endedAtMs: 9 }],
    error: { code: 'TIMEOUT', message: 'not in time' },
  };
  const context = operationTrace('c1', operation.id);
  expect(moveSpans(operation, context)).toEqual(moveSpans(operation, context));
  expect(operationTrace('c2', operation.id).traceId).not.toBe(context.traceId);
  expect(moveSpans({ ...operation, state: 'running' }, context)).toEqual([]);
  expect(moveSpans({ ...operation, phases: [] }, context)).toEqual([]);
});
