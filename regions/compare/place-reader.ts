/** Reads a database as it was at one place of history: a stream on a gateway of the region that has it, which stays there. */
import { z } from 'zod';
import { quotedText } from '../transfer/core/wire-value.ts';
import {
  failureIn,
  type LinkFailure,
  type LinkStatement,
  type SqlLink,
  type WireAnswer,
} from '../transfer/sql-link.ts';
import { TransferError } from '../transfer/transfer-error.ts';
import type { Literal } from './core/literal.ts';
import type { KeyedRow } from './core/row-merge.ts';
import type { SchemaObject } from './core/schema-changes.ts';
import { pageSql, type Reading, type Table } from './core/table-shape.ts';

/** An answer is aimed at so many characters of literals: a sixteenth of what a gateway answers at most. */
const answerChars = 4 * 1024 * 1024;
const rowsFirst = 64;
const rowsMax = 2_000;

/** What a database has at a place. */
export interface Catalog {
  readonly tables: readonly Table[];
  readonly objects: readonly SchemaObject[];
  /** Tables with a module of their own, which keep their rows as they like. */
  readonly virtual: readonly string[];
}

export interface RowPage {
  readonly rows: readonly KeyedRow[];
  readonly isEnd: boolean;
}

export const textOf = (value: WireAnswer | undefined): string =>
  value === undefined || value.type === 'null' ? '' : value.type === 'blob' ? '' : String(value.value);
const textOrNull = (value: WireAnswer | undefined): string | null =>
  value === undefined || value.type === 'null' ? null : textOf(value);

const typeSchema = z.enum(['table', 'index', 'view', 'trigger']);

const columnsSql =
  'SELECT l.name, l.wr, x.name, x.dflt_value, x.pk FROM pragma_table_list l JOIN pragma_table_xinfo(l.name) x ' +
  "WHERE l.schema='main' AND l.type='table' AND l.name NOT LIKE 'sqlite\\_%' ESCAPE '\\' AND x.hidden=0 ORDER BY l.name, x.cid";
const collatedSql =
  'SELECT l.name, x.name FROM pragma_table_list l JOIN pragma_index_list(l.name) i JOIN pragma_index_xinfo(i.name) x ' +
  "WHERE l.schema='main' AND l.type='table' AND l.wr=1 AND i.origin='pk' AND x.key=1 AND x.coll<>'BINARY'";
const objectsSql =
  "SELECT type, name, tbl_name, sql FROM sqlite_schema s WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' " +
  "AND NOT EXISTS (SELECT 1 FROM pragma_table_list l WHERE l.schema='main' AND l.type='shadow' AND l.name=s.tbl_name) ORDER BY rowid";
const virtualSql = "SELECT name FROM pragma_table_list WHERE schema='main' AND type='virtual' ORDER BY name";

export class PlaceReader {
  /** `EPOCH:LSN`. */
  readonly place: string;
  private readonly link: SqlLink;
  private baton: string | null = null;
  private rowsAtOnce = rowsFirst;

  /** @param link to a gateway of a region whose storage nodes hold the place. */
  constructor(link: SqlLink, place: string) {
    this.link = link;
    this.place = place;
  }

  /**
   * Takes the stream there.
   * @returns where it reads, as `EPOCH:LSN`: the last transaction that ends at or before the place.
   * @throws TransferError with the gateway's words when it cannot be read there.
   */
  async open(): Promise<string> {
    const [rows] = await this.ask([`PRAGMA sextant_at = ${quotedText(this.place)}`]);
    return textOf(rows?.[0]?.[0]).split(' ')[0] ?? '';
  }

  /** @throws TransferError when the gateway does not answer, or refuses. */
  async catalog(): Promise<Catalog> {
    const [columns, collated, objects, virtual] = await this.ask([
      columnsSql,
      collatedSql,
      objectsSql,
      virtualSql,
    ]);
    const tables = new Map<
      string,
      Table & { readonly columns: Table['columns'][number][]; readonly collated: string[] }
    >();
    for (const [name, wr, column, defaultSql, pk] of columns ?? []) {
      const key = textOf(name);
      const table = tables.get(key) ?? {
        name: key,
        withoutRowid: textOf(wr) === '1',
        columns: [],
        collated: [],
      };
      tables.set(key, table);
      table.columns.push({
        name: textOf(column),
        defaultSql: textOrNull(defaultSql),
        pk: Number(textOf(pk)),
      });
    }
    for (const [name, column] of collated ?? []) tables.get(textOf(name))?.collated.push(textOf(column));
    return {
      tables: [...tables.values()],
      objects: (objects ?? []).map(([type, name, table, sql]) => ({
        type: typeSchema.parse(textOf(type)),
        name: textOf(name),
        table: textOf(table),
        sql: textOf(sql),
      })),
      virtual: (virtual ?? []).map(([name]) => textOf(name)),
    };
  }

  /**
   * The next rows of a table, as many as make a fair answer.
   * @param above the key of the last row read; null for the first.
   * @throws TransferError when the gateway does not answer, refuses, or has a row that fits no answer.
   */
  async page(table: string, reading: Reading, above: readonly Literal[] | null): Promise<RowPage> {
    for (;;) {
      const wanted = this.rowsAtOnce;
      const answer = await this.tryAsk([pageSql(table, reading, above, wanted)]);
      if ('kind' in answer) {
        if (answer.code !== 'RESPONSE_TOO_LARGE')
          throw new TransferError(answer.message, answer.code ?? undefined);
        if (wanted === 1)
          throw new TransferError(
            `a row of ${table} is larger than a gateway answers${above === null ? '' : `, the one after the key ${above.join(', ')}`}`,
            answer.code,
          );
        this.rowsAtOnce = Math.max(1, wanted >>> 3);
        continue;
      }
      const rows = (answer[0] ?? []).map((row): KeyedRow => {
        const literals = row.map(textOf);
        return { key: literals.slice(0, reading.key.length), values: literals.slice(reading.key.length) };
      });
      const chars = rows.reduce(
        (sum, { values }) => values.reduce((length, value) => length + value.length, sum),
        1,
      );
      const fair = Math.floor((Math.max(1, rows.length) * answerChars) / chars);
      this.rowsAtOnce = Math.max(1, Math.min(rowsMax, fair, 4 * wanted));
      return { rows, isEnd: rows.length < wanted };
    }
  }

  /** Gives the place back: a gateway reads few at once. Never throws. */
  async close(): Promise<void> {
    if (this.baton !== null) await this.link.close(this.baton);
    this.baton = null;
  }

  /**
   * Rows of each statement.
   * @throws TransferError with the code of the first that failed.
   */
  async ask(
    sql: readonly (string | LinkStatement)[],
  ): Promise<readonly (readonly (readonly WireAnswer[])[] | null)[]> {
    const answer = await this.tryAsk(sql);
    if ('kind' in answer) throw new TransferError(answer.message, answer.code ?? undefined);
    return answer;
  }

  private async tryAsk(
    sql: readonly (string | LinkStatement)[],
  ): Promise<readonly (readonly (readonly WireAnswer[])[] | null)[] | LinkFailure> {
    const answer = await this.link.askOn(
      this.baton,
      sql.map((each) => (typeof each === 'string' ? { sql: each } : each)),
    );
    if (answer.kind === 'answered') this.baton = answer.baton;
    const failure = failureIn(answer);
    if (failure !== null) return failure;
    return answer.kind === 'answered' ? answer.rows : answer;
  }
}
