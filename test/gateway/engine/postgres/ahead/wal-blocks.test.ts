import { describe, expect, test } from 'vitest';
import {
  type WalBlock,
  walkWal,
  walPageBytes,
} from '../../../../../gateway/engine/postgres/ahead/core/wal-blocks.ts';

const segmentBytes = 4 * walPageBytes;
const start = 8 * segmentBytes;

/** WAL as PostgreSQL 18 lays it out. */
class Wal {
  readonly bytes = Buffer.alloc(2 * segmentBytes);
  at = 0;
  private last = 0;

  /** @returns where the record begins */
  add(body: Buffer): number {
    this.at = Math.ceil(this.at / 8) * 8;
    const record = Buffer.alloc(24 + body.length);
    record.writeUInt32LE(record.length, 0);
    record.writeBigUInt64LE(BigInt(this.last), 8);
    body.copy(record, 24);
    this.enterPage();
    const begin = start + this.at;
    this.last = begin;
    for (const byte of record) {
      this.enterPage();
      this.bytes[this.at++] = byte;
    }
    return begin;
  }

  private enterPage(): void {
    if (this.at % walPageBytes !== 0) return;
    this.bytes.writeBigUInt64LE(BigInt(start + this.at), this.at + 8);
    this.at += this.at % segmentBytes === 0 ? 40 : 24;
  }

  blocks(from = start): { readonly found: WalBlock[]; readonly until: number } {
    const found: WalBlock[] = [];
    const until = walkWal({ start, bytes: this.bytes, segmentBytes }, from, (block) => found.push(block));
    return { found, until };
  }
}

interface Reference {
  readonly relation?: number;
  readonly block: number;
  readonly fork?: number;
  readonly data?: number;
  /** Bytes of an image; a hole in a compressed one takes two bytes more of header. */
  readonly image?: { readonly bytes: number; readonly info: number };
}

/** Block headers as `xlogrecord.h` has them, then their data. A reference without a relation is to the one before. */
function body(references: readonly Reference[], mainData = 10): Buffer {
  const heads: Buffer[] = [];
  let data = mainData;
  for (const [number, { relation, block, fork = 0, data: own = 0, image }] of references.entries()) {
    const flags = fork | (image === undefined ? 0 : 0x10) | (relation === undefined ? 0x80 : 0);
    const head = Buffer.from([number, flags, own & 0xff, own >> 8]);
    const parts = [head];
    if (image !== undefined) {
      const hole = (image.info & 1) !== 0 && (image.info & 0x1c) !== 0 ? 2 : 0;
      const described = Buffer.alloc(5 + hole);
      described.writeUInt16LE(image.bytes, 0);
      described[4] = image.info;
      parts.push(described);
    }
    if (relation !== undefined) {
      const locator = Buffer.alloc(12);
      for (const [index, oid] of [1663, 5, relation].entries()) locator.writeUInt32LE(oid, 4 * index);
      parts.push(locator);
    }
    const where = Buffer.alloc(4);
    where.writeUInt32LE(block);
    heads.push(...parts, where);
    data += own + (image?.bytes ?? 0);
  }
  return Buffer.concat([...heads, Buffer.from([255, mainData]), Buffer.alloc(data, 0x11)]);
}

const named = (found: readonly WalBlock[]): string[] =>
  found.map(({ relation, fork, block }) => `${relation}.${fork}:${block}`);

describe('blocks that WAL names', () => {
  test.each<[string, readonly Reference[], string[]]>([
    ['none in a commit', [], []],
    ['one with its data', [{ relation: 7, block: 3, data: 300 }], ['7.0:3']],
    ['two of one relation', [{ relation: 7, block: 3, data: 5 }, { block: 9 }], ['7.0:3', '7.0:9']],
    ['one of the visibility map', [{ relation: 7, block: 0, fork: 2 }], ['7.2:0']],
    ['one with an image', [{ relation: 7, block: 1, image: { bytes: 500, info: 1 } }], ['7.0:1']],
    [
      'one with a compressed image that has a hole, and one after it',
      [
        { relation: 7, block: 1, image: { bytes: 50, info: 5 } },
        { relation: 8, block: 2 },
      ],
      ['7.0:1', '8.0:2'],
    ],
  ])('%s', (_, references, expected) => {
    const wal = new Wal();
    wal.add(body(references));
    wal.add(body([{ relation: 99, block: 1 }]));
    expect(named(wal.blocks().found)).toEqual([...expected, '99.0:1']);
  });

  test('are found in records that go over pages and segments, from any record on', () => {
    const wal = new Wal();
    const begins = Array.from({ length: 120 }, (_, at) =>
      wal.add(body([{ relation: 1, block: at, data: (at * 37) % 900 }])),
    );
    expect(wal.at).toBeGreaterThan(segmentBytes + walPageBytes);
    const all = named(wal.blocks().found);
    expect(all).toEqual(begins.map((_, at) => `1.0:${at}`));
    for (const [at, begin] of begins.entries()) expect(named(wal.blocks(begin).found)).toEqual(all.slice(at));
  });

  test('end where nothing was written yet, and go on from there', () => {
    const wal = new Wal();
    wal.add(body([{ relation: 1, block: 1 }]));
    const { until } = wal.blocks();
    expect(wal.blocks(until)).toEqual({ found: [], until });
    wal.add(body([{ relation: 1, block: 2 }]));
    expect(named(wal.blocks(until).found)).toEqual(['1.0:2']);
  });

  test('end at a record that is torn, one that does not follow the last, and at bytes of an older file', () => {
    const length = (wal: Wal): number => wal.blocks().found.length;
    const made = (): { readonly wal: Wal; readonly begins: readonly number[] } => {
      const wal = new Wal();
      return { wal, begins: [1, 2, 3].map((block) => wal.add(body([{ relation: 1, block, data: 9_000 }]))) };
    };
    const { wal: whole } = made();
    expect(length(whole)).toBe(3);
    const { wal: torn, begins } = made();
    torn.bytes.fill(0, Math.ceil(((begins[2] ?? 0) - start) / walPageBytes) * walPageBytes);
    expect(length(torn)).toBe(2);
    const { wal: strange, begins: places } = made();
    strange.bytes.writeBigUInt64LE(1n, (places[1] ?? 0) - start + 8);
    expect(length(strange)).toBe(1);
    const { wal: older } = made();
    older.bytes.writeBigUInt64LE(BigInt(start - segmentBytes), 8);
    expect(length(older)).toBe(0);
  });

  test('any bytes are walked to an end', () => {
    let state = 1;
    const next = (): number => {
      state = (state * 48_271) % 2_147_483_647;
      return state;
    };
    for (let round = 0; round < 200; round++) {
      const wal = new Wal();
      for (let at = 0; at < 20; at++) wal.add(body([{ relation: 1, block: at, data: next() % 700 }]));
      for (let at = 0; at < 40; at++) wal.bytes[next() % wal.at] = next() % 256;
      const { found, until } = wal.blocks();
      expect(until).toBeLessThanOrEqual(start + wal.bytes.length);
      expect(found.length).toBeLessThanOrEqual(60);
    }
  });
});
