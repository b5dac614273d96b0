import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  Shipper,
  type ShipperEffect,
  type ShipperEvent,
} from '../../../../regions/replication/core/shipper.ts';
import { heartbeatDueMs, shippingLimits } from '../../../../regions/replication/core/shipping-limits.ts';
import { reportLimits } from '../../../../regions/status/core/report-limits.ts';
import { lsn } from '../../../../storage/redo/ids.ts';
import { ack, fetched, fetchFrom, head, joined, kinds, tick } from './shipper-bench.ts';

const { windowBytes, messageBytes, messageParts, heartbeatMs, resendAfterMs, shipEveryMs } = shippingLimits;
const { offlineAfterMs } = reportLimits;

/** A message that ends at `end` leaves, and arrives at once without being stored. */
function arriving(shipper: Shipper, end: number, vdl: number, nowMs: number): readonly ShipperEffect[] {
  const left = shipper.step(fetched(end - messageBytes, end, vdl), nowMs);
  return [...left, ...shipper.step(ack(end, { vcl: 0 }), nowMs)];
}

describe('shipper', () => {
  test('only sends heartbeats until the secondary has said where it is', () => {
    const shipper = new Shipper(head, lsn(500));
    expect(shipper.step(tick, 0)).toEqual([{ kind: 'heartbeat', start: 0, vdl: 500 }]);
    expect(shipper.step(tick, heartbeatDueMs - 1)).toEqual([]);
    expect(shipper.step(tick, heartbeatMs)).toEqual([{ kind: 'heartbeat', start: 0, vdl: 500 }]);
    expect(shipper.step(ack(100, { gap: true }), 250)).toEqual([fetchFrom(100, 500)]);
  });

  test('sends what it reads, and reads on', () => {
    const shipper = joined(100, 500);
    const effects = shipper.step(fetched(100, 300, 500), 1);
    expect(effects).toMatchObject([{ kind: 'ship', start: 100, next: 300, vdl: 500 }, fetchFrom(300, 500)]);
  });

  test('to a secondary that keeps up it ships now and then, and a lone write at once', () => {
    const shipper = joined(0);
    expect(shipper.step(fetched(0, 100), 10)).toContainEqual(fetchFrom(100, 100, shipEveryMs));
    shipper.step({ kind: 'fetchFailed' }, 11);
    expect(shipper.step(ack(100), 12)).toContainEqual(fetchFrom(100, 100, shipEveryMs - 2));
    shipper.step({ kind: 'fetchFailed' }, 13);
    expect(shipper.step(tick, 100)).toContainEqual(fetchFrom(100, 100));
  });

  test('to a secondary that is behind it ships without a pause', () => {
    const shipper = joined(0, 500);
    expect(shipper.step(fetched(0, 499, 500), 1)).toContainEqual(fetchFrom(499, 500));
    expect(shipper.step(fetched(499, 500), 2)).toContainEqual(fetchFrom(500, 500, shipEveryMs));
    expect(shipper.step(ack(0, { gap: true }), heartbeatMs)).toContainEqual(fetchFrom(0, 500));
  });

  test('of news without frames only the news is sent', () => {
    const shipper = joined(100);
    expect(shipper.step(fetched(100, 100, 140), 1)).toEqual([
      { kind: 'heartbeat', start: 100, vdl: 140 },
      fetchFrom(100, 140),
    ]);
  });

  test('a heartbeat follows every period without a message, and none sooner', () => {
    const shipper = joined(0);
    shipper.step(fetched(0, 50), 10);
    expect(kinds(shipper.step(tick, 10 + heartbeatDueMs - 1))).not.toContain('heartbeat');
    expect(shipper.step(tick, 10 + heartbeatMs)).toContainEqual({ kind: 'heartbeat', start: 50, vdl: 50 });
    expect(kinds(shipper.step(tick, 11 + heartbeatMs))).not.toContain('heartbeat');
  });

  test('an acknowledgement of another path says that it is there, and nothing else', () => {
    const shipper = new Shipper(head, lsn(500));
    expect(shipper.step(ack(400, { head: 2 }), 0)).toEqual([]);
    expect(shipper.lag(0, 0)).toMatchObject({ online: true, vdl: 0, lagBytes: 500 });
  });

  test('after a gap it starts again from what arrived, once per gap however many complain', () => {
    const shipper = joined(0);
    shipper.step(fetched(0, 100), 1);
    shipper.step(fetched(100, 200), 2);
    shipper.step(fetched(200, 300), 3);
    expect(shipper.step(ack(100, { gap: true }), 50)).toEqual([fetchFrom(100, 300)]);
    expect(shipper.step(fetched(300, 400), 51)).toEqual([]);
    expect(shipper.step(fetched(100, 400), 52)).toMatchObject([
      { kind: 'ship', start: 100, next: 400 },
      { kind: 'fetch' },
    ]);
    expect(shipper.step(ack(100, { gap: true }), 53)).toEqual([]);
    expect(shipper.step(ack(100, { gap: true }), 54)).toEqual([]);
    expect(shipper.step(fetched(400, 500), 55)).toMatchObject([
      { kind: 'ship', start: 400 },
      { kind: 'fetch' },
    ]);
  });

  test('the first acknowledgement counts as a gap too: its repetition starts nothing again', () => {
    const shipper = joined(0);
    shipper.step(fetched(0, 100), 1);
    shipper.step(ack(0, { gap: true }), 2);
    expect(shipper.step(fetched(100, 200), 3)).toMatchObject([
      { kind: 'ship', start: 100 },
      { kind: 'fetch' },
    ]);
  });

  test('a gap that is still there after a heartbeat period is filled again', () => {
    const shipper = joined(0);
    shipper.step(fetched(0, 100), 1);
    expect(shipper.step(ack(0, { gap: true }), heartbeatMs - 1)).toEqual([]);
    expect(shipper.step(ack(0, { gap: true }), heartbeatMs)).toEqual([fetchFrom(0, 100)]);
  });

  test('a read that waits at the end of the log does not hold up the filling of a gap', () => {
    const shipper = joined(0);
    shipper.step(fetched(0, 100), 1);
    expect(shipper.step(ack(0, { gap: true }), 300)).toEqual([fetchFrom(0, 100)]);
    expect(shipper.step(fetched(0, 100), 301)).toMatchObject([
      { kind: 'ship', start: 0, next: 100 },
      fetchFrom(100, 100, shipEveryMs),
    ]);
    expect(shipper.step(fetched(100, 150), 302)).toMatchObject([
      { kind: 'ship', start: 100, next: 150 },
      { kind: 'fetch' },
    ]);
    expect(shipper.step(fetched(100, 150), 303)).toEqual([]);
  });

  test('what nobody acknowledges is sent again after a while, and what arrived is not', () => {
    const shipper = joined(0);
    shipper.step(fetched(0, 100), 1);
    shipper.step(fetched(100, 200), 2);
    shipper.step(ack(100, { vcl: 0 }), 10);
    shipper.step({ kind: 'fetchFailed' }, 11);
    shipper.step(tick, 10 + resendAfterMs - 1);
    shipper.step({ kind: 'fetchFailed' }, 10 + resendAfterMs - 1);
    expect(shipper.step(tick, 10 + resendAfterMs)).toContainEqual(fetchFrom(100, 200));
  });

  test('a secondary that has everything, only not durable yet, is sent nothing twice', () => {
    const shipper = joined(0);
    shipper.step(fetched(0, 100), 1);
    shipper.step({ kind: 'fetchFailed' }, 2);
    for (let nowMs = 10; nowMs < 5 * resendAfterMs; nowMs += heartbeatMs) {
      for (const effect of [...shipper.step(ack(100, { vcl: 0 }), nowMs), ...shipper.step(tick, nowMs)]) {
        if (effect.kind === 'fetch') expect(effect.from).toBe(100);
      }
      shipper.step({ kind: 'fetchFailed' }, nowMs);
    }
  });

  test('a message that did not leave is read again, but not in a tight loop', () => {
    const shipper = joined(0);
    shipper.step(fetched(0, 100), 1);
    expect(shipper.step({ kind: 'shipped', outcome: 'refused' }, 2)).toEqual([]);
    expect(shipper.step(fetched(100, 200), 3)).toEqual([]);
    expect(kinds(shipper.step(tick, 1 + heartbeatMs))).not.toContain('fetch');
    expect(shipper.step(tick, 2 + heartbeatMs)).toContainEqual(fetchFrom(0, 200));
  });

  test('a failed read is tried again at the next tick, not at once', () => {
    const shipper = joined(0);
    expect(shipper.step({ kind: 'fetchFailed' }, 1)).toEqual([]);
    expect(shipper.step(tick, 50)).toContainEqual(fetchFrom(0, 0));
  });

  test('a secondary that is not heard gets heartbeats only, until it speaks again', () => {
    const shipper = joined(0);
    shipper.step(fetched(0, 100, 100, [[100, 0]]), 1);
    shipper.step({ kind: 'fetchFailed' }, 2);
    expect(kinds(shipper.step(tick, offlineAfterMs))).toEqual(['heartbeat']);
    expect(shipper.step(ack(0), 2 * offlineAfterMs)).toEqual([fetchFrom(0, 100)]);
  });

  test('a secondary that lost its data is served from the start, within its credit', () => {
    const shipper = joined(50 * windowBytes);
    shipper.step({ kind: 'fetchFailed' }, 1);
    let effects = shipper.step(ack(0, { gap: true }), 2);
    let shippedTo = 0;
    while (kinds(effects).includes('fetch')) {
      shippedTo += messageBytes;
      effects = arriving(shipper, shippedTo, 50 * windowBytes, 3);
    }
    expect(shippedTo).toBe(windowBytes);
    expect(shipper.lag(100, 0)).toMatchObject({ vdl: 0, lagBytes: 50 * windowBytes });
  });

  test('within a transaction credit follows what is stored, long before anything of it is durable', () => {
    const shipper = joined(0);
    const end = 40 * windowBytes;
    for (let at = 0; at + messageBytes < end; at += messageBytes) {
      const effects = [
        ...shipper.step(fetched(at, at + messageBytes, end), 1),
        ...shipper.step(ack(at + messageBytes, { vdl: 0 }), 1),
      ];
      expect([at, kinds(effects)]).toEqual([at, ['ship', 'fetch']]);
    }
    expect(shipper.lag(0, 0)).toMatchObject({ vdl: 0, lagBytes: end });
  });

  test('one that joined anew within a transaction, and whose complaint was lost, is not flooded', () => {
    const shipper = joined(0, 100 * windowBytes);
    shipper.step(fetched(0, messageBytes, 100 * windowBytes), 1);
    shipper.step(ack(50 * windowBytes, { vdl: 0 }), 2);
    shipper.step(ack(0), 3);
    let effects = shipper.step(tick, 3 + resendAfterMs);
    let shippedTo = 0;
    while (kinds(effects).includes('fetch')) {
      shippedTo += messageBytes;
      effects = arriving(shipper, shippedTo, 100 * windowBytes, 3 + resendAfterMs);
    }
    expect(shippedTo).toBe(windowBytes);
  });

  test('the size of its window is what the line carries now, and all of it once the line has shown that', () => {
    const shipper = joined(0, 50 * windowBytes);
    const least = messageBytes / messageParts;
    expect([shipper.windowUsedBytes, shipper.windowSizeBytes(0)]).toEqual([0, least]);
    shipper.step(fetched(0, least, 50 * windowBytes), 0);
    expect([shipper.windowUsedBytes, shipper.windowSizeBytes(1)]).toEqual([least, least]);
    for (let end = messageBytes + least; end < 40 * windowBytes; end += messageBytes)
      arriving(shipper, end, 50 * windowBytes, 2);
    shipper.step(ack(39 * windowBytes), 3);
    expect(shipper.windowSizeBytes(3)).toBe(windowBytes);
  });

  test('begun anew it sends nothing until the secondary says where it is, and still knows how far that is behind', () => {
    const shipper = joined(100, 500);
    shipper.step({ kind: 'fetchFailed' }, 1);
    expect(shipper.step({ kind: 'restarted' }, 400)).toEqual([]);
    expect(kinds(shipper.step(tick, 401))).toEqual(['heartbeat']);
    expect(shipper.lag(500, 0).lagBytes).toBe(400);
    expect(shipper.step(ack(200), 501)).toEqual([fetchFrom(200, 500)]);
  });

  test('without any progress it repeats itself ever more rarely', () => {
    const shipper = joined(0);
    const starts: number[] = [];
    shipper.step(fetched(0, 100), 0);
    for (let nowMs = 50; nowMs <= 40_000; nowMs += 50) {
      const effects = [...shipper.step(ack(0), nowMs), ...shipper.step(tick, nowMs)];
      if (effects.some((effect) => effect.kind === 'fetch' && effect.from === 0)) {
        starts.push(nowMs);
        shipper.step(fetched(0, 100), nowMs);
      }
    }
    expect(starts).toEqual([1_000, 3_000, 7_000, 15_000, 23_000, 31_000, 39_000]);
  });

  test('R8: never is more on its way than the window, whatever happens in whatever order', () => {
    const event = fc.oneof(
      fc.record({
        kind: fc.constant('ack' as const),
        share: fc.double({ min: 0, max: 1, noNaN: true }),
        gap: fc.boolean(),
      }),
      fc.record({ kind: fc.constant('fetched' as const), bytes: fc.integer({ min: 0, max: messageBytes }) }),
      fc.constantFrom({ kind: 'failed' as const }, { kind: 'refused' as const }, { kind: 'tick' as const }),
    );
    let fullest = 0;
    fc.assert(
      fc.property(fc.array(event, { minLength: 60, maxLength: 400 }), (events) => {
        const shipper = new Shipper(head, lsn(0));
        let [nowMs, arrived, vcl, shippedTo] = [0, 0, 0, 0];
        let asked: number | null = null;
        const feed = (what: ShipperEvent) => {
          for (const effect of shipper.step(what, nowMs)) {
            if (effect.kind === 'fetch') asked = effect.from;
            if (effect.kind !== 'ship') continue;
            expect(effect.next - vcl).toBeLessThanOrEqual(windowBytes);
            fullest = Math.max(fullest, effect.next - vcl);
            if (effect.start <= arrived) arrived = Math.max(arrived, effect.next);
            shippedTo = effect.next;
          }
        };
        feed(ack(0, { gap: true }));
        for (const each of events) {
          nowMs += 20;
          if (each.kind === 'ack') {
            vcl += Math.floor((arrived - vcl) * each.share * each.share);
            feed(ack(arrived, { vcl, gap: each.gap }));
          } else if (each.kind === 'tick') feed(tick);
          else if (each.kind === 'refused') feed({ kind: 'shipped', outcome: 'refused' });
          else if (asked !== null) {
            const from: number = asked;
            asked = null;
            feed(each.kind === 'fetched' ? fetched(from, from + each.bytes) : { kind: 'fetchFailed' });
          }
        }
        expect(shippedTo).toBeGreaterThanOrEqual(0);
      }),
    );
    expect(fullest).toBeGreaterThan(windowBytes / 2);
  });
});
