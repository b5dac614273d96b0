import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { JsonBytes } from '../../telemetry/export/json-bytes.ts';

const textOf = (write: (out: JsonBytes) => void): string => {
  const out = new JsonBytes(Buffer.alloc(1));
  write(out);
  out.ascii(',');
  return Buffer.from(out.finish('')).toString();
};

describe('numbers', () => {
  it.each([0, 9, 10, 99_999_999, 100_000_000, 100_000_001, 1_764_250_000_000_000, Number.MAX_SAFE_INTEGER])(
    '%d is written as it is printed',
    (value) => expect(textOf((out) => out.digits(value))).toBe(String(value)),
  );

  it('are written as they are printed, whatever their length', () => {
    fc.assert(
      fc.property(fc.nat(), fc.maxSafeNat(), (short, long) => {
        const text = textOf((out) => {
          out.digits(short);
          out.ascii(' ');
          out.digits(long);
        });
        expect(text).toBe(`${short} ${long}`);
      }),
    );
  });
});

describe('text', () => {
  it('grows the memory it began with, and keeps every character', () => {
    fc.assert(
      fc.property(fc.array(fc.string({ unit: 'grapheme' })), (texts) => {
        const written = textOf((out) => {
          for (const text of texts) out.add(text);
        });
        expect(written).toBe(texts.join(''));
      }),
    );
  });
});

describe('a digit of an id', () => {
  it('becomes fifteen others, and a hex digit each time', () => {
    for (const digit of '0123456789abcdef') {
      const others = Array.from({ length: 15 }, (_, by) =>
        textOf((out) => out.changeDigit(out.copy(Buffer.from(digit)), by + 1)),
      );
      expect([digit, ...others].sort().join('')).toBe('0123456789abcdef');
    }
  });
});
