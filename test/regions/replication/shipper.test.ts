import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Shipper, type ShipperEffect, type ShipperEvent } from '../../../regions/replication/core/shipper.ts';
import { heartbeatDueMs, shippingLimits } from '../../../regions/replication/core/shipping-limits.ts';
import { reportLimits } from '../../../regions/status/core/report-limits.ts';
import { epoch, lsn, regionId } from '../../../storage/redo/ids.ts';

const { windowBytes, messageBytes, heartbeatMs, resendAfterMs, shipEveryMs } = shippingLimits;
const { offlineAfterMs } = reportLimits;
const head = epoch(3);

type AckFields = {
  readonly head?: number;
  readonly vcl?: number;
  readonly vdl?: number;
  readonly gap?: boolean;
};
function ack(received: number, fields: AckFields = {}): ShipperEvent {
  const { vcl = received, vdl = vcl, gap = false } = fields;
  return {
    kind: 'acked',
    ack: {
      region: regionId('eu-west-1'),
      head: epoch(fields.head ?? head),
      received: lsn(received),
      vcl: lsn(vcl),
      vdl: lsn(vdl),
      gap,
      ackSentAtUs: 0,
    },
  };
}
/** The log answers a fetch; `commits` are `[lsn, commitTimeUs]`. */
function fetched(
  from: number,
  next: number,
  vdl = next,
  commits: readonly (readonly [number, number])[] = [],
): ShipperEvent {
  return {
    kind: 'fetched',
    from: lsn(from),
    next: lsn(next),
    vdl: lsn(vdl),
    frames: new Uint8Array(next - from),
    commits: marksOf(commits),
  };
}
const marksOf = (commits: readonly (readonly [number, number])[]) =>
  commits.map(([at, commitTimeUs]) => ({ lsn: lsn(at), commitTimeUs, commits: 1 }));
/** What a look into the log found. */
const looked = (
  from: number,
  next: number,
  commits: readonly (readonly [number, number])[] = [],
): ShipperEvent => ({ kind: 'looked', from: lsn(from), next: lsn(next), commits: marksOf(commits) });
const tick: ShipperEvent = { kind: 'tick' };
const kinds = (effects: readonly ShipperEffect[]): readonly string[] => effects.map((effect) => effect.kind);
const fetchFrom = (from: number, known: number, afterMs = 0): ShipperEffect => ({
  kind: 'fetch',
  from: lsn(from),
  known: lsn(known),
  afterMs,
});

