import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  Drain,
  type DrainEffect,
  type DrainEvent,
  type DrainPhase,
  type DrainView,
  drainLimits,
} from '../../../gateway/reign/core/drain.ts';
import { moveLimits } from '../../../regions/control/core/move-limits.ts';

const { drainMs } = moveLimits;
const { statementMs, stuckMs } = drainLimits;
const nobody: DrainView = { idle: 0, running: 0, isSettled: true, threadStuckMs: 0 };
const busy: DrainView = { idle: 1, running: 1, isSettled: false, threadStuckMs: 0 };
const look = (view: DrainView): DrainEvent => ({ kind: 'look', view });

/** A drain that got to `phase`, and the time then. */
function drainIn(phase: DrainPhase): { readonly drain: Drain; readonly nowMs: number } {
  const drain = new Drain(0);
  if (phase === 'opening') return { drain, nowMs: 0 };
  drain.step({ kind: 'opened' }, 1);
  if (phase === 'over') drain.step({ kind: 'ended' }, 1);
  const nowMs = { waiting: 1, losing: drainMs, stopping: statementMs, over: 1 }[phase];
  drain.step(look(busy), nowMs);
  return { drain, nowMs };
}

describe('a drain, event by event', () => {
  type Moment =
    | 'opened'
    | 'nobody writes'
    | 'nobody writes, and redo is under way'
    | 'one idles, one runs'
    | 'one runs in a thread that is stuck'
    | 'ended';
  const events: Record<Moment, DrainEvent> = {
    opened: { kind: 'opened' },
    'nobody writes': look(nobody),
    'nobody writes, and redo is under way': look({ ...nobody, isSettled: false }),
    'one idles, one runs': look(busy),
    'one runs in a thread that is stuck': look({ ...busy, idle: 0, threadStuckMs: stuckMs }),
    ended: { kind: 'ended' },
  };
  type Outcome = readonly [DrainPhase, ...DrainEffect['kind'][]];
  const stays = (phase: DrainPhase): Record<Moment, Outcome> => ({
    opened: [phase],
    'nobody writes': [phase],
    'nobody writes, and redo is under way': [phase],
    'one idles, one runs': [phase],
    'one runs in a thread that is stuck': [phase],
    ended: ['over'],
  });
  const drains = (phase: DrainPhase): Record<Moment, Outcome> => ({
    ...stays(phase),
    'nobody writes': ['over', 'drained'],
  });
  const table: Record<DrainPhase, Record<Moment, Outcome>> = {
    opening: { ...stays('opening'), opened: ['waiting'] },
    waiting: drains('waiting'),
    losing: { ...drains('losing'), 'one idles, one runs': ['losing', 'loseIdle'] },
    stopping: {
      ...drains('stopping'),
      'one idles, one runs': ['stopping', 'loseIdle', 'stopRunning'],
      'one runs in a thread that is stuck': ['stopping', 'stopRunning', 'abandonThread'],
    },
    over: stays('over'),
  };
  for (const phase of Object.keys(table) as DrainPhase[]) {
    for (const moment of Object.keys(events) as Moment[]) {
      const outcome = table[phase][moment];
      it(`${phase}; ${moment}: ${outcome.join(', ')}`, () => {
        const { drain, nowMs } = drainIn(phase);
        expect(drain.phase).toBe(phase);
        const effects = drain.step(events[moment], nowMs).map((effect) => effect.kind);
        expect([drain.phase, ...effects]).toEqual(outcome);
      });
    }
  }

  it('tells how long it took', () => {
    const drain = new Drain(1_000);
    drain.step({ kind: 'opened' }, 1_010);
    expect(drain.step(look(nobody), 1_025)).toEqual([{ kind: 'drained', tookMs: 25 }]);
  });
});

describe('a drain, whatever its streams do', () => {
  /** When a stream would end its transaction by itself, and whether a statement runs in it. */
  const stream = fc.record({ endsAtMs: fc.integer({ min: 0, max: 8_000 }), runs: fc.boolean() });
  const run = fc.record({
    streams: fc.array(stream, { maxLength: 5 }),
    opensAtMs: fc.integer({ min: 0, max: 600 }),
    settlesAfterMs: fc.integer({ min: 0, max: 600 }),
    endsAtMs: fc.option(fc.integer({ min: 0, max: 6_000 }), { nil: Number.POSITIVE_INFINITY }),
  });

  it('loses and stops nobody too soon, ends once, and only with nothing left', () => {
    fc.assert(
      fc.property(run, ({ streams, opensAtMs, settlesAfterMs, endsAtMs }) => {
        const drain = new Drain(0);
        let open = streams.map((one) => ({ ...one }));
        let settledAtMs = settlesAfterMs;
        let drainedAtMs: number | null = null;
        for (let nowMs = 0; nowMs <= 10_000; nowMs += 10) {
          const before = open.length;
          open = open.filter((one) => one.endsAtMs > nowMs);
          if (open.length < before) settledAtMs = nowMs + settlesAfterMs;
          if (nowMs >= opensAtMs) drain.step({ kind: 'opened' }, nowMs);
          if (nowMs >= endsAtMs) drain.step({ kind: 'ended' }, nowMs);
          const idle = open.filter((one) => !one.runs).length;
          const running = open.length - idle;
          const isSettled = nowMs >= settledAtMs;
          for (const effect of drain.step(look({ idle, running, isSettled, threadStuckMs: 0 }), nowMs)) {
            expect(nowMs).toBeGreaterThanOrEqual(opensAtMs);
            expect(nowMs).toBeLessThan(endsAtMs);
            expect(drainedAtMs).toBeNull();
            if (effect.kind === 'loseIdle') {
              expect(nowMs).toBeGreaterThanOrEqual(drainMs);
              open = open.filter((one) => one.runs);
            } else if (effect.kind === 'stopRunning') {
              expect(nowMs).toBeGreaterThanOrEqual(statementMs);
              // A stopped statement leaves its transaction open.
              for (const one of open) one.runs = false;
            } else {
              expect(effect.kind).toBe('drained');
              expect([open.length, isSettled]).toEqual([0, true]);
              drainedAtMs = nowMs;
            }
          }
        }
        const latestMs = statementMs + settlesAfterMs + 20;
        if (endsAtMs > latestMs) expect(drainedAtMs).toBeLessThanOrEqual(latestMs);
      }),
    );
  });
});
