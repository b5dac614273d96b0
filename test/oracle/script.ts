/** What one client does on one stream after another: Hrana operations over a small schema, and how a person reads them. */
import type { BatchCondition, SqlValue } from '../../gateway/sql/sql.ts';
import type { Request, Way } from './ways.ts';

export interface Statement {
  readonly sql: string;
  /** One per parameter, in order. */
  readonly args: readonly SqlValue[];
}

export interface Step extends Statement {
  readonly condition: BatchCondition | null;
}

export type Operation =
  | { readonly kind: 'execute'; readonly statement: Statement }
  | { readonly kind: 'batch'; readonly steps: readonly Step[] }
  /** Kept apart so that parts of it can be left out; sent as one text. */
  | { readonly kind: 'sequence'; readonly statements: readonly string[] }
  | { readonly kind: 'describe'; readonly sql: string }
  /** Closes the stream and goes on in another. */
  | { readonly kind: 'reopen' };

export interface Script {
  readonly seed: number;
  /** Operations sent at a time. */
  readonly pipeline: number;
  readonly way: Way;
  readonly operations: readonly Operation[];
}

/** Stands in every name a script uses; each run of a script puts a name of its own there. */
export const namePrefix = 'zz_';

/** Names a script may give to something that outlasts its streams, in an order in which they can be dropped. */
const droppable = [
  'VIEW zz_v',
  'TABLE zz_f',
  'TABLE zz_r',
  'TABLE zz_t2',
  'TABLE zz_t1',
  'TABLE zz_n2',
  'TABLE zz_n1',
  'TABLE zz_log',
  'TABLE zz_c',
  'TABLE zz_b',
  'TABLE zz_a',
];

const baseSchema = [
  'CREATE TABLE zz_a (id INTEGER PRIMARY KEY, v TEXT UNIQUE, n INTEGER DEFAULT 0)',
  'CREATE TABLE zz_b (id INTEGER PRIMARY KEY, a INTEGER REFERENCES zz_a (id) ON DELETE CASCADE ON UPDATE CASCADE, v TEXT)',
  'CREATE TABLE zz_c (k TEXT PRIMARY KEY, n INTEGER CHECK (n >= 0), b INTEGER REFERENCES zz_b (id) ON DELETE SET NULL DEFERRABLE INITIALLY DEFERRED) WITHOUT ROWID',
  'CREATE TABLE zz_log (seq INTEGER PRIMARY KEY AUTOINCREMENT, what TEXT, x, y)',
  "INSERT INTO zz_a VALUES (1, 'one', 10), (2, 'two', 20), (3, 'three', 30)",
  "INSERT INTO zz_b VALUES (1, 1, 'b1'), (2, 1, 'b2'), (3, 3, 'b3')",
  "INSERT INTO zz_c VALUES ('k1', 1, 1), ('k2', 2, 3)",
];

/** Statements that put the schema every script begins with in place of whatever another script has left. */
export const setUp: readonly string[] = [
  'PRAGMA foreign_keys = OFF',
  'BEGIN IMMEDIATE',
  ...droppable.map((what) => `DROP ${what.replace(' ', ' IF EXISTS ')}`),
  ...baseSchema,
  'COMMIT',
];

/** Statements after which nothing of a script is left. */
export const tearDown: readonly string[] = [
  'PRAGMA foreign_keys = OFF',
  'BEGIN IMMEDIATE',
  ...droppable.map((what) => `DROP ${what.replace(' ', ' IF EXISTS ')}`),
  'COMMIT',
];

/** The statements of a list as one text, as a sequence sends it. A comment at the end of one takes nothing of the next. */
export const asText = (statements: readonly string[]): string =>
  statements.map((sql) => (sql.includes('--') ? `${sql}\n;` : `${sql};`)).join('\n');

/** Names in capital letters stay so. */
export const renamed = (text: string, from: string, to: string): string =>
  text.replaceAll(from, to).replaceAll(from.toUpperCase(), to.toUpperCase());

/** One value as the wire has it. */
export function wireValue(value: SqlValue): Record<string, unknown> {
  if (value === null) return { type: 'null' };
  if (typeof value === 'bigint') return { type: 'integer', value: `${value}` };
  if (typeof value === 'number') return { type: 'float', value };
  if (typeof value === 'string') return { type: 'text', value };
  return { type: 'blob', base64: Buffer.from(value).toString('base64') };
}

