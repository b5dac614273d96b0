import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { readHistory, writeHistory } from '../../../regions/cli/sql/shell-history.ts';
import { completionsOf } from '../../../regions/cli/sql/sql-words.ts';

const dir = mkdtempSync(join(tmpdir(), 'sx-shell-'));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

describe('the Tab key offers', () => {
  const names = ['orders', 'order_id', 'users'];
  const dots = ['.tables', '.timer', '.quit'];
  test.each([
    ['dot commands at the beginning of a line', '.t', ['.tables', '.timer'], '.t'],
    ['nothing after a dot command', '.schema zz', [], 'zz'],
    ['names before words of SQL', 'SELECT * FROM ord', ['orders', 'order_id', 'order'], 'ord'],
    ['words in the case that is typed', 'SEL', ['SELECT'], 'SEL'],
    ['columns after a table and a dot', 'SELECT users.order_', ['order_id'], 'order_'],
    ['every name where nothing is typed yet', 'SELECT * FROM ', names, ''],
    ['nothing for what nothing begins with', 'SELECT zzz', [], 'zzz'],
  ])('%s', (_what, line, candidates, word) => {
    expect(completionsOf(line, names, dots)).toEqual([candidates, word]);
  });
});

describe('what was typed', () => {
  test('is there again in the next shell, the newest first, in a file of its user alone', () => {
    const file = join(dir, 'state', 'shell-history');
    writeHistory(file, ['SELECT 2;', 'SELECT 1;']);
    expect(readHistory(file)).toEqual(['SELECT 2;', 'SELECT 1;']);
    expect(statSync(file).mode & 0o777).toBe(0o600);
  });

  test('is not kept when it begins with a blank', () => {
    const file = join(dir, 'blank');
    writeHistory(file, [" UPDATE users SET password = 'x';", 'SELECT 1;']);
    expect(readFileSync(file, 'utf8')).toBe('SELECT 1;\n');
  });

  test('is bounded, and a file that cannot be read is none', () => {
    const file = join(dir, 'long');
    writeHistory(
      file,
      Array.from({ length: 3_000 }, (_, at) => `SELECT ${at};`),
    );
    expect(readHistory(file)).toHaveLength(1_000);
    expect(readHistory(join(dir, 'none'))).toEqual([]);
  });
});
