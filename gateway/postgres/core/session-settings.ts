/**
 * Settings of one client's session. The engine is shared: what of a session is not the default goes with each of its operations, and
 * comes back when it has changed. Pure.
 */
import type { WireSettings, WireStatus } from '../../sql/wire-operation.ts';
import { parameterStatus } from '../protocol/core/server-messages.ts';

/** Settings that drivers are told of, with the value of a server that nobody has changed; by their names as drivers know them. */
export type ReportedSettings = Readonly<Record<string, string>>;

/** How the answer to an operation bears on settings. */
export interface SettingsNews {
  readonly settings: WireSettings | null;
  readonly status: WireStatus;
  /** The last statement that ended a transaction. */
  readonly ended: 'COMMIT' | 'ROLLBACK' | null;
  /** Settings of which the engine has told the client itself, lower case. */
  readonly told: ReadonlySet<string>;
}

/** What makes no difference to how a text is read when it is prepared. */
const irrelevantToTexts: ReadonlySet<string> = new Set([
  'application_name',
  'client_min_messages',
  'statement_timeout',
  'lock_timeout',
  'idle_in_transaction_session_timeout',
  'idle_session_timeout',
  'transaction_timeout',
]);

export class SessionSettings {
  /** What the client began with. */
  readonly initial: WireSettings;
  readonly #reported: ReportedSettings;
  /** Of a server that nobody has changed. */
  readonly #defaults: ReportedSettings;
  /** Before the transaction that is open. */
  #kept: WireSettings;
  #current: WireSettings;
  #key: { readonly of: WireSettings; readonly text: string } | null = null;

  /** @param initial what the client began with. @param reported what it was told then. */
  constructor(initial: WireSettings, reported: ReportedSettings, defaults: ReportedSettings) {
    this.initial = initial;
    this.#kept = initial;
    this.#current = initial;
    this.#reported = reported;
    this.#defaults = defaults;
  }

  /** What goes with the next operation. */
  get current(): WireSettings {
    return this.#current;
  }

  /** Plain strings know backslash escapes. */
  get backslashes(): boolean {
    return this.#current.standard_conforming_strings === 'off';
  }

  /** The same for sessions in which a text means the same when it is prepared. */
  get key(): string {
    if (this.#key?.of !== this.#current) {
      const relevant = Object.entries(this.#current)
        .filter(([name]) => !irrelevantToTexts.has(name))
        .sort(([a], [b]) => (a < b ? -1 : 1));
      this.#key = { of: this.#current, text: relevant.length === 0 ? '' : JSON.stringify(relevant) };
    }
    return this.#key.text;
  }

  /** All settings are again those that the client began with. @returns what the client has to be told. */
  resetAll(status: WireStatus): readonly Uint8Array[] {
    const news = this.#change(this.initial, new Set());
    if (status === 'I') this.#kept = this.#current;
    return news;
  }

  /** @returns what the client has to be told. */
  answered({ settings, status, ended, told }: SettingsNews): readonly Uint8Array[] {
    const afterwards =
      (settings === null ? null : withLowerNames(settings)) ??
      (status === 'I' && ended === 'ROLLBACK' ? this.#kept : this.#current);
    const news = this.#change(afterwards, told);
    if (status === 'I') this.#kept = this.#current;
    return news;
  }

  /** The transaction that was open is rolled back. @returns what the client has to be told. */
  lost(): readonly Uint8Array[] {
    return this.#change(this.#kept, new Set());
  }

  #change(to: WireSettings, told: ReadonlySet<string>): readonly Uint8Array[] {
    const before = this.#current;
    this.#current = to;
    if (before === to) return [];
    return Object.entries(this.#defaults).flatMap(([name, value]) => {
      const lower = name.toLowerCase();
      if (before[lower] === to[lower] || told.has(lower)) return [];
      const now = to[lower];
      const isInitial = now !== undefined && now === this.initial[lower];
      return [parameterStatus(name, (isInitial ? this.#reported[name] : now) ?? value)];
    });
  }
}

/** Names as PostgreSQL spells them have capitals; everywhere here they have none. */
const withLowerNames = (settings: WireSettings): WireSettings =>
  Object.fromEntries(Object.entries(settings).map(([name, value]) => [name.toLowerCase(), value]));