/** A shipper whose secondary has joined at `at` and asked for more. */
function joined(at: number, vdl = at, nowMs = 0): Shipper {
  const shipper = new Shipper(head, lsn(vdl));
  shipper.step(ack(at, { gap: true }), nowMs);
  return shipper;
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
      effects = shipper.step(fetched(shippedTo, shippedTo + messageBytes, 50 * windowBytes), 3);
      shippedTo += messageBytes;
    }
    expect(shippedTo).toBe(windowBytes);
    expect(shipper.lag(100, 0)).toMatchObject({ vdl: 0, lagBytes: 50 * windowBytes });
  });

  test('within a transaction credit follows what is stored, long before anything of it is durable', () => {
    const shipper = joined(0);
    const end = 40 * windowBytes;
    for (let at = 0; at + messageBytes < end; at += messageBytes) {
      const effects = shipper.step(fetched(at, at + messageBytes, end), 1);
      expect([at, kinds(effects)]).toEqual([at, ['ship', 'fetch']]);
      shipper.step(ack(at + messageBytes, { vdl: 0 }), 1);
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
      effects = shipper.step(
        fetched(shippedTo, shippedTo + messageBytes, 100 * windowBytes),
        3 + resendAfterMs,
      );
      shippedTo += messageBytes;
    }
    expect(shippedTo).toBe(windowBytes);
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

describe('lag of a secondary', () => {
  const atUs = (ms: number) => ms * 1_000;

  test('is nothing once it has everything', () => {
    const shipper = joined(0);
    shipper.step(fetched(0, 100, 100, [[100, atUs(1_000)]]), 1);
    shipper.step(ack(100), 2);
    expect(shipper.lag(60_000, atUs(60_000))).toMatchObject({ lagBytes: 0, lagMs: 0, vdl: 100 });
  });

  test('is the age of the oldest commit it has not made durable, and rises while it stalls', () => {
    const shipper = joined(0);
    const commits = [
      [50, atUs(1_000)],
      [100, atUs(1_400)],
    ] as const;
    shipper.step(fetched(0, 100, 100, commits), 1);
    expect(shipper.lag(2, atUs(1_500))).toMatchObject({ lagBytes: 100, lagMs: 500 });
    shipper.step(ack(100, { vcl: 50 }), 3);
    expect(shipper.lag(4, atUs(1_500))).toMatchObject({ lagBytes: 50, lagMs: 100 });
    expect(shipper.lag(4_000, atUs(5_400)).lagMs).toBe(4_000);
  });

  test('of each commit is known once its region says that it is durable there, and once only', () => {
    const shipper = joined(0);
    const arrivedOf = (event: ShipperEvent, nowMs: number) =>
      shipper.step(event, nowMs).flatMap((effect) => (effect.kind === 'arrived' ? effect.commitTimesUs : []));
    const commits = [
      [50, atUs(1_000)],
      [80, atUs(1_200)],
      [100, atUs(1_400)],
    ] as const;
    expect(arrivedOf(fetched(0, 100, 100, commits), 1)).toEqual([]);
    expect(arrivedOf(ack(100, { vcl: 90, vdl: 80 }), 2)).toEqual([atUs(1_000), atUs(1_200)]);
    expect(arrivedOf(ack(100, { vcl: 90, vdl: 80 }), 3)).toEqual([]);
    expect(arrivedOf(ack(100), 4)).toEqual([atUs(1_400)]);
  });

  test('goes on rising, in bytes too, while the window is full and nothing is read', () => {
    const shipper = joined(0);
    shipper.step(fetched(0, messageBytes, messageBytes, [[messageBytes, atUs(0)]]), 0);
    shipper.step({ kind: 'durable', vdl: lsn(40 * windowBytes) }, 900);
    expect(shipper.lag(900, atUs(900))).toMatchObject({ lagBytes: 40 * windowBytes, lagMs: 900 });
    expect(shipper.step(tick, 900)).toContainEqual({
      kind: 'heartbeat',
      start: messageBytes,
      vdl: 40 * windowBytes,
    });
  });

  test('of one that never spoke is everything, for a time that nobody knows', () => {
    const shipper = new Shipper(head, lsn(700));
    shipper.step(tick, 1_000);
    expect(shipper.lag(3_500, 0)).toEqual({
      lagBytes: 700,
      lagMs: null,
      lagCommits: null,
      lagCommitsExact: false,
      online: false,
      vdl: 0,
    });
  });

  test('is unknown after a start until the oldest commit it lacks was read, and then as old as that is', () => {
    const shipper = new Shipper(head, lsn(1_000));
    shipper.step(ack(400, { gap: true }), 10);
    expect(shipper.lag(20, atUs(50_020)).lagMs).toBeNull();
    shipper.step(fetched(400, 700, 1_000, [[700, atUs(0)]]), 30);
    expect(shipper.lag(40, atUs(50_040)).lagMs).toBe(50_040);
    // What it lacks by now was committed after what it has.
    shipper.step(ack(700), 50);
    expect(shipper.lag(60, atUs(50_060)).lagMs).toBe(50_060);
    shipper.step(fetched(700, 1_000, 1_000, [[1_000, atUs(49_000)]]), 70);
    expect(shipper.lag(80, atUs(50_080)).lagMs).toBe(1_080);
  });

  test('is not read off a commit before which something else is missing', () => {
    const shipper = new Shipper(head, lsn(1_000));
    // Frames up to 600 have arrived, and only those up to 400 are stored: the commits between were read by nobody here.
    shipper.step(ack(600, { vcl: 400 }), 10);
    shipper.step(fetched(600, 700, 1_000, [[700, atUs(49_000)]]), 20);
    expect(shipper.lag(30, atUs(50_000)).lagMs).toBeNull();
    shipper.step(ack(600), 40);
    expect(shipper.lag(50, atUs(50_000)).lagMs).toBe(1_000);
  });

  test('goes on from what was remembered, also of one that does not speak', () => {
    const remembered = { vdl: lsn(400), sinceUs: atUs(10_000) };
    const silent = new Shipper(head, lsn(1_000), remembered);
    silent.step(tick, 10);
    expect(silent.lag(20, atUs(60_000))).toEqual({
      lagBytes: 600,
      lagMs: 50_000,
      lagCommits: 0,
      lagCommitsExact: false,
      online: false,
      vdl: 400,
    });
    const level = new Shipper(head, lsn(400), remembered);
    expect(level.lag(20, atUs(60_000))).toMatchObject({ lagBytes: 0, lagMs: 0 });
    // It lost its nodes: what it lacks now is older than anything that was remembered.
    silent.step(ack(400), 30);
    silent.step(ack(0, { gap: true }), 40);
    expect(silent.lag(50, atUs(60_000)).lagMs).toBeNull();
  });

  test('in bytes is what a region lacks of the path, and known once something is remembered of it or it speaks', () => {
    const remembered = new Shipper(head, lsn(9_271_256), { vdl: lsn(9_263_000), sinceUs: null });
    expect(remembered.isKnown).toBe(true);
    expect(remembered.lag(0, 0).lagBytes).toBe(8_256);
    const unheard = new Shipper(head, lsn(9_271_256));
    expect(unheard.isKnown).toBe(false);
    unheard.step(ack(9_271_000), 0);
    expect(unheard.isKnown).toBe(true);
    expect(unheard.lag(0, 0).lagBytes).toBe(256);
  });

  test('of one that is away is the age of the oldest commit it lacks, which is read once and not sent', () => {
    const lost = new Shipper(head, lsn(1_000), { vdl: lsn(400), sinceUs: null });
    expect(lost.lag(0, atUs(60_000))).toMatchObject({ lagBytes: 600, lagMs: null });
    expect(lost.step(tick, 10)).toContainEqual({ kind: 'look', from: 400 });
    // A large transaction: no commit so far. The next look goes on behind it.
    expect(kinds(lost.step(looked(400, 700), 20))).toEqual([]);
    expect(lost.step(tick, 20 + heartbeatMs)).toContainEqual({ kind: 'look', from: 700 });
    const found = [
      [800, atUs(50_000)],
      [900, atUs(55_000)],
    ] as const;
    expect(kinds(lost.step(looked(700, 900, found), 230))).toEqual([]);
    for (let nowMs = 250; nowMs < 2_000; nowMs += 50)
      expect(kinds(lost.step(tick, nowMs))).not.toContain('look');
    expect(lost.lag(2_000, atUs(60_000))).toMatchObject({ lagMs: 10_000, lagCommits: 1, vdl: 400 });
    // It is back, holds more than was known, and lacks the second commit.
    lost.step(ack(800, { gap: true }), 2_000);
    lost.step(fetched(800, 1_000, 1_000, [[900, atUs(55_000)]]), 2_010);
    expect(lost.lag(2_020, atUs(60_000))).toMatchObject({
      lagMs: 5_000,
      lagCommits: 1,
      lagCommitsExact: true,
    });
  });

  test('of one that was level when it was lost is nothing until somebody writes, and then as old as that write', () => {
    const lost = new Shipper(head, lsn(400), { vdl: lsn(400), sinceUs: 0 });
    for (let nowMs = 0; nowMs <= 50_000; nowMs += 50)
      expect(kinds(lost.step(tick, nowMs))).not.toContain('look');
    expect(lost.lag(50_000, atUs(50_000))).toMatchObject({ lagBytes: 0, lagMs: 0, lagCommits: 0 });
    lost.step({ kind: 'durable', vdl: lsn(500) }, 50_100);
    expect(lost.lag(50_200, atUs(50_200))).toMatchObject({ lagBytes: 100, lagMs: 200 });
    expect(lost.step(tick, 50_200)).toContainEqual({ kind: 'look', from: 400 });
    lost.step(looked(400, 500, [[500, atUs(50_050)]]), 50_210);
    expect(lost.lag(60_050, atUs(60_050))).toMatchObject({ lagMs: 10_000, lagCommits: 1 });
  });

  test('a look that nobody answered is repeated, and one that was overtaken by a loss of nodes counts nothing', () => {
    const lost = new Shipper(head, lsn(1_000), { vdl: lsn(400), sinceUs: null });
    lost.step(tick, 0);
    lost.step(looked(400, 400), 10);
    expect(kinds(lost.step(tick, 10 + heartbeatMs - 1))).not.toContain('look');
    expect(lost.step(tick, 10 + heartbeatMs)).toContainEqual({ kind: 'look', from: 400 });
    lost.step(ack(100, { gap: true }), 220);
    lost.step(looked(400, 1_000, [[1_000, atUs(0)]]), 230);
    expect(lost.lag(240, atUs(60_000))).toMatchObject({ lagBytes: 900, lagMs: null, vdl: 100 });
  });

  test('counts the commits that are missing, and says when there may be more', () => {
    const shipper = joined(0);
    const commits = Array.from({ length: 10 }, (_, at) => [(at + 1) * 10, atUs(at)] as const);
    shipper.step(fetched(0, 100, 100, commits), 1);
    expect(shipper.lag(2, 0)).toMatchObject({ lagCommits: 10, lagCommitsExact: true });
    shipper.step(ack(100, { vcl: 30 }), 3);
    expect(shipper.lag(4, 0)).toMatchObject({ lagCommits: 7, lagCommitsExact: true });
    // More is durable here than was read.
    shipper.step({ kind: 'durable', vdl: lsn(500) }, 5);
    expect(shipper.lag(6, 0)).toMatchObject({ lagCommits: 7, lagCommitsExact: false });
  });

  test('begun anew goes on from what the secondary had said', () => {
    const shipper = joined(0);
    shipper.step(fetched(0, 100, 100, [[100, atUs(1_000)]]), 1);
    shipper.step(ack(100), 2);
    shipper.step({ kind: 'durable', vdl: lsn(160) }, 3);
    shipper.step({ kind: 'restarted' }, 4);
    expect(shipper.lag(5, 0)).toMatchObject({ lagBytes: 60, vdl: 100 });
  });

  test('does not jump between a message and the next under a steady load', () => {
    const shipper = joined(0);
    shipper.step({ kind: 'durable', vdl: lsn(1_000_000) }, 0);
    for (let at = 100; at <= 5_000; at += 100) {
      shipper.step(fetched(at - 100, at, 1_000_000, [[at, atUs(at)]]), at);
      shipper.step(ack(at), at + 50);
      expect(shipper.lag(at + 60, atUs(at + 60)).lagMs).toBeLessThanOrEqual(100);
    }
  });

  test('says who has been heard lately', () => {
    const shipper = joined(0);
    expect(shipper.lag(offlineAfterMs - 1, 0).online).toBe(true);
    expect(shipper.lag(offlineAfterMs, 0).online).toBe(false);
  });
});
