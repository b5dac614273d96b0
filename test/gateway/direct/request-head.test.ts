/** What is read without Node's parser: exactly what that would have read, or nothing (G120). */
import { createServer, type IncomingHttpHeaders } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type DirectRead, readDirect, requestBytesMax } from '../../../gateway/direct/core/request-head.ts';

const known = [
  'host',
  'authorization',
  'content-type',
  'origin',
  'sec-fetch-site',
  'sextant-bookmark',
  'sextant-read',
  'traceparent',
] as const;

function request(lines: readonly string[], body = '{}', line = 'POST /v2/pipeline HTTP/1.1'): Buffer {
  const length = Buffer.byteLength(body);
  const head = [line, ...lines, `content-length: ${length}`, '', ''].join('\r\n');
  return Buffer.concat([Buffer.from(head, 'latin1'), Buffer.from(body)]);
}
const kindOf = (bytes: Buffer): DirectRead['kind'] => readDirect(bytes).kind;

describe('one whole request', () => {
  it('is read with what its headers say and its body', () => {
    const lines = [
      'Host: db.example:8080',
      'AUTHORIZATION: Bearer abc.def.ghi ',
      'Content-Type:\tapplication/json',
      'Origin: https://app.example',
      'Sec-Fetch-Site: cross-site',
      'Sextant-Bookmark: 3.14',
      'Sextant-Read: global',
      'traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
      'Connection: Keep-Alive',
      'X-Whatever:',
      'Accept: */*',
    ];
    const read = readDirect(request(lines, '{"é":1}', 'POST /branch/dev/read/session/v3/pipeline HTTP/1.1'));
    expect(read).toMatchObject({
      kind: 'whole',
      url: '/branch/dev/read/session/v3/pipeline',
      headers: {
        host: 'db.example:8080',
        authorization: 'Bearer abc.def.ghi',
        'content-type': 'application/json',
        origin: 'https://app.example',
        'sec-fetch-site': 'cross-site',
        'sextant-bookmark': '3.14',
        'sextant-read': 'global',
        traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
      },
    });
    expect(read.kind === 'whole' && read.body.toString()).toBe('{"é":1}');
  });

  it('that is still coming is unfinished once its head is there', () => {
    const whole = request(['host: a'], ' '.repeat(100));
    expect(kindOf(whole.subarray(0, -1))).toBe('unfinished');
    expect(kindOf(whole.subarray(0, -100))).toBe('unfinished');
    expect(kindOf(whole.subarray(0, -101))).toBe('other');
  });

  it.each([
    ['another method', request(['host: a'], '{}', 'GET /v2/pipeline HTTP/1.1')],
    ['another path', request(['host: a'], '{}', 'POST /v3/cursor HTTP/1.1')],
    ['a query', request(['host: a'], '{}', 'POST /v2/pipeline?a HTTP/1.1')],
    ['an absolute URL', request(['host: a'], '{}', 'POST http://a/v2/pipeline HTTP/1.1')],
    ['an escape in the path', request(['host: a'], '{}', 'POST /%76/pipeline HTTP/1.1')],
    ['HTTP/1.0', request(['host: a'], '{}', 'POST /v2/pipeline HTTP/1.0')],
    ['two spaces', request(['host: a'], '{}', 'POST  /v2/pipeline HTTP/1.1')],
    ['an empty line before it', Buffer.concat([Buffer.from('\r\n'), request(['host: a'])])],
    ['no host', request([])],
    ['two hosts', request(['host: a', 'host: a'])],
    ['two tokens', request(['host: a', 'authorization: a', 'Authorization: b'])],
    ['two lengths', request(['host: a', 'content-length: 2'])],
    ['no length', Buffer.from('POST /v2/pipeline HTTP/1.1\r\nhost: a\r\n\r\n')],
    ['a signed length', Buffer.from('POST /v2/pipeline HTTP/1.1\r\nhost: a\r\ncontent-length: +2\r\n\r\n{}')],
    [
      'a list of lengths',
      Buffer.from('POST /v2/pipeline HTTP/1.1\r\nhost: a\r\ncontent-length: 2, 2\r\n\r\n{}'),
    ],
    ['chunks', request(['host: a', 'transfer-encoding: chunked'])],
    ['chunks of another spelling', request(['host: a', 'Transfer-Encoding: xchunked'])],
    ['an upgrade', request(['host: a', 'upgrade: websocket'])],
    ['an expectation', request(['host: a', 'expect: 100-continue'])],
    ['a connection that is to end', request(['host: a', 'connection: close'])],
    ['a list of options', request(['host: a', 'connection: keep-alive, x'])],
    ['a space before the colon', request(['host : a'])],
    ['a folded line', request(['host: a', ' b'])],
    ['a name of odd characters', request(['host: a', 'b(c): d'])],
    ['a line without a colon', request(['host: a', 'b'])],
    ['a control character', request(['host: a', 'b: \x01'])],
    ['a value beyond ASCII', request(['host: a', 'b: \xa0c'])],
    ['a bare line feed', Buffer.from('POST /v2/pipeline HTTP/1.1\nhost: a\ncontent-length: 2\n\n{}')],
    ['a line feed within a line', request(['host: a', 'b: c\nd: e'])],
    ['a carriage return within a line', request(['host: a', 'b: c\rd: e'])],
    ['bytes behind it', Buffer.concat([request(['host: a']), Buffer.from('P')])],
    ['a long head', request(['host: a', `b: ${'c'.repeat(9_000)}`])],
    ['a large body', request(['host: a'], ' '.repeat(requestBytesMax))],
    ['nothing', Buffer.alloc(0)],
  ])('with %s is left to Node', (_name, bytes) => {
    expect(kindOf(bytes)).toBe('other');
  });

  it('is never read otherwise than Node reads it, whatever was done to its bytes', async () => {
    interface Seen {
      readonly method: string;
      readonly url: string;
      readonly headers: IncomingHttpHeaders;
      readonly body: string;
    }
    let heard: (seen: Seen | null) => void = () => undefined;
    const server = createServer((incoming, response) => {
      let body = '';
      incoming.setEncoding('latin1');
      incoming.on('data', (part: string) => {
        body += part;
      });
      incoming.on('end', () => {
        const { method = '', url = '', headers } = incoming;
        heard({ method, url, headers, body });
        response.end();
      });
    });
    server.on('clientError', (error: NodeJS.ErrnoException, socket) => {
      // The end of a connection that was heard already.
      if (error.code !== 'ECONNRESET') heard(null);
      socket.destroy();
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;
    const node = async (bytes: Buffer): Promise<Seen | null> => {
      const seen = new Promise<Seen | null>((resolve) => {
        heard = resolve;
      });
      const socket = connect(port, '127.0.0.1', () => socket.write(bytes));
      socket.on('error', () => undefined).resume();
      const found = await seen;
      socket.destroy();
      return found;
    };
    const odd = [
      '\r',
      '\n',
      '\r\n',
      ':',
      ' ',
      '\t',
      '\0',
      'x',
      '5',
      ',',
      '\x80',
      '\xa0',
      'content-length: 1\r\n',
    ];
    const edit = fc.record({
      at: fc.double({ min: 0, max: 1, noNaN: true }),
      gone: fc.integer({ min: 0, max: 2 }),
      put: fc.constantFrom('', ...odd),
    });
    let whole = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(edit, { maxLength: 3 }), async (edits) => {
        let text = request(
          ['Host: a', 'Authorization: Bearer b', 'x-y: z', 'traceparent: c'],
          '{"a":1}',
        ).toString('latin1');
        for (const { at, gone, put } of edits) {
          const from = Math.floor(at * text.length);
          text = text.slice(0, from) + put + text.slice(from + gone);
        }
        const read = readDirect(Buffer.from(text, 'latin1'));
        if (read.kind !== 'whole') return;
        whole += 1;
        const seen = await node(Buffer.from(text, 'latin1'));
        expect(seen).toMatchObject({ method: 'POST', url: read.url, body: read.body.toString('latin1') });
        for (const name of known) expect(seen?.headers[name]).toBe(read.headers[name]);
      }),
      { numRuns: 1_000 },
    );
    expect(whole).toBeGreaterThan(100);
    server.close();
  });
});
