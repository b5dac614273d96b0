/**
 * Rows as an OTLP request (`ExportTraceServiceRequest`), written in one pass: a span is a copy of bytes made once for all that
 * look like it, with ids, times and numbers put in their places. An object for each span and attribute, as the SDK makes them,
 * cost more than the write that was traced.
 */
import assert from 'node:assert/strict';
import { appendSpanName, attributes, spanNames } from '../trace/names.ts';
import { appendWidth, commitWidth, rowKinds, serverWidth } from '../trace/span-rows.ts';
import { kinds, type SpanTemplate, spanTemplate } from './otlp-messages.ts';
import { SpanBytes } from './span-bytes.ts';

const rememberedStatements = 2_048;
const traceIdBytes = 16;
const spanIdBytes = 8;
const appendsMax = 255;

const unknownCommit = 'the reign ended before four storage nodes had confirmed the commit';

/** Below it goes on what nobody waited for, of the kind consumer (T12). By whether it has a parent and is durable. */
const commits = [false, true].map((hasParent) =>
  [false, true].map((isDurable) =>
    spanTemplate({
      hasParent,
      name: spanNames.commit,
      kind: kinds.producer,
      attributes: [
        [attributes.branch, 'main'],
        ...(isDurable ? [] : ([[attributes.errorType, 'SEXTANT_COMMIT_UNKNOWN']] as const)),
      ],
      numbers: [attributes.lsn, attributes.epoch, attributes.redoBytes],
      failure: isDurable ? null : unknownCommit,
    }),
  ),
);

/** What the requests of one statement have in common, ready to be copied. */
interface Statement {
  readonly name: string;
  readonly system: string;
  readonly namespace: string;
  readonly verb: string;
  readonly batchSize: unknown;
  readonly consistency: unknown;
  readonly root: SpanTemplate;
  readonly child: SpanTemplate;
}

/** Writes rows into bytes. One writer for many requests: it remembers statements. */
export class RowWriter {
  /** By the statement's text. */
  private readonly statements = new Map<string, Statement>();

  /** Adds the spans of some rows to `out`. */
  write(values: readonly unknown[], out: SpanBytes): void {
    let appends: AppendTemplate | null = null;
    let batchRow = 0;
    for (let at = 0; at < values.length; ) {
      const kind = values[at];
      if (kind === rowKinds.batch) {
        batchRow = at;
        appends = null;
        at += 2 + number(values[at + 1]) * appendWidth;
      } else if (kind === rowKinds.commit) {
        appends ??= new AppendTemplate(values, batchRow);
        commit(values, at, out, appends);
        at += commitWidth;
      } else {
        assert(kind === rowKinds.server, 'T7: a row of a known kind');
        this.server(values, at, out);
        at += serverWidth;
      }
    }
  }

  private server(values: readonly unknown[], at: number, out: SpanBytes): void {
    const parentSpanId = nullable(values[at + 3]);
    const hasParent = parentSpanId !== null;
    const code = values[at + 12];
    const statement = this.statement(values, at);
    const template =
      typeof code === 'string'
        ? serverTemplate(values, at, hasParent, {
            code,
            message: string(values[at + 13]),
            status: string(values[at + 15]),
          })
        : hasParent
          ? statement.child
          : statement.root;
    const start = out.copy(template.bytes);
    out.hex(start + template.traceId, string(values[at + 1]));
    out.hex(start + template.spanId, string(values[at + 2]));
    if (hasParent) out.hex(start + template.parentSpanId, parentSpanId);
    times(out, start, template, number(values[at + 4]), number(values[at + 5]));
  }

  private statement(values: readonly unknown[], at: number): Statement {
    const name = string(values[at + 6]);
    const namespace = string(values[at + 7]);
    const verb = string(values[at + 8]);
    const text = string(values[at + 9]);
    const batchSize = values[at + 10];
    const consistency = values[at + 11];
    const system = string(values[at + 14]);
    const known = this.statements.get(text);
    if (
      known !== undefined &&
      known.name === name &&
      known.system === system &&
      known.namespace === namespace &&
      known.verb === verb &&
      known.batchSize === batchSize &&
      known.consistency === consistency
    )
      return known;
    const root = serverTemplate(values, at, false, null);
    const child = serverTemplate(values, at, true, null);
    const made = { name, system, namespace, verb, batchSize, consistency, root, child };
    if (this.statements.size >= rememberedStatements) this.statements.clear();
    this.statements.set(text, made);
    return made;
  }
}

