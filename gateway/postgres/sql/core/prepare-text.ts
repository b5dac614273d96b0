/** PREPARE and EXECUTE in SQL, taken apart: both are done with statements of the protocol, which no client shares with another. Pure. */
import { SqlScanner, type SqlToken } from './sql-scanner.ts';

/** `PREPARE name (types) AS body`. */
export interface PrepareText {
  readonly name: string;
  /** As they are written; none where the engine is to find them out. */
  readonly types: readonly string[];
  readonly body: string;
}

/** `EXECUTE name` with what follows: its arguments in parentheses, or nothing. */
export interface ExecuteText {
  readonly name: string;
  readonly rest: string;
}

function tokensOf(sql: string, backslashes: boolean, most: number): readonly SqlToken[] {
  const scanner = new SqlScanner(sql, backslashes);
  const tokens: SqlToken[] = [];
  for (let token = scanner.next(); token !== null && tokens.length < most; token = scanner.next())
    tokens.push(token);
  return tokens;
}

const nameOf = (token: SqlToken | undefined): string | null =>
  token?.kind === 'word' ? token.text.toLowerCase() : token?.kind === 'name' ? token.text : null;

/** More words than any list of types has. */
const headMax = 4_096;

/** @param sql one statement. @returns null when it is not of that form */
export function readPrepare(sql: string, backslashes: boolean): PrepareText | null {
  const tokens = tokensOf(sql, backslashes, headMax);
  const name = nameOf(tokens[1]);
  if (tokens[0]?.text !== 'PREPARE' || name === null) return null;
  const types: string[] = [];
  let at = 2;
  if (tokens[at]?.text === '(') {
    let depth = 1;
    let from = tokens[at]?.end ?? 0;
    for (at += 1; depth > 0; at += 1) {
      const token = tokens[at];
      if (token === undefined) return null;
      if (token.text === '(') depth += 1;
      if (token.text === ')') depth -= 1;
      if (depth > 0 && !(depth === 1 && token.text === ',')) continue;
      types.push(sql.slice(from, token.start).trim());
      from = token.end;
    }
  }
  const as = tokens[at];
  return as?.kind === 'word' && as.text === 'AS' ? { name, types, body: sql.slice(as.end).trim() } : null;
}

/** @param sql one statement. @returns null when it is not of that form */
export function readExecuteText(sql: string, backslashes: boolean): ExecuteText | null {
  const [verb, token] = tokensOf(sql, backslashes, 2);
  const name = nameOf(token);
  return verb?.text !== 'EXECUTE' || token === undefined || name === null
    ? null
    : { name, rest: sql.slice(token.end) };
}

/** Types with their OIDs, which never change, and those of their arrays. */
const oids: ReadonlyMap<string, readonly [oid: number, array: number]> = new Map([
  ...named('bool boolean', 16, 1000),
  ...named('bytea', 17, 1001),
  ...named('"char"', 18, 1002),
  ...named('name', 19, 1003),
  ...named('int8 bigint', 20, 1016),
  ...named('int2 smallint', 21, 1005),
  ...named('int4 int integer', 23, 1007),
  ...named('regproc', 24, 1008),
  ...named('text', 25, 1009),
  ...named('oid', 26, 1028),
  ...named('json', 114, 199),
  ...named('cidr', 650, 651),
  ...named('float4 real', 700, 1021),
  ...named('float8 double_precision float', 701, 1022),
  ...named('inet', 869, 1041),
  ...named('bpchar char character', 1042, 1014),
  ...named('varchar character_varying', 1043, 1015),
  ...named('date', 1082, 1182),
  ...named('time time_without_time_zone', 1083, 1183),
  ...named('timestamp timestamp_without_time_zone', 1114, 1115),
  ...named('timestamptz timestamp_with_time_zone', 1184, 1185),
  ...named('interval', 1186, 1187),
  ...named('timetz time_with_time_zone', 1266, 1270),
  ...named('numeric decimal', 1700, 1231),
  ...named('regclass', 2205, 2210),
  ...named('regtype', 2206, 2211),
  ...named('uuid', 2950, 2951),
  ...named('jsonb', 3802, 3807),
]);

function named(names: string, oid: number, array: number): [string, readonly [number, number]][] {
  return names.split(' ').map((name) => [name.replaceAll('_', ' '), [oid, array]]);
}

/** The OID of a built-in type as SQL writes it; null for another one. */
export function typeOid(text: string): number | null {
  const isArray = /(?:\[\d*\]\s*)+$|\s+array(?:\s*\[\d*\])?$/i.test(text);
  const plain = text
    .toLowerCase()
    .replace(/(?:\[\d*\]\s*)+$|\s+array(?:\s*\[\d*\])?$/, '')
    .replace(/^pg_catalog\s*\.\s*/, '')
    .replace(/\s*\([\d\s,]*\)/, '')
    .replaceAll(/\s+/g, ' ')
    .trim();
  return oids.get(plain)?.[isArray ? 1 : 0] ?? null;
}
