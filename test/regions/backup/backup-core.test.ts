import { crc32 } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { describePlace, parsePlace } from '../../../regions/backup/core/backup-config.ts';
import { isCut, turnTo, unneeded, whySetDue } from '../../../regions/backup/core/backup-rules.ts';
import { pointsIn } from '../../../regions/backup/core/consistency-points.ts';
import { logChain, restorePlan } from '../../../regions/backup/core/log-chain.ts';
import {
  decodeManifest,
  encodeManifest,
  type ImageSet,
  type Manifest,
} from '../../../regions/backup/core/manifest.ts';
import {
  type LogObject,
  logName,
  parseLogName,
  parsePartName,
  partName,
} from '../../../regions/backup/core/object-names.ts';
import { decodePart, encodePart } from '../../../regions/backup/core/page-part.ts';
import { parseTarget } from '../../../regions/backup/target.ts';
import { timeText } from '../../../regions/place/time-text.ts';
import type { Fork } from '../../../storage/history/epoch-tree.ts';
import { encodeFrame, splitFrames } from '../../../storage/redo/frame.ts';
import { epoch, lsn, mainBranch, pgId } from '../../../storage/redo/ids.ts';
import { encodeMtr, type PageChange } from '../../../storage/redo/record.ts';

const fork = (of: number, parent: number, at: number): Fork => ({
  epoch: epoch(of),
  branch: mainBranch,
  parent: epoch(parent),
  forkLsn: lsn(at),
});
const object = (from: number, to: number, head = 1, minUs = 1, maxUs = 2): LogObject => {
  const facts = { from: lsn(from), to: lsn(to), head: epoch(head), minUs, maxUs, crc: 0xfeed };
  return { ...facts, name: logName(facts) };
};
const set = (to: number, more: Partial<ImageSet> = {}): ImageSet => ({
  id: `s${to}`,
  head: epoch(1),
  from: lsn(to),
  to: lsn(to),
  commitUs: null,
  parts: 1,
  pages: 10,
  bytes: 1_000,
  ...more,
});
const manifest = (more: Partial<Manifest> = {}): Manifest => ({
  id: 'abc',
  owner: 'me',
  cluster: 'shop',
  region: 'us-east-1',
  regions: ['us-east-1'],
  generation: 1,
  writtenUs: 5,
  head: epoch(1),
  forks: [fork(1, 0, 0)],
  through: lsn(100),
  throughUs: 7,
  gaps: [],
  sets: [],
  filling: null,
  ...more,
});

describe('names and bodies of objects', () => {
  it('a name says what it was made of, and no other name is one', () => {
    const one = object(0, 8_210, 4_294_967_295, 12, 1_795_974_653_285_933);
    expect(parseLogName(one.name)).toEqual(one);
    const part = { part: 3, firstPage: 4_097, at: lsn(77), crc: 1 };
    expect(parsePartName(partName('a-1', part))).toEqual({ ...part, name: partName('a-1', part) });
    for (const name of ['log/x.log', one.name.replace('.log', ''), object(5, 5).name, 'manifest-0.json'])
      expect(parseLogName(name)).toBeNull();
    expect(parsePartName(one.name)).toBeNull();
  });

  it('pages come back as they were put, and a torn part is none', () => {
    const images = [1, 2].map((fill) => new Uint8Array(4_096).fill(fill));
    const bytes = encodePart({ pages: [3, 9], images });
    expect(decodePart(bytes)).toEqual({ pages: [3, 9], images });
    expect(decodePart(bytes.subarray(0, -1))).toBeNull();
    expect(decodePart(encodePart({ pages: [9, 3], images }))).toBeNull();
  });

  it('a manifest with any byte changed or missing is not believed', () => {
    const bytes = encodeManifest(manifest({ sets: [set(50)] }), crc32);
    expect(decodeManifest(bytes, crc32)).toEqual({
      kind: 'manifest',
      manifest: manifest({ sets: [set(50)] }),
    });
    fc.assert(
      fc.property(fc.nat(bytes.length - 1), fc.integer({ min: 1, max: 255 }), (at, flip) => {
        const torn = bytes.slice();
        torn[at] = (torn[at] ?? 0) ^ flip;
        expect(decodeManifest(torn, crc32).kind).toBe('bad');
        expect(decodeManifest(bytes.subarray(0, at), crc32).kind).toBe('bad');
      }),
    );
  });
});

describe('where a backup lies', () => {
  it.each([
    ['/mnt/b', '/mnt/b'],
    ['s3://backups/shop/a', 's3://backups/shop/a at http://127.0.0.1:9000'],
    ['s3://backups/', 's3://backups at http://127.0.0.1:9000'],
  ])('%s', (text, described) => {
    const parsed = parsePlace(text, text.startsWith('s3:') ? { endpoint: 'http://127.0.0.1:9000' } : {});
    expect(parsed.kind === 'place' && describePlace(parsed.place)).toBe(described);
  });

  it('a key in the address of a server is refused and not shown', () => {
    const parsed = parsePlace('s3://backups', { endpoint: 'https://me:hunter2hunter2@host' });
    expect(parsed.kind).toBe('bad');
    expect(JSON.stringify(parsed)).not.toContain('hunter2');
  });
});

