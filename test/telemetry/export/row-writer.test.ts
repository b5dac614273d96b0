import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { closeFrame, requestFrame } from '../../../telemetry/export/otlp-messages.ts';
import { type RowBatch, RowWriter } from '../../../telemetry/export/row-writer.ts';
import { SpanBytes } from '../../../telemetry/export/span-bytes.ts';
import { TemplateTable } from '../../../telemetry/export/template-table.ts';
import { RowPage, type SealedRows } from '../../../telemetry/trace/row-page.ts';
import { AppendShapes, commitShapes, ServerShapes } from '../../../telemetry/trace/row-shapes.ts';
import type { AppendRow, CommitRow, ServerRow, SpanShape } from '../../../telemetry/trace/span-rows.ts';
import { requestOf } from './otlp-protobuf.ts';

interface Read {
  readonly name: string;
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
  readonly startTimeUnixNano: string;
  readonly endTimeUnixNano: string;
  readonly attributes: readonly { readonly key: string; readonly value: Readonly<Record<string, unknown>> }[];
}

/** What a collector reads of some pages. */
function read(batches: readonly RowBatch[], writer = new RowWriter()): readonly Read[] {
  const frame = requestFrame({ 'service.name': 'sextant-test' }, { name: 'sextant', version: '1' });
  const out = new SpanBytes(Buffer.alloc(16));
  out.copy(frame.before);
  for (const batch of batches) writer.write(batch, out);
  closeFrame(frame, out);
  const { resourceSpans } = requestOf(out.written) as {
    resourceSpans: { scopeSpans: { spans: Read[] }[] }[];
  };
  return resourceSpans.flatMap(({ scopeSpans }) => scopeSpans.flatMap(({ spans }) => spans));
}

function batchOf({ bytes, spans, table }: SealedRows): RowBatch {
  const templates = new TemplateTable();
  templates.add(table.shapes);
  return { bytes, spans, templates };
}

const digits = (count: number) =>
  fc
    .uint8Array({ minLength: count / 2, maxLength: count / 2 })
    .map((bytes) => Buffer.from(bytes).toString('hex'));
const timeUs = fc.maxSafeNat();
const ids = {
  traceId: digits(32),
  spanId: digits(16),
  parentSpanId: fc.option(digits(16)),
  startUs: timeUs,
  endUs: timeUs,
};
const commit: fc.Arbitrary<CommitRow> = fc.record({
  ...ids,
  lsn: fc.maxSafeNat(),
  epoch: fc.nat(),
  redoBytes: fc.nat(),
  durable: fc.boolean(),
});
const append: fc.Arbitrary<AppendRow> = fc.record({
  node: fc.constantFrom('n1', 'n2', 'n3'),
  az: fc.constantFrom('a', 'b'),
  startUs: timeUs,
  endUs: timeUs,
  quorum: fc.boolean(),
  acked: fc.boolean(),
  awaited: fc.boolean(),
});

const nanoseconds = (us: number): string => String(BigInt(us) * 1_000n);
const numberOf = (span: Read | undefined, key: string): unknown =>
  Object.values(span?.attributes.find((one) => one.key === key)?.value ?? {})[0];

