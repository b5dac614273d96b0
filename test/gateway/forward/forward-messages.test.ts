import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  decodeCall,
  decodeResult,
  encodeCall,
  encodeResult,
} from '../../../gateway/forward/core/forward-call.ts';
import {
  decodeReply,
  decodeRequest,
  encodeReply,
  encodeRequest,
  type ForwardReply,
  type ForwardRequest,
  joinParts,
  splitParts,
} from '../../../gateway/forward/core/forward-messages.ts';
import type { SqlValue } from '../../../gateway/sql/sql.ts';
import { freshStream } from '../../../gateway/sql/stream-state.ts';
import { branchName, epoch, lsn, mainBranch } from '../../../storage/redo/ids.ts';

const values: fc.Arbitrary<SqlValue> = fc.oneof(
  fc.constant(null),
  fc.string({ unit: 'grapheme' }),
  fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
  fc.double({ noNaN: true }),
  fc.uint8Array({ maxLength: 40 }).map((bytes) => new Uint8Array(bytes)),
);

const streamState = {
  readPreference: 'global',
  settings: [{ name: 'foreign_keys', value: '0' }],
  counters: { changes: 3, totalChanges: 5, lastInsertRowid: 2n ** 62n },
} as const;

describe('forwarded messages', () => {
  it('carry every SQL value both ways without losing a digit', () => {
    fc.assert(
      fc.property(fc.array(values, { maxLength: 8 }), (row) => {
        const statement = {
          sql: 'SELECT ?',
          args: row,
          namedArgs: row.map((value, index) => ({ name: `a${index}`, value })),
          wantRows: true,
          textRows: row.length % 2 === 0,
        };
        const call = {
          stream: 's',
          fresh: true,
          state: streamState,
          traceparent: null,
          readOnly: false,
          operation: { kind: 'execute', statement },
        } as const;
        expect(decodeCall(encodeCall(call))).toEqual({ kind: 'ok', value: call });
        const value = {
          columns: row.map(() => ({ name: 'a', decltype: null })),
          rows: [row, row],
          affectedRowCount: 2,
          lastInsertRowid: -(2n ** 63n),
        };
        const result = {
          kind: 'answered',
          outcome: { ok: true, value },
          autocommit: false,
          holds: true,
          state: streamState,
          seenLsn: lsn(7),
          epoch: epoch(2),
        } as const;
        expect(decodeResult('execute', encodeResult('execute', result))).toEqual({
          kind: 'ok',
          value: result,
        });
        const batch = {
          ...result,
          outcome: {
            ok: true,
            value: [{ ok: true, value }, null, { ok: false, error: { code: 'C', message: 'm' } }],
          },
        } as const;
        expect(decodeResult('batch', encodeResult('batch', batch))).toEqual({ kind: 'ok', value: batch });
      }),
    );
  });

  it('carry rows that are text already as they are, and tell when some are missing', () => {
    const text = (...parts: string[]) => ({ parts: parts.map((part) => new TextEncoder().encode(part)) });
    const head = { columns: [], rows: [], affectedRowCount: 0, lastInsertRowid: null };
    const values = { ...head, rows: [['a\nb']] };
    const answered = {
      kind: 'answered',
      autocommit: true,
      holds: false,
      state: null,
      seenLsn: lsn(7),
      epoch: epoch(2),
    } as const;
    const one = { ok: true, value: { ...head, rowsText: text('["é\n"]', ',[2]') } } as const;
    const executed = new Uint8Array(encodeResult('execute', { ...answered, outcome: one }));
    const whole = { ok: true, value: { ...head, rowsText: text('["é\n"],[2]') } };
    expect(decodeResult('execute', executed)).toEqual({ kind: 'ok', value: { ...answered, outcome: whole } });
    expect(decodeResult('execute', executed.subarray(0, -1))).toMatchObject({ kind: 'malformed' });
    const two = { ok: true, value: { ...head, rowsText: text('[3]') } } as const;
    const steps = [one, null, { ok: true, value: values } as const, two];
    const batch = new Uint8Array(encodeResult('batch', { ...answered, outcome: { ok: true, value: steps } }));
    expect(decodeResult('batch', batch)).toEqual({
      kind: 'ok',
      value: { ...answered, outcome: { ok: true, value: [whole, null, steps[2], two] } },
    });
    expect(decodeResult('batch', batch.subarray(0, -1))).toMatchObject({ kind: 'malformed' });
  });

  it('carry no text for a caller of an older version, which does not say that it takes any', () => {
    const statement = { sql: 'SELECT 1', args: [], namedArgs: [], wantRows: true };
    const call = {
      stream: 's',
      fresh: true,
      state: freshStream,
      traceparent: null,
      readOnly: false,
    } as const;
    const older = encodeCall({ ...call, operation: { kind: 'execute', statement } });
    expect(Buffer.from(older).includes('textRows')).toBe(false);
    expect(decodeCall(older)).toMatchObject({ value: { operation: { statement: { textRows: false } } } });
  });

  it('carry batches with their conditions, errors, descriptions and word that nothing ran', () => {
    const statement = { sql: 'COMMIT', args: [], namedArgs: [], wantRows: false, textRows: false };
    const condition = {
      kind: 'and',
      conditions: [
        { kind: 'ok', step: 0 },
        { kind: 'not', condition: { kind: 'isAutocommit' } },
      ],
    } as const;
    const call = {
      stream: 's',
      fresh: false,
      state: freshStream,
      traceparent: '00-x',
      readOnly: false,
      operation: {
        kind: 'batch',
        steps: [
          { condition, statement },
          { condition: null, statement },
        ],
      },
    } as const;
    expect(decodeCall(encodeCall(call))).toEqual({ kind: 'ok', value: call });
    expect(decodeResult('batch', encodeResult('batch', { kind: 'notRun' }))).toEqual({
      kind: 'ok',
      value: { kind: 'notRun' },
    });
    const described = {
      kind: 'answered',
      outcome: {
        ok: true,
        value: { params: [{ name: null }], columns: [], isExplain: false, isReadonly: true },
      },
      autocommit: true,
      holds: false,
      state: null,
      seenLsn: lsn(0),
      epoch: epoch(0),
    } as const;
    expect(decodeResult('describe', encodeResult('describe', described))).toEqual({
      kind: 'ok',
      value: described,
    });
    expect(decodeResult('execute', encodeResult('describe', described)).kind).toBe('malformed');
  });

  it('survive the wire as requests and replies, and are refused in words when they are damaged', () => {
    const bytes = new Uint8Array([1, 2, 3]);
    const requests: ForwardRequest[] = [
      { kind: 'part', branch: mainBranch, call: 'c', index: 1, count: 3, bytes },
      { kind: 'poll', call: 'c', part: 2 },
      { kind: 'forget', call: 'c' },
      { kind: 'close', stream: 's' },
      { kind: 'position', branch: mainBranch },
      { kind: 'part', branch: branchName('dev'), call: 'c', index: 0, count: 1, bytes },
      { kind: 'position', branch: branchName('dev') },
      { kind: 'bundle', bytes },
    ];
    for (const request of requests)
      expect(decodeRequest(encodeRequest(request))).toMatchObject({ kind: 'ok', value: { ...request } });
    const replies: ForwardReply[] = [
      { kind: 'received' },
      { kind: 'running' },
      { kind: 'unknown' },
      { kind: 'part', index: 0, count: 1, bytes },
      { kind: 'refused', reason: 'draining', message: 'm' },
      { kind: 'position', epoch: epoch(3), vdl: lsn(9) },
      { kind: 'bundle', bytes },
    ];
    for (const reply of replies)
      expect(decodeReply(encodeReply(reply))).toMatchObject({ kind: 'ok', value: { ...reply } });
    const whole = encodeRequest({ kind: 'poll', call: 'c', part: 2 });
    fc.assert(
      fc.property(fc.integer({ min: 0, max: whole.length - 1 }), (length) => {
        expect(decodeRequest(whole.subarray(0, length)).kind).toBe('malformed');
      }),
    );
    expect(decodeCall(Buffer.from('{"stream":1}')).kind).toBe('malformed');
  });

  it('are cut into parts and joined again', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), fc.integer({ min: 1, max: 50 }), (bytes, partBytes) => {
        const parts = splitParts(bytes, partBytes);
        expect(parts.every((part) => part.length <= partBytes)).toBe(true);
        expect(Buffer.from(joinParts(parts)).equals(Buffer.from(bytes))).toBe(true);
      }),
    );
  });
});
