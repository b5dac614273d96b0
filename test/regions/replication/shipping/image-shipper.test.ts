import { describe, expect, it } from 'vitest';
import { fillOf } from '../../../../regions/replication/core/image-quorum.ts';
import { ImageShipper } from '../../../../regions/replication/core/image-shipper.ts';
import { epoch, lsn, type PageNo, pageNo, regionId } from '../../../../storage/redo/ids.ts';
import type { ImagesPutReply } from '../../../../storage/wire/core/messages.ts';

const floor = { epoch: epoch(3), lsn: lsn(900) };
/** A message carries one page, and one is under way at a time while nothing is known of the line. */
const bounds = { windowBytes: 65_536, messageBytes: 32_768, queueMs: 200 };
const fetchFrom = (fromPage: number) => ({ kind: 'fetch', floor, fromPage, bytesMax: 4_096 });
const ack = (next: number | null, pages: number, low: number | null = 950) =>
  ({
    kind: 'acked',
    ack: {
      region: regionId('eu-west-1'),
      head: epoch(3),
      next: next === null ? null : pageNo(next),
      pages,
      low: low === null ? null : lsn(low),
    },
  }) as const;
const fetched = (fromPage: number, next: number | null, at = 960) =>
  ({
    kind: 'fetched',
    fromPage: pageNo(fromPage),
    at: lsn(at),
    next: next as PageNo | null,
    bytes: 4_096,
    total: 10,
  }) as const;

function begun(): ImageShipper {
  const shipper = new ImageShipper(bounds);
  expect(shipper.step({ kind: 'needed', floor }, 10_000)).toEqual([{ kind: 'ask', floor }]);
  return shipper;
}

describe('a primary that fills a secondary', () => {
  it('R62: asks nothing and sends nothing while the secondary is not below the log', () => {
    const shipper = new ImageShipper(bounds);
    expect(shipper.step({ kind: 'needed', floor: null }, 10_000)).toEqual([]);
    expect(shipper.step(ack(1, 0), 10_001)).toEqual([]);
    expect(shipper.step({ kind: 'tick' }, 60_000)).toEqual([]);
    expect(shipper.progress).toBeNull();
  });

  it('begins where the secondary is, and keeps within the window', () => {
    const shipper = begun();
    expect(shipper.step(ack(5, 4), 10_010)).toEqual([fetchFrom(5)]);
    expect(shipper.step(fetched(5, 6), 10_020)).toEqual([]);
    expect(shipper.step(ack(6, 5), 10_040)).toEqual([fetchFrom(6)]);
    expect(shipper.step(fetched(6, 7), 10_050)).toEqual([fetchFrom(7)]);
    expect(shipper.step(fetched(7, 8), 10_060)).toEqual([]);
    expect(shipper.progress).toEqual({ bytes: 20_480, totalBytes: 40_960, bytesPerSecond: 136_533 });
  });

  it('asks again where it is when nothing gets on, ever more rarely, and goes on from there', () => {
    const shipper = begun();
    shipper.step(ack(1, 0), 10_010);
    shipper.step(fetched(1, 2), 10_020);
    shipper.step(fetched(2, 3), 10_030);
    const asked: number[] = [];
    for (let nowMs = 10_100; nowMs < 40_000; nowMs += 100)
      if (shipper.step({ kind: 'tick' }, nowMs).some(({ kind }) => kind === 'ask')) asked.push(nowMs);
    expect(asked).toEqual([11_100, 13_100, 17_100, 25_100, 33_100]);
    expect(shipper.step(ack(2, 1), 40_000)).toEqual([fetchFrom(2)]);
  });

  it('R64: tells from where on the log is needed: the lowest place of any page, until it is needed no more', () => {
    const shipper = begun();
    shipper.step(ack(1, 0, null), 10_010);
    expect(shipper.low).toBeNull();
    shipper.step(fetched(1, 2, 960), 10_020);
    expect(shipper.low).toBe(960);
    shipper.step(ack(2, 1, 950), 10_030);
    shipper.step(fetched(2, 3, 990), 10_040);
    expect(shipper.low).toBe(950);
    shipper.step({ kind: 'needed', floor: null }, 10_050);
    expect(shipper.low).toBeNull();
  });

  it('reads nothing more when all pages have left, and waits a while after a read that failed', () => {
    const shipper = begun();
    shipper.step(ack(9, 8), 10_010);
    expect(shipper.step({ kind: 'fetchFailed' }, 10_020)).toEqual([]);
    expect(shipper.step({ kind: 'tick' }, 10_300)).toEqual([fetchFrom(9)]);
    expect(shipper.step(fetched(9, null), 10_310)).toEqual([]);
    expect(shipper.step(ack(null, 9), 10_320)).toEqual([]);
  });
});

describe('a region that is filled', () => {
  const put = (next: number | null, pages: number, low: number | null): ImagesPutReply => ({
    kind: 'imagesPut',
    next: next as PageNo | null,
    pages,
    low: low === null ? null : lsn(low),
    floor: null,
  });

  it('R63: has what the fourth of its nodes has, and needs the log from the lowest place of all', () => {
    const replies = [put(9, 8, 50), put(null, 12, 70), put(7, 6, 60), put(null, 12, 70), put(3, 2, 40)];
    expect(fillOf(replies)).toEqual({ next: 7, pages: 6, low: 40 });
    expect(fillOf(replies.slice(0, 3))).toBeNull();
    expect(fillOf([1, 2, 3, 4].map(() => put(null, 0, null)))).toEqual({ next: null, pages: 0, low: null });
  });
});
