/**
 * Statements that are answered where they arrive, on the thread that has their client's socket, because they are proven to be quick.
 * For most point reads the way to another thread and back costs several times what SQLite does.
 *
 * G130. A statement is answered here as a reading thread would answer it, or it goes to one and nobody can tell that it was tried.
 * G131. What runs was compiled to a program that is quick, of the schema that it runs on (`core/quick-program.ts`).
 * G132. The thread is held up by no statement for longer than `quickLimits` allow, and by all of them for no more than `shareMs` of
 * each `lengthMs`, a few in a turn (`core/quick-share.ts`): no page is waited for, and little redo is folded (`core/quick-redo.ts`).
 */
import { lsn, monotonicMs, pageNo } from '../../../storage/index.ts';
import type { AnyOperationValue, SqlOperation } from '../../sql/operation.ts';
import type { SqlStatement } from '../../sql/sql.ts';
import { firstWord } from '../../sql/statement-facts.ts';
import type { StreamState } from '../../sql/stream-state.ts';
import type { EngineAnswer } from '../core/engine-protocol.ts';
import type { PageStore } from '../core/page-store.ts';
import type { QuickParts, QuickReads } from '../quick-reads.ts';
import { type QuickRun, quickLimits } from './core/quick-limits.ts';
import { isQuickProgram } from './core/quick-program.ts';
import { QuickShare } from './core/quick-share.ts';
import { QuickTexts } from './core/quick-texts.ts';
import { QuickPages, type QuickPagesOptions } from './quick-pages.ts';
import type { QuickSqlite } from './quick-sqlite.ts';

export interface QuickReaderOptions extends QuickParts, QuickPagesOptions {
  /** A SQLite for this thread. */
  readonly load: () => Promise<QuickSqlite>;
}

/** A statement whose proof took a reading thread longer is not tried: a bound on the time SQLite needs to plan it. */
const proofUs = 5_000;
/** Page 1 has the schema's cookie here. */
const cookieAt = 40;
const firstPage = pageNo(1);

export class QuickReader implements QuickReads {
  private readonly options: QuickReaderOptions;
  private readonly pages: QuickPages;
  private readonly texts = new QuickTexts();
  private readonly share = new QuickShare();
  private sqlite: QuickSqlite | null = null;
  private state: 'resting' | 'loading' | 'ready' | 'broken' = 'resting';
  private cookie = -1;
  answered = 0;

  constructor(options: QuickReaderOptions) {
    this.options = options;
    this.pages = new QuickPages(options, () => this.sqlite?.close());
  }

  offer(frames: Uint8Array, nowMs: number): void {
    this.pages.offer(frames, nowMs);
  }

  forget(): void {
    this.pages.forget();
  }

  rest(): void {
    this.pages.forget();
    this.texts.forget();
    this.sqlite = null;
    if (this.state !== 'broken') this.state = 'resting';
  }

  answer(
    operation: SqlOperation,
    state: StreamState,
    beside: number,
  ): EngineAnswer<AnyOperationValue> | null {
    if (operation.kind !== 'execute' || this.state === 'broken' || !isUsual(state)) return null;
    const { statement } = operation;
    if (!isSmall(statement)) return null;
    switch (this.texts.next(statement.sql)) {
      case 'run':
        return this.sqlite === null ? null : this.tryAnswer(this.sqlite, statement, beside);
      case 'prove':
        this.prove(statement);
        return null;
      case 'no':
        return null;
    }
  }

  private tryAnswer(
    sqlite: QuickSqlite,
    statement: SqlStatement,
    beside: number,
  ): EngineAnswer<AnyOperationValue> | null {
    const sinceMs = monotonicMs();
    if (!this.share.allows(sinceMs, beside)) return null;
    let store: PageStore | null = null;
    let done: QuickRun | null = null;
    try {
      store = this.pages.current(sinceMs);
      if (store !== null) done = this.tryOn(sqlite, store, statement);
    } catch (error) {
      // Whatever is broken here, threads have memory and pages of their own.
      this.break(error);
      return null;
    }
    const tookMs = monotonicMs() - sinceMs;
    if (this.share.took(tookMs, done?.kind !== 'lacksPage')) setImmediate(() => this.share.turned());
    if (store === null || done === null) return null;
    switch (done.kind) {
      case 'answered':
        this.answered += 1;
        return answerOf(done, tookMs);
      case 'lacksPage':
        this.pages.want(store, done.page);
        return null;
      case 'bounded':
        this.texts.failed(statement.sql);
        return null;
      case 'refused':
        this.texts.refute(statement.sql);
        return null;
    }
  }

  /** @returns null when the schema is another one than that of the proofs */
  private tryOn(sqlite: QuickSqlite, store: PageStore, statement: SqlStatement): QuickRun | null {
    const first = store.readAt(firstPage, store.head);
    if (first === undefined) return { kind: 'lacksPage', page: firstPage };
    if (first === null) return null;
    const cookie = new DataView(first.buffer, first.byteOffset, first.length).getUint32(cookieAt);
    const before = this.cookie;
    this.cookie = cookie;
    if (before >= 0 && cookie !== before) {
      this.texts.forget();
      return null;
    }
    return sqlite.run(statement, store, cookie);
  }

  /** A reading thread looks first: SQLite may plan for seconds, and nothing stops it meanwhile. */
  private prove(statement: SqlStatement): void {
    const { sql } = statement;
    const explain = { ...statement, sql: `EXPLAIN ${sql}`, wantRows: true, textRows: false };
    this.options.ask(explain, ({ outcome, engineUs }) => {
      const value = outcome.ok ? outcome.value : null;
      const rows = value !== null && 'rows' in value ? value.rows : [];
      const isQuick = isQuickProgram(rows);
      // The thread may have been busy or slow for reasons of its own.
      const isCertain = isQuick ? engineUs <= proofUs : outcome.ok || outcome.error.code === 'SQLITE_ERROR';
      this.texts.proved(sql, isCertain ? isQuick : null);
      if (isQuick && this.state === 'resting') this.load();
    });
  }

  private load(): void {
    this.state = 'loading';
    this.options.load().then(
      (sqlite) => {
        if (this.state !== 'loading') return;
        this.sqlite = sqlite;
        this.state = 'ready';
      },
      (error: unknown) => this.break(error),
    );
  }

  private break(error: unknown): void {
    this.state = 'broken';
    this.sqlite = null;
    this.pages.forget();
    this.options.onBroken(error);
  }
}

/** A stream without anything of its own, at a consistency that a reading thread gives by itself. */
function isUsual({ settings, readPreference }: StreamState): boolean {
  return settings.length === 0 && readPreference !== 'global';
}

function isSmall({ sql, args, namedArgs }: SqlStatement): boolean {
  if (sql.length > quickLimits.textLength || firstWord(sql) !== 'SELECT') return false;
  let bytes = 0;
  for (const value of args) bytes += sizeOf(value);
  for (const { name, value } of namedArgs) bytes += name.length + sizeOf(value);
  return bytes <= quickLimits.argumentBytes;
}

function sizeOf(value: SqlStatement['args'][number]): number {
  return typeof value === 'string' || value instanceof Uint8Array ? value.length : 8;
}

function answerOf(
  { result, seen }: Extract<QuickRun, { kind: 'answered' }>,
  tookMs: number,
): EngineAnswer<AnyOperationValue> {
  return {
    outcome: { ok: true, value: result },
    seenLsn: lsn(seen),
    commits: [],
    autocommit: true,
    wrote: false,
    state: null,
    holds: false,
    aborted: false,
    engineUs: Math.round(tookMs * 1_000),
  };
}