describe('which objects hold a stretch of the log', () => {
  const path = { head: epoch(1), forks: [fork(1, 0, 0)] };

  it('leftovers of uploads that were cut off do no harm', () => {
    const chain = logChain(
      [object(0, 10), object(0, 25), object(10, 20), object(25, 40)],
      path,
      lsn(5),
      lsn(30),
    );
    expect(chain.kind === 'whole' && chain.pieces.map(({ from, to }) => [from, to])).toEqual([
      [5, 25],
      [25, 30],
    ]);
  });

  it('a missing object is a gap with its bounds', () => {
    expect(logChain([object(0, 10), object(20, 40)], path, lsn(0), lsn(40))).toMatchObject({
      kind: 'gap',
      gap: { from: 10, to: 20 },
    });
    expect(logChain([], path, lsn(3), lsn(4))).toMatchObject({ gap: { from: 3, to: 4 } });
  });

  it('what lies beyond a fork is no part of the path, what lies below it is', () => {
    const forks = [fork(1, 0, 0), fork(2, 1, 30)];
    const objects = [object(0, 50, 1), object(30, 60, 2)];
    const chain = logChain(objects, { head: epoch(2), forks }, lsn(0), lsn(60));
    expect(chain.kind === 'whole' && chain.pieces.map(({ object: { head }, to }) => [head, to])).toEqual([
      [1, 30],
      [2, 60],
    ]);
    expect(logChain([object(0, 50, 1)], { head: epoch(2), forks }, lsn(0), lsn(60)).kind).toBe('gap');
  });

  it('any objects that cover a stretch make a chain of it without hole or overlap', () => {
    const stretch = fc.tuple(fc.nat(50), fc.integer({ min: 1, max: 20 }));
    fc.assert(
      fc.property(
        fc.array(stretch, { maxLength: 30 }),
        fc.nat(30),
        fc.integer({ min: 1, max: 40 }),
        (parts, from, length) => {
          const to = from + length;
          const covered = (at: number): boolean =>
            parts.some(([start, long]) => start <= at && at < start + long);
          const whole = Array.from({ length }, (_, at) => from + at).every(covered);
          const objects = parts.map(([start, long]) => object(start, start + long));
          const chain = logChain(objects, path, lsn(from), lsn(to));
          expect(chain.kind === 'whole').toBe(whole);
          const ends = chain.pieces.map((piece) => Number(piece.to));
          expect(chain.pieces.map((piece) => Number(piece.from))).toEqual(
            [from, ...ends].slice(0, ends.length),
          );
          for (const piece of chain.pieces)
            expect(piece.object.from <= piece.from && piece.object.to >= piece.to).toBe(true);
        },
      ),
    );
  });

  it('a restore takes the newest image set below, and an older one where the log above that has a gap', () => {
    const sets = [set(20), set(60)];
    const of = (objects: readonly LogObject[], target: number) =>
      restorePlan(manifest({ sets }), objects, lsn(target));
    expect(of([object(0, 100)], 70)).toMatchObject({ kind: 'plan', set: { to: 60 } });
    expect(of([object(0, 100)], 59)).toMatchObject({ kind: 'plan', set: { to: 20 } });
    expect(of([object(60, 100)], 59)).toMatchObject({ kind: 'impossible', reason: /LSN 20 to 59 is not/ });
    expect(of([object(0, 100)], 19)).toMatchObject({ reason: /oldest image set is of LSN 20/ });
    expect(of([object(0, 100)], 101)).toMatchObject({ reason: /ends at LSN 100/ });
    const orphan = manifest({ sets: [set(60)], head: epoch(2), forks: [fork(1, 0, 0), fork(2, 1, 50)] });
    expect(restorePlan(orphan, [object(0, 50), object(50, 100, 2)], lsn(90)).kind).toBe('impossible');
  });
});

