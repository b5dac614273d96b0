/** The ledger of a drill: every write its clients sent, how it ended for them, and what its row has to look like. */
import { crc32 } from 'node:zlib';

/** What a client speaks: libSQL's protocol in one of two ways, or PostgreSQL's. */
export type Transport = 'http' | 'ws' | 'postgres';

/** One client of the load: a region's gateway by one transport. */
export interface LoadClient {
  readonly region: string;
  readonly transport: Transport;
}

/**
 * `acknowledged`: its client was told that it is durable. `refused`: its client was told that it certainly did not happen.
 * `unknown`: neither, so it may be there or not.
 */
export type Outcome = 'acknowledged' | 'refused' | 'unknown';

/** One write. Times are moments of the drill's clock (`drill-clock.ts`), as the load's process saw them. */
export interface LedgerEntry {
  readonly id: number;
  /** Index into the clients. */
  readonly client: number;
  readonly sentAtMs: number;
  /** Null while no answer has come; at the end of a drill that is an unknown write. */
  readonly endedAtMs: number | null;
  readonly outcome: Outcome;
  /** What its client was told when it failed. */
  readonly code: string | null;
  /** The trace id that the write carries into its commit record, hex. */
  readonly traceId: string;
}

/** What a client can be told of a statement that certainly did not run, or was rolled back. Anything else leaves it open. */
export const refusalCodes: ReadonlySet<string> = new Set([
  'SEXTANT_QUORUM_LOST',
  'SEXTANT_NO_WRITER',
  'SEXTANT_MOVE_IN_PROGRESS',
  'SEXTANT_FENCED',
  'SEXTANT_TRANSACTION_ABORTED',
  'TRANSACTION_BUSY',
  // Nobody listens: the statement never left.
  'ECONNREFUSED',
]);

export const outcomeOf = (code: string): Outcome => (refusalCodes.has(code) ? 'refused' : 'unknown');

/** The table that the load of a drill writes; its own, and kept when the drill is red. */
export const drillTable = (drill: string): string => `sextant_drill_${drill.replace(/\W/g, '_')}`;

const fillerBytes = 48;

/** The text of a write's row; a function of the drill and the write, so that whoever reads it back can tell if it is whole. */
export function payloadOf(drill: string, id: number): string {
  let filler = '';
  for (let part = 0; filler.length < fillerBytes; part++)
    filler += crc32(`${drill}/${id}/${part}`).toString(16).padStart(8, '0');
  return `${drill}/${id}/${filler}`;
}

/** The checksum of a row as it was read. */
export const checksumOf = (id: number, client: number, payload: string): number =>
  crc32(`${id}|${client}|${payload}`);

/** The checksum that the row of a write has to have. */
export const expectedChecksum = (drill: string, id: number, client: number): number =>
  checksumOf(id, client, payloadOf(drill, id));
