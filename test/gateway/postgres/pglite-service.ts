/**
 * Sessions over one real PostgreSQL in memory: operations run one after the other, and who holds a transaction or half a batch keeps
 * the others waiting. Does what the engine's worker promises, by the public functions of PGlite.
 */
import { PGlite } from '@electric-sql/pglite';
import {
  closeStatement,
  queryMessage,
  readParse,
  syncMessage,
} from '../../../gateway/postgres/protocol/core/client-messages.ts';
import { type Frame, FrameReader } from '../../../gateway/postgres/protocol/core/frame-reader.ts';
import { BodyReader } from '../../../gateway/postgres/protocol/core/message-bytes.ts';
import { errorResponse, readyForQuery } from '../../../gateway/postgres/protocol/core/server-messages.ts';
import type { WireService, WireSession } from '../../../gateway/postgres/wire-service.ts';
import type { SessionOptions, SqlError, SqlOutcome, SqlRequestContext } from '../../../gateway/sql/sql.ts';
import { firstWord } from '../../../gateway/sql/statement-facts.ts';
import {
  rolledBackWire,
  type WireOperation,
  type WireResult,
  type WireSettings,
} from '../../../gateway/sql/wire-operation.ts';
import { concatBytes } from '../../../storage/redo.ts';

type Done = (outcome: SqlOutcome<unknown>) => void;

export type SeenMessage = Frame;

export function messagesIn(bytes: Uint8Array): readonly SeenMessage[] {
  const reader = new FrameReader();
  reader.push(bytes);
  const found: SeenMessage[] = [];
  for (
    let next = reader.next('messages', 2 ** 30);
    next.kind === 'frame';
    next = reader.next('messages', 2 ** 30)
  )
    found.push(next.frame);
  return found;
}

const changesSettings = (operation: WireOperation, answer: readonly SeenMessage[]): boolean =>
  answer.some(
    ({ type, body }) => type === 'C' && /^(?:SET|RESET|DISCARD ALL)/.test(new BodyReader(body).text()),
  ) || Buffer.from(operation.messages).includes('set_config');

export class PGliteService implements WireService {
  readonly db: PGlite;
  /** Every operation that was given, in its order. */
  readonly operations: WireOperation[] = [];
  readonly options: (SessionOptions | undefined)[] = [];
  open = 0;
  cancelled = 0;
  /** What the next operation fails with, in place of running. */
  failNext: SqlError | null = null;
  #line: { readonly session: Session; readonly operation: WireOperation; readonly done: Done }[] = [];
  #pinned: Session | null = null;
  #last: Session | null = null;
  #lastSettings: WireSettings = {};
  #busy = false;
  readonly #known = new Set<string>();

  private constructor(db: PGlite) {
    this.db = db;
  }

  static async make(): Promise<PGliteService> {
    return new PGliteService(await PGlite.create());
  }

  branchProblem(branch: string): SqlError | null {
    return branch === 'dev' || branch === 'main'
      ? null
      : { code: 'SEXTANT_BRANCH_UNKNOWN', message: `There is no branch ${branch}; there are main, dev` };
  }

  openSession(options?: SessionOptions): SqlOutcome<WireSession> {
    this.options.push(options);
    this.open += 1;
    return { ok: true, value: new Session(this) };
  }

  enqueue(session: Session, operation: WireOperation, done: Done): void {
    this.operations.push(operation);
    this.#line.push({ session, operation, done });
    void this.#work();
  }

  async ended(session: Session): Promise<void> {
    this.open -= 1;
    if (this.#pinned !== session) return;
    await this.#raw(concatBytes([syncMessage, queryMessage('ROLLBACK')]));
    this.#pinned = null;
    void this.#work();
  }

  async #work(): Promise<void> {
    if (this.#busy) return;
    this.#busy = true;
    for (;;) {
      const at = this.#line.findIndex(({ session }) => this.#pinned === null || session === this.#pinned);
      const [next] = at < 0 ? [] : this.#line.splice(at, 1);
      if (next === undefined) break;
      const { session, operation, done } = next;
      if (session.closed) continue;
      const outcome = await this.#run(session, operation);
      done(outcome);
    }
    this.#busy = false;
  }

  async #run(session: Session, operation: WireOperation): Promise<SqlOutcome<WireResult>> {
    const [first = ''] = operation.statements.map(firstWord);
    if (session.lost !== null) {
      const error = session.lost;
      if (first === 'ROLLBACK' || first === 'COMMIT') session.lost = null;
      return first === 'ROLLBACK' ? { ok: true, value: rolledBackWire } : { ok: false, error };
    }
    if (this.failNext !== null) {
      const error = this.failNext;
      this.failNext = null;
      return { ok: false, error };
    }
    if (Buffer.from(operation.messages).includes('wait_for_cancel')) {
      await session.cancelled();
      const report = { code: '57014', message: 'canceling statement due to user request' };
      const messages = concatBytes([errorResponse('ERROR', report), readyForQuery('I')]);
      return { ok: true, value: { messages, status: 'I', settings: null, error: report } };
    }
    const refused = this.#pinned === null ? await this.#set(session, operation) : null;
    if (refused !== null)
      return { ok: true, value: { messages: refused, status: 'I', settings: null, error: null } };
    const raw = await this.#answer(operation);
    const answer = messagesIn(raw);
    const ready = answer.findLast(({ type }) => type === 'Z');
    const status = ready === undefined ? 'B' : (String.fromCharCode(ready.body[0] ?? 0) as 'I' | 'T' | 'E');
    session.autocommit = status === 'I';
    this.#pinned = status === 'I' ? null : session;
    let settings: WireSettings | null = null;
    session.touched ||= changesSettings(operation, answer);
    // Inside of a transaction the backend has them; at its end they are told.
    if (session.touched && status === 'I') {
      session.touched = false;
      settings = await this.#settings();
      this.#lastSettings = settings;
    }
    return { ok: true, value: { messages: raw, status, settings, error: null } };
  }

