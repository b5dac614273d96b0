import { beforeEach, describe, expect, it } from 'vitest';
import { parseFrame, splitFrames } from '../../../storage/redo/frame.ts';
import { nodeId, type PgId, pageNo } from '../../../storage/redo/ids.ts';
import { redoLimits, volumeLimits } from '../../../storage/redo/limits.ts';
import { MtrStream, type StoredMtr } from '../../../storage/redo/mtr-stream.ts';
import { decodeRecords, type PageChange } from '../../../storage/redo/record.ts';
import { commitAt, delta } from '../samples.ts';
import {
  ack,
  ackAll,
  basesTo,
  commit,
  crowd,
  expectMore,
  flush,
  forget,
  framesOf,
  othersOf,
  ready,
  refuse,
  sent,
  sentTo,
  start,
  step,
  volume,
  wait,
} from './answering-nodes.ts';

beforeEach(start);

function framed(bytes: Uint8Array) {
  const split = splitFrames(bytes);
  if (split.kind === 'bad') throw new Error(split.reason);
  return split.frames;
}

/** A mini-transaction as it lies in a file, and its bytes. */
function storedMtr(changes: readonly PageChange[]) {
  const stretches: { pg: PgId; length: number; bytes: Uint8Array }[] = [];
  const stream = new MtrStream({
    pgBytes: redoLimits.pgBytesMin,
    stretchBytesMax: redoLimits.framePayloadBytesMax,
    shrink: null,
    onStretch: (pg, bytes) => stretches.push({ pg, length: bytes.length, bytes: bytes.slice() }),
  });
  for (const change of changes) stream.add(change);
  stream.finish([commitAt(1)]);
  const bytesOf = (from: number, to: number) => stretches.slice(from, to).map(({ bytes }) => bytes);
  const stored: StoredMtr = {
    stretches,
    byteLength: stream.byteLength,
    commits: 1,
    read: async (from, to) => bytesOf(from, to),
  };
  return { stored, bytesOf };
}