describe('the life of a backup', () => {
  it('an object leaves when it is full or three seconds old, never empty', () => {
    expect([isCut(0, 1e9), isCut(1, 2_999), isCut(1, 3_000), isCut(8 * 1024 * 1024, 0)]).toEqual([
      false,
      false,
      true,
      true,
    ]);
  });

  it('an image set is due when there is none, when the log outgrew the database, after a gap, and daily', () => {
    const MiB = 1024 * 1024;
    const due = (more: Partial<Manifest>, ageMs = 0) => whySetDue(manifest(more), ageMs);
    expect(due({})).toMatch(/none/);
    expect(due({ sets: [set(0)], through: lsn(16 * MiB) })).toBeNull();
    expect(due({ sets: [set(0)], through: lsn(16 * MiB + 1) })).toMatch(/longer than the database/);
    expect(due({ sets: [set(0, { pages: 8 * 1024 })], through: lsn(20 * MiB) })).toBeNull();
    expect(due({ sets: [set(10)], gaps: [{ from: lsn(20), to: lsn(30) }] })).toMatch(/missing/);
    expect(due({ sets: [set(40)], gaps: [{ from: lsn(20), to: lsn(30) }] })).toBeNull();
    expect(due({ sets: [set(10)] }, 24 * 3_600_000)).toMatch(/day/);
    expect(due({ sets: [set(100)] }, 24 * 3_600_000)).toBeNull();
  });

  it('R66: it turns with its region to where the paths part, and drops sets that lie beyond', () => {
    const before = manifest({ sets: [set(40), set(90)], filling: { ...set(95), nextPage: 2, lastPage: 9 } });
    expect(turnTo(before, { head: epoch(2), forks: [fork(1, 0, 0), fork(2, 1, 60)] })).toMatchObject({
      through: 60,
      sets: [{ to: 40 }],
      filling: null,
    });
    expect(turnTo(before, { head: epoch(2), forks: [fork(1, 0, 0), fork(2, 1, 200)] })).toMatchObject({
      through: 100,
      sets: [{ to: 40 }, { to: 90 }],
      filling: { to: 95 },
    });
    expect(turnTo(before, { head: epoch(1), forks: [fork(1, 0, 5)] })).toBeNull();
  });

  it('old sets go once a newer one is as old as what is kept, and one clock that jumps deletes nothing', () => {
    const day = 86_400e6;
    const sets = [
      set(10, { commitUs: 1 * day }),
      set(20, { commitUs: 5 * day }),
      set(30, { commitUs: 9 * day }),
    ];
    const of = (throughUs: number, nowUs: number) =>
      unneeded(
        { sets, throughUs, filling: null },
        [object(0, 15), object(15, 25), object(25, 40)],
        ['images/s10/x.pages', 'images/s20/x.pages', 'images/gone/x.pages'],
        { keepDays: 3, nowUs },
      );
    expect(of(10 * day, 10 * day)).toMatchObject({
      kept: [{ to: 20 }, { to: 30 }],
      names: [object(0, 15).name, 'images/s10/x.pages', 'images/gone/x.pages'],
    });
    for (const [throughUs, nowUs] of [
      [7 * day, 1e6 * day],
      [1e6 * day, 7 * day],
    ] as const)
      expect(of(throughUs, nowUs)).toMatchObject({ sets: [], names: ['images/gone/x.pages'] });
  });
});

describe('places that can be restored to', () => {
  const change = (fill: number): PageChange => ({
    kind: 'pageImage',
    page: 1 as never,
    bytes: new Uint8Array(4_096).fill(fill),
  });
  const frame = (base: number, payload: Uint8Array) =>
    encodeFrame({ epoch: epoch(1), pg: pgId(0), base: lsn(base), prevPg: lsn(base) }, [payload]);

  it('a group of commits is one place, with the latest of their times', () => {
    const commitOf = (commitTimeUs: number) => ({ kind: 'commit', commitTimeUs, trace: null }) as const;
    const parts = [
      encodeMtr([change(1)], [commitOf(5), commitOf(9)], 1 << 30).runs[0]?.bytes ?? new Uint8Array(0),
      encodeMtr([change(2)], [commitOf(7)], 1 << 30).runs[0]?.bytes ?? new Uint8Array(0),
    ] as const;
    const split = splitFrames(frame(100, Buffer.concat(parts)));
    const frames = split.kind === 'frames' ? split.frames : [];
    const first = 100 + parts[0].length;
    const points = (to: number) => pointsIn(frames, lsn(100), lsn(to), () => lsn(1e12));
    expect(points(1e6)).toEqual([
      { lsn: first, commitUs: 9 },
      { lsn: first + parts[1].length, commitUs: 7 },
    ]);
    expect(points(first)).toEqual([{ lsn: first, commitUs: 9 }]);
  });

  it.each([
    ['4711', { kind: 'lsn', lsn: 4_711 }],
    ['2026-11-29T12:00:00Z', { kind: 'time', us: Date.UTC(2026, 10, 29, 12) * 1_000 }],
    ['2026-11-29T12:00:00.123456+01:00', { kind: 'time', us: Date.UTC(2026, 10, 29, 11) * 1_000 + 123_456 }],
    ['2026-11-29T12:00:00', null],
    ['yesterday', null],
    ['-5', null],
  ])('%s', (text, target) => {
    expect(parseTarget(text)).toEqual(target);
  });

  it('a time is shown to the microsecond and read back as the same', () => {
    const us = Date.UTC(2026, 10, 29, 12) * 1_000 + 123_456;
    expect(timeText(us)).toBe('2026-11-29T12:00:00.123456Z');
    expect(parseTarget(timeText(us))).toEqual({ kind: 'time', us });
  });
});
