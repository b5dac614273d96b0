import { describe, expect, test } from 'vitest';
import { Shipper, type ShipperEvent } from '../../../../regions/replication/core/shipper.ts';
import { shippingLimits } from '../../../../regions/replication/core/shipping-limits.ts';
import { reportLimits } from '../../../../regions/status/core/report-limits.ts';
import { lsn } from '../../../../storage/redo/ids.ts';
import { ack, fetched, head, joined, kinds, looked, tick } from './shipper-bench.ts';

const { windowBytes, messageBytes, heartbeatMs } = shippingLimits;
const { offlineAfterMs } = reportLimits;

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
