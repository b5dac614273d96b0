/**
 * Rows as OTLP JSON text (`ExportTraceServiceRequest`), written in one pass. An object for each span and attribute, as the
 * SDK makes them, cost more than the write that was traced. Fields that have their default value are left out, as the JSON
 * mapping of protobuf allows.
 */
import assert from 'node:assert/strict';
import type { AttributeValue } from '../trace/facts.ts';
import { appendSpanName, attributes, attributeValues, spanNames } from '../trace/names.ts';
import { appendWidth, commitWidth, rowKinds, serverWidth } from '../trace/span-rows.ts';
import type { JsonBytes } from './json-bytes.ts';

/**
 * What goes on below a `commit` without it is of the kind consumer: whoever looks for what a client waited for, as Jaeger does
 * for its critical path, leaves out a consumer below a producer (T12).
 */
const kinds = { server: 2, client: 3, producer: 4, consumer: 5 } as const;
/** Sampled; and whether its parent, if any, may be in another process. */
const flags = { root: 0x101, child: 0x301 } as const;
const statusError = 2;
const rememberedStatements = 2_048;

/** One attribute as JSON. */
export function attributeJson(key: string, value: AttributeValue): string {
  return `{"key":${JSON.stringify(key)},"value":${valueJson(value)}}`;
}

function valueJson(value: AttributeValue): string {
  switch (typeof value) {
    case 'string':
      return `{"stringValue":${JSON.stringify(value)}}`;
    case 'number':
      return Number.isInteger(value) ? `{"intValue":${value}}` : `{"doubleValue":${value}}`;
    case 'boolean':
      return `{"boolValue":${value}}`;
    default:
      return `{"arrayValue":{"values":[${value.map(valueJson).join(',')}]}}`;
  }
}

function failureJson(message: string): string {
  return `,"status":{"code":${statusError},"message":${JSON.stringify(message)}}`;
}

/** What does not change of a span, between ids and numbers. */
const pieces = {
  traceId: Buffer.from('{"traceId":"'),
  spanId: Buffer.from('","spanId":"'),
  parent: Buffer.from('","parentSpanId":"'),
  child: Buffer.from(`","flags":${flags.child},"name":`),
  root: Buffer.from(`","flags":${flags.root},"name":`),
  start: Buffer.from('"startTimeUnixNano":"'),
  end: Buffer.from('000","endTimeUnixNano":"'),
  attributes: Buffer.from('000","attributes":['),
  commit: Buffer.from(`"${spanNames.commit}","kind":${kinds.producer},`),
  lsn: Buffer.from(`{"key":"${attributes.lsn}","value":{"intValue":`),
  epoch: Buffer.from(
    `}},${attributeJson(attributes.branch, 'main')},{"key":"${attributes.epoch}","value":{"intValue":`,
  ),
  redoBytes: Buffer.from(`}},{"key":"${attributes.redoBytes}","value":{"intValue":`),
  durable: Buffer.from('}}]},'),
  unknown: Buffer.from(
    `}},${attributeJson(attributes.errorType, 'SEXTANT_COMMIT_UNKNOWN')}]${failureJson('the reign ended before four storage nodes had confirmed the commit')}},`,
  ),
} as const;

/** Begins a span; its name follows. */
function head(out: JsonBytes, traceId: string, spanId: string, parentSpanId: string | null): void {
  out.copy(pieces.traceId);
  out.ascii(traceId);
  out.copy(pieces.spanId);
  out.ascii(spanId);
  if (parentSpanId === null) out.copy(pieces.root);
  else {
    out.copy(pieces.parent);
    out.ascii(parentSpanId);
    out.copy(pieces.child);
  }
}

/** The attributes follow. A span never ends before it begins: the clocks of two processes may say so. */
function times(out: JsonBytes, startUs: number, endUs: number): void {
  out.copy(pieces.start);
  out.digits(startUs);
  out.copy(pieces.end);
  out.digits(Math.max(startUs, endUs));
  out.copy(pieces.attributes);
}

/** What the requests of one statement have in common, ready to be copied. */
interface ServerPieces {
  readonly name: string;
  readonly namespace: string;
  readonly verb: string;
  readonly batchSize: unknown;
  readonly consistency: unknown;
  /** Name and kind. */
  readonly before: Buffer;
  /** Attributes, but for those of an error. */
  readonly after: Buffer;
}

/** Writes rows into bytes. One writer for many requests: it remembers statements. */
export class RowWriter {
  /** By the statement's text. */
  private readonly statements = new Map<string, ServerPieces>();

  /** Adds the spans of some rows to `out`, each followed by a comma. */
  write(values: readonly unknown[], out: JsonBytes): void {
    let appends: AppendTemplate | null = null;
    let batchRow = 0;
    for (let at = 0; at < values.length; ) {
      const kind = values[at];
      if (kind === rowKinds.batch) {
        batchRow = at;
        appends = null;
        at += 2 + number(values[at + 1]) * appendWidth;
      } else if (kind === rowKinds.commit) {
        this.commit(values, at, out);
        appends ??= new AppendTemplate(values, batchRow);
        appends.write(out, string(values[at + 1]), string(values[at + 2]));
        at += commitWidth;
      } else {
        assert(kind === rowKinds.server, 'T7: a row of a known kind');
        this.server(values, at, out);
        at += serverWidth;
      }
    }
  }

