import { expect, it } from 'vitest';
import { UndurableRedo } from '../../../../gateway/engine/core/undurable-redo.ts';
import { lsn } from '../../../../storage/redo.ts';

const stretch = (bytes: number, mark = 0): Uint8Array => new Uint8Array(bytes).fill(mark);
const marks = (redo: UndurableRedo, vdl: number) => redo.beyond(lsn(vdl))?.map(([mark]) => mark) ?? null;

it('redo is kept until it is durable', () => {
  const redo = new UndurableRedo(100);
  redo.add(stretch(40, 1), lsn(40));
  redo.add(stretch(40, 2), lsn(80));
  expect(marks(redo, 0)).toEqual([1, 2]);
  redo.settle(lsn(79));
  expect(marks(redo, 79)).toEqual([2]);
  redo.settle(lsn(80));
  expect(marks(redo, 80)).toEqual([]);
});

it('of a transaction beyond the bound the end is kept, and nobody is told that it is all', () => {
  const redo = new UndurableRedo(100);
  for (let at = 1; at <= 9; at++) redo.add(stretch(40, at), lsn(40 * at));
  expect(marks(redo, 0)).toBeNull();
  expect(marks(redo, 279)).toBeNull();
  // The transaction ended at 320, and what follows it is whole again.
  redo.settle(lsn(320));
  expect(marks(redo, 320)).toEqual([9]);
});

it('a stretch larger than the bound is not kept either', () => {
  const redo = new UndurableRedo(100);
  redo.add(stretch(101, 1), lsn(101));
  expect(marks(redo, 0)).toBeNull();
  redo.settle(lsn(101));
  redo.add(stretch(50, 2), lsn(151));
  expect(marks(redo, 101)).toEqual([2]);
});

it('what never becomes durable leaves no gap behind', () => {
  const redo = new UndurableRedo(100);
  redo.add(stretch(200, 1), lsn(200));
  redo.clear();
  redo.add(stretch(50, 2), lsn(60));
  expect(marks(redo, 0)).toEqual([2]);
});