  async #set(session: Session, operation: WireOperation): Promise<Uint8Array | null> {
    const same =
      this.#last === session && JSON.stringify(this.#lastSettings) === JSON.stringify(operation.settings);
    if (!same) {
      const sets = Object.entries(operation.settings).map(
        ([name, value]) => `SELECT set_config('${name}', '${value.replaceAll("'", "''")}', false);`,
      );
      const answer = await this.#raw(queryMessage(`RESET ALL; ${sets.join(' ')}`));
      if (messagesIn(answer).some(({ type }) => type === 'E')) return answer;
      this.#last = session;
      this.#lastSettings = operation.settings;
    }
    return null;
  }

  /** Statements of a name that is there are made anew, and those that are missing are made: neither shows in the answer. */
  async #answer({ messages, prepared }: WireOperation): Promise<Uint8Array> {
    const given: Uint8Array[] = [];
    const acks: { readonly type: string; readonly shown: boolean }[] = [];
    for (const { name, parse } of prepared) {
      if (this.#known.has(name)) continue;
      given.push(parse);
      acks.push({ type: '1', shown: false });
      this.#known.add(name);
    }
    for (const { type, body, bytes } of messagesIn(messages)) {
      if (type === 'P') {
        const { name } = readParse(body);
        if (this.#known.has(name)) {
          given.push(closeStatement(name));
          acks.push({ type: '3', shown: false });
        }
        this.#known.add(name);
        acks.push({ type: '1', shown: true });
      }
      if (type === 'C') acks.push({ type: '3', shown: true });
      given.push(bytes);
    }
    const answer = messagesIn(await this.#raw(concatBytes(given)));
    const shown = answer.filter(
      ({ type }) => (type !== '1' && type !== '3') || acks.shift()?.shown !== false,
    );
    return concatBytes(shown.map(({ bytes }) => bytes));
  }

  async #settings(): Promise<WireSettings> {
    const sql = "SELECT name, setting FROM pg_settings WHERE source = 'session'";
    const rows = messagesIn(await this.#raw(queryMessage(sql))).filter(({ type }) => type === 'D');
    const value = (from: BodyReader): string => new TextDecoder().decode(from.bytes(from.int32()));
    return Object.fromEntries(
      rows.map(({ body }) => {
        const from = new BodyReader(body.subarray(2));
        return [value(from), value(from)];
      }),
    );
  }

  async #raw(messages: Uint8Array): Promise<Uint8Array> {
    return await this.db.execProtocolRaw(messages);
  }
}

class Session implements WireSession {
  readonly #service: PGliteService;
  autocommit = true;
  touched = false;
  closed = false;
  lost: SqlError | null = null;
  #cancel: (() => void) | null = null;

  constructor(service: PGliteService) {
    this.#service = service;
  }

  run(operation: WireOperation, _context: SqlRequestContext, done: Done): void {
    this.#service.enqueue(this, operation, (outcome) => {
      if (!outcome.ok && outcome.error.code === 'SEXTANT_TRANSACTION_ABORTED' && !this.autocommit)
        this.lost = outcome.error;
      done(outcome);
    });
  }

  isAutocommit(): boolean {
    return this.autocommit && this.lost === null;
  }

  cancel(): void {
    this.#service.cancelled += 1;
    this.#cancel?.();
  }

  async cancelled(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#cancel = resolve;
    await promise;
  }

  async close(): Promise<void> {
    this.closed = true;
    this.#cancel?.();
    await this.#service.ended(this);
  }
}
