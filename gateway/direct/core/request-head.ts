/**
 * Reads the requests that nearly all are, statements of a client that keeps its connection, without Node's parser. What is taken here
 * every parser of HTTP/1.1 reads alike: one POST, each header that counts once, printable ASCII, a length in digits and that many bytes.
 * Whatever is unusual, unfinished or wrong is left to Node's parser, with its limits and its answers (G120). Pure.
 */

/** The headers that decide anything about such a request; all others are checked and passed over. */
export type DirectHeaders = {
  readonly host: string;
  readonly authorization: string | undefined;
  readonly 'content-type': string | undefined;
  readonly origin: string | undefined;
  readonly 'sec-fetch-site': string | undefined;
  readonly 'sextant-bookmark': string | undefined;
  readonly 'sextant-read': string | undefined;
  readonly traceparent: string | undefined;
};

export type DirectRead =
  | {
      readonly kind: 'whole';
      readonly url: string;
      readonly headers: DirectHeaders;
      readonly body: Buffer;
    }
  /** The beginning of one. */
  | { readonly kind: 'unfinished' }
  /** Something else, perhaps with such a request in it. */
  | { readonly kind: 'other' };

/** Longer heads, and longer requests, are left to Node's parser. */
const headBytesMax = 8 * 1024;
export const requestBytesMax = 64 * 1024;

const other: DirectRead = { kind: 'other' };
const unfinished: DirectRead = { kind: 'unfinished' };

const postByte = 'P'.charCodeAt(0);
const headEnd = Buffer.from('\r\n\r\n');
const requestLine = /^POST (\/[A-Za-z0-9._~/-]*\/pipeline) HTTP\/1\.1$/;
/** Lines of a name, a colon and a value; nothing is folded, and neither CR nor LF stands alone. */
const headerLines = /^(?:[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t -~]*(?:\r\n|$))+$/;
const length = /^[0-9]{1,6}$/;

/** How long a request is, or how a connection goes on, is Node's to say where one of these is there. */
const leftToNode: ReadonlySet<string> = new Set([
  'expect',
  'proxy-connection',
  'trailer',
  'transfer-encoding',
  'upgrade',
]);

/** Looks whether the bytes are one whole request for a pipeline, from their first to their last. */
export function readDirect(bytes: Buffer): DirectRead {
  if (bytes[0] !== postByte || bytes.length > requestBytesMax) return other;
  const end = bytes.indexOf(headEnd);
  if (end < 0 || end > headBytesMax) return other;
  const text = bytes.toString('latin1', 0, end);
  const lineEnd = text.indexOf('\r\n');
  const url = lineEnd < 0 ? undefined : requestLine.exec(text.slice(0, lineEnd))?.[1];
  if (url === undefined) return other;
  const fields = text.slice(lineEnd + 2);
  if (!headerLines.test(fields)) return other;
  const found = headersIn(fields);
  if (found === null) return other;
  const bodyAt = end + headEnd.length;
  const missing = bodyAt + found.bodyBytes - bytes.length;
  if (missing < 0 || bodyAt + found.bodyBytes > requestBytesMax) return other;
  if (missing > 0) return unfinished;
  return { kind: 'whole', url, headers: found.headers, body: bytes.subarray(bodyAt) };
}

/** Null where Node's parser has to look at them. */
function headersIn(fields: string): { readonly headers: DirectHeaders; readonly bodyBytes: number } | null {
  let host: string | undefined;
  let authorization: string | undefined;
  let contentType: string | undefined;
  let origin: string | undefined;
  let site: string | undefined;
  let bookmark: string | undefined;
  let read: string | undefined;
  let traceparent: string | undefined;
  let bodyBytes: number | undefined;
  for (let at = 0; at < fields.length; ) {
    const colon = fields.indexOf(':', at);
    const lineEnd = fields.indexOf('\r\n', colon);
    const end = lineEnd < 0 ? fields.length : lineEnd;
    const name = fields.slice(at, colon).toLowerCase();
    const value = fields.slice(colon + 1, end).trim();
    at = end + 2;
    let before: string | number | undefined;
    switch (name) {
      case 'content-length':
        if (!length.test(value)) return null;
        before = bodyBytes;
        bodyBytes = Number(value);
        break;
      case 'connection':
        if (value.toLowerCase() !== 'keep-alive') return null;
        break;
      case 'host':
        before = host;
        host = value;
        break;
      case 'authorization':
        before = authorization;
        authorization = value;
        break;
      case 'content-type':
        before = contentType;
        contentType = value;
        break;
      case 'origin':
        before = origin;
        origin = value;
        break;
      case 'sec-fetch-site':
        before = site;
        site = value;
        break;
      case 'sextant-bookmark':
        before = bookmark;
        bookmark = value;
        break;
      case 'sextant-read':
        before = read;
        read = value;
        break;
      case 'traceparent':
        before = traceparent;
        traceparent = value;
        break;
      default:
        if (leftToNode.has(name)) return null;
    }
    // Given twice: which of the two counts is not for this reader to say.
    if (before !== undefined) return null;
  }
  if (host === undefined || bodyBytes === undefined) return null;
  return {
    bodyBytes,
    headers: {
      host,
      authorization,
      'content-type': contentType,
      origin,
      'sec-fetch-site': site,
      'sextant-bookmark': bookmark,
      'sextant-read': read,
      traceparent,
    },
  };
}
