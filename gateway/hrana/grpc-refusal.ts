/**
 * Embedded replicas of libSQL (`syncUrl`) copy the pages of a server's file over gRPC. There is no such file here, so they
 * are told, in gRPC's own words, over HTTP/1 (gRPC-Web) and over HTTP/2.
 */
import type { Duplex } from 'node:stream';
import { endWith } from '../access/last-words.ts';
import type { HttpAnswer, HttpRequest } from '../direct/exchange.ts';

const sentence =
  'Embedded replicas (syncUrl) are not supported: Sextant keeps its replicas in its regions. Use the URL of a gateway as the url of a remote client.';
/** UNIMPLEMENTED. */
const grpcStatus = '12';

/** Answers a gRPC request; false when it is none. */
export function refuseGrpc(request: HttpRequest, response: HttpAnswer): boolean {
  const type = request.headers['content-type'];
  if (type === undefined || !type.startsWith('application/grpc')) return false;
  request.resume();
  // An answer without a body carries its status in the headers.
  response.writeHead(200, {
    'content-type': type,
    'grpc-status': grpcStatus,
    'grpc-message': encodeURIComponent(sentence),
    'content-length': 0,
  });
  response.end();
  return true;
}

const frame = { settings: 4, goAway: 7 } as const;
/** HTTP_1_1_REQUIRED. */
const http1Required = 0xd;

/** What an HTTP/2 client is told: empty settings, and that the server wants HTTP/1.1, with the sentence as debug data. */
function goodbye(): Buffer {
  const text = Buffer.from(`This port speaks HTTP/1.1. ${sentence}`);
  const head = Buffer.alloc(9 + 9 + 8);
  head.writeUInt8(frame.settings, 3);
  head.writeUIntBE(8 + text.length, 9, 3);
  head.writeUInt8(frame.goAway, 9 + 3);
  head.writeUInt32BE(http1Required, 9 + 9 + 4);
  return Buffer.concat([head, text]);
}

/** The part of a logger that is used here. */
export interface RefusalLogger {
  warn(fields: object, message: string): void;
}

/** How often the log is told of HTTP/2 clients at most, per process. */
const logEveryMs = 1_000;
let loggedAtMs = Number.NEGATIVE_INFINITY;

/**
 * Ends a socket whose bytes are no HTTP/1: a client that began with HTTP/2 is told in its own words, every other as
 * `node:http` would do it.
 */
export function refuseHttp2(error: NodeJS.ErrnoException, socket: Duplex, logger: RefusalLogger): void {
  if (socket.destroyed || !socket.writable || error.code === 'ECONNRESET') {
    socket.destroy();
    return;
  }
  if (error.code !== 'HPE_PAUSED_H2_UPGRADE') {
    endWith(socket, statusOf(error.code));
    return;
  }
  if (performance.now() - loggedAtMs >= logEveryMs) {
    loggedAtMs = performance.now();
    logger.warn({ code: 'SEXTANT_PROTOCOL_ERROR' }, `an HTTP/2 client was refused. ${sentence}`);
  }
  endWith(socket, goodbye());
}

function statusOf(code: string | undefined): string {
  const status =
    code === 'HPE_HEADER_OVERFLOW'
      ? '431 Request Header Fields Too Large'
      : code === 'ERR_HTTP_REQUEST_TIMEOUT'
        ? '408 Request Timeout'
        : code === 'HPE_CHUNK_EXTENSIONS_OVERFLOW'
          ? '413 Payload Too Large'
          : '400 Bad Request';
  return `HTTP/1.1 ${status}\r\nConnection: close\r\n\r\n`;
}
