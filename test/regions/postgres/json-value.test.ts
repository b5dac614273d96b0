import { expect, test } from 'vitest';
import { jsonValueOf } from '../../../regions/postgres/core/json-value.ts';

test.each([
  ['an int', '42', 23, 42],
  ['an int beyond what JSON numbers hold', '9223372036854775807', 20, '9223372036854775807'],
  ['a double', '1.5e-07', 701, 1.5e-7],
  ['a double that JSON has not', 'NaN', 701, 'NaN'],
  ['a numeric, digit by digit', '1.50', 1700, '1.50'],
  ['a boolean', 't', 16, true],
  ['bytes', '\\x00ff', 17, 'AP8='],
  ['bytes in the older form, as their text', '\\000a', 17, '\\000a'],
  ['a document', '{"a":[1]}', 3802, { a: [1] }],
  ['a time', '2026-11-30 03:00:00+00', 1184, '2026-11-30 03:00:00+00'],
  ['NULL', null, 23, null],
] as const)('%s', (_what, text, type, value) => {
  expect(jsonValueOf(text, type)).toEqual(value);
});
