import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Delivery, type TransmitResult } from '../../../telemetry/export/delivery.ts';

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

const refused = Object.assign(new Error('Bad Request'), { code: 400 });
const away = Object.assign(new Error('connect'), { code: 'ECONNREFUSED' });

/** A delivery of numbers, each as many spans as it says, and the requests it has made that have no answer yet. */
function world() {
  const open: { readonly batches: readonly number[]; readonly done: (result: TransmitResult) => void }[] = [];
  const fates = { exported: 0, dropped: 0, waited: 0 };
  let most = 0;
  const delivery = new Delivery<number>({
    spansOf: (spans) => spans,
    transmit: (batches, done) => {
      open.push({ batches, done });
      most = Math.max(most, open.length);
    },
    requestSpansMax: 100,
    delayMs: 300,
    settled: (exported, dropped) => {
      fates.exported += exported;
      fates.dropped += dropped;
    },
    failed: (spans) => {
      fates.waited += spans;
    },
  });
  const answer = (result: TransmitResult): readonly number[] => {
    const request = open.shift();
    request?.done(result);
    return request?.batches ?? [];
  };
  return { delivery, open, fates, answer, most: () => most };
}

describe('a delivery', () => {
  it('sends what is together after a while, or at once when a request is full', () => {
    const { delivery, open } = world();
    delivery.add(10);
    delivery.add(20);
    vi.advanceTimersByTime(299);
    expect(open).toEqual([]);
    vi.advanceTimersByTime(1);
    expect(open.map(({ batches }) => batches)).toEqual([[10, 20]]);
    delivery.add(60);
    delivery.add(60);
    expect(open.map(({ batches }) => batches)).toEqual([[10, 20], [60], [60]]);
  });

  it('keeps what a collector that is away could not take, asks one request at a time, and catches up when it is back', () => {
    const { delivery, open, fates, answer } = world();
    for (let batch = 0; batch < 5; batch++) delivery.add(100);
    expect(open.length).toBe(5);
    while (open.length > 0) answer({ code: 1, error: away });
    for (let batch = 0; batch < 20; batch++) delivery.add(100);
    vi.advanceTimersByTime(500);
    expect([open.length, fates]).toEqual([1, { exported: 0, dropped: 0, waited: 500 }]);
    answer({ code: 1, error: away });
    vi.advanceTimersByTime(500);
    expect(open.length).toBe(1);
    // It is back: no timer has to fire, and nothing new has to come.
    while (open.length > 0) answer({ code: 0 });
    expect(fates).toEqual({ exported: 2_500, dropped: 0, waited: 600 });
  });

  it('gives up what a collector refuses, and goes on', () => {
    const { delivery, open, fates, answer } = world();
    delivery.add(100);
    delivery.add(100);
    answer({ code: 1, error: refused });
    answer({ code: 0 });
    expect([open.length, fates]).toEqual([0, { exported: 100, dropped: 100, waited: 0 }]);
  });

  it('is drained when everything has left, and not while the collector is away', async () => {
    const { delivery, answer } = world();
    let drained = false;
    delivery.add(10);
    void delivery.drain().then(() => {
      drained = true;
    });
    answer({ code: 1, error: away });
    await vi.advanceTimersByTimeAsync(500);
    expect(drained).toBe(false);
    answer({ code: 0 });
    await vi.advanceTimersByTimeAsync(0);
    expect(drained).toBe(true);
  });

  it('gives each span one fate, whatever the collector does and whatever is given up meanwhile (T3)', () => {
    const event = fc.oneof(
      fc.record({ kind: fc.constant('add' as const), spans: fc.integer({ min: 1, max: 250 }) }),
      fc.record({ kind: fc.constantFrom('ok' as const, 'away' as const, 'refused' as const) }),
      fc.record({ kind: fc.constantFrom('drop' as const, 'time' as const) }),
    );
    fc.assert(
      fc.property(fc.array(event, { maxLength: 80 }), (events) => {
        const { delivery, open, fates, answer, most } = world();
        let added = 0;
        for (const step of events) {
          if (step.kind === 'add') {
            added += step.spans;
            delivery.add(step.spans);
          } else if (step.kind === 'drop') delivery.dropOldest();
          else if (step.kind === 'time') vi.advanceTimersByTime(500);
          else if (step.kind === 'ok') answer({ code: 0 });
          else answer({ code: 1, error: step.kind === 'away' ? away : refused });
          expect(fates.exported + fates.dropped).toBeLessThanOrEqual(added);
        }
        for (let turn = 0; turn < 100 && fates.exported + fates.dropped < added; turn++) {
          vi.advanceTimersByTime(500);
          while (open.length > 0) answer({ code: 0 });
        }
        expect(fates.exported + fates.dropped).toBe(added);
        expect(most()).toBeLessThanOrEqual(8);
      }),
    );
  });
});
