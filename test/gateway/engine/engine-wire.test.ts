/** Flat messages between the main thread and the engine's worker: whatever is packed comes out equal, through a real structured clone. */

import fc from 'fast-check';
import { expect, it } from 'vitest';
import type {
  EngineNews,
  EngineTrace,
  FromWorker,
  ToWorker,
} from '../../../gateway/engine/core/engine-protocol.ts';
import {
  ownedMemory,
  packFromWorker,
  packToWorker,
  unpackFromWorker,
  unpackToWorker,
} from '../../../gateway/engine/core/engine-wire.ts';
import type { AnyOperationValue } from '../../../gateway/sql/operation.ts';
import type { SqlOutcome, SqlResult } from '../../../gateway/sql/sql.ts';
import { freshStream, type StreamState } from '../../../gateway/sql/stream-state.ts';
import { defaultGeometry } from '../../../storage/core.ts';
import { lsn, pgId } from '../../../storage/redo/ids.ts';

const position = fc.maxSafeNat().map(lsn);
const value = fc.oneof(
  fc.constant(null),
  fc.bigInt(-(2n ** 63n), 2n ** 63n - 1n),
  fc.double(),
  fc.string(),
  fc.uint8Array(),
);
const nullableText = fc.option(fc.string());
const trace: fc.Arbitrary<EngineTrace | null> = fc.option(
  fc.record({ traceId: fc.string(), flags: fc.nat(255) }),
);
const statement = fc.record({
  sql: fc.string(),
  args: fc.array(value),
  namedArgs: fc.array(fc.record({ name: fc.string(), value })),
  wantRows: fc.boolean(),
  textRows: fc.boolean(),
});
const condition = fc.constantFrom(
  null,
  { kind: 'ok', step: 0 } as const,
  { kind: 'not', condition: { kind: 'isAutocommit' } } as const,
);
const state: fc.Arbitrary<StreamState> = fc.record({
  readPreference: fc.constantFrom('eventual', 'session', 'global'),
  settings: fc.array(fc.record({ name: fc.string(), value: fc.string() })),
  counters: fc.record({
    changes: fc.maxSafeNat(),
    totalChanges: fc.maxSafeNat(),
    lastInsertRowid: fc.bigInt(-(2n ** 63n), 2n ** 63n - 1n),
  }),
});
const operation = fc.oneof(
  statement.map((given) => ({ kind: 'execute', statement: given }) as const),
  fc.array(fc.record({ condition, statement })).map((steps) => ({ kind: 'batch', steps }) as const),
  fc.string().map((sql) => ({ kind: 'sequence', sql }) as const),
  fc.string().map((sql) => ({ kind: 'describe', sql }) as const),
);
const toWorker: fc.Arbitrary<ToWorker> = fc.oneof(
  fc.record({
    kind: fc.constant('operation' as const),
    id: fc.nat(),
    session: fc.nat(),
    trace,
    state: fc.oneof(fc.constant(null), fc.constant(freshStream), state),
    operation,
  }),
  fc.nat().map((session) => ({ kind: 'closeSession', session }) as const),
  position.map((at) => ({ kind: 'durable', lsn: at }) as const),
  fc.record({ kind: fc.constant('redo' as const), frames: fc.uint8Array(), vdl: position }),
  position.map(
    (at) =>
      ({
        kind: 'open',
        mode: { kind: 'writer', lsn: at, pgBytes: defaultGeometry.pgBytes },
        generation: 3,
        bounds: { pageCacheBytes: 4_096, pageReadMs: 500, scratchFolder: '/tmp' },
      }) as const,
  ),
);

const part = fc.uint8Array().map((bytes) => new Uint8Array(bytes));
const textResult: fc.Arbitrary<SqlResult> = fc.record({
  columns: fc.constant([{ name: 'a', decltype: null }]),
  rows: fc.constant([]),
  rowsText: fc.record({ parts: fc.array(part, { minLength: 1 }) }),
  affectedRowCount: fc.nat(),
  lastInsertRowid: fc.constant(null),
});
const valueResult: fc.Arbitrary<SqlResult> = fc.nat(4).chain((width) =>
  fc.record({
    columns: fc.array(fc.record({ name: nullableText, decltype: nullableText }), {
      minLength: width,
      maxLength: width,
    }),
    rows: fc.array(fc.array(value, { minLength: width, maxLength: width })),
    affectedRowCount: fc.nat(),
    lastInsertRowid: fc.option(fc.bigInt(-(2n ** 63n), 2n ** 63n - 1n)),
  }),
);
const result = fc.oneof(valueResult, textResult);
const failed = fc
  .record({ code: fc.string(), message: fc.string() })
  .map((error) => ({ ok: false, error }) as const);
