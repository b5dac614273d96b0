import { expect, test } from 'vitest';
import { splitPostgres } from '../../../regions/postgres/core/split-statements.ts';

test.each([
  ['SELECT 1; SELECT 2;', ['SELECT 1', 'SELECT 2'], ''],
  ['SELECT 1; SELECT 2', ['SELECT 1'], 'SELECT 2'],
  [' ; ;; -- nothing\n', [], ''],
  ["SELECT 'a;b', 'it''s;', \"c;d\";", ["SELECT 'a;b', 'it''s;', \"c;d\""], ''],
  ["SELECT E'\\';', e'x';", ["SELECT E'\\';', e'x'"], ''],
  ["SELECT 'back\\'; SELECT 2;", ["SELECT 'back\\'", 'SELECT 2'], ''],
  ["SELECT 1; SELECT 'open ; ''", ['SELECT 1'], "SELECT 'open ; ''"],
  ['SELECT $$a;b$$, $f$ $$;$$ $f$;', ['SELECT $$a;b$$, $f$ $$;$$ $f$'], ''],
  ['SELECT $x$ ; $y$;', [], 'SELECT $x$ ; $y$;'],
  ['SELECT a$b$c FROM t; SELECT $1;', ['SELECT a$b$c FROM t', 'SELECT $1'], ''],
  ['/* a; /* b; */ c; */ SELECT 1;', ['/* a; /* b; */ c; */ SELECT 1'], ''],
  ['/* a; /* b; */ SELECT 1;', [], '/* a; /* b; */ SELECT 1;'],
  ['SELECT 1 -- a;b\n;', ['SELECT 1 -- a;b'], ''],
  [
    'CREATE RULE r AS ON INSERT TO t DO (SELECT 1; SELECT 2);',
    ['CREATE RULE r AS ON INSERT TO t DO (SELECT 1; SELECT 2)'],
    '',
  ],
  [
    'CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; SELECT CASE WHEN true THEN 1 END; END; SELECT 2;',
    [
      'CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; SELECT CASE WHEN true THEN 1 END; END',
      'SELECT 2',
    ],
    '',
  ],
  ['BEGIN; SELECT CASE WHEN true THEN 1 END; END;', ['BEGIN', 'SELECT CASE WHEN true THEN 1 END', 'END'], ''],
] as const)('%s', (sql, statements, rest) => {
  expect(splitPostgres(sql)).toEqual({ statements, rest });
});

test('a text of many megabytes is cut in one pass', () => {
  const long = `INSERT INTO t VALUES ('${"''".repeat(2_000_000)}')`;
  expect(splitPostgres(`${long}; SELECT 1;`).statements).toEqual([long, 'SELECT 1']);
});
