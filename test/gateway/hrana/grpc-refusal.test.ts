import { connect as connectHttp2, constants } from 'node:http2';
import { connect } from 'node:net';
import { describe, expect, it } from 'vitest';
import { startHarness } from './hrana-harness.ts';

describe('clients of embedded replicas', () => {
  it.each(['application/grpc', 'application/grpc-web+proto'])(
    'that speak %s over HTTP/1 get status 12 and a sentence',
    async (type) => {
      const { http, twin } = await startHarness();
      const response = await fetch(`${http}/wal_log.ReplicationLog/Hello`, {
        method: 'POST',
        headers: { 'content-type': type },
        body: Buffer.alloc(5),
      });
      expect(response.status).toBe(200);
      expect(response.headers.get('content-type')).toBe(type);
      expect(response.headers.get('grpc-status')).toBe('12');
      expect(decodeURIComponent(response.headers.get('grpc-message') ?? '')).toContain('syncUrl');
      expect(twin.openSessions()).toBe(0);
    },
  );

  it('that begin with HTTP/2 are told that HTTP/1.1 is spoken, and the log says so', async () => {
    const lines: string[] = [];
    const { http } = await startHarness({
      logger: { info: () => {}, warn: (_fields, message) => lines.push(message), error: () => {} },
    });
    const session = connectHttp2(http);
    session.on('error', () => {});
    const told = new Promise<readonly [number, string]>((resolve) =>
      session.on('goaway', (code, _last, data) => resolve([code, Buffer.from(data ?? []).toString()])),
    );
    session
      .request({ ':method': 'POST', ':path': '/', 'content-type': 'application/grpc' })
      .on('error', () => {})
      .end();
    const [code, sentence] = await told;
    expect(code).toBe(constants.NGHTTP2_HTTP_1_1_REQUIRED);
    expect(sentence).toContain('This port speaks HTTP/1.1. Embedded replicas (syncUrl) are not supported');
    expect(lines.join()).toContain('an HTTP/2 client was refused');
    await new Promise((resolve) => session.once('close', resolve));
  });

  it('are not taken for others: bytes that are no HTTP get a 400 as ever', async () => {
    const { http } = await startHarness();
    const socket = connect(Number(new URL(http).port), '127.0.0.1');
    socket.write('HELO there\r\n\r\n');
    const answer = await new Promise<string>((resolve) => {
      socket.once('data', (data) => resolve(data.toString()));
    });
    expect(answer).toMatch(/^HTTP\/1\.1 400 Bad Request\r\n/);
    socket.destroy();
  });
});