describe('a row', () => {
  test('becomes a span with its ids, its times and its numbers (T1)', () => {
    const shape: SpanShape = {
      name: 'rpo.wait',
      kind: 'internal',
      attributes: [['sextant.source.region', 'us-east-1']],
      numbers: ['sextant.lsn', 'sextant.clock_skew_ms'],
      failure: null,
    };
    const values = fc.tuple(fc.maxSafeNat(), fc.double({ noNaN: true, noDefaultInfinity: true }));
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.record(ids), values), { minLength: 1, maxLength: 20 }), (rows) => {
        const page = new RowPage();
        for (const [row, numbers] of rows) expect(page.span(shape, row, numbers)).toBe(true);
        const spans = read([batchOf(page.take())]);
        expect(spans).toHaveLength(rows.length);
        for (const [at, [row, [lsn, skew]]] of rows.entries()) {
          const span = spans[at];
          expect(span).toMatchObject({
            name: 'rpo.wait',
            traceId: row.traceId,
            spanId: row.spanId,
            startTimeUnixNano: nanoseconds(row.startUs),
            endTimeUnixNano: nanoseconds(Math.max(row.startUs, row.endUs)),
          });
          expect(span?.parentSpanId ?? null).toBe(row.parentSpanId);
          expect(numberOf(span, 'sextant.lsn')).toBe(lsn);
          expect(numberOf(span, 'sextant.clock_skew_ms')).toBeCloseTo(skew, 12);
        }
      }),
    );
  });

  test('of a commit becomes it and the appends of the batch it was recorded with, each with an id of its own (T1)', () => {
    const batches = fc.array(
      fc.record({
        appends: fc.array(append, { maxLength: 7 }),
        commits: fc.array(commit, { minLength: 1, maxLength: 5 }),
      }),
      { minLength: 1, maxLength: 6 },
    );
    fc.assert(
      fc.property(batches, (all) => {
        const page = new RowPage();
        for (const { appends, commits } of all)
          for (const row of commits) expect(page.commit(row, appends)).toBe(true);
        const { spans: counted } = page;
        const spans = read([batchOf(page.take())]);
        expect(spans).toHaveLength(counted);
        let at = 0;
        for (const { appends, commits } of all)
          for (const row of commits) {
            const span = spans[at++];
            expect(span).toMatchObject({ name: 'commit', traceId: row.traceId, spanId: row.spanId });
            expect(numberOf(span, 'sextant.lsn')).toBe(row.lsn);
            expect(numberOf(span, 'error.type')).toBe(row.durable ? undefined : 'SEXTANT_COMMIT_UNKNOWN');
            const own = new Set([row.spanId]);
            for (const one of appends) {
              const below = spans[at++];
              expect(below).toMatchObject({
                name: `append ${one.node}`,
                traceId: row.traceId,
                parentSpanId: row.spanId,
                startTimeUnixNano: nanoseconds(one.startUs),
              });
              expect(numberOf(below, 'cloud.availability_zone')).toBe(one.az);
              own.add(below?.spanId ?? '');
            }
            expect(own.size).toBe(1 + appends.length);
          }
      }),
    );
  });

  test('is written the same each time, since a collector that did not answer is sent it again', () => {
    const page = new RowPage();
    const [row] = fc.sample(commit, 1);
    const appends = fc.sample(append, 6);
    if (row === undefined) throw new Error('one was asked for');
    page.commit(row, appends);
    const batch = batchOf(page.take());
    const writer = new RowWriter();
    expect(read([batch], writer)).toEqual(read([batch], writer));
  });

  test('that does not fit is left out, and fits on the page once that is taken', () => {
    const page = new RowPage();
    const [row] = fc.sample(commit, 1);
    if (row === undefined) throw new Error('one was asked for');
    const appends = Array.from({ length: 255 }, () => fc.sample(append, 1)).flat();
    let rows = 0;
    while (page.commit({ ...row, lsn: rows }, rows % 2 === 0 ? appends : [])) rows += 1;
    const first = page.take();
    expect([first.spans, page.spans]).toEqual([read([batchOf(first)]).length, 0]);
    expect(page.commit(row, appends)).toBe(true);
    expect(read([batchOf(page.take())])).toHaveLength(256);
  });
});

describe('shapes', () => {
  const server: ServerRow = {
    context: { traceId: '1'.repeat(32), spanId: '2'.repeat(16), sampled: true },
    parentSpanId: null,
    startUs: 1,
    endUs: 2,
    name: 'INSERT',
    system: 'sqlite',
    namespace: 'demo',
    verb: 'INSERT',
    text: 'INSERT INTO t VALUES (?)',
    batchSize: null,
    consistency: null,
    error: null,
  };

  test('are the same for what looks alike, and others for what differs or failed', () => {
    const shapes = new ServerShapes();
    const known = shapes.of(server);
    expect(shapes.of({ ...server, startUs: 7 })).toBe(known);
    const different: readonly Partial<ServerRow>[] = [
      { namespace: 'demo|dev' },
      { consistency: 'session' },
      { batchSize: 2 },
      { text: 'INSERT INTO u VALUES (?)' },
      { error: { code: 'SQLITE_BUSY', message: 'busy' } },
    ];
    for (const more of different) expect(shapes.of({ ...server, ...more })).not.toBe(shapes.of(server));
    const nodes = new AppendShapes();
    const [row] = fc.sample(append, 1);
    if (row === undefined) throw new Error('one was asked for');
    expect(nodes.of({ ...row })).toBe(nodes.of(row));
    expect(nodes.of({ ...row, quorum: !row.quorum })).not.toBe(nodes.of(row));
    const before = nodes.of(row);
    expect(nodes.of({ ...row, az: 'moved' })).not.toBe(before);
  });

  test('fill a table, and rows of another page begin a new one', () => {
    const page = new RowPage();
    const { traceId, spanId } = server.context;
    const row = { traceId, spanId, parentSpanId: null, startUs: 1, endUs: 2 };
    const shapes = new ServerShapes();
    const tables = new Set<unknown>();
    let seen = 0;
    for (let at = 0; at < 8_000; at++) {
      const shape = shapes.of({ ...server, text: `SELECT ${at}` });
      if (page.span(shape, row, [])) continue;
      const sealed = page.take();
      tables.add(sealed.table);
      // Whoever is told of all shapes of the table that there are now reads each of its pages.
      const texts = read([batchOf(sealed)]).map((span) => numberOf(span, 'db.query.text'));
      expect(texts).toEqual(texts.map((_, index) => `SELECT ${seen + index}`));
      seen += texts.length;
      expect(page.span(shape, row, [])).toBe(true);
    }
    expect(tables.size).toBeGreaterThan(1);
    for (const table of tables) expect((table as SealedRows['table']).shapes.length).toBeLessThan(65_536);
  });

  test('of commits say what they are of', () => {
    expect([commitShapes.durable.failure, commitShapes.unknown.failure]).toEqual([
      null,
      'the reign ended before four storage nodes had confirmed the commit',
    ]);
  });
});