  private server(values: readonly unknown[], at: number, out: JsonBytes): void {
    const { before, after } = this.statement(values, at);
    head(out, string(values[at + 1]), string(values[at + 2]), nullable(values[at + 3]));
    out.copy(before);
    times(out, number(values[at + 4]), number(values[at + 5]));
    out.copy(after);
    const code = values[at + 12];
    if (typeof code === 'string') {
      const told = `,${attributeJson(attributes.dbResponseStatusCode, code)},${attributeJson(attributes.errorType, code)}`;
      out.add(`${told}]${failureJson(string(values[at + 13]))}},`);
    } else out.ascii(']},');
  }

  private statement(values: readonly unknown[], at: number): ServerPieces {
    const name = string(values[at + 6]);
    const namespace = string(values[at + 7]);
    const verb = string(values[at + 8]);
    const text = string(values[at + 9]);
    const batchSize = values[at + 10];
    const consistency = values[at + 11];
    const known = this.statements.get(text);
    if (
      known !== undefined &&
      known.name === name &&
      known.namespace === namespace &&
      known.verb === verb &&
      known.batchSize === batchSize &&
      known.consistency === consistency
    )
      return known;
    const own = [
      attributeJson(attributes.dbSystemName, attributeValues.dbSystemSqlite),
      attributeJson(attributes.dbNamespace, namespace),
      attributeJson(attributes.dbOperationName, verb),
      attributeJson(attributes.dbQueryText, text),
    ];
    if (typeof batchSize === 'number') own.push(attributeJson(attributes.dbOperationBatchSize, batchSize));
    if (typeof consistency === 'string') own.push(attributeJson(attributes.consistency, consistency));
    const before = Buffer.from(`${JSON.stringify(name)},"kind":${kinds.server},`);
    const made = {
      name,
      namespace,
      verb,
      batchSize,
      consistency,
      before,
      after: Buffer.from(own.join(',')),
    };
    if (this.statements.size >= rememberedStatements) this.statements.clear();
    this.statements.set(text, made);
    return made;
  }

  private commit(values: readonly unknown[], at: number, out: JsonBytes): void {
    head(out, string(values[at + 1]), string(values[at + 2]), nullable(values[at + 3]));
    out.copy(pieces.commit);
    times(out, number(values[at + 7]), number(values[at + 8]));
    out.copy(pieces.lsn);
    out.digits(number(values[at + 4]));
    out.copy(pieces.epoch);
    out.digits(number(values[at + 5]));
    out.copy(pieces.redoBytes);
    out.digits(number(values[at + 6]));
    out.copy(values[at + 9] === true ? pieces.durable : pieces.unknown);
  }
}

const traceIdLength = 32;
const spanIdLength = 16;
const appendsMax = 15;

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
    assert(count <= appendsMax, 'T1: the ids of the appends of a commit differ in one digit');
    const parts: string[] = [];
    let length = 0;
    const add = (more: string): number => {
      parts.push(more);
      length += Buffer.byteLength(more);
      return length;
    };
    for (let at = row + 2; at < row + 2 + count * appendWidth; at += appendWidth) {
      const node = string(values[at]);
      const startUs = number(values[at + 2]);
      const endUs = Math.max(startUs, number(values[at + 3]));
      this.traceIds.push(add('{"traceId":"'));
      this.spanIds.push(add(`${'0'.repeat(traceIdLength)}","spanId":"`));
      this.parents.push(add(`${'0'.repeat(spanIdLength)}","parentSpanId":"`));
      const kind = values[at + 6] === true ? kinds.client : kinds.consumer;
      add(
        `${'0'.repeat(spanIdLength)}","flags":${flags.child},"name":${JSON.stringify(appendSpanName(node))},`,
      );
      add(`"kind":${kind},"startTimeUnixNano":"${startUs}000","endTimeUnixNano":"${endUs}000",`);
      add(`"attributes":[${attributeJson(attributes.node, node)},`);
      add(attributeJson(attributes.cloudAvailabilityZone, string(values[at + 1])));
      if (values[at + 4] === true) add(`,${attributeJson(attributes.quorum, true)}`);
      if (values[at + 5] === true) add(']},');
      else {
        add(`,${attributeJson(attributes.errorType, 'SEXTANT_NOT_ACKNOWLEDGED')}]`);
        add(`${failureJson(`${node} had not confirmed it when its span was made`)}},`);
      }
    }
    this.bytes = Buffer.from(parts.join(''));
  }

  write(out: JsonBytes, traceId: string, parentSpanId: string): void {
    const start = out.copy(this.bytes);
    out.repeat(traceId, start, this.traceIds);
    out.repeat(parentSpanId, start, this.parents);
    // Not drawn anew: rows that are sent again, since a collector did not answer, must be the same spans.
    out.repeat(parentSpanId, start, this.spanIds);
    for (const [index, at] of this.spanIds.entries()) out.changeDigit(start + at, index + 1);
  }
}

/** Everything of a request around its spans. */
export function requestFrame(
  resource: Readonly<Record<string, AttributeValue>>,
  scope: { readonly name: string; readonly version: string },
): { readonly before: string; readonly after: string } {
  const own = Object.entries(resource).map(([key, value]) => attributeJson(key, value));
  return {
    before: `{"resourceSpans":[{"resource":{"attributes":[${own.join(',')}]},"scopeSpans":[{"scope":${JSON.stringify(scope)},"spans":[`,
    after: ']}]}]}',
  };
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
