/** What is decoded without the schemas is what they would have said, whatever another gateway sends. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  callSchema,
  encodeCall,
  encodeResult,
  type ForwardCall,
  type ForwardResult,
  forwardResultSchema,
} from '../../../gateway/forward/core/forward-call.ts';
import { plainCall, plainResult } from '../../../gateway/forward/core/forward-plain.ts';
import { freshStream } from '../../../gateway/sql/stream-state.ts';
import { epoch, lsn } from '../../../storage/redo/ids.ts';

const statement = {
  sql: 'UPDATE t SET a = ? WHERE b = ?',
  args: [1n, 'x', null, 1.5, new Uint8Array([1, 2])],
  namedArgs: [],
  wantRows: false,
  textRows: true,
};
const parts = {
  stream: 's.1',
  fresh: true,
  state: freshStream,
  traceparent: '00-a-b-01',
  readOnly: false,
} as const;
const calls: readonly ForwardCall[] = [
  { ...parts, operation: { kind: 'execute', statement } },
  {
    ...parts,
    operation: {
      kind: 'batch',
      steps: [
        { condition: null, statement },
        { condition: { kind: 'ok', step: 0 }, statement },
        { condition: { kind: 'not', condition: { kind: 'ok', step: 1 } }, statement },
      ],
    },
  },
];
const value = {
  columns: [
    { name: 'a', decltype: null },
    { name: null, decltype: 'TEXT' },
  ],
  rows: [
    [1n, 'x'],
    [null, -0],
  ],
  affectedRowCount: 1,
  lastInsertRowid: 7n,
  rowsRead: 2,
  rowsWritten: 0,
};
const answered = {
  kind: 'answered',
  autocommit: true,
  holds: false,
  state: freshStream,
  seenLsn: lsn(7),
  epoch: epoch(2),
} as const;
const results: readonly (readonly ['execute' | 'batch', ForwardResult])[] = [
  ['execute', { ...answered, outcome: { ok: true, value } }],
  [
    'execute',
    { ...answered, state: null, outcome: { ok: true, value: { ...value, lastInsertRowid: null } } },
  ],
  ['batch', { ...answered, outcome: { ok: true, value: [{ ok: true, value }, null] } }],
];
const wireOf = (bytes: Uint8Array): unknown => JSON.parse(Buffer.from(bytes).toString());

/** Every place in a JSON value, as a path. */
function placesOf(json: unknown, path: readonly (string | number)[] = []): (readonly (string | number)[])[] {
  if (typeof json !== 'object' || json === null) return [path];
  return [path, ...Object.entries(json).flatMap(([key, inner]) => placesOf(inner, [...path, key]))];
}

/** A copy that differs in one place; `gone` leaves it out. */
function changed(json: unknown, path: readonly (string | number)[], put: unknown): unknown {
  const [key, ...rest] = path;
  if (key === undefined) return put;
  const copy: unknown = structuredClone(json);
  if (typeof copy !== 'object' || copy === null) return copy;
  if (rest.length === 0 && put === gone) Reflect.deleteProperty(copy, key);
  else Reflect.set(copy, key, changed(Reflect.get(copy, key), rest, put));
  return copy;
}
const gone = Symbol('left out');
const odd = fc.constantFrom<unknown>(
  gone,
  null,
  true,
  '',
  'x',
  '0',
  'ok',
  'error',
  'session',
  'execute',
  'batch',
  'x'.repeat(129),
  0,
  -0,
  -1,
  1.5,
  2 ** 32,
  2 ** 53,
  Number.POSITIVE_INFINITY,
  [],
  [null],
  ['x'],
  [[]],
  {},
  { i: '1' },
  { i: '9'.repeat(30) },
  { f: 'x' },
  { f: 1 },
  { b: 'A' },
  { kind: 'ok', step: 0 },
  { kind: 'isAutocommit' },
  { ok: false, error: { code: 'C', message: 'm' } },
);
const edits = fc.array(fc.record({ at: fc.nat(), put: odd }), { maxLength: 3 });

function damaged(json: unknown, changes: readonly { readonly at: number; readonly put: unknown }[]): unknown {
  return changes.reduce<unknown>((now, { at, put }) => {
    const places = placesOf(now);
    return changed(now, places[at % places.length] ?? [], put);
  }, json);
}

/** A schema may throw, for a number that no LSN and no epoch is. */
function bySchema(
  schema: { safeParse(wire: unknown): { success: boolean; data?: unknown } },
  wire: unknown,
): unknown {
  try {
    const parsed = schema.safeParse(wire);
    return parsed.success ? parsed.data : undefined;
  } catch {
    return undefined;
  }
}

describe('decoding without schemas', () => {
  it('takes what nearly all messages are', () => {
    for (const call of calls) expect(plainCall(wireOf(encodeCall(call)))).toEqual(call);
    for (const [kind, result] of results)
      expect(plainResult(kind, wireOf(encodeResult(kind, result)))).toEqual(result);
  });

  it('gives what the schema gives of a call, or nothing', () => {
    let taken = 0;
    fc.assert(
      fc.property(fc.constantFrom(...calls), edits, (call, changes) => {
        const wire = damaged(wireOf(encodeCall(call)), changes);
        const plain = plainCall(wire);
        if (plain === null) return;
        taken += 1;
        expect(bySchema(callSchema, wire)).toEqual(plain);
      }),
      { numRuns: 2_000 },
    );
    expect(taken).toBeGreaterThan(200);
  });

  it('gives what the schema gives of an answer, or nothing', () => {
    let taken = 0;
    fc.assert(
      fc.property(fc.constantFrom(...results), edits, ([kind, result], changes) => {
        const wire = damaged(wireOf(encodeResult(kind, result)), changes);
        const plain = plainResult(kind, wire);
        if (plain === null) return;
        taken += 1;
        expect(bySchema(forwardResultSchema, wire)).toEqual({ ...plain, of: kind });
      }),
      { numRuns: 2_000 },
    );
    expect(taken).toBeGreaterThan(200);
  });
});
