import { describe, expect, it } from 'vitest';
import { rowCount, schema, seeded, workloadNames, workloads } from './workload.ts';

describe('the workloads', () => {
  it('give every statement as many values as it has places for', () => {
    const random = seeded(3);
    for (const name of workloadNames) {
      const { statements, next } = workloads[name];
      const params = next(random);
      expect(params).toHaveLength(statements.length);
      statements.forEach((sql, at) => {
        expect(params[at]).toHaveLength(sql.split('?').length - 1);
      });
    }
  });

  it('touch rows that exist, all of them in the long run', () => {
    const random = seeded(11);
    const ids = new Set(
      Array.from({ length: 20 * rowCount }, () => workloads.update.next(random)[0]?.[0] ?? 0),
    );
    expect(Math.min(...ids)).toBe(1);
    expect(Math.max(...ids)).toBe(rowCount);
    expect(ids.size).toBe(rowCount);
  });

  it('are the same for the same seed and differ for another', () => {
    const draw = (seed: number) => {
      const random = seeded(seed);
      return Array.from({ length: 5 }, () => random());
    };
    expect(draw(5)).toEqual(draw(5));
    expect(draw(5)).not.toEqual(draw(6));
  });

  it('fill every row once', () => {
    const inserts = schema({ serial: 'S', text: 'T' }).filter((sql) => sql.startsWith('INSERT INTO bench '));
    const ids = inserts.flatMap((sql) =>
      [...sql.matchAll(/\((\d+), 1000,/g)].map((match) => Number(match[1])),
    );
    expect(ids).toEqual(Array.from({ length: rowCount }, (_, at) => at + 1));
  });
});
