import { describe, expect, test } from 'vitest';
import { splitStatements } from '../../../regions/transfer/core/split-statements.ts';

describe('splitting SQL', () => {
  test.each([
    ['SELECT 1; SELECT 2;', ['SELECT 1', 'SELECT 2'], ''],
    ['SELECT 1; SELECT 2', ['SELECT 1'], 'SELECT 2'],
    [
      "INSERT INTO t VALUES ('a;''b', \"c;\", [d;], `e;`);",
      ["INSERT INTO t VALUES ('a;''b', \"c;\", [d;], `e;`)"],
      '',
    ],
    [
      'SELECT 1 -- not; here\n; /* nor; here */ SELECT 2;',
      ['SELECT 1 -- not; here', '/* nor; here */ SELECT 2'],
      '',
    ],
    ["SELECT 'open; ", [], "SELECT 'open;"],
    ['SELECT 1 /* open; ', [], 'SELECT 1 /* open;'],
    [';;  ;', [], ''],
    ['SELECT CASE WHEN 1 THEN 2 END; SELECT 3;', ['SELECT CASE WHEN 1 THEN 2 END', 'SELECT 3'], ''],
    [
      'CREATE TEMP TRIGGER t AFTER INSERT ON a BEGIN UPDATE b SET c = CASE WHEN 1 THEN 2 END; DELETE FROM d; END; SELECT 1;',
      [
        'CREATE TEMP TRIGGER t AFTER INSERT ON a BEGIN UPDATE b SET c = CASE WHEN 1 THEN 2 END; DELETE FROM d; END',
        'SELECT 1',
      ],
      '',
    ],
    [
      'CREATE TRIGGER t AFTER INSERT ON a BEGIN DELETE FROM d;',
      [],
      'CREATE TRIGGER t AFTER INSERT ON a BEGIN DELETE FROM d;',
    ],
    ['BEGIN; COMMIT; END;', ['BEGIN', 'COMMIT', 'END'], ''],
  ])('%j', (sql, statements, rest) => expect(splitStatements(sql)).toEqual({ statements, rest }));
});