describe('batches', () => {
  it('go out at once while fewer than two are under way; what comes then is gathered into the next', () => {
    ready();
    const ends = [commit(), commit(), commit(), commit(), commit()];
    expect(basesTo(1)).toEqual([[100], [ends[0]]]);
    expect(volume.unflushedBytes).toBe((ends[4] ?? 0) - (ends[1] ?? 0));
    forget('n5', 'n6');
    for (const n of [1, 2, 3, 4]) ack(n);
    // The first batch is durable, so the three that waited leave as one frame to the four that answered.
    expect(basesTo(1)).toEqual([[ends[0]], [ends[1]]]);
    expect(volume.unflushedBytes).toBe(0);
    ackAll(1, 2, 3, 4);
    expect(volume.vdl).toBe(ends[4]);
  });

  it('of a crowd wait for all nodes, since what gathers meanwhile costs them nothing more', () => {
    ready();
    crowd();
    ackAll(1, 2, 3, 4);
    const end = commit();
    expect(basesTo(1)).toEqual([]);
    expect(volume.vdl).toBeLessThan(end);
    ack(5);
    expect(basesTo(1)).toEqual([]);
    ack(6);
    expect(basesTo(1)).toHaveLength(1);
    expect(volume.unflushedBytes).toBe(0);
  });

  it('of a crowd wait for a slow node once, a few milliseconds, and again when it has caught up', () => {
    ready();
    crowd();
    ackAll(1, 2, 3, 4, 5);
    crowd();
    wait(volumeLimits.stepMs - 1);
    step({ kind: 'tick' });
    expect(basesTo(1)).toEqual([]);
    wait(1);
    step({ kind: 'tick' });
    expect(basesTo(1)).toHaveLength(1);
    ackAll(1, 2, 3, 4, 5);
    crowd();
    expect(basesTo(1)).toHaveLength(1);
    ackAll(1, 2, 3, 4, 5, 6);
    crowd();
    ackAll(1, 2, 3, 4, 5);
    crowd();
    expect(basesTo(1)).toEqual([]);
  });

  it('of a crowd wait a moment for transactions that are about to come', () => {
    ready();
    crowd();
    expectMore(true);
    commit();
    ackAll(1, 2, 3, 4, 5, 6);
    wait(volumeLimits.gatherMs - 1);
    step({ kind: 'tick' });
    expect(basesTo(1)).toEqual([]);
    wait(1);
    step({ kind: 'tick' });
    expect(basesTo(1)).toHaveLength(1);
  });

  it('of a crowd leave when nothing more is about to come', () => {
    ready();
    crowd();
    expectMore(true);
    commit();
    ackAll(1, 2, 3, 4, 5, 6);
    expect(basesTo(1)).toEqual([]);
    expectMore(false);
    flush();
    expect(basesTo(1)).toHaveLength(1);
  });

  it('of a lone transaction wait for nobody', () => {
    ready();
    expectMore(true);
    commit();
    expect(basesTo(1)).toHaveLength(1);
  });

  it('of a crowd do not wait for a node that is gone, or that refused', () => {
    ready();
    crowd();
    ackAll(1, 2, 3, 4);
    step({ kind: 'nodeDown', node: nodeId('n5') });
    refuse(6, 'DISK_FULL');
    commit();
    expect(basesTo(1)).toHaveLength(1);
  });

  it('send the very same request to nodes that are level', () => {
    ready();
    commit();
    expect(new Set(sent.map((one) => one.request)).size).toBe(1);
  });

  it('send at most two appends to a node at once, each within its bound', () => {
    ready();
    const image = (page: number): PageChange => ({
      kind: 'pageImage',
      page: pageNo(page),
      bytes: new Uint8Array(4096).fill(page),
    });
    const end = commit(
      Array.from({ length: 256 }, (_, at) => image(at + 1)).concat(
        Array.from({ length: 255 }, (_, at) => image(at + 257)),
      ),
    );
    expect(sentTo(1)).toHaveLength(volumeLimits.appendsInFlightMax);
    for (let round = 0; volume.vdl < end && round < 20; round++) {
      for (const { request } of sentTo(1))
        expect(request.frames.length).toBeLessThanOrEqual(volumeLimits.appendBytesMax);
      for (const n of [1, 2, 3, 4]) if (sentTo(n).length > 0) ack(n);
    }
    expect(volume.vdl).toBe(end);
    expect(othersOf('durable')).toHaveLength(1);
  });

  it('split a transaction longer than a frame between records, in one chain', () => {
    ready();
    const changes = Array.from({ length: 200 }, (_, at): PageChange => {
      return { kind: 'pageImage', page: pageNo(at + 1), bytes: new Uint8Array(4096).fill(at) };
    });
    const end = commit(changes);
    const bytes = sentTo(1).map(({ request }) => request.frames);
    const headers = bytes.flatMap(framesOf);
    expect(headers.length).toBe(Math.ceil((end - 100) / redoLimits.framePayloadBytesMax));
    headers.forEach((header, at) => {
      expect(header.base).toBe(at === 0 ? 100 : headers[at - 1]?.end);
      expect(header.prevPg).toBe(header.base);
    });
    for (const part of bytes) {
      for (let at = 0; at < part.length; ) {
        const parsed = parseFrame(part, at);
        if (parsed.kind !== 'frame') throw new Error(parsed.kind);
        expect(decodeRecords(part.subarray(at + 36, at + parsed.length), parsed.header.base).kind).toBe(
          'records',
        );
        at += parsed.length;
      }
    }
    expect(headers.at(-1)?.end).toBe(end);
  });

  it('of a large transaction are laid into frames as the nodes take them, two at a time', () => {
    ready();
    const end = commit(
      Array.from({ length: 4_096 }, (_, at): PageChange => {
        return { kind: 'pageImage', page: pageNo((at % 256) + 1), bytes: new Uint8Array(4096) };
      }),
    );
    const bound = 2 * volumeLimits.batchBytesMax;
    expect(volume.outstandingBytes).toBeGreaterThan(4 * bound);
    for (let round = 0; volume.vdl < end && round < 200; round++) {
      flush();
      const unacknowledged = volume.framedLsn - volume.vcl;
      expect(unacknowledged).toBeLessThanOrEqual(bound);
      expect(unacknowledged).toBeGreaterThan(0);
      expect(volume.vdl).toBe(100);
      for (const n of [1, 2, 3, 4]) if (sentTo(n).length > 0) ack(n);
    }
    expect([volume.vdl, volume.unflushedBytes, volume.hasRoom]).toEqual([end, 0, true]);
    expect(othersOf('durable')).toHaveLength(1);
  });

  it('of a transaction whose redo is elsewhere are asked for two batches ahead, and are the frames it would have had', () => {
    const changes = Array.from({ length: 4_096 }, (_, at): PageChange => {
      return { kind: 'pageImage', page: pageNo(at + 1), bytes: new Uint8Array(4096).fill(at % 251) };
    });
    const payloads = () => {
      const seen = new Map<number, Buffer>();
      for (let round = 0; round < 200; round++) {
        flush();
        for (const { request } of sentTo(1))
          for (const { header, bytes } of framed(request.frames)) seen.set(header.base, Buffer.from(bytes));
        for (const n of [1, 2, 3, 4]) if (sentTo(n).length > 0) ack(n);
      }
      return [...seen.values()];
    };
    ready();
    const end = commit(changes);
    const inMemory = payloads();
    start();
    ready();
    const { stored, bytesOf } = storedMtr(changes);
    const at = volume.commit(stored);
    expect(at).toBe(end);
    let brought = 0;
    const elsewhere: Buffer[] = [];
    for (let round = 0; volume.vdl < end && round < 400; round++) {
      const wanted = volume.wanted();
      if (wanted !== null) {
        const stretches = bytesOf(wanted.from, wanted.to);
        brought += stretches.reduce((sum, { length }) => sum + length, 0);
        volume.supply(wanted, stretches);
      }
      expect(brought - (volume.framedLsn - 100)).toBeLessThanOrEqual(3 * volumeLimits.batchBytesMax);
      expect(volume.vdl).toBe(100);
      flush();
      for (const { request } of sentTo(1))
        for (const { bytes } of framed(request.frames))
          if (!elsewhere.some((known) => known.equals(bytes))) elsewhere.push(Buffer.from(bytes));
      for (const n of [1, 2, 3, 4]) if (sentTo(n).length > 0) ack(n);
    }
    expect([volume.vdl, volume.wanted(), brought]).toEqual([end, null, stored.byteLength]);
    expect(elsewhere.map(String)).toEqual(inMemory.map(String));
  });

  it('of what is committed behind a transaction that is elsewhere wait for it', () => {
    ready();
    const { stored, bytesOf } = storedMtr([delta(1, 'x'), delta(2, 'y')]);
    const first = volume.commit(stored);
    const second = commit();
    expect([sentTo(1), volume.framedLsn]).toEqual([[], 100]);
    const wanted = volume.wanted();
    if (wanted === null) throw new Error('its redo is wanted');
    volume.supply(wanted, bytesOf(wanted.from, wanted.to));
    flush();
    expect([basesTo(1), volume.wanted()]).toEqual([[[100, first]], null]);
    ackAll(1, 2, 3, 4);
    expect(volume.vdl).toBe(second);
  });

  it('stop taking transactions at the bound', () => {
    ready();
    expect(volume.hasRoom).toBe(true);
    const big = Array.from({ length: 250 }, (_, at): PageChange => {
      return { kind: 'pageImage', page: pageNo(at + 1), bytes: new Uint8Array(4096) };
    });
    while (volume.hasRoom) commit(big);
    expect(volume.outstandingBytes).toBeGreaterThanOrEqual(volumeLimits.outstandingBytesMax);
    for (let round = 0; round < 200; round++) for (const n of [1, 2, 3, 4]) if (sentTo(n).length > 0) ack(n);
    expect([volume.outstandingBytes, volume.hasRoom]).toEqual([0, true]);
  });
});
