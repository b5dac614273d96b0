import { expect, test } from 'vitest';
import { mayChangeTimeout } from '../../../../../gateway/engine/postgres/backend/core/statement-timeout.ts';
import { timeoutMs } from '../../../../../gateway/sql/wire-operation.ts';

test.each([
  [undefined, 0],
  ['0', 0],
  ['250', 250],
  ['250ms', 250],
  [' 2 s ', 2_000],
  ['1.5min', 90_000],
  ['1h', 3_600_000],
  ['1d', 86_400_000],
  ['500us', 0.5],
  ['soon', 0],
])('a statement_timeout of %s is %d ms', (setting, ms) => {
  expect(timeoutMs(setting)).toBe(ms);
});

test('only what names it, or takes settings back, may change it inside a transaction', () => {
  expect(mayChangeTimeout(['SET LOCAL statement_timeout = 5'], ['SET'])).toBe(true);
  expect(mayChangeTimeout(["SELECT set_config('statement_timeout', '5', true)"], ['SELECT 1'])).toBe(true);
  expect(mayChangeTimeout(['reset all'], ['RESET'])).toBe(true);
  expect(mayChangeTimeout(['ROLLBACK TO savepoint'], ['ROLLBACK'])).toBe(true);
  expect(mayChangeTimeout(['UPDATE t SET n = 1'], ['UPDATE 1'])).toBe(false);
});
