/** How the clients of a drill's load write and read, whichever engine keeps the databases. */
import type { Outcome } from '../core/ledger.ts';

/** Requests of one client without an answer; beyond that it sends nothing, as a pool would. */
export const inFlightMax = 64;

export interface LoadRow {
  readonly id: number;
  readonly client: number;
  readonly payload: string;
}

/** What a client was told. `code` is null for a write that was acknowledged. */
export interface Told {
  readonly outcome: Outcome;
  readonly code: string | null;
}

export const acknowledged: Told = { outcome: 'acknowledged', code: null };

/** One client of a gateway, with as many connections as it needs. */
export interface LoadDatabase {
  /** Asks for an answer and nothing else. @throws Error in the client's words. */
  reach(): Promise<void>;
  /** @throws Error in the client's words. */
  createTable(table: string): Promise<void>;
  /** @throws Error in the client's words. */
  dropTable(table: string): Promise<void>;
  /** Writes one row in a transaction of its own. Never rejects. @param traceparent W3C; the commit record keeps its trace id. */
  write(table: string, row: LoadRow, traceparent: string): Promise<Told>;
  /**
   * The next rows in the order of their ids, as this region itself has them at its own durable point.
   * @throws Error in the client's words.
   */
  rowsAfter(table: string, id: number, limit: number): Promise<readonly LoadRow[]>;
  close(): void;
}
