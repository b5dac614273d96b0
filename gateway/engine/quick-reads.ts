/** Reads that are answered where they arrive, as the pool of reading threads needs them; `quick/` is how. */
import type { Lsn, PageNo } from '../../storage/index.ts';
import type { AnyOperationValue, SqlOperation } from '../sql/operation.ts';
import type { SqlStatement } from '../sql/sql.ts';
import type { StreamState } from '../sql/stream-state.ts';
import type { EngineAnswer } from './core/engine-protocol.ts';
import type { ReaderFeed } from './reader-thread.ts';

export interface QuickReads {
  /** Statements answered here since the start. */
  readonly answered: number;
  /**
   * @param beside statements that reading threads have now, or that wait for one.
   * @returns the answer; null when a reading thread has to give it, and nothing has happened here.
   */
  answer(operation: SqlOperation, state: StreamState, beside: number): EngineAnswer<AnyOperationValue> | null;
  /** Redo behind what came before. */
  offer(frames: Uint8Array, nowMs: number): void;
  /** What was read before may be no part of history. */
  forget(): void;
  /** Gives all memory back. */
  rest(): void;
}

/** What such reads are made with. */
export interface QuickParts {
  /** Where they follow the volume. */
  readonly feed: ReaderFeed;
  /** Pages at a durable read point, in their order. */
  readonly readPages: (pages: readonly PageNo[], readPoint: Lsn) => Promise<readonly (Uint8Array | null)[]>;
  /** Has a reading thread answer a statement. */
  readonly ask: (statement: SqlStatement, take: (answer: EngineAnswer<AnyOperationValue>) => void) => void;
  /** They are of no use any more: everything goes to reading threads from now on. */
  readonly onBroken: (error: unknown) => void;
}

export type MakeQuickReads = (parts: QuickParts) => QuickReads;
