/**
 * Branded identifiers and positions. A bare number or string cannot be passed where one of these is meant;
 * the constructors check once, at the edge, and everything behind them may rely on it.
 *
 * They run several times for every record, so the message of a failure is made only when there is one: `assert(ok, text)`
 * makes the text first, and writing numbers out was a tenth of a storage node's own work.
 */
import assert from 'node:assert/strict';

declare const brand: unique symbol;
type Brand<T, Name extends string> = T & { readonly [brand]: Name };

/** Byte position in a volume's redo stream just past a record. A safe integer, so lag in bytes is a subtraction. */
export type Lsn = Brand<number, 'Lsn'>;
/** One writer's reign over a branch: a node of the history tree. 0 is genesis, which holds no records. */
export type Epoch = Brand<number, 'Epoch'>;
/** Protection group: a fixed span of pages with one segment on each of six nodes. */
export type PgId = Brand<number, 'PgId'>;
/** SQLite page number, counted from 1. */
export type PageNo = Brand<number, 'PageNo'>;
/** Storage node within a region, such as `n1`. */
export type NodeId = Brand<string, 'NodeId'>;
/** Region name, such as `us-east-1`. */
export type RegionId = Brand<string, 'RegionId'>;
/** Named line of history, such as `main`. */
export type BranchName = Brand<string, 'BranchName'>;

const uint32Max = 0xffff_ffff;
const isUint32 = (value: number): boolean => Number.isInteger(value) && value >= 0 && value <= uint32Max;

/** @throws AssertionError when `value` is not a non-negative safe integer. */
export function lsn(value: number): Lsn {
  if (!Number.isSafeInteger(value) || value < 0)
    assert.fail(`an LSN is a non-negative safe integer, not ${value}`);
  return value as Lsn;
}

/** @throws AssertionError when `value` does not fit the frame header's unsigned 32 bits. */
export function epoch(value: number): Epoch {
  if (!isUint32(value)) assert.fail(`an epoch is a uint32, not ${value}`);
  return value as Epoch;
}

/** @throws AssertionError when `value` does not fit the frame header's unsigned 32 bits. */
export function pgId(value: number): PgId {
  if (!isUint32(value)) assert.fail(`a PG id is a uint32, not ${value}`);
  return value as PgId;
}

/** Whether `value` is a page number SQLite could use (1 to 2^32 - 2). */
export const isPageNo = (value: number): boolean =>
  Number.isInteger(value) && value >= 1 && value < uint32Max;

/** @throws AssertionError when `value` is not a page number, see `isPageNo`. */
export function pageNo(value: number): PageNo {
  if (!isPageNo(value)) assert.fail(`a page number counts from 1, not ${value}`);
  return value as PageNo;
}

const namePattern = /^[a-z0-9][a-z0-9-]{0,62}$/;

/** Whether `value` could name a branch: 1 to 63 of a-z, 0-9 and -. */
export const isBranchName = (value: string): boolean => namePattern.test(value);

function name(kind: string, value: string): string {
  if (!namePattern.test(value))
    assert.fail(`a ${kind} is 1 to 63 of a-z, 0-9 and -, not ${JSON.stringify(value)}`);
  return value;
}

/** @throws AssertionError when `value` could not be part of a NATS subject or a path. */
export const nodeId = (value: string): NodeId => name('node id', value) as NodeId;
/** @throws AssertionError when `value` could not be part of a NATS subject or a path. */
export const regionId = (value: string): RegionId => name('region', value) as RegionId;
/** @throws AssertionError when `value` could not be part of a path. */
export const branchName = (value: string): BranchName => name('branch', value) as BranchName;

export const genesisEpoch: Epoch = epoch(0);
export const zeroLsn: Lsn = lsn(0);
export const mainBranch: BranchName = branchName('main');

/** Orders positions and ids ascending; the total comparator every sort of numbers in the cores uses. */
export const ascending = (a: number, b: number): number => a - b;

/** The lower of two positions. */
export const minLsn = (a: Lsn, b: Lsn): Lsn => (a < b ? a : b);
/** The higher of two positions. */
export const maxLsn = (a: Lsn, b: Lsn): Lsn => (a > b ? a : b);

/** Marks a branch the type checker has proved empty. @throws Error when reached all the same. */
export function unreachable(value: never): never {
  throw new Error(`unreachable: ${JSON.stringify(value)}`);
}
