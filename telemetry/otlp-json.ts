/**
 * Rows as OTLP JSON text (`ExportTraceServiceRequest`), written in one pass. An object for each span and attribute, as the
 * SDK makes them, cost more than the write that was traced. Fields that have their default value are left out, as the JSON
 * mapping of protobuf allows.
 */
import assert from 'node:assert/strict';
import { randomFillSync } from 'node:crypto';
import type { AttributeValue } from './facts.ts';
import { attributes, attributeValues, spanNames } from './names.ts';
import { appendWidth, commitWidth, rowKinds, serverWidth } from './span-rows.ts';

const kinds = { internal: 1, server: 2, client: 3 } as const;
/** Sampled; and whether its parent, if any, may be in another process. */
const flags = { root: 0x101, child: 0x301 } as const;
const statusError = 2;
const rememberedTexts = 2_048;

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

/** A span never ends before it begins: the clocks of two processes may say so. */
function times(startUs: number, endUs: number): string {
  return `"startTimeUnixNano":"${startUs}000","endTimeUnixNano":"${Math.max(startUs, endUs)}000"`;
}

function failureJson(message: string): string {
  return `,"status":{"code":${statusError},"message":${JSON.stringify(message)}}`;
}

const commitName = `"${spanNames.commit}","kind":${kinds.internal},`;
const commitLsn = `,"attributes":[{"key":"${attributes.lsn}","value":{"intValue":`;
const commitEpoch = `}},{"key":"${attributes.branch}","value":{"stringValue":"main"}},{"key":"${attributes.epoch}","value":{"intValue":`;
const commitBytes = `}},{"key":"${attributes.redoBytes}","value":{"intValue":`;
const childHead = `","flags":${flags.child},"name":`;
const rootHead = `","flags":${flags.root},"name":`;
const unknownCommit = 'the reign ended before four storage nodes had confirmed the commit';

function head(traceId: string, spanId: string, parentSpanId: string | null): string {
  return parentSpanId === null
    ? `{"traceId":"${traceId}","spanId":"${spanId}${rootHead}`
    : `{"traceId":"${traceId}","spanId":"${spanId}","parentSpanId":"${parentSpanId}${childHead}`;
}

/** Writes rows into bytes. One writer for many requests: it remembers texts. */
export class RowWriter {
  /** Texts that come again and again (verbs, SQL, names), as JSON. */
  private readonly texts = new Map<string, string>();

  /** Adds the spans of some rows to `out`, each followed by a comma. */
  write(values: readonly unknown[], out: JsonBytes): void {
    let appends: AppendTemplate | null = null;
    let batchRow = 0;
    for (let at = 0; at < values.length; ) {
      const kind = values[at];
      if (kind === rowKinds.batch) {
        batchRow = at;
        appends = null;
        at += 3 + number(values[at + 2]) * appendWidth;
      } else if (kind === rowKinds.commit) {
        this.commit(values, at, out);
        const lsn = String(number(values[at + 4]));
        if (appends === null || appends.lsnLength !== lsn.length)
          appends = new AppendTemplate(values, batchRow, lsn.length);
        appends.write(out, string(values[at + 1]), string(values[at + 2]), lsn);
        at += commitWidth;
      } else {
        assert(kind === rowKinds.server, 'T7: a row of a known kind');
        this.server(values, at, out);
        at += serverWidth;
      }
    }
  }

  private server(values: readonly unknown[], at: number, out: JsonBytes): void {
    const batchSize = values[at + 10];
    const consistency = values[at + 11];
    const code = values[at + 12];
    let text = head(string(values[at + 1]), string(values[at + 2]), nullable(values[at + 3]));
    text += `${this.text(string(values[at + 6]))},"kind":${kinds.server},`;
    text += `${times(number(values[at + 4]), number(values[at + 5]))},"attributes":[`;
    text += `${this.attribute(attributes.dbSystemName, attributeValues.dbSystemSqlite)},`;
    text += `${this.attribute(attributes.dbNamespace, string(values[at + 7]))},`;
    text += `${this.attribute(attributes.dbOperationName, string(values[at + 8]))},`;
    text += this.attribute(attributes.dbQueryText, string(values[at + 9]));
    if (typeof batchSize === 'number')
      text += `,${attributeJson(attributes.dbOperationBatchSize, batchSize)}`;
    if (typeof consistency === 'string') text += `,${this.attribute(attributes.consistency, consistency)}`;
    if (typeof code === 'string') {
      text += `,${this.attribute(attributes.dbResponseStatusCode, code)}`;
      text += `,${this.attribute(attributes.errorType, code)}]${failureJson(string(values[at + 13]))}},`;
    } else text += ']},';
    out.add(text);
  }

  private commit(values: readonly unknown[], at: number, out: JsonBytes): void {
    let text = head(string(values[at + 1]), string(values[at + 2]), nullable(values[at + 3]));
    text += commitName + times(number(values[at + 7]), number(values[at + 8]));
    text += commitLsn + number(values[at + 4]) + commitEpoch + number(values[at + 5]);
    text += `${commitBytes}${number(values[at + 6])}}}`;
    if (values[at + 9] === true) text += ']},';
    else
      text += `,${attributeJson(attributes.errorType, 'SEXTANT_COMMIT_UNKNOWN')}]${failureJson(unknownCommit)}},`;
    out.add(text);
  }

