/**
 * Runs one operation on the backend as if its session had it for itself: makes the settings so and parses the statements it lacks
 * before, and reads what has become of the settings after.
 */
import { queryMessage, syncMessage } from '../../../postgres/protocol/core/client-messages.ts';
import { readyForQuery } from '../../../postgres/protocol/core/server-messages.ts';
import type { SqlError } from '../../../sql/sql.ts';
import type { WireOperation, WireResult, WireSettings, WireStatus } from '../../../sql/wire-operation.ts';
import type { Backend, BackendAnswer } from './backend.ts';
import {
  noSettings,
  ownNames,
  readSettingsSql,
  sameWireSettings,
  settingsSql,
  touchesSettings,
} from './core/session-settings.ts';
import { StatementCache } from './core/statement-cache.ts';
import { mayChangeTimeout } from './core/statement-timeout.ts';
import { messagesOf, rowOf } from './core/wire-messages.ts';

/** What is to be remembered of a session as long as it keeps the backend. */
export interface RunnerSession {
  status: WireStatus;
  /** Its settings may have changed since they were read. */
  touched: boolean;
  /** Settings of an application's own that were named. */
  readonly ownNames: Set<string>;
  /** The `statement_timeout` that its open transaction has set; null while it has set none. */
  timeout: string | null;
}

export const newRunnerSession = (): RunnerSession => ({
  status: 'I',
  touched: false,
  ownNames: new Set(),
  timeout: null,
});

/** What an operation did. */
export interface RunResult extends WireResult {
  readonly errors: readonly SqlError[];
  /** It may have committed something. */
  readonly mayHaveCommitted: boolean;
}

/** Tags after which the statements of the backend are gone. */
const forgetting = /^(?:DEALLOCATE|DISCARD ALL)/;

export class BackendRunner {
  private readonly backend: Backend;
  private readonly statements: StatementCache;
  /** What the backend's settings are; null when that is not known. */
  private applied: WireSettings | null = noSettings;

  constructor(backend: Backend, statementsMax: number) {
    this.backend = backend;
    this.statements = new StatementCache(statementsMax);
  }

  /** The backend was started: it has nothing of any session. */
  restarted(): void {
    this.statements.clear();
    this.applied = noSettings;
  }

  /** @throws what the backend throws: nothing of the operation counts */
  run(session: RunnerSession, operation: WireOperation): RunResult {
    const before = session.status;
    if (before === 'I') {
      const refused = this.prepare(operation);
      if (refused !== null) return refused;
    }
    for (const sql of operation.statements) for (const name of ownNames(sql)) session.ownNames.add(name);
    const planned = this.statements.plan(operation.messages, operation.prepared);
    const answer = this.backend.run(planned.messages);
    const messages = planned.settle(answer.messages);
    if (answer.tags.some((tag) => forgetting.test(tag))) this.statements.clear();
    session.touched ||= touchesSettings(operation.statements, answer.tags);
    session.status = statusAfter(operation.messages, answer.status);
    this.noteTimeout(session, operation, answer);
    const inside = before !== 'I' && session.status !== 'I' && !answer.tags.includes('COMMIT');
    return {
      messages,
      status: session.status,
      settings: session.status === 'I' ? this.settle(session, operation.settings) : null,
      error: answer.errors[0] ?? null,
      errors: answer.errors,
      mayHaveCommitted: !inside,
    };
  }

  /** Settings are read back when a transaction ends; this one counts at once. SHOW takes no snapshot. */
  private noteTimeout(session: RunnerSession, { statements }: WireOperation, { tags }: BackendAnswer): void {
    if (session.status === 'I') session.timeout = null;
    else if (session.status === 'T' && mayChangeTimeout(statements, tags))
      session.timeout = rowsOf(this.backend.run(queryMessage('SHOW statement_timeout')))?.[0]?.[0] ?? null;
  }

  /** Ends whatever a session has open. */
  rollBack(session: RunnerSession): void {
    if (session.status === 'B') this.backend.run(syncMessage);
    this.backend.run(queryMessage('ROLLBACK'));
    session.status = 'I';
    session.timeout = null;
    if (session.touched) this.applied = null;
    session.touched = false;
  }

  /** Runs SQL of the engine's own, outside every session. @returns its rows, or null when it failed. */
  own(sql: string): readonly (readonly (string | null)[])[] | null {
    if (this.applied === null || !sameWireSettings(this.applied, noSettings)) {
      this.applied = null;
      this.backend.run(queryMessage(settingsSql(noSettings)));
      this.applied = noSettings;
    }
    return rowsOf(this.backend.run(queryMessage(sql)));
  }

  /** Makes the backend the session's. @returns the answer when that cannot be: the error, in the operation's place. */
  private prepare({ settings, messages }: WireOperation): RunResult | null {
    const excess = this.statements.excess();
    if (excess !== null) this.backend.run(Buffer.concat([excess, syncMessage]));
    if (this.applied !== null && sameWireSettings(this.applied, settings)) return null;
    this.applied = null;
    const answer = this.backend.run(queryMessage(settingsSql(settings)));
    if (answer.errors.length === 0) {
      this.applied = settings;
      return null;
    }
    const error = [...messagesOf(answer.messages)]
      .filter(({ type }) => type === 'E')
      .map(({ whole }) => whole);
    const status = statusAfter(messages, 'I');
    return {
      messages: Buffer.concat(status === 'I' ? [...error, readyForQuery('I')] : error),
      status,
      settings: null,
      error: answer.errors[0] ?? null,
      errors: answer.errors,
      mayHaveCommitted: false,
    };
  }

  /** The session's settings, when they have changed. */
  private settle(session: RunnerSession, before: WireSettings): WireSettings | null {
    if (!session.touched) return null;
    session.touched = false;
    for (const name of Object.keys(before)) if (name.includes('.')) session.ownNames.add(name);
    this.applied = null;
    const rows = rowsOf(this.backend.run(queryMessage(readSettingsSql(session.ownNames))));
    if (rows === null) return null;
    this.applied = Object.fromEntries(rows.map(([name, value]) => [name ?? '', value ?? '']));
    return sameWireSettings(this.applied, before) ? null : this.applied;
  }
}

/** The status after messages that may lack their Sync: then whoever sent them goes on with the batch. */
function statusAfter(messages: Uint8Array, answered: WireStatus | null): WireStatus {
  let last = '';
  for (const { type } of messagesOf(messages)) last = type;
  const isOpen = extended.has(last);
  return isOpen ? 'B' : (answered ?? 'B');
}

/** Messages that leave a batch open: Parse, Bind, Describe, Execute, Close, Flush. */
const extended: ReadonlySet<string> = new Set(['P', 'B', 'D', 'E', 'C', 'H']);

function rowsOf({ messages, errors }: BackendAnswer): readonly (readonly (string | null)[])[] | null {
  if (errors.length > 0) return null;
  return [...messagesOf(messages)].filter(({ type }) => type === 'D').map(({ body }) => rowOf(body));
}
