/** Bounds of what lies between the protocol layer and the engine: waiting, forwarding, telling others. Units last. */
import assert from 'node:assert/strict';
import {
  defaultForwardLimits,
  type ForwardLimits,
  forwardLimitsProblem,
} from '../../forward/core/forward-limits.ts';
import { defaultSpanLimits, type SpanLimits } from '../../observe/core/span-limits.ts';

/** Bounds of what databases cost a gateway. */
export interface DatabaseLimits {
  /** Branches beside main that are awake at once: each has threads and caches of its own. */
  readonly openBranches: number;
  /** A branch without anything to do for so long gives its engines back. */
  readonly branchIdleMs: number;
  /** Threads that read main, at most; one is there, others come with load, up to the number of cores, and while statements take long. */
  readonly readerThreads: number;
  /** Threads that read a branch, at most. */
  readonly branchReaderThreads: number;
  /** Main without anything to do for so long gives its engines back. */
  readonly idleMs: number;
  /** One statement's time in an engine; while one writes, no other write begins. */
  readonly statementMs: number;
  /** One transaction: its redo, and the pages that it changes, bytes. */
  readonly transactionBytes: number;
  readonly transactionPageBytes: number;
  /** What transactions of one engine may take of the folder for temporary files, bytes. */
  readonly scratchBytes: number;
}

/** By these names an operator may set them. */
export const databaseLimitNames = [
  'openBranches',
  'branchIdleMs',
  'readerThreads',
  'branchReaderThreads',
  'idleMs',
  'statementMs',
  'transactionBytes',
  'transactionPageBytes',
  'scratchBytes',
] as const;

export interface ServiceLimits extends SpanLimits, DatabaseLimits, ForwardLimits {
  /** Client streams open at once, HTTP and WebSocket together. */
  readonly sessions: number;
  /** A write waits this long for somebody who takes it: through a switchover, a recovery, a crash of the writer. */
  readonly writeWaitMs: number;
  /** As `writeWaitMs`, when it is known that no four storage nodes answer: waiting longer would not help. */
  readonly quorumWaitMs: number;
  /** A read waits this long for its consistency before the writer is asked to serve it. */
  readonly readWaitMs: number;
  /** A thread that reads, beyond the first, ends when nobody has needed it for so long. */
  readonly readerIdleMs: number;
  /** Places of the past that are read at once (`PRAGMA sextant_at`): a thread each. */
  readonly pastPlaces: number;
  /** A thread for the past that nobody has used for so long ends. */
  readonly pastIdleMs: number;
  /** A read that has run longer counts as slow: nothing new is given to its thread. */
  readonly slowMs: number;
  /** When no reading thread is free for this long, the slow read that has run longest is stopped. */
  readonly readerWaitMs: number;
  /** Unless it has run less than this. */
  readonly slowShareMs: number;
  /** A read waits this long for a thread. */
  readonly readerQueueMs: number;
  /** Reads that may wait for a thread. */
  readonly readerQueue: number;
  /** An engine's thread that has something to do and gives no sign of life for this long, CPU time or sleep, is replaced. */
  readonly engineSilenceMs: number;
  /** One that has been silent for this long makes the gateway not ready. */
  readonly engineDoubtMs: number;
  /** Wait before asking for a writer again after "not I". */
  readonly forwardRetryMs: number;
  /** Transactions of other gateways open at the writer. */
  readonly remoteStreams: number;
  /** One without a statement for this long is rolled back: its gateway is gone. */
  readonly remoteStreamIdleMs: number;
  /** Another gateway with streams here that has not been heard for this long is asked whether it is there. */
  readonly peerAskMs: number;
  /** So many questions in turn without an answer, and its streams are closed. */
  readonly peerMisses: number;
  /** A question waits this long for its answer. */
  readonly peerAnswerMs: number;
  /** Live feeds open at once. */
  readonly watchers: number;
  /** A live feed gets news at most this often. */
  readonly watchEveryMs: number;
  /** A live feed whose peer has not taken this much is skipped, and cut when that lasts. */
  readonly watchBufferedBytes: number;
  /** Consoles open at once: readers of `/v1/live`. */
  readonly consoles: number;
  /** They get news at least this often. */
  readonly consoleEveryMs: number;
  /** And at most this often. */
  readonly consoleGapMs: number;
  /** One that has not taken this much is cut. */
  readonly consoleBufferedBytes: number;
  /** How often the writer's lease is looked at, besides at every event and every answer. */
  readonly roleTickMs: number;
  /** A start or request of an operation waits this long for the agent. */
  readonly agentAnswerMs: number;
}

const mebibyte = 1024 * 1024;

export const defaultServiceLimits: ServiceLimits = {
  sessions: 20_000,
  writeWaitMs: 10_000,
  quorumWaitMs: 2_000,
  readWaitMs: 5_000,
  readerThreads: 4,
  readerIdleMs: 30_000,
  pastPlaces: 4,
  pastIdleMs: 30_000,
  slowMs: 15,
  readerWaitMs: 250,
  slowShareMs: 1_000,
  readerQueueMs: 10_000,
  readerQueue: 20_000,
  engineSilenceMs: 10_000,
  engineDoubtMs: 2_000,
  ...defaultForwardLimits,
  forwardRetryMs: 15,
  remoteStreams: 4_096,
  remoteStreamIdleMs: 75_000,
  peerAskMs: 400,
  peerMisses: 2,
  peerAnswerMs: 800,
  ...defaultSpanLimits,
  watchers: 256,
  watchEveryMs: 250,
  watchBufferedBytes: mebibyte,
  consoles: 128,
  consoleEveryMs: 300,
  consoleGapMs: 125,
  consoleBufferedBytes: mebibyte,
  roleTickMs: 100,
  openBranches: 8,
  branchIdleMs: 60_000,
  branchReaderThreads: 2,
  idleMs: 900_000,
  statementMs: 30_000,
  transactionBytes: 1_024 * mebibyte,
  transactionPageBytes: 4_096 * mebibyte,
  scratchBytes: 16_384 * mebibyte,
  agentAnswerMs: 3_000,
};

/**
 * What differs where PostgreSQL keeps the databases. An engine takes the memory of a process, so one reads; and its first statement
 * waits until it has started, so that none is stopped, and none gives up its place, for others that wait.
 */
export const postgresServiceLimits: Partial<ServiceLimits> = {
  readerThreads: 1,
  branchReaderThreads: 1,
  slowShareMs: 30_000,
  readerQueueMs: 30_000,
};

/** What is wrong with a set of limits, in one sentence, or null. */
export function serviceLimitsProblem(limits: ServiceLimits): string | null {
  for (const [name, value] of Object.entries(limits)) {
    if (!Number.isSafeInteger(value) || value < 1)
      return `limit ${name} must be a positive integer, is ${value}`;
  }
  if (limits.quorumWaitMs > limits.writeWaitMs) return 'quorumWaitMs must not exceed writeWaitMs';
  if (limits.engineDoubtMs > limits.engineSilenceMs) return 'engineDoubtMs must not exceed engineSilenceMs';
  return forwardLimitsProblem(limits);
}

assert.equal(serviceLimitsProblem(defaultServiceLimits), null, 'the default service limits fit together');
