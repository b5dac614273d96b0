import { expect, test } from 'vitest';
import { readExecuteText, readPrepare, typeOid } from '../../../gateway/postgres/sql/core/prepare-text.ts';

test('PREPARE is taken apart: name, types, statement', () => {
  expect(readPrepare("PREPARE dump (pg_catalog.oid, numeric(10, 2)) AS\nSELECT $1, 'AS (x)'", false)).toEqual(
    {
      name: 'dump',
      types: ['pg_catalog.oid', 'numeric(10, 2)'],
      body: "SELECT $1, 'AS (x)'",
    },
  );
  expect(readPrepare('prepare "My Plan" /* two */ as values (1)', false)).toEqual({
    name: 'My Plan',
    types: [],
    body: 'values (1)',
  });
  for (const other of ["PREPARE TRANSACTION 'x'", 'PREPARE x', 'PREPARE x (int', 'EXECUTE x', ''])
    expect(readPrepare(other, false)).toBeNull();
});

test('EXECUTE is taken apart: name and arguments', () => {
  expect(readExecuteText("EXECUTE Dump('1', $$)$$)", false)).toEqual({ name: 'dump', rest: "('1', $$)$$)" });
  expect(readExecuteText('execute "My Plan"', false)).toEqual({ name: 'My Plan', rest: '' });
  expect(readExecuteText('EXECUTE 5', false)).toBeNull();
});

test.each([
  ['int', 23],
  ['pg_catalog.oid', 26],
  ['DOUBLE  PRECISION', 701],
  ['timestamp (3) with time zone', 1184],
  ['varchar(20)', 1043],
  ['"char"', 18],
  ['text[]', 1009],
  ['integer ARRAY', 1007],
  ['mood', null],
])('the type %s has the OID %s', (text, oid) => {
  expect(typeOid(text)).toBe(oid);
});
