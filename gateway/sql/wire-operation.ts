/**
 * What a client of a PostgreSQL database asks for in one go, and what it is answered with: messages of the PostgreSQL protocol
 * (version 3), with what the gateway has to know of them. The messages themselves are read by the front end and by the engine only.
 */
import type { Lsn } from '../../storage/core.ts';
import type { SqlError } from './sql.ts';
import type { StatementClass } from './statement-facts.ts';
import { type ReadPreference, readPreferences } from './stream-state.ts';

/** What of a session is not as the server's default: names of settings, lower case, with their values. */
export type WireSettings = Readonly<Record<string, string>>;

/** The setting with which a session says how consistent its reads have to be. */
export const readSetting = 'sextant.read';

/** What the settings of a session say about its reads. */
export function readPreferenceIn(settings: WireSettings): ReadPreference | 'unset' | 'unknown' {
  const value = settings[readSetting];
  if (value === undefined || value === '') return 'unset';
  return readPreferences.find((preference) => preference === value.toLowerCase()) ?? 'unknown';
}

const unitMs: Readonly<Record<string, number>> = {
  us: 0.001,
  ms: 1,
  s: 1_000,
  min: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};
const timePattern = /^\s*(\d+(?:\.\d+)?)\s*(us|ms|s|min|h|d)?\s*$/;

/** Milliseconds, as PostgreSQL reads a setting that bounds a time; 0 (never) for what it would not take. */
export function timeoutMs(setting: string | undefined): number {
  const [, number = '0', unit = 'ms'] = timePattern.exec(setting ?? '') ?? [];
  return Number(number) * (unitMs[unit] ?? 1);
}

/** A prepared statement that the client has parsed in an earlier operation. */
export interface WirePrepared {
  /** Made from the content: the same everywhere for the same text and types. */
  readonly name: string;
  /** The whole Parse message that makes it. */
  readonly parse: Uint8Array;
  /** The client has only just prepared it: an engine that has one of the name parses it anew, for tables may have changed since. */
  readonly fresh: boolean;
}

/** Whole messages of a client, up to where it waits for an answer. */
export interface WireOperation {
  readonly kind: 'wire';
  /** Query, or Parse to Sync, or what came until a Flush, or a COPY with all its data; back to back. */
  readonly messages: Uint8Array;
  /** What the messages use and do not parse themselves; an engine parses those that it does not have. */
  readonly prepared: readonly WirePrepared[];
  /**
   * Texts of the statements that are executed, in their order. Transaction control is written in the words BEGIN, BEGIN READONLY,
   * COMMIT and ROLLBACK, whichever the client has used.
   */
  readonly statements: readonly string[];
  /** Where it is tried first. The engine has the last word about what writes. */
  readonly class: StatementClass;
  readonly settings: WireSettings;
  /** A reading engine has to show this much; left out, whatever it shows. */
  readonly atLeast?: Lsn;
  /**
   * The writer is elsewhere and may run it: a reading engine sends it away rather than begin anew for it too often, or have it wait
   * for an idle transaction.
   */
  readonly mayMove?: boolean;
}

export const wireStatuses = ['I', 'T', 'E', 'B'] as const;

/** As the last ReadyForQuery says: idle, in a transaction, in a failed one; `B` in a batch without its Sync. */
export type WireStatus = (typeof wireStatuses)[number];

export interface WireResult {
  /** What the client is to get. Empty when `status` is all there is to say: a transaction that was lost has been rolled back. */
  readonly messages: Uint8Array;
  readonly status: WireStatus;
  /** The session's settings afterwards, when the operation has changed them. */
  readonly settings: WireSettings | null;
  /** The first error among `messages`, for those who count: its code is the SQLSTATE. */
  readonly error: SqlError | null;
}

/** Answers the ROLLBACK of a transaction that was lost before. */
export const rolledBackWire: WireResult = {
  messages: new Uint8Array(0),
  status: 'I',
  settings: null,
  error: null,
};
