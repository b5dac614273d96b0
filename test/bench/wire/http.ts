/** HTTP/1.1 with one request in flight, kept alive: just enough for servers that answer with a length or in chunks. */
import { type Address, dial, Waiting } from './socket.ts';

export interface HttpAnswer {
  readonly status: number;
  readonly body: string;
}

export interface HttpLine {
  /** @param body ASCII */
  post(path: string, body: string): void;
  readonly waiting: Waiting<HttpAnswer>;
  close(): void;
}

const headEnd = '\r\n\r\n';

/** The body of a chunked message that begins at `at`, and where it ends; null while it is not whole. */
export function chunkedBody(
  text: string,
  at: number,
): { readonly body: string; readonly end: number } | null {
  let body = '';
  let position = at;
  for (;;) {
    const lineEnd = text.indexOf('\r\n', position);
    if (lineEnd < 0) return null;
    const size = Number.parseInt(text.slice(position, lineEnd), 16);
    const next = lineEnd + 2 + size + 2;
    if (text.length < next) return null;
    if (size === 0) return { body, end: next };
    body += text.slice(lineEnd + 2, lineEnd + 2 + size);
    position = next;
  }
}

export async function dialHttp(options: Address): Promise<HttpLine> {
  const waiting = new Waiting<HttpAnswer>();
  const line = await dial(
    options,
    (bytes, start, end) => {
      const text = bytes.toString('latin1', start, end);
      const headLength = text.indexOf(headEnd);
      if (headLength < 0) return 0;
      const head = text.slice(0, headLength).toLowerCase();
      const bodyAt = headLength + headEnd.length;
      const status = Number(head.slice(9, 12));
      const lengthAt = head.indexOf('content-length:');
      if (lengthAt >= 0) {
        const length = bodyAt + Number.parseInt(head.slice(lengthAt + 15), 10);
        if (text.length < length) return 0;
        waiting.answer({ status, body: text.slice(bodyAt, length) });
        return length;
      }
      const chunked = chunkedBody(text, bodyAt);
      if (chunked === null) return 0;
      waiting.answer({ status, body: chunked.body });
      return chunked.end;
    },
    (reason) => waiting.end(reason),
  );
  const fixed = ` HTTP/1.1\r\nhost: ${options.host}:${options.port}\r\ncontent-type: application/json\r\ncontent-length: `;
  return {
    waiting,
    post: (path, body) => line.write(`POST ${path}${fixed}${body.length}${headEnd}${body}`),
    close: () => line.close(),
  };
}
