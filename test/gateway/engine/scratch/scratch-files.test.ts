import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { PageFile } from '../../../../gateway/engine/scratch/page-file.ts';
import { RedoFile, storedMtrOf } from '../../../../gateway/engine/scratch/redo-file.ts';
import {
  ScratchError,
  type ScratchFile,
  ScratchSpace,
} from '../../../../gateway/engine/scratch/scratch-space.ts';
import { SpillingFile } from '../../../../gateway/engine/scratch/spilling-file.ts';
import { TransactionPages } from '../../../../gateway/engine/scratch/transaction-pages.ts';
import { type PageNo, pageNo, pgId } from '../../../../storage/redo/ids.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'sextant-scratch-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

const space = (bytesMax = 1_000_000_000): ScratchSpace => new ScratchSpace(() => folder, bytesMax);
const page = (fill: number): Uint8Array => new Uint8Array(4096).fill(fill);

describe('a file that spills', () => {
  test('holds what was written, in memory and on disk, whatever the order of writes and cuts', () => {
    const step = fc.oneof(
      fc.record({ at: fc.nat(1_400_000), length: fc.nat(300_000), fill: fc.integer({ min: 1, max: 255 }) }),
      fc.record({ cut: fc.oneof(fc.constant(0), fc.nat(1_500_000)) }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 8 }), (steps) => {
        const file = new SpillingFile(space());
        const model = Buffer.alloc(2_000_000);
        let length = 0;
        for (const one of steps) {
          if ('cut' in one) {
            file.truncate(one.cut);
            length = Math.min(length, one.cut);
            model.fill(0, length);
            // What lies behind an end comes back as it was or as zeros: SQLite reads nothing there.
            if (one.cut > 0) continue;
          } else {
            // SQLite appends, or writes over what is there.
            const at = Math.min(one.at, length);
            file.write(Buffer.alloc(one.length + 3, one.fill), 3, one.length, at);
            model.fill(one.fill, at, at + one.length);
            length = Math.max(length, at + one.length);
          }
          expect(file.length).toBe(length);
          const read = new Uint8Array(length + 10);
          expect(file.read(read, 0)).toBe(length);
          expect(Buffer.from(read).equals(model.subarray(0, length + 10))).toBe(true);
        }
        file.truncate(0);
      }),
      { numRuns: 25 },
    );
  });
});

describe('pages of a transaction', () => {
  const buffers = { takeBuffer: () => new Uint8Array(4096), returnBuffer: () => undefined };

  test('are the last that were written, in memory and in a file, whatever was cut off between', () => {
    const step = fc.oneof(
      fc.record({ page: fc.integer({ min: 1, max: 40 }), fill: fc.nat(255) }),
      fc.record({ cutBehind: fc.nat(40) }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), fc.integer({ min: 1, max: 45 }), (steps, resident) => {
        const pages = new TransactionPages(space(), resident * 4096, buffers);
        const model = new Map<PageNo, number>();
        for (const one of steps) {
          if ('page' in one) {
            pages.write(pageNo(one.page), page(one.fill));
            model.set(pageNo(one.page), one.fill);
          } else {
            pages.cutBehind(one.cutBehind);
            for (const known of model.keys()) if (known > one.cutBehind) model.delete(known);
          }
          expect([...pages.sorted()]).toEqual([...model.keys()].sort((a, b) => a - b));
          expect(pages.lastPage).toBe(Math.max(0, ...model.keys()));
        }
        for (let at = 1; at <= 40; at++)
          expect(pages.read(pageNo(at))?.[17] ?? null).toBe(model.get(pageNo(at)) ?? null);
        pages.clear();
        expect([pages.size, pages.lastPage]).toEqual([0, 0]);
      }),
      { numRuns: 60 },
    );
  });

  test('that find no room are those of before', () => {
    const room = space(3 * 4096);
    const pages = new TransactionPages(room, 2 * 4096, buffers);
    for (const at of [1, 2, 3]) pages.write(pageNo(at), page(at));
    expect(() => pages.write(pageNo(4), page(4))).toThrow(ScratchError);
    pages.write(pageNo(3), page(33));
    expect([1, 2, 3].map((at) => pages.read(pageNo(at))?.[0])).toEqual([1, 2, 33]);
    expect([pages.size, pages.lastPage, pages.read(pageNo(4))]).toEqual([3, 3, null]);
    pages.clear();
    // All the room is there again.
    room.open().write(new Uint8Array(3 * 4096), 0);
  });

  test('that the disk gives back otherwise are not taken for what was written', () => {
    const room = space();
    const opened: ScratchFile[] = [];
    const watched: Pick<ScratchSpace, 'open'> = {
      open: () => {
        const file = room.open();
        opened.push(file);
        return file;
      },
    };
    const file = new PageFile(watched);
    file.write(pageNo(7), page(1));
    const target = new Uint8Array(4096);
    expect([file.readInto(pageNo(7), target), target[5]]).toEqual([true, 1]);
    expect(file.readInto(pageNo(8), target)).toBe(false);
    // Below whoever keeps the checksums.
    opened[0]?.write(Buffer.from([9]), 77);
    expect(() => file.readInto(pageNo(7), target)).toThrow('does not hold what was written to page 7');
    file.close();
  });
});

function redoOf(room: ScratchSpace, stretches: readonly Uint8Array[]) {
  const redo = new RedoFile(room);
  for (const [at, bytes] of stretches.entries()) redo.add(pgId(at), bytes);
  return [storedMtrOf(redo.place, 2), redo] as const;
}

describe('redo in a file', () => {
  test('is read stretch by stretch by whoever is told where it is', async () => {
    const stretches = [1, 2, 3, 4].map((at) => new Uint8Array(at * 1_000).fill(at));
    const [mtr, redo] = redoOf(space(), stretches);
    expect([mtr.byteLength, mtr.commits, mtr.stretches.map(({ pg, length }) => [pg, length])]).toEqual([
      10_000,
      2,
      [
        [0, 1_000],
        [1, 2_000],
        [2, 3_000],
        [3, 4_000],
      ],
    ]);
    expect(await mtr.read(1, 3)).toEqual(stretches.slice(1, 3));
    expect(await mtr.read(0, 4)).toEqual(stretches);
    redo.close();
  });

  test('is not believed when its file is gone, or another one has its number', async () => {
    const [mtr, redo] = redoOf(space(), [page(1), page(2)]);
    redo.close();
    await expect(mtr.read(0, 2)).rejects.toThrow();
    const [other, second] = redoOf(space(), [page(3), page(4)]);
    expect(await other.read(0, 1)).toEqual([page(3)]);
    await expect(mtr.read(0, 2)).rejects.toThrow();
    second.close();
  });
});
