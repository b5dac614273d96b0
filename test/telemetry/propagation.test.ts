import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  childContext,
  encodeTraceContext,
  formatTraceparent,
  newSpanId,
  newTraceId,
  parseTraceparent,
  readTraceContext,
  samplerFromEnv,
  type TraceContext,
  traceContextBytes,
  writeTraceContext,
} from '../../telemetry/index.ts';

const traceId = '0af7651916cd43dd8448eb211c80319c';
const spanId = 'b7ad6b7169203331';
const parent: TraceContext = { traceId, spanId, sampled: true };

const hex = (digits: number) =>
  fc
    .array(fc.constantFrom(...'0123456789abcdef'), { minLength: digits, maxLength: digits })
    .map((all) => all.join(''))
    .filter((text) => !/^0+$/.test(text));
const contexts = fc.record({ traceId: hex(32), spanId: hex(16), sampled: fc.boolean() });

describe('traceparent', () => {
  const table: readonly [name: string, header: unknown, expected: TraceContext | null][] = [
    ['a sampled header', `00-${traceId}-${spanId}-01`, parent],
    ['a header that is not sampled', `00-${traceId}-${spanId}-00`, { ...parent, sampled: false }],
    ['flags beyond the sampled bit', `00-${traceId}-${spanId}-ff`, parent],
    ['white space around it', ` 00-${traceId}-${spanId}-01\t`, parent],
    ['a later version', `01-${traceId}-${spanId}-01`, parent],
    ['a later version with more fields', `cc-${traceId}-${spanId}-01-what-the-future-brings`, parent],
    ['a later version with glued on text', `cc-${traceId}-${spanId}-01what`, null],
    ['version ff', `ff-${traceId}-${spanId}-01`, null],
    ['version 00 with more fields', `00-${traceId}-${spanId}-01-more`, null],
    ['a zero trace id', `00-${'0'.repeat(32)}-${spanId}-01`, null],
    ['a zero span id', `00-${traceId}-${'0'.repeat(16)}-01`, null],
    ['upper case', `00-${traceId.toUpperCase()}-${spanId}-01`, null],
    ['a short trace id', `00-${traceId.slice(1)}-${spanId}-01`, null],
    ['a letter that is not hex', `00-${traceId.slice(1)}g-${spanId}-01`, null],
    ['missing flags', `00-${traceId}-${spanId}`, null],
    ['two headers joined', `00-${traceId}-${spanId}-01, 00-${traceId}-${spanId}-01`, null],
    ['an empty header', '', null],
    ['no header', undefined, null],
    ['a repeated header', [`00-${traceId}-${spanId}-01`], null],
    ['a very long header', `cc-${traceId}-${spanId}-01-${'x'.repeat(100_000)}`, null],
  ];
  it.each(table)('%s', (_name, header, expected) => {
    expect(parseTraceparent(header)).toEqual(expected);
  });

  it('survives being formatted and parsed, whatever the ids', () => {
    fc.assert(
      fc.property(contexts, (context) => {
        expect(parseTraceparent(formatTraceparent(context))).toEqual(context);
      }),
    );
  });

  it('never throws on any text', () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        const parsed = parseTraceparent(text);
        return parsed === null || parsed.traceId.length === 32;
      }),
    );
  });
});

describe('the 25 bytes of a commit record (T2)', () => {
  it('have a fixed layout', () => {
    expect(Buffer.from(encodeTraceContext(parent)).toString('hex')).toBe(`${traceId}${spanId}01`);
    expect(Buffer.from(encodeTraceContext({ ...parent, sampled: false })).toString('hex')).toBe(
      `${traceId}${spanId}00`,
    );
  });

  it('survive being written into the middle of a record and read back', () => {
    fc.assert(
      fc.property(contexts, fc.nat(64), fc.nat(64), (context, before, after) => {
        // A view that does not begin at its buffer's beginning, as records in a frame are.
        const record = new Uint8Array(new ArrayBuffer(256), 7, before + traceContextBytes + after).fill(0xaa);
        writeTraceContext(context, record, before);
        expect(readTraceContext(record, before)).toEqual(context);
        expect(record.subarray(0, before).every((byte) => byte === 0xaa)).toBe(true);
        expect(record.subarray(before + traceContextBytes).every((byte) => byte === 0xaa)).toBe(true);
      }),
    );
  });

  it('are no context when cut short or zero', () => {
    expect(readTraceContext(encodeTraceContext(parent).subarray(0, 24))).toBeNull();
    expect(readTraceContext(encodeTraceContext(parent), 1)).toBeNull();
    expect(readTraceContext(new Uint8Array(traceContextBytes))).toBeNull();
  });

  it('are not written past the end or from a bad id', () => {
    expect(() => writeTraceContext(parent, new Uint8Array(30), 6)).toThrow('T2');
    expect(() => encodeTraceContext({ ...parent, traceId: 'not hex' })).toThrow('T2');
  });
});

