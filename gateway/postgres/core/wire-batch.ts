/** Messages of one client on their way to the engine: collected up to where the client waits, with what is to be known of them. Pure. */
import { concatBytes } from '../../../storage/redo.ts';
import type { StatementClass } from '../../sql/statement-facts.ts';
import type { WireOperation, WireSettings } from '../../sql/wire-operation.ts';
import {
  bindMessage,
  closeStatement,
  describeStatement,
  queryMessage,
  syncMessage,
} from '../protocol/core/client-messages.ts';
import {
  bindComplete,
  closeComplete,
  commandComplete,
  noData,
  noParameters,
  parseComplete,
} from '../protocol/core/server-messages.ts';
import type { StatementFacts } from '../sql/core/statement-facts.ts';
import type { ClientStatement, TableChange } from './prepared-table.ts';

/** What is told of one statement at most to those who only look at it. */
const toldMax = 64;
/** What an engine has to know of all the same: it acts on the session. */
const onSession = /^(?:do|call)\b|\b(?:set_config|pg_settings|nextval|setval|currval|lastval)\b/i;
/** A statement of this name is never made: to close it succeeds, and touches nobody's. */
const nobodys = 'sextant_none';

/** What of a message is answered with, where the engine is not asked. */
type Part =
  | 'parse'
  | 'bind'
  | 'describeStatement'
  | 'describePortal'
  | 'execute'
  | 'close'
  | 'query'
  | 'sync';

export class WireBatch {
  readonly #messages: Uint8Array[] = [];
  readonly #parts: Part[] = [];
  readonly #prepared = new Map<string, ClientStatement>();
  readonly #parsed = new Set<string>();
  readonly #told: string[] = [];
  /** Names as they will be once all of this has been answered; null: closed. */
  readonly #names = new Map<string, ClientStatement | null>();
  /** In the order in which answers confirm them. */
  readonly changes: TableChange[] = [];
  /** One for each statement that ends with a tag, in their order; null: the engine's tag stands. */
  readonly completions: StatementFacts['instead'][] = [];
  #class: StatementClass = 'read';
  #bytes = 0;
  /** It brings data of a COPY, and the client has been told that it may send them. */
  copies = false;
  /** The client has been told already what the messages before the data of a COPY are answered with. */
  acknowledged = false;
  /** A transaction is begun in it. */
  begins = false;
  /** The first that its statements bring: W3C. */
  traceparent: string | null = null;

  get isEmpty(): boolean {
    return this.#messages.length === 0;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** All that it does is to give statements their names, or take them away: no engine has to know. */
  get onlyNames(): boolean {
    return this.#parts.every((part) => part === 'parse' || part === 'close');
  }

  /** Nothing in it runs, or leaves anything that a Sync would end. */
  get onlyPrepares(): boolean {
    return this.#parts.every((part) => part === 'parse' || part === 'describeStatement' || part === 'close');
  }

  /** Nothing in it has run when a COPY begins. */
  get onlyBinds(): boolean {
    return this.#parts.every((part) => part !== 'execute' && part !== 'query' && part !== 'sync');
  }

  /** What a name means after the messages so far; undefined where they say nothing of it, null where they close it. */
  named(name: string): ClientStatement | null | undefined {
    return this.#names.get(name);
  }

  query(sql: string, facts: readonly StatementFacts[], traceparent: string | null): void {
    this.#add('query', queryMessage(sql));
    this.traceparent ??= traceparent;
    for (const statement of facts) {
      this.#looks(statement);
      this.completions.push(statement.instead);
    }
  }

  /** The query uses a statement that was prepared before. */
  needs(statement: ClientStatement): void {
    this.#uses(statement);
  }

  parse(name: string, statement: ClientStatement): void {
    this.#add('parse', statement.parse);
    this.#parsed.add(statement.name);
    this.#names.set(name, statement);
    this.changes.push({ ack: '1', name, statement });
    this.#joins(statement.class);
  }

  bind(portal: string, statement: ClientStatement, rest: Uint8Array): void {
    this.#add('bind', bindMessage(portal, statement.name, rest));
    this.#uses(statement);
  }

  describe(statement: ClientStatement): void {
    this.#add('describeStatement', describeStatement(statement.name));
    this.#uses(statement);
  }

  describePortal(message: Uint8Array): void {
    this.#add('describePortal', message);
  }

  execute(message: Uint8Array, statement: ClientStatement | undefined): void {
    this.#add('execute', message);
    this.completions.push(statement?.instead ?? null);
    if (statement === undefined) return;
    this.traceparent ??= statement.traceparent;
    this.#looks(statement);
  }

  closeStatement(name: string): void {
    this.#add('close', closeStatement(nobodys));
    this.#names.set(name, null);
    this.changes.push({ ack: '3', name });
  }

  closePortal(message: Uint8Array): void {
    this.#add('close', message);
    this.changes.push({ ack: '3', name: null });
  }

  sync(): void {
    this.#add('sync', syncMessage);
  }

  /** Data of a COPY, or its end. */
  data(message: Uint8Array): void {
    this.#messages.push(message);
    this.#bytes += message.length;
  }

  /** Statements that were prepared before and are used here. */
  get uses(): Iterable<ClientStatement> {
    return this.#prepared.values();
  }

  /** @param unparsed statements that no engine has parsed since the client has prepared them */
  operation(settings: WireSettings, unparsed: Pick<WeakSet<ClientStatement>, 'has'>): WireOperation {
    return {
      kind: 'wire',
      messages: concatBytes(this.#messages),
      prepared: [...this.#prepared.values()].map((statement) => {
        const { name, parse } = statement;
        return { name, parse, fresh: unparsed.has(statement) };
      }),
      statements: this.#told,
      class: this.#class,
      settings,
    };
  }

  /** What the messages are answered with, without ReadyForQuery, when nothing went wrong and nothing came of them. */
  acknowledgements(tag: string): readonly Uint8Array[] {
    const answers: Readonly<Record<Part, readonly Uint8Array[]>> = {
      parse: [parseComplete],
      bind: [bindComplete],
      describeStatement: [noParameters, noData],
      describePortal: [noData],
      execute: [commandComplete(tag)],
      close: [closeComplete],
      query: [commandComplete(tag)],
      sync: [],
    };
    return this.#parts.flatMap((part) => answers[part]);
  }

  #add(part: Part, message: Uint8Array): void {
    this.#parts.push(part);
    this.data(message);
  }

  #uses(statement: ClientStatement): void {
    if (!this.#parsed.has(statement.name)) this.#prepared.set(statement.name, statement);
    this.#joins(statement.class);
  }

  #looks({ told, class: kind, control }: Pick<StatementFacts, 'told' | 'class' | 'control'>): void {
    if (this.#told.length + told.length <= toldMax || told.some((sql) => onSession.test(sql)))
      this.#told.push(...told);
    if (control === 'begin') this.begins = true;
    this.#joins(kind);
  }

  #joins(kind: StatementClass): void {
    if (kind === 'write' || this.#class === 'write') this.#class = 'write';
    else if (kind === 'unclear') this.#class = 'unclear';
  }
}
