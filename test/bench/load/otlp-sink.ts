/**
 * `node otlp-sink.ts PORT`: takes traces as a collector does and only counts their spans. It reads no further than their lengths: on
 * the machine measured a collector's work would be counted as Sextant's. `GET /` answers `{"spans": n, "bytes": n}`.
 */
import { createServer } from 'node:http';
import { createGunzip } from 'node:zlib';

let spans = 0;
let bytes = 0;

/** Fields of `ExportTraceServiceRequest` that are gone into, by how deep they lie: resource spans, and in those scope spans. */
const entered = [1, 2];
const spanDepth = 2;
const spanField = 2;

/** Counts the spans of one request that comes in parts. Its messages are all of one resource and one scope. */
class SpanCounter {
  private depth = 0;
  /** Bytes that need not be looked at. */
  private skip = 0;
  private field = 0;
  private length = 0;
  private scale = 1;

  add(part: Buffer): void {
    bytes += part.length;
    for (let at = 0; at < part.length; at++) {
      if (this.skip > 0) {
        const skipped = Math.min(this.skip, part.length - at);
        this.skip -= skipped;
        at += skipped - 1;
        continue;
      }
      const byte = part[at] ?? 0;
      if (this.field === 0) this.field = byte >> 3;
      else this.lengthByte(byte);
    }
  }

  private lengthByte(byte: number): void {
    this.length += (byte & 0x7f) * this.scale;
    this.scale *= 128;
    if (byte >= 0x80) return;
    if (entered[this.depth] === this.field) this.depth += 1;
    else {
      if (this.depth === spanDepth && this.field === spanField) spans += 1;
      this.skip = this.length;
    }
    this.field = 0;
    this.length = 0;
    this.scale = 1;
  }
}

/** As `SpanCounter`, of the few spans that come as JSON: each has one span id. */
class TextCounter {
  private before: Buffer = Buffer.alloc(0);

  add(part: Buffer): void {
    bytes += part.length;
    const text = Buffer.concat([this.before, part]);
    const wanted = 'spanId":"';
    for (let at = text.indexOf(wanted); at >= 0; at = text.indexOf(wanted, at + wanted.length)) spans += 1;
    // An id may lie across two parts.
    this.before = text.subarray(-(wanted.length - 1));
  }
}

createServer((request, response) => {
  if (request.method === 'GET') {
    response.end(JSON.stringify({ spans, bytes }));
    return;
  }
  const isProtobuf = request.headers['content-type'] === 'application/x-protobuf';
  const counter = isProtobuf ? new SpanCounter() : new TextCounter();
  const body = request.headers['content-encoding'] === 'gzip' ? request.pipe(createGunzip()) : request;
  body.on('data', (part: Buffer) => counter.add(part));
  body.on('end', () => {
    const type = { 'content-type': request.headers['content-type'] ?? 'application/json' };
    response.writeHead(200, type).end(isProtobuf ? '' : '{}');
  });
}).listen(Number(process.argv[2] ?? 0), '127.0.0.1');
process.once('SIGTERM', () => process.exit(0));