  private attribute(key: string, value: string): string {
    return `{"key":"${key}","value":{"stringValue":${this.text(value)}}}`;
  }

  private text(value: string): string {
    let json = this.texts.get(value);
    if (json !== undefined) return json;
    json = JSON.stringify(value);
    if (this.texts.size >= rememberedTexts) this.texts.clear();
    this.texts.set(value, json);
    return json;
  }
}

const traceIdLength = 32;
const spanIdLength = 16;

/**
 * The `append` spans of one batch. They are the same for each of its commits but for ids and LSN, so a commit's are a copy
 * with those filled in: six of the eight spans of a write, for a tenth of what they cost one by one.
 */
class AppendTemplate {
  readonly lsnLength: number;
  private readonly bytes: Buffer;
  private readonly traceIds: number[] = [];
  private readonly spanIds: number[] = [];
  private readonly parents: number[] = [];
  private readonly lsns: number[] = [];

  constructor(values: readonly unknown[], row: number, lsnLength: number) {
    this.lsnLength = lsnLength;
    const epoch = number(values[row + 1]);
    const count = number(values[row + 2]);
    let text = '';
    const add = (more: string): number => {
      text += more;
      return Buffer.byteLength(text);
    };
    for (let at = row + 3; at < row + 3 + count * appendWidth; at += appendWidth) {
      const node = string(values[at]);
      this.traceIds.push(add('{"traceId":"'));
      this.spanIds.push(add(`${'0'.repeat(traceIdLength)}","spanId":"`));
      this.parents.push(add(`${'0'.repeat(spanIdLength)}","parentSpanId":"`));
      add(`${'0'.repeat(spanIdLength)}${childHead}"${spanNames.append}","kind":${kinds.client},`);
      add(times(number(values[at + 2]), number(values[at + 3])));
      this.lsns.push(add(`,"attributes":[{"key":"${attributes.lsn}","value":{"intValue":`));
      add(`${'0'.repeat(lsnLength)}}},${attributeJson(attributes.node, node)},`);
      add(attributeJson(attributes.cloudAvailabilityZone, string(values[at + 1])));
      add(`,${attributeJson(attributes.epoch, epoch)}`);
      if (values[at + 4] === true) add(`,${attributeJson(attributes.quorum, true)}`);
      if (values[at + 5] === true) add(']},');
      else {
        add(`,${attributeJson(attributes.errorType, 'SEXTANT_NOT_ACKNOWLEDGED')}]`);
        add(`${failureJson(`${node} had not confirmed it when its span was made`)}},`);
      }
    }
    this.bytes = Buffer.from(text);
  }

  write(out: JsonBytes, traceId: string, parentSpanId: string, lsn: string): void {
    const start = out.copy(this.bytes);
    for (const at of this.spanIds) out.randomId(start + at);
    out.repeat(traceId, start, this.traceIds);
    out.repeat(parentSpanId, start, this.parents);
    out.repeat(lsn, start, this.lsns);
  }
}

const hexDigits = Buffer.from('0123456789abcdef');
const spanIdBytes = 8;

/** Bytes that grow as they are written. */
export class JsonBytes {
  private buffer: Buffer;
  private length = 0;
  private readonly random = new Uint8Array(512 * spanIdBytes);
  private randomUsed = 512 * spanIdBytes;

  /** @param buffer what to begin with; it is used whole, and left when it does not suffice. */
  constructor(buffer: Buffer) {
    this.buffer = buffer;
  }

  /** The memory written to, to be used again once nobody reads it. */
  get memory(): Buffer {
    return this.buffer;
  }

  add(text: string): void {
    this.ensure(text.length * 3);
    this.length += this.buffer.write(text, this.length);
  }

  /** @returns where the copy lies. */
  copy(bytes: Uint8Array): number {
    this.ensure(bytes.length);
    const at = this.length;
    this.buffer.set(bytes, at);
    this.length += bytes.length;
    return at;
  }

  /** Writes the same ASCII text at several places. */
  repeat(ascii: string, start: number, places: readonly number[]): void {
    const [first] = places;
    if (first === undefined) return;
    this.buffer.write(ascii, start + first, 'latin1');
    for (let index = 1; index < places.length; index++)
      this.buffer.copyWithin(start + (places[index] ?? 0), start + first, start + first + ascii.length);
  }

  /** Writes a span id of its own: 16 hex digits, not all zero. */
  randomId(at: number): void {
    if (this.randomUsed === this.random.length) {
      randomFillSync(this.random);
      this.randomUsed = 0;
    }
    let any = 0;
    for (let index = 0; index < spanIdBytes; index++) {
      const byte = this.random[this.randomUsed++] ?? 0;
      any |= byte;
      this.buffer[at + 2 * index] = hexDigits[byte >>> 4] ?? 0;
      this.buffer[at + 2 * index + 1] = hexDigits[byte & 15] ?? 0;
    }
    if (any === 0) this.buffer[at] = hexDigits[1] ?? 0;
  }

  /** Takes the comma behind the last span away. @returns everything written. */
  finish(after: string): Uint8Array {
    this.length -= 1;
    this.add(after);
    return this.buffer.subarray(0, this.length);
  }

  private ensure(more: number): void {
    if (this.length + more <= this.buffer.length) return;
    const grown = Buffer.allocUnsafeSlow(Math.max(2 * this.buffer.length, this.length + more));
    grown.set(this.buffer.subarray(0, this.length));
    this.buffer = grown;
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
