/** Bounds of the SQL engine, with their units, and how they relate. */
import assert from 'node:assert/strict';
import { commitBytesMax, redoLimits, volumeLimits } from '../../../storage/redo.ts';

export interface EngineLimits {
  /** One statement's time in the engine. */
  readonly statementMs: number;
  /** Rows of one operation, as the engine holds them. */
  readonly resultBytes: number;
  /** A write waits this long for the writer before it. */
  readonly writeQueueMs: number;
  /** Writes that may wait. */
  readonly writeQueueMax: number;
  /** Statements that may commit as a group. */
  readonly groupStatements: number;
  /** A group takes no more when it has been open for so long: what it wrote is to be on its way. */
  readonly groupMs: number;
  /** What a statement in a group with others may change; one that changes more commits by itself. */
  readonly groupBytes: number;
  /** A write transaction idle for this long is rolled back when another write waits. */
  readonly writeIdleMs: number;
  /** A write transaction older than this is rolled back when another write waits, idle or not. */
  readonly writeAgeMs: number;
  /** A statement that reads in a transaction at the writer, or beside temporary objects, is stopped after this while others wait. */
  readonly writerReadMs: number;
  /** One transaction's redo. */
  readonly transactionBytes: number;
  /** Pages one transaction may change, in bytes, before they are reduced to redo. */
  readonly transactionPageBytes: number;
  /** The same of an engine that keeps them in memory. */
  readonly memoryPageBytes: number;
  /** Pages that one transaction keeps in memory; a larger one keeps all of them, and its redo, in files. */
  readonly residentPageBytes: number;
  /** Files of one engine: pages and redo of large transactions, journals, what is sorted. */
  readonly scratchBytes: number;
  /** Redo not yet durable at which writes wait. */
  readonly outstandingBytes: number;
  /** Connections. */
  readonly connections: number;
  /** Sessions with an open transaction, temporary objects or attached databases; the other connections are for the rest. */
  readonly heldConnections: number;
  /** When there are so many, one that has been idle for this long makes room for a new one. */
  readonly heldIdleMs: number;
  /** Connections kept open without a session. */
  readonly idleConnections: number;
  /** Prepared statements kept per connection. */
  readonly cachedStatements: number;
  /** SQLite's own page cache of one connection. */
  readonly connectionCacheBytes: number;
  /** Changed pages that it holds there before the first of them leave it. */
  readonly connectionSpillBytes: number;
  /** Memory of all SQLite connections together. */
  readonly heapBytes: number;
  /** A thread whose SQLite has taken more gives all of it back as soon as nothing lives there. */
  readonly heapKeptBytes: number;
  /** What one statement may add to that memory. */
  readonly statementHeapBytes: number;
  /** Temporary tables and attached databases of one stream. */
  readonly streamTempBytes: number;
  /** Temporary tables and attached databases of all streams together. */
  readonly tempBytes: number;
  /** Operations sent and not yet answered, all sessions together. */
  readonly pendingOperations: number;
  /** Redo a reader holds while something before it is missing. */
  readonly earlyRedoBytes: number;
  /** Pages asked for at once when misses follow one another. */
  readonly readAheadPages: number;
  /** PostgreSQL: an operation waits this long for its turn. */
  readonly turnWaitMs: number;
  /** PostgreSQL: a transaction without an operation for this long is rolled back when another session waits. */
  readonly idleTransactionMs: number;
  /** PostgreSQL: prepared statements that the backend keeps. */
  readonly preparedStatements: number;
  /** PostgreSQL: a reading engine shows newer commits after this long at the latest, when it is asked anything. */
  readonly refreshMs: number;
  /** PostgreSQL: pages that a reading engine changes for itself (recovery, hints) before it begins anew, bytes. */
  readonly readerChangesBytes: number;
  /** PostgreSQL: commits, and bytes of redo, after which a checkpoint is due. A start recovers what came after the last one. */
  readonly checkpointCommits: number;
  readonly checkpointBytes: number;
  /** PostgreSQL: age in transactions at which a table's rows are frozen. */
  readonly freezeAge: number;
}

const mebibyte = 1024 * 1024;

export const defaultEngineLimits: EngineLimits = {
  statementMs: 30_000,
  resultBytes: 64 * mebibyte,
  writeQueueMs: 10_000,
  writeQueueMax: 10_000,
  groupStatements: 256,
  groupMs: 2,
  groupBytes: 8 * mebibyte,
  writeIdleMs: 5_000,
  writeAgeMs: 30_000,
  writerReadMs: 1_000,
  transactionBytes: volumeLimits.transactionBytesMax,
  transactionPageBytes: 4_096 * mebibyte,
  memoryPageBytes: 512 * mebibyte,
  residentPageBytes: 64 * mebibyte,
  scratchBytes: 16_384 * mebibyte,
  outstandingBytes: volumeLimits.outstandingBytesMax,
  connections: 512,
  heldConnections: 448,
  heldIdleMs: 5_000,
  idleConnections: 8,
  cachedStatements: 256,
  connectionCacheBytes: 4 * mebibyte,
  connectionSpillBytes: 32 * mebibyte,
  heapBytes: 1_536 * mebibyte,
  heapKeptBytes: 64 * mebibyte,
  statementHeapBytes: 512 * mebibyte,
  streamTempBytes: 64 * mebibyte,
  tempBytes: 512 * mebibyte,
  pendingOperations: 100_000,
  earlyRedoBytes: 64 * mebibyte,
  readAheadPages: 16,
  turnWaitMs: 60_000,
  idleTransactionMs: 30_000,
  preparedStatements: 1_000,
  refreshMs: 1_000,
  readerChangesBytes: 64 * mebibyte,
  checkpointCommits: 1_000,
  checkpointBytes: mebibyte,
  freezeAge: 100_000_000,
};

/** What is wrong with a set of limits, in one sentence, or null. */
export function engineLimitsProblem(limits: EngineLimits): string | null {
  for (const [name, value] of Object.entries(limits)) {
    if (!Number.isSafeInteger(value) || value < 1)
      return `engine limit ${name} must be a positive integer, is ${value}`;
  }
  if (limits.groupStatements * commitBytesMax > redoLimits.framePayloadBytesMax)
    return `groupStatements = ${limits.groupStatements} commits do not fit a frame of ${redoLimits.framePayloadBytesMax} bytes`;
  if (limits.groupBytes <= limits.connectionCacheBytes)
    return 'groupBytes must exceed connectionCacheBytes, which a connection may take without a change';
  if (limits.idleConnections > limits.connections) return 'idleConnections must not exceed connections';
  if (limits.heldConnections >= limits.connections)
    return 'heldConnections must leave connections for statements outside transactions';
  if (limits.tempBytes + limits.statementHeapBytes > limits.heapBytes)
    return 'tempBytes and statementHeapBytes together must not exceed heapBytes';
  if (limits.streamTempBytes > limits.tempBytes) return 'streamTempBytes must not exceed tempBytes';
  if (limits.heapBytes > 2_000 * mebibyte)
    return 'heapBytes must stay below the 2 GiB a WASM memory may have';
  return null;
}

assert.equal(engineLimitsProblem(defaultEngineLimits), null, 'the default engine limits fit together');

/**
 * So many messages leave at once, others when the turn ends. A commit group is of one message to the worker, so no group is larger
 * than this, whatever `groupStatements` allows; smaller parts would be smaller groups, and a group's cost is shared by its members.
 */
export const handOverAt = 64;