function wireCondition(condition: BatchCondition): Record<string, unknown> {
  switch (condition.kind) {
    case 'ok':
    case 'error':
      return { type: condition.kind, step: condition.step };
    case 'not':
      return { type: 'not', cond: wireCondition(condition.condition) };
    case 'and':
    case 'or':
      return { type: condition.kind, conds: condition.conditions.map(wireCondition) };
    case 'isAutocommit':
      return { type: 'is_autocommit' };
  }
}

const wireStatement = ({ sql, args }: Statement, own: string) => ({
  sql: renamed(sql, namePrefix, own),
  ...(args.length > 0 ? { args: args.map(wireValue) } : {}),
});

/** An operation as a request of a Hrana pipeline. @param own stands for `namePrefix` there. */
export function wireRequest(operation: Exclude<Operation, { kind: 'reopen' }>, own: string): Request {
  switch (operation.kind) {
    case 'execute':
      return { type: 'execute', stmt: wireStatement(operation.statement, own) };
    case 'batch': {
      const steps = operation.steps.map((step) => ({
        ...(step.condition === null ? {} : { condition: wireCondition(step.condition) }),
        stmt: wireStatement(step, own),
      }));
      return { type: 'batch', batch: { steps } };
    }
    case 'sequence':
      return { type: 'sequence', sql: renamed(asText(operation.statements), namePrefix, own) };
    case 'describe':
      return { type: 'describe', sql: renamed(operation.sql, namePrefix, own) };
  }
}

const valueText = (value: SqlValue): string =>
  typeof value === 'string' ? `'${value}'` : value instanceof Uint8Array ? 'a blob' : String(value);
const statementText = ({ sql, args }: Statement): string =>
  args.length === 0 ? sql : `${sql}   -- ${args.map(valueText).join(', ')}`;

export function conditionText(condition: BatchCondition | null): string {
  if (condition === null) return '';
  switch (condition.kind) {
    case 'ok':
    case 'error':
      return `${condition.kind}(${condition.step})`;
    case 'not':
      return `not ${conditionText(condition.condition)}`;
    case 'and':
    case 'or':
      return `(${condition.conditions.map(conditionText).join(` ${condition.kind} `)})`;
    case 'isAutocommit':
      return 'is_autocommit';
  }
}

/** An operation as a person reads it. */
export function operationText(operation: Operation): string {
  switch (operation.kind) {
    case 'execute':
      return `execute   ${statementText(operation.statement)}`;
    case 'batch':
      return `batch\n${operation.steps
        .map((step, at) => {
          const condition = step.condition === null ? '' : ` if ${conditionText(step.condition)}:`;
          return `            ${at}${condition} ${statementText(step)}`;
        })
        .join('\n')}`;
    case 'sequence':
      return `sequence  ${operation.statements.join('; ')}`;
    case 'describe':
      return `describe  ${operation.sql}`;
    case 'reopen':
      return 'close the stream, open another';
  }
}

/** Prefix of names in what is printed for a person. */
const shownPrefix = 'o_';
const close = { type: 'close' };

function asCurl(gateway: string, requests: readonly object[]): string {
  const lines = [...requests, close].map((one) => `  ${JSON.stringify(one)}`).join(',\n');
  return `curl -s $${gateway}/v3/pipeline -d @- <<'END'\n{"requests": [\n${lines}\n]}\nEND`;
}

/** A command for a shell that makes the tables scripts begin with; `$PRIMARY` is the URL of the primary's gateway. */
export const setUpAsShell = (): string =>
  asCurl('PRIMARY', [{ type: 'sequence', sql: renamed(asText(setUp), namePrefix, shownPrefix) }]);

/** Commands for a shell that do what the script does after `setUpAsShell`; `$GATEWAY` is the gateway's URL. */
export function asShell(script: Script): string {
  const streams: object[][] = [[]];
  for (const operation of script.operations) {
    if (operation.kind === 'reopen') streams.push([]);
    else streams.at(-1)?.push(wireRequest(operation, shownPrefix));
  }
  return streams
    .filter((requests) => requests.length > 0)
    .map((requests) => asCurl('GATEWAY', requests))
    .join('\n');
}