function serverTemplate(
  values: readonly unknown[],
  at: number,
  hasParent: boolean,
  error: { readonly code: string; readonly message: string; readonly status: string } | null,
): SpanTemplate {
  const own: [string, string | number][] = [
    [attributes.dbSystemName, string(values[at + 14])],
    [attributes.dbNamespace, string(values[at + 7])],
    [attributes.dbOperationName, string(values[at + 8])],
    [attributes.dbQueryText, string(values[at + 9])],
  ];
  const batchSize = values[at + 10];
  const consistency = values[at + 11];
  if (typeof batchSize === 'number') own.push([attributes.dbOperationBatchSize, batchSize]);
  if (typeof consistency === 'string') own.push([attributes.consistency, consistency]);
  if (error !== null)
    own.push([attributes.dbResponseStatusCode, error.status], [attributes.errorType, error.code]);
  return spanTemplate({
    hasParent,
    name: string(values[at + 6]),
    kind: kinds.server,
    attributes: own,
    numbers: [],
    failure: error?.message ?? null,
  });
}

function commit(values: readonly unknown[], at: number, out: SpanBytes, appends: AppendTemplate): void {
  const parentSpanId = nullable(values[at + 3]);
  const template = commits[parentSpanId === null ? 0 : 1]?.[values[at + 9] === true ? 1 : 0];
  assert(template !== undefined, 'T7: a commit is durable or not, and has a parent or none');
  const start = out.copy(template.bytes);
  out.hex(start + template.traceId, string(values[at + 1]));
  out.hex(start + template.spanId, string(values[at + 2]));
  if (parentSpanId !== null) out.hex(start + template.parentSpanId, parentSpanId);
  times(out, start, template, number(values[at + 7]), number(values[at + 8]));
  const { numbers } = template;
  for (let index = 0; index < numbers.length; index++)
    out.padded(start + (numbers[index] ?? 0), number(values[at + 4 + index]));
  appends.write(out, start + template.traceId, start + template.spanId);
}

/** A span never ends before it begins: the clocks of two processes may say so. */
function times(out: SpanBytes, at: number, template: SpanTemplate, startUs: number, endUs: number): void {
  out.nanoseconds(at + template.start, startUs);
  out.nanoseconds(at + template.end, Math.max(startUs, endUs));
}

/**
 * The `append` spans of one batch. They are the same for each of its commits but for ids, so a commit's are a copy with
 * those filled in: six of the eight spans of a write, for a tenth of what they cost one by one. What write they belong to,
 * its LSN and epoch, their parent says.
 */
class AppendTemplate {
  private readonly bytes: Buffer;
  private readonly traceIds: number[] = [];
  private readonly spanIds: number[] = [];
  private readonly parents: number[] = [];

  constructor(values: readonly unknown[], row: number) {
    const count = number(values[row + 1]);
    assert(count <= appendsMax, 'T1: the ids of the appends of a commit differ in one byte');
    const parts: Buffer[] = [];
    let size = 0;
    for (let at = row + 2; at < row + 2 + count * appendWidth; at += appendWidth) {
      const template = appendTemplate(values, at);
      this.traceIds.push(size + template.traceId);
      this.spanIds.push(size + template.spanId);
      this.parents.push(size + template.parentSpanId);
      parts.push(template.bytes);
      size += template.bytes.length;
    }
    this.bytes = Buffer.concat(parts);
  }

  /** @param traceAt where the trace id of their commit lies in `out`. @param spanAt its span id. */
  write(out: SpanBytes, traceAt: number, spanAt: number): void {
    const start = out.copy(this.bytes);
    const { traceIds, spanIds, parents } = this;
    for (let index = 0; index < spanIds.length; index++) {
      out.again(start + (traceIds[index] ?? 0), traceAt, traceIdBytes);
      out.again(start + (parents[index] ?? 0), spanAt, spanIdBytes);
      // Not drawn anew: rows that are sent again, since a collector did not answer, must be the same spans.
      const at = start + (spanIds[index] ?? 0);
      out.again(at, spanAt, spanIdBytes);
      out.change(at, index + 1);
    }
  }
}

function appendTemplate(values: readonly unknown[], at: number): SpanTemplate {
  const node = string(values[at]);
  const own: [string, string | boolean][] = [
    [attributes.node, node],
    [attributes.cloudAvailabilityZone, string(values[at + 1])],
  ];
  if (values[at + 4] === true) own.push([attributes.quorum, true]);
  const isAcked = values[at + 5] === true;
  if (!isAcked) own.push([attributes.errorType, 'SEXTANT_NOT_ACKNOWLEDGED']);
  const template = spanTemplate({
    hasParent: true,
    name: appendSpanName(node),
    kind: values[at + 6] === true ? kinds.client : kinds.consumer,
    attributes: own,
    numbers: [],
    failure: isAcked ? null : `${node} had not confirmed it when its span was made`,
  });
  const out = new SpanBytes(template.bytes);
  times(out, 0, template, number(values[at + 2]), number(values[at + 3]));
  return template;
}

function number(value: unknown): number {
  if (typeof value !== 'number') assert.fail('T7: a number is where one was put');
  return value;
}

function string(value: unknown): string {
  if (typeof value !== 'string') assert.fail('T7: a text is where one was put');
  return value;
}

function nullable(value: unknown): string | null {
  return value === null ? null : string(value);
}
