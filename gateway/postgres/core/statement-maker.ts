/** Makes of a client's texts what the engine is given: names of prepared statements by content, and other words where it has to be. Pure. */
import { traceparentOfSql } from '../../sql/trace-context.ts';
import { type ParseMessage, parseContent, parseMessage } from '../protocol/core/client-messages.ts';
import type { Report } from '../protocol/core/server-messages.ts';
import { nothingText, settingsText } from '../sql/core/engine-texts.ts';
import {
  type ExecuteText,
  type PrepareText,
  readExecuteText,
  readPrepare,
  typeOid,
} from '../sql/core/prepare-text.ts';
import { factsOf, type StatementFacts } from '../sql/core/statement-facts.ts';
import type { ClientStatement } from './prepared-table.ts';
import { abortedReport, reports } from './reports.ts';
import type { SessionSettings } from './session-settings.ts';

/** A name, at most 63 characters, that is the same for the same content and settings, and another for others. */
export type ContentName = (content: Uint8Array, settings: string) => string;

export type Made =
  | { readonly kind: 'statement'; readonly statement: ClientStatement }
  | { readonly kind: 'refused'; readonly report: Report };

/** Whom a session of the engine belongs to. It does not know by itself what to go back to: it has no login. */
const engineUser = 'postgres';
const noTypes = new Uint8Array(2);

/** First words of what SQL may prepare. */
const preparable: ReadonlySet<string> = new Set(
  'SELECT INSERT UPDATE DELETE MERGE VALUES WITH TABLE ('.split(' '),
);

/** Types of parameters, as a Parse has them. */
function typeList(oids: readonly number[]): Uint8Array {
  const list = Buffer.alloc(2 + 4 * oids.length);
  list.writeInt16BE(oids.length);
  for (const [at, oid] of oids.entries()) list.writeUInt32BE(oid, 2 + 4 * at);
  return list;
}
const emptyStatement = { class: 'read', told: [], control: null, copy: null, instead: null } as const;

export class StatementMaker {
  readonly #settings: SessionSettings;
  readonly #contentName: ContentName;

  constructor(settings: SessionSettings, contentName: ContentName) {
    this.#settings = settings;
    this.#contentName = contentName;
  }

  statementsOf(sql: string): readonly StatementFacts[] {
    return factsOf(sql, this.#settings.backslashes).map((statement) => this.#withoutVain(statement));
  }

  /** The statement that `PREPARE … AS` makes, with the name that the client gave it. */
  prepare({ name, types, body }: PrepareText, failed: boolean): Made {
    const oids = types.map(typeOid);
    const unknown = oids.indexOf(null);
    if (unknown >= 0) return { kind: 'refused', report: reports.preparedType(types[unknown] ?? '') };
    const given = typeList(oids.map((oid) => oid ?? 0));
    const made = this.make({ name, sql: body, content: parseContent(body, given), types: given }, failed);
    if (made.kind === 'refused') return made;
    const [first, ...others] = this.statementsOf(body);
    const isPlain = first !== undefined && others.length === 0 && preparable.has(first.verb);
    return isPlain ? made : { kind: 'refused', report: reports.notPreparable };
  }

  /** `sql` as `PREPARE` or `EXECUTE`; null when it is neither, or not of its form. */
  prepareOf(sql: string): PrepareText | null {
    return readPrepare(sql, this.#settings.backslashes);
  }

  executeOf(sql: string): ExecuteText | null {
    return readExecuteText(sql, this.#settings.backslashes);
  }

  /** Ends a transaction, whatever it has come to. */
  get rollback(): ClientStatement {
    const [facts = emptyStatement] = this.statementsOf('ROLLBACK');
    return this.#statement(parseContent('ROLLBACK', noTypes), facts, null);
  }

  /** @param failed the client's transaction has failed without the engine: only its end is taken, and rolls back. */
  make({ sql, content }: ParseMessage, failed: boolean): Made {
    const statements = this.statementsOf(sql);
    const refused = statements.find(({ refusal }) => refusal !== null)?.refusal;
    if (refused !== undefined && refused !== null) return { kind: 'refused', report: refused };
    const [facts = emptyStatement] = statements;
    if (failed) {
      const ends = facts.control === 'commit' || facts.control === 'rollback';
      return ends
        ? { kind: 'statement', statement: this.rollback }
        : { kind: 'refused', report: abortedReport };
    }
    const other = this.#textInstead(facts);
    const traceparent = traceparentOfSql(sql);
    if (other === null) return { kind: 'statement', statement: this.#statement(content, facts, traceparent) };
    const given = parseContent(other, noTypes);
    return { kind: 'statement', statement: this.#statement(given, { ...facts, told: [other] }, traceparent) };
  }

  /** A query for the engine. @param failed as for `make`; the text has to begin with an end of the transaction then. */
  forEngine(
    sql: string,
    statements: readonly StatementFacts[],
    failed: boolean,
  ): { readonly text: string; readonly facts: readonly StatementFacts[] } {
    const facts: StatementFacts[] = [];
    let text = '';
    let from = 0;
    for (const [at, statement] of statements.entries()) {
      const ends = failed && at === 0;
      const other = ends ? 'ROLLBACK' : this.#textInstead(statement);
      if (other === null) facts.push(statement);
      else {
        // What is told is what runs: those below look in it for what concerns settings.
        facts.push({ ...statement, told: [other], ...(ends ? { control: 'rollback' } : {}) });
        text += sql.slice(from, statement.start) + other;
        from = statement.end;
      }
    }
    return { text: text + sql.slice(from), facts };
  }

  #initialOf(name: string): string | undefined {
    return this.#settings.initial[name] ?? (name === 'session_authorization' ? engineUser : undefined);
  }

  /** A RESET to what is the engine's own default is left to the engine. */
  #withoutVain(statement: StatementFacts): StatementFacts {
    const { instead } = statement;
    const isVain = instead?.effect.kind === 'reset' && this.#initialOf(instead.effect.name) === undefined;
    return isVain ? { ...statement, instead: null } : statement;
  }

  /** What is run in a statement's place; null: itself. */
  #textInstead({ instead }: Pick<StatementFacts, 'instead'>): string | null {
    if (instead === null) return null;
    const { effect } = instead;
    switch (effect.kind) {
      case 'reset':
        return settingsText(false, { [effect.name]: this.#initialOf(effect.name) ?? '' });
      case 'resetAll':
        return settingsText(true, this.#settings.initial);
      default:
        return nothingText;
    }
  }

  #statement(
    content: Uint8Array,
    facts: Omit<ClientStatement, 'name' | 'parse' | 'traceparent'>,
    traceparent: string | null,
  ): ClientStatement {
    const { told, control, copy, instead } = facts;
    const name = this.#contentName(content, this.#settings.key);
    const parse = parseMessage(name, content);
    return { name, parse, class: facts.class, told, control, copy, instead, traceparent };
  }
}
