/**
 * G101. Prepared statements of one client. Its names mean something to it alone: below, each is known by a name made of its content, which
 * is the same for every client and in every engine. Pure.
 */
import type { StatementClass } from '../../sql/statement-facts.ts';
import type { WirePrepared } from '../../sql/wire-operation.ts';
import type { Control, CopyFacts, StatementFacts } from '../sql/core/statement-facts.ts';

export interface ClientStatement extends Omit<WirePrepared, 'fresh'> {
  readonly class: StatementClass;
  readonly told: readonly string[];
  readonly control: Control | null;
  readonly copy: CopyFacts | null;
  readonly instead: StatementFacts['instead'];
  /** In a comment of its text: the client's trace. */
  readonly traceparent: string | null;
}

/** What an answer confirms: `1` a Parse, `3` a Close. Names change their meaning when that has come, and not before. */
export type TableChange =
  | { readonly ack: '1'; readonly name: string; readonly statement: ClientStatement }
  /** Null closes a portal, which is none of this table. */
  | { readonly ack: '3'; readonly name: string | null };

export interface PreparedLimits {
  /** Prepared statements of one client, by name. */
  readonly preparedStatements: number;
  /** Their Parse messages together, bytes. */
  readonly preparedBytes: number;
}

export class PreparedTable {
  readonly #limits: PreparedLimits;
  readonly #statements = new Map<string, ClientStatement>();
  #bytes = 0;

  constructor(limits: PreparedLimits) {
    this.#limits = limits;
  }

  get(name: string): ClientStatement | undefined {
    return this.#statements.get(name);
  }

  /** The limit that one more statement comes to; null when there is room. */
  limitFor(parseBytes: number): keyof PreparedLimits | null {
    if (this.#statements.size >= this.#limits.preparedStatements) return 'preparedStatements';
    return this.#bytes + parseBytes > this.#limits.preparedBytes ? 'preparedBytes' : null;
  }

  apply(change: TableChange): void {
    if (change.name === null) return;
    this.delete(change.name);
    if (change.ack === '3') return;
    this.#statements.set(change.name, change.statement);
    this.#bytes += change.statement.parse.length;
  }

  delete(name: string): void {
    const known = this.#statements.get(name);
    if (known === undefined) return;
    this.#bytes -= known.parse.length;
    this.#statements.delete(name);
  }

  clear(): void {
    this.#statements.clear();
    this.#bytes = 0;
  }
}
