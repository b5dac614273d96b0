import fc from 'fast-check';
import { describe, expect, it, test } from 'vitest';
import type { HeldFrame } from '../../../storage/log/core/held-frames.ts';
import {
  decodeSealedIndex,
  encodeSealedIndex,
  type SealedIndex,
  SealedIndexEncoder,
  sealedIndexBytes,
} from '../../../storage/log/core/sealed-index.ts';
import { epoch, lsn, pgId } from '../../../storage/redo/ids.ts';

const file = 7;

const entries = fc
  .array(
    fc.record({
      gap: fc.nat(100),
      length: fc.integer({ min: 1, max: 70_000 }),
      epoch: fc.nat(0xffff_ffff),
      pg: fc.nat(0xffff_ffff),
      base: fc.nat(2 ** 52),
      payload: fc.integer({ min: 1, max: 65_000 }),
      back: fc.nat(1_000),
      commit: fc.option(fc.nat(1_000)),
    }),
    { maxLength: 30 },
  )
  .map((samples): readonly HeldFrame[] => {
    let offset = 0;
    return samples.map(({ gap, length, base, payload, back, commit, ...of }) => {
      offset += gap;
      const end = base + payload;
      const entry: HeldFrame = {
        epoch: epoch(of.epoch),
        pg: pgId(of.pg),
        base: lsn(base),
        end: lsn(end),
        prevPg: lsn(Math.max(0, base - back)),
        lastCpl: commit === null ? null : lsn(Math.max(1, end - commit)),
        position: { file, offset, length },
      };
      offset += length;
      return entry;
    });
  });

const indexes = fc.tuple(entries, fc.nat(50), fc.option(fc.integer({ min: 1, max: 2 ** 51 }))).map(
  ([held, behind, at]): SealedIndex => ({
    file,
    logBytes: endOf(held) + behind,
    firstCommitUs: at,
    lastCommitUs: at === null ? null : at + 5,
    entries: held,
  }),
);

function endOf(held: readonly HeldFrame[]): number {
  const last = held.at(-1)?.position;
  return last === undefined ? 0 : last.offset + last.length;
}

const sample: SealedIndex = {
  file,
  logBytes: 300,
  firstCommitUs: 1_700_000_000_000_000,
  lastCommitUs: 1_700_000_000_000_500,
  entries: [
    {
      epoch: 1,
      pg: 0,
      base: 0,
      end: 100,
      prevPg: 0,
      lastCpl: 90,
      position: { file, offset: 0, length: 136 },
    },
    {
      epoch: 3,
      pg: 2,
      base: 100,
      end: 200,
      prevPg: 80,
      lastCpl: null,
      position: { file, offset: 150, length: 136 },
    },
  ].map((entry) => entry as unknown as HeldFrame),
};

describe('the index of a sealed log file', () => {
  it('says what was put in, whatever that is', () => {
    fc.assert(
      fc.property(indexes, (index) => {
        const bytes = encodeSealedIndex(index);
        expect(bytes.length).toBe(sealedIndexBytes(index.entries.length));
        expect(decodeSealedIndex(bytes, file)).toEqual({ kind: 'index', index });
      }),
    );
  });

  it('has the same bytes however many entries are added at once', () => {
    fc.assert(
      fc.property(indexes, fc.integer({ min: 1, max: 5 }), (index, atOnce) => {
        const encoder = new SealedIndexEncoder(index, index.entries.length);
        for (let at = 0; at < index.entries.length; at += atOnce)
          encoder.add(index.entries.slice(at, at + atOnce));
        expect(encoder.finish()).toEqual(encodeSealedIndex(index));
      }),
    );
  });

  test('every changed byte is found (S16)', () => {
    const bytes = encodeSealedIndex(sample);
    for (let at = 0; at < bytes.length; at++)
      for (const flip of [1, 2, 4, 8, 16, 32, 64, 128, 0x55, 0xff]) {
        const rotten = bytes.slice();
        rotten[at] = (rotten[at] ?? 0) ^ flip;
        expect(decodeSealedIndex(rotten, file).kind, `byte ${at} ^ ${flip}`).toBe('bad');
      }
  });

  test('every length but its own is found (S16)', () => {
    const bytes = encodeSealedIndex(sample);
    for (let length = 0; length < bytes.length; length++)
      expect(decodeSealedIndex(bytes.slice(0, length), file).kind, `${length} bytes`).toBe('bad');
    expect(decodeSealedIndex(Buffer.concat([bytes, Buffer.alloc(1)]), file).kind).toBe('bad');
    expect(decodeSealedIndex(Buffer.concat([bytes, bytes]), file).kind).toBe('bad');
  });

  test.each<[string, Partial<SealedIndex>]>([
    ['another file', { file: 8, entries: [] }],
    ['entries that overlap on the disk', { entries: sample.entries.toReversed() }],
    ['an entry that ends where it begins', { entries: [changed({ end: lsn(0), lastCpl: null })] }],
    ['a commit behind the end', { entries: [changed({ lastCpl: lsn(101) })] }],
    ['a group that goes on before it began', { entries: [changed({ prevPg: lsn(1) })] }],
    ['an entry without bytes', { entries: [changed({ position: { file, offset: 0, length: 0 } })] }],
  ])('%s is not believed, though the checksum is right', (_what, change) => {
    expect(decodeSealedIndex(encodeSealedIndex({ ...sample, ...change }), file).kind).toBe('bad');
  });
});

function changed(change: Partial<HeldFrame>): HeldFrame {
  const [first] = sample.entries;
  if (first === undefined) throw new Error('the sample has an entry');
  return { ...first, ...change };
}