describe('new ids', () => {
  it('are valid and differ', () => {
    const ids = Array.from({ length: 2000 }, () => [newTraceId(), newSpanId()] as const);
    expect(ids.every(([trace, span]) => /^[0-9a-f]{32}$/.test(trace) && /^[0-9a-f]{16}$/.test(span))).toBe(
      true,
    );
    expect(new Set(ids.map(([trace]) => trace)).size).toBe(2000);
    expect(new Set(ids.map(([, span]) => span)).size).toBe(2000);
  });

  it('of a child keep the trace and the decision', () => {
    const child = childContext({ ...parent, sampled: false });
    expect(child).toMatchObject({ traceId, sampled: false });
    expect(child.spanId).not.toBe(spanId);
  });
});

describe('sampling', () => {
  function sampler(name?: string, argument?: string) {
    const result = samplerFromEnv({ OTEL_TRACES_SAMPLER: name, OTEL_TRACES_SAMPLER_ARG: argument });
    if (result.kind !== 'sampler') throw new Error(result.message);
    return result.sampler;
  }
  const off: TraceContext = { ...parent, sampled: false };

  it.each([
    // sampler, argument, root, sampled parent, unsampled parent
    [undefined, undefined, true, true, false],
    ['', undefined, true, true, false],
    ['always_on', undefined, true, true, true],
    ['always_off', undefined, false, false, false],
    ['traceidratio', undefined, true, true, true],
    ['traceidratio', '0', false, false, false],
    ['parentbased_always_on', undefined, true, true, false],
    ['parentbased_always_off', undefined, false, true, false],
    ['parentbased_traceidratio', '0', false, true, false],
    ['parentbased_traceidratio', '1', true, true, false],
  ])(
    '%s %s decides root %s, sampled parent %s, unsampled parent %s',
    (name, argument, root, on, unsampled) => {
      const subject = sampler(name, argument);
      expect([null, parent, off].map((from) => subject.start(from).sampled)).toEqual([root, on, unsampled]);
      expect(subject.start(parent).traceId).toBe(traceId);
      expect(subject.start(parent).spanId).not.toBe(spanId);
    },
  );

  it('by ratio depends on the trace id alone, so that every region decides alike', () => {
    const [one, other] = [sampler('traceidratio', '0.25'), sampler('traceidratio', '0.25')];
    const at = (fraction: number): TraceContext => {
      const low = Math.floor(fraction * 2 ** 52)
        .toString(16)
        .padStart(13, '0');
      return { ...parent, traceId: `${'a'.repeat(19)}${low}` };
    };
    for (const [fraction, kept] of [
      [0, false],
      [0.7499, false],
      [0.7501, true],
      [0.9999, true],
    ] as const) {
      expect(one.start(at(fraction)).sampled).toBe(kept);
      expect(other.start(at(fraction)).sampled).toBe(kept);
    }
  });

  it.each([
    [
      { OTEL_TRACES_SAMPLER: 'sometimes' },
      'OTEL_TRACES_SAMPLER',
      /"sometimes"; it must be one of always_on, /,
    ],
    [
      { OTEL_TRACES_SAMPLER: 'traceidratio', OTEL_TRACES_SAMPLER_ARG: '1.5' },
      'OTEL_TRACES_SAMPLER_ARG',
      /from 0 to 1/,
    ],
    [
      { OTEL_TRACES_SAMPLER: 'traceidratio', OTEL_TRACES_SAMPLER_ARG: 'half' },
      'OTEL_TRACES_SAMPLER_ARG',
      /"half"/,
    ],
  ])('a setting that cannot be understood is a value: %o', (env, variable, message) => {
    expect(samplerFromEnv(env)).toEqual({
      kind: 'invalid',
      variable,
      message: expect.stringMatching(message),
    });
  });
});
