import { describe, expect, test } from 'vitest';
import { formatBytes, formatMs, table } from '../../../regions/cli/ask/output.ts';

describe('printing', () => {
  test('numbers carry their unit', () => {
    expect([0, 1023, 1024, 1_572_864].map(formatBytes)).toEqual(['0 B', '1023 B', '1.0 KiB', '1.5 MiB']);
    expect([0.4, 999, 1_500, 180_000].map(formatMs)).toEqual(['0 ms', '999 ms', '1.50 s', '3.0 min']);
  });

  test('tables align by what is seen, not by escape sequences', () => {
    const rows = table(
      ['A', 'B'],
      [
        ['\u001b[31mred\u001b[39m', '1'],
        ['x', '2'],
      ],
    ).split('\n');
    expect(rows.slice(1)).toEqual(['\u001b[31mred\u001b[39m  1', 'x    2']);
  });
});
