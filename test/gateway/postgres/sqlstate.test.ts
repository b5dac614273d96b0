import { expect, test } from 'vitest';
import { reportOf } from '../../../gateway/postgres/core/sqlstate.ts';
import type { ErrorCode } from '../../../gateway/sql/errors.ts';
import { adviseError, errorTable } from '../../../gateway/sql/errors.ts';

test.each([
  ['SEXTANT_COMMIT_UNKNOWN', '08007'],
  ['SEXTANT_NO_WRITER', '57P03'],
  ['SEXTANT_TRANSACTION_ABORTED', '40001'],
  ['SEXTANT_READ_ONLY', '25006'],
  ['SEXTANT_LIMIT', '54000'],
  ['SEXTANT_STORAGE_UNAVAILABLE', '58030'],
  ['SEXTANT_BRANCH_UNKNOWN', '3D000'],
  ['TRANSACTION_TIMEOUT', '25P03'],
  ['AUTH_SCOPE_MISSING', '25006'],
  ['SQLITE_INTERRUPT', '57014'],
  ['SOMETHING_NEW', 'XX000'],
])('%s is %s', (code, sqlstate) => {
  expect(reportOf({ code, message: 'It happened.' }).code).toBe(sqlstate);
});

test('only what has certainly not run may be tried again by a driver that sees a failed serialization', () => {
  const codes = Object.keys(errorTable) as ErrorCode[];
  const serialization = codes.filter((code) => reportOf({ code, message: '' }).code === '40001');
  expect(serialization).not.toContain('SEXTANT_COMMIT_UNKNOWN');
  for (const code of serialization)
    expect(errorTable[code].retryable || /whole transaction again/.test(errorTable[code].action)).toBe(true);
});

test('advice that ends a message is its hint, and Sextant’s own code can be found', () => {
  expect(reportOf(adviseError('SEXTANT_NO_WRITER', 'Nobody writes'))).toEqual({
    code: '57P03',
    message: 'Nobody writes.',
    detail: "Sextant's code is SEXTANT_NO_WRITER.",
    hint: errorTable.SEXTANT_NO_WRITER.action,
  });
});

test('who may only read is told so without a word of tokens', () => {
  const { message, hint } = reportOf(
    adviseError('AUTH_SCOPE_MISSING', 'It needs a token with the scope write'),
  );
  expect(`${message} ${hint}`).not.toMatch(/token|scope/);
});
