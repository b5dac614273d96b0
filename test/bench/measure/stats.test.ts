import { describe, expect, it } from 'vitest';
import { bytes, figure, median, msOfUs, quantile, ratio, spread, times } from './stats.ts';

describe('statistics', () => {
  it('take the middle value, or the mean of two, whatever the order', () => {
    expect(median([5, 1, 9])).toBe(5);
    expect(median([4, 1, 2, 9])).toBe(3);
    expect(median([7])).toBe(7);
    expect(median([])).toBeNull();
  });

  it('take the value that so many do not exceed', () => {
    const values = Array.from({ length: 100 }, (_, at) => 100 - at);
    expect(quantile(values, 0.5)).toBe(50);
    expect(quantile(values, 0.99)).toBe(99);
    expect(quantile(values, 1)).toBe(100);
    expect(quantile(values, 0)).toBe(1);
    expect(quantile([], 0.5)).toBeNull();
  });

  it('tell how far rounds lie apart', () => {
    expect(spread([100, 110, 90])).toBeCloseTo(0.2);
    expect(spread([3])).toBe(0);
    expect(spread([])).toBeNull();
  });

  it('have no ratio when one side is missing or divides by nothing', () => {
    expect(ratio(6, 3)).toBe(2);
    expect(ratio(null, 3)).toBeNull();
    expect(ratio(6, undefined)).toBeNull();
    expect(ratio(6, 0)).toBeNull();
  });
});

describe('figures', () => {
  it.each([
    [0, '0'],
    [0.0314, '0.031'],
    [0.5, '0.500'],
    [2.34567, '2.35'],
    [23.4567, '23.5'],
    [999.4, '999'],
    [1234.5, '1235'],
    [12_345, '12.3k'],
    [1_234_567, '1.23M'],
  ])('%d reads %s', (value, text) => {
    expect(figure(value)).toBe(text);
  });

  it('say what is missing with a dash', () => {
    expect([figure(null), figure(Number.NaN), msOfUs(undefined), bytes(null), times(null)]).toEqual(
      Array(5).fill('–'),
    );
  });

  it('give bytes and milliseconds their units', () => {
    expect(bytes(212)).toBe('212 B');
    expect(bytes(12_288)).toBe('12.0 KiB');
    expect(bytes(3 * 2 ** 30)).toBe('3.00 GiB');
    expect(msOfUs(1_500)).toBe('1.50');
    expect(times(2.004)).toBe('2.00×');
  });
});
