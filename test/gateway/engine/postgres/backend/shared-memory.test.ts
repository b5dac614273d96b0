import { describe, expect, test } from 'vitest';
import {
  UnknownModule,
  withSharedMemory,
} from '../../../../../gateway/engine/postgres/backend/core/shared-memory.ts';

const header = [0, 0x61, 0x73, 0x6d, 1, 0, 0, 0];
const types = [1, 4, 1, 0x60, 0, 0];
const custom = [0, 3, 1, 0x61, 9];
const name = [1, 0x65, 1, 0x6d];
const module = (...imports: readonly (readonly number[])[]): Uint8Array => {
  const body = [imports.length, ...imports.flatMap((one) => [...name, ...one])];
  return Uint8Array.from([...header, ...types, 2, body.length, ...body, ...custom]);
};
const func = [0, 0];
const table = [1, 0x70, 1, 2, 9];
const global = [3, 0x7f, 1];
const tag = [4, 0, 0];

describe('a module that imports its memory', () => {
  test.each([
    ['without a maximum', [2, 0, 1]],
    ['with one', [2, 1, 1, 5]],
    ['of a minimum of two bytes', [2, 1, 0x80, 0x10, 0x80, 0x80, 2]],
  ])('%s imports it shared, with the maximum that it is given', (_, memory) => {
    const minimum = memory[2] === 1 ? [1] : [0x80, 0x10];
    expect(withSharedMemory(module(func, table, memory, global, tag), 32_768)).toEqual(
      module(func, table, [2, 3, ...minimum, 0x80, 0x80, 2], global, tag),
    );
  });

  test.each([
    ['no memory', module(func, global)],
    ['a shared one already', module([2, 3, 1, 5])],
    ['nothing', Uint8Array.from([...header, ...types])],
  ])('stays as it is where it imports %s', (_, bytes) => {
    expect(withSharedMemory(bytes, 10)).toBe(bytes);
  });

  test.each([
    ['is cut off', module([2, 1, 1, 5]).subarray(0, 20)],
    ['imports something unknown', module([9, 0])],
    ['imports memory of 64 bits', module([2, 4, 1])],
  ])('is refused where it %s', (_, bytes) => {
    expect(() => withSharedMemory(bytes, 10)).toThrow(UnknownModule);
  });
});
