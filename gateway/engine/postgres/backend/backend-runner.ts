/**
 * Runs one operation on the backend as if its session had it for itself: makes the settings so and parses the statements it lacks
 * before, and reads what has become of the settings after.
 */
import { queryMessage, syncMessage } from '../../../postgres/protocol/core/client-messages.ts';
import {
  noticeResponse,
  type Report,
  readyForQuery,
} from '../../../postgres/protocol/core/server-messages.ts';
import type { SqlError } from '../../../sql/sql.ts';
import type { WireOperation, WireResult, WireSettings, WireStatus } from '../../../sql/wire-operation.ts';
import type { Backend, BackendAnswer } from './backend.ts';
import {
  actorsSql,
  changesActors,
  clearSql,
  leftSql,
  leftText,
  mayLeave,
  sequencesSql,
  usesSequences,
} from './core/left-behind.ts';
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
import { beforeReady, messagesOf, rowOf } from './core/wire-messages.ts';

/** What is to be remembered of a session as long as it keeps the backend. */
export interface RunnerSession {
  status: WireStatus;
  /** Its settings may have changed since they were read. */
  touched: boolean;
  /** It may have done to the backend what no text of its statements says. */
  acted: boolean;
  /** Settings of an application's own that were named. */
  readonly ownNames: Set<string>;
  /** The `statement_timeout` that its open transaction has set; null while it has set none. */
  timeout: string | null;
}

export const newRunnerSession = (): RunnerSession => ({
  status: 'I',
  touched: false,
  acted: false,
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

/** What of a database acts on the session of whoever uses it. */
interface Actors {
  readonly any: boolean;
  readonly sequences: boolean;
  /** Settings of an application's own that they name. */
  readonly names: readonly string[];
}

export class BackendRunner {
  private readonly backend: Pick<Backend, 'run'>;
  private readonly statements: StatementCache;
  /** What the backend's settings are; null when that is not known. */
  private applied: WireSettings | null = noSettings;
  /** Null when that is not known. */
  private actors: Actors | null = null;
  /** A session has left something that could not be cleared: the operation was stopped at that moment. */
  private uncleared = false;
  /** Whose values of sequences (`currval`, `lastval`) the backend has. */
  private sequencesOf: RunnerSession | 'nobody' | 'several' = 'nobody';

  constructor(backend: Pick<Backend, 'run'>, statementsMax: number) {
    this.backend = backend;
    this.statements = new StatementCache(statementsMax);
  }

  /** The backend was started: it has nothing of any session. */
  restarted(): void {
    this.statements.clear();
    this.applied = noSettings;
    this.actors = null;
    this.uncleared = false;
    this.sequencesOf = 'nobody';
  }

  /** @throws what the backend throws: nothing of the operation counts */
  run(session: RunnerSession, operation: WireOperation): RunResult {
    const before = session.status;
    if (before === 'I') {
      const refused = this.prepare(operation);
      if (refused !== null) return refused;
      this.claimSequences(session, operation);
    }
    for (const sql of operation.statements) for (const name of ownNames(sql)) session.ownNames.add(name);
    const planned = this.statements.plan(operation.messages, operation.prepared);
    const answer = this.backend.run(planned.messages);
    const messages = planned.settle(answer.messages);
    if (answer.tags.some((tag) => forgetting.test(tag))) this.statements.clear();
    session.touched ||= touchesSettings(operation.statements, answer.tags);
    session.acted ||= mayLeave(operation.statements, answer.tags);
    if (changesActors(answer.tags)) this.actors = null;
    session.status = statusAfter(operation.messages, answer.status);
    this.noteTimeout(session, operation, answer);
    const inside = before !== 'I' && session.status !== 'I' && !answer.tags.includes('COMMIT');
    const { left, settings } =
      session.status === 'I' ? this.settle(session, operation.settings) : { left: null, settings: null };
    return {
      messages: left === null ? messages : beforeReady(messages, noticeResponse('WARNING', left)),
      status: session.status,
      settings,
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
    if (session.touched || session.acted || this.acts().any) {
      this.applied = null;
      this.clearNow();
    }
    session.touched = false;
    session.acted = false;
  }

  private acts(): Actors {
    if (this.actors !== null) return this.actors;
    const rows = rowsOf(this.backend.run(queryMessage(actorsSql)));
    if (rows === null) return anyActors;
    const names = ownNames(rows.map(([text]) => text ?? '').join(';'));
    const sequences = rowsOf(this.backend.run(queryMessage(sequencesSql)));
    if (sequences === null) return anyActors;
    this.actors = { any: rows.length > 0, sequences: sequences.length > 0, names };
    return this.actors;
  }

  /** A session is told no value that another one has drawn: it has none then, and PostgreSQL says so. */
  private claimSequences(session: RunnerSession, { statements }: WireOperation): void {
    const { sequencesOf } = this;
    if (sequencesOf === session) return;
    if (sequencesOf !== 'nobody') {
      this.sequencesOf = 'several';
      if (!usesSequences(statements) || !this.acts().sequences) return;
      if (this.backend.run(queryMessage('DISCARD SEQUENCES')).errors.length > 0) return;
    }
    this.sequencesOf = session;
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
    if (this.uncleared) this.clearNow();
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

  /** The session has the backend no more: its settings, when they have changed, and what has ended because it would be everybody's. */
  private settle(
    session: RunnerSession,
    before: WireSettings,
  ): { readonly left: Report | null; readonly settings: WireSettings | null } {
    const actors = this.acts();
    const acted = session.acted || actors.any;
    if (!session.touched && !acted) return { left: null, settings: null };
    session.touched = false;
    session.acted = false;
    this.applied = null;
    for (const name of Object.keys(before)) if (name.includes('.')) session.ownNames.add(name);
    for (const name of actors.names) session.ownNames.add(name);
    const rows = rowsOf(this.backend.run(queryMessage(readSettingsSql(session.ownNames))));
    const left = acted ? this.clear() : null;
    if (rows === null) return { left, settings: null };
    const settings = Object.fromEntries(rows.map(([name, value]) => [name ?? '', value ?? '']));
    // Settings of an application's own that nobody has named are not among them, and are to be nobody else's.
    if (!acted) this.applied = settings;
    return { left, settings: sameWireSettings(settings, before) ? null : settings };
  }

  /** Ends what would be everybody's. @returns what the session is told of it */
  private clear(): Report | null {
    const rows = rowsOf(this.backend.run(queryMessage(leftSql)));
    const message = rows === null ? null : leftText(rows[0] ?? []);
    if (rows === null || message !== null) this.clearNow();
    return message === null
      ? null
      : { code: warning, message, hint: 'One engine serves all sessions in turn.' };
  }

  private clearNow(): void {
    this.uncleared = this.backend.run(queryMessage(clearSql)).errors.length > 0;
  }
}

/** SQLSTATE of a warning. */
const warning = '01000';

/** What cannot be known may do anything. */
const anyActors: Actors = { any: true, sequences: true, names: [] };

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
