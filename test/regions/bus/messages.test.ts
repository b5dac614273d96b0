import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  decodeAck,
  decodeShipped,
  encodeAck,
  encodeShipped,
  type ShipAck,
  type Shipped,
  subjectsOf,
} from '../../../regions/bus/core/messages.ts';
import { epoch, lsn, mainBranch, regionId } from '../../../storage/redo/ids.ts';

const region = regionId('us-east-1');
const message: Shipped = {
  from: region,
  head: epoch(3),
  forks: [
    { epoch: epoch(1), branch: mainBranch, parent: epoch(0), forkLsn: lsn(0) },
    { epoch: epoch(3), branch: mainBranch, parent: epoch(1), forkLsn: lsn(40) },
  ],
  start: lsn(50),
  next: lsn(53),
  vdl: lsn(60),
  sentAtUs: 1_700_000_000_000_000,
  echo: { ackSentAtUs: 5, ackReceivedAtUs: 7 },
  frames: Uint8Array.of(1, 2, 3),
};
const ack: ShipAck = {
  region,
  head: epoch(3),
  received: lsn(53),
  vcl: lsn(50),
  vdl: lsn(40),
  gap: true,
  ackSentAtUs: 1_700_000_000_000_001,
};
const encode = (of: Shipped, compressed = false): Uint8Array =>
  encodeShipped(of, { bytes: of.frames, compressed });

describe('messages between regions', () => {
  test('a shipped message comes back as it was', () => {
    expect(decodeShipped(encode(message, true))).toEqual({
      kind: 'ok',
      value: { ...message, compressed: true },
    });
    const heartbeat = { ...message, next: message.start, echo: null, frames: new Uint8Array(0) };
    expect(decodeShipped(encode(heartbeat))).toEqual({
      kind: 'ok',
      value: { ...heartbeat, compressed: false },
    });
  });

  test('an acknowledgement comes back as it was', () => {
    expect(decodeAck(encodeAck(ack))).toEqual({ kind: 'ok', value: ack });
  });

  test('a message that lies inside a larger buffer is read from where it lies', () => {
    const bytes = encode(message);
    const buffer = new Uint8Array(bytes.length + 20).fill(0x7b);
    buffer.set(bytes, 9);
    expect(decodeShipped(buffer.subarray(9, 9 + bytes.length))).toMatchObject({
      kind: 'ok',
      value: { frames: message.frames },
    });
  });

  test('version 1 on the wire is these bytes', () => {
    const header =
      '{"v":1,"from":"us-east-1","head":3,"forks":[{"epoch":1,"branch":"main","parent":0,"forkLsn":0},' +
      '{"epoch":3,"branch":"main","parent":1,"forkLsn":40}],"start":50,"next":53,"vdl":60,"sentAtUs":1700000000000000,' +
      '"echo":{"ackSentAtUs":5,"ackReceivedAtUs":7},"compressed":false}';
    const golden = Buffer.concat([
      Buffer.from([header.length & 0xff, header.length >> 8, 0, 0]),
      Buffer.from(header),
      Buffer.of(1, 2, 3),
    ]);
    expect(Buffer.from(encode(message)).equals(golden)).toBe(true);
    expect(Buffer.from(encodeAck(ack)).toString()).toBe(
      '{"v":1,"region":"us-east-1","head":3,"received":53,"vcl":50,"vdl":40,"gap":true,"ackSentAtUs":1700000000000001}',
    );
  });

  test('another version, a name that is none, or positions that cannot be are malformed', () => {
    const broken = (change: object) => decodeShipped(encode({ ...message, ...change })).kind;
    expect(decodeAck(Buffer.from(JSON.stringify({ v: 2, ...ack }))).kind).toBe('malformed');
    expect(decodeAck(Buffer.from(JSON.stringify({ v: 1, ...ack, region: 'a.*' }))).kind).toBe('malformed');
    expect(decodeAck(Buffer.from(JSON.stringify({ v: 1, ...ack, vdl: 1.5 }))).kind).toBe('malformed');
    expect(broken({ next: lsn(49) })).toBe('malformed');
    expect(broken({ vdl: -1 })).toBe('malformed');
  });

  test('forks that are not the path to the head are malformed', () => {
    const broken = (change: object) => decodeShipped(encode({ ...message, ...change })).kind;
    expect(broken({ head: epoch(4) })).toBe('malformed');
    expect(broken({ forks: [] })).toBe('malformed');
    expect(broken({ forks: message.forks.slice(1) })).toBe('malformed');
    expect(broken({ forks: [...message.forks].reverse() })).toBe('malformed');
  });

  test('garbage, and a message cut short or overwritten anywhere, never throws', () => {
    const bytes = encode(message);
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 80 }), (garbage) => {
        expect(decodeShipped(garbage).kind).toBe('malformed');
        expect(decodeAck(garbage).kind).toBe('malformed');
      }),
    );
    fc.assert(
      fc.property(fc.nat(bytes.length - 1), fc.integer({ min: 0, max: 255 }), (at, value) => {
        const damaged = bytes.slice();
        damaged[at] = value;
        expect(['ok', 'malformed']).toContain(decodeShipped(damaged).kind);
        if (at < bytes.length - message.frames.length)
          expect(decodeShipped(bytes.subarray(0, at)).kind).toBe('malformed');
      }),
    );
  });

  test('every purpose has a subject of its own within the cluster', () => {
    const subjects = subjectsOf('c1');
    const all = [
      subjects.ship(region),
      subjects.ack(region),
      subjects.report(region),
      subjects.agent(region),
      subjects.sql(region),
    ];
    expect(new Set(all).size).toBe(all.length);
    expect(all.every((subject) => subject.startsWith('sextant.c1.') && subject.endsWith('.us-east-1'))).toBe(
      true,
    );
    expect(subjects.allReports).toBe('sextant.c1.report.*');
  });
});
