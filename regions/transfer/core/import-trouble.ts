/** What a failed request means to an import: look and go on, send less, or stop. */

export type Trouble =
  /** Whether it was carried out is to be found out; then the import goes on. */
  | 'again'
  /** It asks for too much at once. */
  | 'smaller'
  /** Another request has been faster, or a failover has taken back what was written: the note of progress says. */
  | 'moved'
  /** It would fail again. */
  | 'stop';

const passing: ReadonlySet<string> = new Set([
  'SEXTANT_COMMIT_UNKNOWN',
  'SEXTANT_QUORUM_LOST',
  'SEXTANT_FENCED',
  'SEXTANT_MOVE_IN_PROGRESS',
  'SEXTANT_NO_WRITER',
  'SEXTANT_STORAGE_UNAVAILABLE',
  'SEXTANT_TRANSACTION_ABORTED',
  'SEXTANT_FORWARD_FAILED',
  'SEXTANT_SHUTTING_DOWN',
  'SQLITE_BUSY',
  'STREAM_EXPIRED',
  'TRANSACTION_BUSY',
  'TRANSACTION_TIMEOUT',
]);
const tooMuch: ReadonlySet<string> = new Set([
  'SEXTANT_BODY_TOO_LARGE',
  'SEXTANT_LIMIT',
  'SEXTANT_TRANSACTION_TOO_LARGE',
  'SQLITE_INTERRUPT',
  'SQLITE_NOMEM',
]);

/** @param code null when nobody answered. @param isNote it was the note of progress that failed. */
export function troubleOf(code: string | null, isNote: boolean): Trouble {
  if (code === null || passing.has(code)) return 'again';
  if (tooMuch.has(code)) return 'smaller';
  return isNote ? 'moved' : 'stop';
}

/** What is found at the target. */
export interface TargetState {
  /** Objects of the schema, SQLite's own and the note of progress not counted. */
  readonly objects: number;
  /** Those that have the name of something in the file. */
  readonly ours: number;
  readonly note: { readonly source: string; readonly part: number; readonly row: number } | null;
}

export type Resumption =
  | { readonly kind: 'at'; readonly part: number; readonly row: number }
  | { readonly kind: 'done' }
  | { readonly kind: 'foreign' }
  | { readonly kind: 'lost' };

/**
 * Where an import goes on after a request whose fate is unknown (G47). The note of progress is committed with what it speaks of,
 * so what it says is so.
 * @param batch the request; null when the import has only begun.
 */
export function resumption(
  state: TargetState,
  source: string,
  batch: { readonly isFirst: boolean; readonly isLast: boolean } | null,
): Resumption {
  const { note, ours } = state;
  if (note !== null)
    return note.source === source ? { kind: 'at', part: note.part, row: note.row } : { kind: 'foreign' };
  if (ours === 0) return { kind: 'at', part: 0, row: 0 };
  return batch?.isLast === true ? { kind: 'done' } : { kind: 'lost' };
}
