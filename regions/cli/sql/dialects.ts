/** What the commands have to know about the SQL of each engine: where a statement ends, and what is in the database. Pure. */
import { type SplitSql, splitPostgres } from '../../postgres/core/split-statements.ts';
import { splitStatements } from '../../transfer/core/split-statements.ts';

export interface Dialect {
  split(text: string): SplitSql;
  /** Names and kinds of tables and views. */
  readonly tables: string;
  /** Names for the Tab key. Bounded: they are asked for while somebody waits. */
  readonly names: string;
  /** Statements that show definitions: of one table, or of all. */
  schema(name: string | undefined): readonly string[];
}

const quoted = (text: string): string => `'${text.replaceAll("'", "''")}'`;

const sqlite: Dialect = {
  split: splitStatements,
  tables:
    "SELECT name, type FROM sqlite_schema WHERE type IN ('table','view') AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name",
  names:
    "SELECT m.name AS name FROM sqlite_schema m WHERE m.type IN ('table','view') UNION SELECT c.name FROM sqlite_schema m, pragma_table_info(m.name) c WHERE m.type IN ('table','view') LIMIT 2000",
  schema(name) {
    const one = name === undefined ? '' : ` AND tbl_name = ${quoted(name)}`;
    return [`SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL${one} ORDER BY rowid`];
  },
};

/** Tables, partitioned and foreign ones among them, and views of either kind, outside of the system's own schemas. */
const relations =
  "FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN ('r','p','f','v','m') " +
  "AND n.nspname <> 'information_schema' AND n.nspname NOT LIKE 'pg\\_%'";

const postgres: Dialect = {
  split: splitPostgres,
  tables: `SELECT c.oid::regclass::text AS name, CASE c.relkind WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view' ELSE 'table' END AS type ${relations} ORDER BY 1`,
  names:
    `SELECT c.relname AS name ${relations} UNION SELECT a.attname FROM pg_attribute a ` +
    `WHERE a.attnum > 0 AND NOT a.attisdropped AND a.attrelid IN (SELECT c.oid ${relations}) LIMIT 2000`,
  schema(name) {
    const one = name === undefined ? '' : ` AND c.oid::regclass::text = ${quoted(name)}`;
    const some = `(SELECT c.oid ${relations}${one})`;
    return [
      'SELECT a.attrelid::regclass::text AS table, a.attname AS column, format_type(a.atttypid, a.atttypmod) AS type, ' +
        "CASE WHEN a.attnotnull THEN 'NOT NULL' ELSE '' END AS null, coalesce(pg_get_expr(d.adbin, d.adrelid), '') AS default " +
        'FROM pg_attribute a LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum ' +
        `WHERE a.attnum > 0 AND NOT a.attisdropped AND a.attrelid IN ${some} ORDER BY 1, a.attnum`,
      `SELECT conrelid::regclass::text AS table, pg_get_constraintdef(oid) AS constraint FROM pg_constraint WHERE conrelid IN ${some} ORDER BY 1, 2`,
      `SELECT pg_get_indexdef(i.indexrelid) AS index FROM pg_index i WHERE i.indrelid IN ${some} ORDER BY 1`,
    ];
  },
};

export const dialects = { sqlite, postgres } as const;