const step: fc.Arbitrary<SqlOutcome<SqlResult>> = fc.oneof(
  result.map((found) => ({ ok: true, value: found }) as const),
  failed,
);
const description = fc.record({
  params: fc.array(fc.record({ name: nullableText })),
  columns: fc.array(fc.record({ name: nullableText, decltype: nullableText })),
  isExplain: fc.boolean(),
  isReadonly: fc.boolean(),
});
const outcome: fc.Arbitrary<SqlOutcome<AnyOperationValue>> = fc.oneof(
  step,
  fc.array(fc.option(step)).map((steps) => ({ ok: true, value: steps }) as const),
  fc.constant({ ok: true, value: null } as const),
  description.map((found) => ({ ok: true, value: found }) as const),
);
const spanId = fc.option(fc.string());
const answer = fc.record({
  outcome,
  seenLsn: position,
  commits: fc.array(fc.record({ lsn: position, commitTimeUs: fc.maxSafeNat() })),
  autocommit: fc.boolean(),
  wrote: fc.boolean(),
  state: fc.option(state),
  holds: fc.boolean(),
  aborted: fc.boolean(),
  engineUs: fc.nat(),
});
const fromWorker: fc.Arbitrary<FromWorker> = fc.record({
  commits: fc.array(
    fc.record({
      lsn: position,
      runs: fc.array(fc.record({ pg: fc.nat().map(pgId), length: fc.nat() })),
      stored: fc.option(fc.record({ fd: fc.nat(), stretches: fc.uint32Array() })),
      commits: fc.array(
        fc.record({ session: fc.nat(), lsn: position, commitTimeUs: fc.maxSafeNat(), spanId, trace }),
      ),
    }),
  ),
  redo: fc.option(part),
  answers: fc.array(fc.record({ id: fc.nat(), answer, counted: fc.boolean(), rerunnable: fc.boolean() })),
  peeked: fc.array(
    fc.record({ id: fc.nat(), bytes: fc.oneof(fc.constantFrom(null, undefined), fc.uint8Array()) }),
  ),
  news: fc.array(
    fc.constantFrom<EngineNews>(
      { kind: 'idleEnded' },
      { kind: 'started', why: 'refresh', tookMs: 12.5 },
      { kind: 'notStarted', reason: 'no page' },
    ),
  ),
  readPoint: position,
  generation: fc.nat(),
  diverged: nullableText,
});

it('G27: what is sent to the worker arrives equal and in order', () => {
  fc.assert(
    fc.property(fc.array(toWorker), (batch) => {
      expect(unpackToWorker(structuredClone(packToWorker(batch)))).toEqual(batch);
    }),
  );
});

it('G27: what the worker sends arrives equal and in order', () => {
  fc.assert(
    fc.property(fromWorker, (message) => {
      expect(unpackFromWorker(structuredClone(packFromWorker(message)))).toEqual(message);
    }),
  );
});

it('G27: rows that were written as text are handed over with their memory, and not copied', () => {
  const parts = ['[1]', ',[2]'].map((text) => new TextEncoder().encode(text));
  const answered = { columns: [], rows: [], rowsText: { parts }, affectedRowCount: 0, lastInsertRowid: null };
  fc.assert(
    fc.property(fromWorker, fc.boolean(), (message, isBatch) => {
      const own = isBatch ? [{ ok: true, value: answered } as const, null] : answered;
      const [first] = fc.sample(answer, 1);
      if (first === undefined) return;
      const mine = {
        id: 1,
        answer: { ...first, outcome: { ok: true, value: own } as const },
        counted: false,
        rerunnable: false,
      };
      const owned = ownedMemory({ ...message, answers: [mine] });
      expect(owned).toEqual([
        ...(message.redo === null ? [] : [message.redo.buffer]),
        ...parts.map(({ buffer }) => buffer),
      ]);
    }),
  );
});

it('G27: a list that ends too early is a broken invariant, not a wrong message', () => {
  const packed = packToWorker([
    {
      kind: 'operation',
      id: 1,
      session: 2,
      trace: null,
      state: freshStream,
      operation: {
        kind: 'execute',
        statement: { sql: 'SELECT ?', args: [1n], namedArgs: [], wantRows: true },
      },
    },
  ]);
  for (let length = 1; length < packed.length; length++)
    expect(() => unpackToWorker(packed.slice(0, length))).toThrow('G27');
});
