/**
 * Whether a statement is quick, going by the program SQLite has compiled it to. Pure.
 *
 * What is listed takes a time that is bounded by the program's length, the operations it may carry out and the pages it may read.
 * So nothing is listed that does much in one operation (functions, sorters, counting a table, virtual tables), that changes
 * anything, or that joins texts, which doubles them with each operation.
 */
import type { SqlValue } from '../../../sql/sql.ts';

/** A longer program is not looked at: planning it takes a while each time the schema changes. */
export const programMax = 96;

const seeks: ReadonlySet<SqlValue> = new Set([
  'SeekRowid',
  'SeekGE',
  'SeekGT',
  'SeekLE',
  'SeekLT',
  'NotExists',
]);

const bounded: ReadonlySet<SqlValue> = new Set([
  ...['Init', 'Transaction', 'Halt', 'Goto', 'Noop', 'Explain', 'Once', 'OpenRead', 'Close', 'ResultRow'],
  ...['Integer', 'Int64', 'Real', 'String', 'String8', 'Null', 'SoftNull', 'Blob', 'Variable'],
  ...['Move', 'Copy', 'SCopy', 'IntCopy', 'CollSeq', 'ReleaseReg'],
  ...seeks,
  ...[
    'DeferredSeek',
    'FinishSeek',
    'NullRow',
    'IdxGE',
    'IdxGT',
    'IdxLE',
    'IdxLT',
    'NotFound',
    'Found',
    'IfNoHope',
  ],
  ...['Column', 'Rowid', 'IdxRowid', 'Affinity', 'RealAffinity', 'MustBeInt', 'Next', 'Prev'],
  ...['If', 'IfNot', 'IfPos', 'IfNotZero', 'DecrJumpZero', 'OffsetLimit', 'IsNull', 'NotNull', 'IsTrue'],
  ...['Eq', 'Ne', 'Lt', 'Le', 'Gt', 'Ge', 'And', 'Or', 'Not', 'ZeroOrNull'],
  ...['Add', 'Subtract', 'Multiply', 'Divide', 'Remainder', 'AddImm', 'BitAnd', 'BitOr', 'BitNot'],
]);

/** Columns of what EXPLAIN answers. */
const column = { opcode: 1, p2: 3, p3: 4 } as const;

/** @param rows what EXPLAIN answers */
export function isQuickProgram(rows: readonly (readonly SqlValue[])[]): boolean {
  if (rows.length === 0 || rows.length > programMax) return false;
  let opens = false;
  let finds = false;
  for (const row of rows) {
    const opcode = row[column.opcode] ?? null;
    if (!bounded.has(opcode)) return false;
    if (opcode === 'Transaction' && row[column.p2] !== 0n) return false;
    if (opcode === 'OpenRead') {
      // Another database than the volume's is a stream's own.
      if (row[column.p3] !== 0n) return false;
      opens = true;
    }
    if (seeks.has(opcode)) finds = true;
  }
  return finds || !opens;
}
