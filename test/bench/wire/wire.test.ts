import { once } from 'node:events';
import { createServer, type Server } from 'node:net';
import { createServer as createTlsServer } from 'node:tls';
import { describe, expect, it } from 'vitest';
import { WebSocketServer } from 'ws';
import { testCertificate } from '../../gateway/access/certificates.ts';
import { workloads } from '../load/workload.ts';
import { failureIn, statementsOf } from './hrana.ts';
import { connectHranaWs, frame, payloadAt } from './hrana-ws.ts';
import { chunkedBody, dialHttp } from './http.ts';
import { connectPostgres, numbered } from './postgres.ts';

async function portOf(server: Pick<Server, 'address'>): Promise<number> {
  const address = server.address();
  return typeof address === 'object' && address !== null ? address.port : 0;
}

describe('the load generator speaks', () => {
  it('PostgreSQL parameters by number', () => {
    expect(numbered('UPDATE t SET a = a + ? WHERE id = ?')).toBe('UPDATE t SET a = a + $1 WHERE id = $2');
  });

  it('WebSocket frames of every length, and reads them back only when whole', () => {
    for (const size of [0, 5, 125, 126, 65_535, 65_536]) {
      const sent = Buffer.from(frame(0x81, 'x'.repeat(size)), 'latin1');
      const maskAt = sent.length - size - 4;
      const unmasked = Buffer.concat([sent.subarray(0, maskAt), sent.subarray(maskAt + 4)]);
      unmasked[1] = (unmasked[1] ?? 0) & 127;
      expect(payloadAt(unmasked, 0, unmasked.length)).toEqual({ from: maskAt, to: unmasked.length });
      if (size > 0) expect(payloadAt(unmasked, 0, unmasked.length - 1)).toBeNull();
    }
  });

  it('HTTP answers with a length and in chunks, however they are cut', async () => {
    const answers = [
      'HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody',
      'HTTP/1.1 503 No\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n',
    ];
    const server = createServer((socket) => {
      let next = 0;
      socket.on('data', () => {
        for (const char of answers[next++] ?? '') socket.write(char);
      });
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const line = await dialHttp({ host: '127.0.0.1', port: await portOf(server) });
    try {
      line.post('/', '{}');
      expect(await line.waiting.next()).toEqual({ status: 200, body: 'body' });
      line.post('/', '{}');
      expect(await line.waiting.next()).toEqual({ status: 503, body: 'abcde' });
    } finally {
      line.close();
      server.close();
    }
    expect(chunkedBody('5\r\nab', 0)).toBeNull();
  });

  it('HTTP over TLS, to a server of the authority that it is given and to no other', async () => {
    const certificate = testCertificate();
    const server = createTlsServer(certificate, (socket) => {
      socket.on('data', () => socket.write('HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody'));
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const address = { host: '127.0.0.1', port: await portOf(server) };
    const line = await dialHttp({ ...address, ca: certificate.cert });
    try {
      line.post('/', '{}');
      expect(await line.waiting.next()).toEqual({ status: 200, body: 'body' });
      await expect(dialHttp({ ...address, ca: testCertificate().cert })).rejects.toThrow(/certificate/);
    } finally {
      line.close();
      server.close();
    }
  });

  it('a libSQL batch as the stock client sends it: each step on condition, a rollback if the commit failed', () => {
    const batch = statementsOf(workloads.tpcb, (at) => `statement ${at}`).batch([
      [1, 2],
      [3],
      [4, 5],
      [6, 7],
      [8, 9, 10, 11],
    ]);
    const { steps } = JSON.parse(batch);
    expect(steps).toHaveLength(8);
    expect(steps[1]).toMatchObject({
      condition: { type: 'ok', step: 0 },
      stmt: { args: [{ value: '1' }, { value: '2' }] },
    });
    expect(steps[6]).toMatchObject({ condition: { type: 'ok', step: 5 }, stmt: { sql: 'statement -2' } });
    expect(steps[7]).toMatchObject({ condition: { type: 'not', cond: { type: 'ok', step: 6 } } });
  });

  it('libSQL and takes no failure for a success', () => {
    expect(failureIn('{"type":"response_ok","response":{}}', 'single')).toBeNull();
    expect(failureIn('{"type":"response_error","error":{"message":"no"}}', 'single')).toContain('no');
    expect(failureIn('{"results":[{"type":"error","error":{}}]}', 'single')).not.toBeNull();
    expect(failureIn('{"result":{"step_errors":[null,null]}}', 'batch')).toBeNull();
    expect(failureIn('{"result":{"step_errors":[null,{"message":"no"}]}}', 'batch')).not.toBeNull();
    expect(failureIn('{}', 'batch')).not.toBeNull();
  });

  it('libSQL over WebSocket on many streams, and matches answers by their id', async () => {
    const server = new WebSocketServer({ port: 0, host: '127.0.0.1' });
    await once(server, 'listening');
    const held: (() => void)[] = [];
    server.on('connection', (socket) => {
      socket.on('message', (data) => {
        const { request_id: id, request } = JSON.parse(String(data));
        if (request === undefined) return;
        const answer = (): void =>
          socket.send(`{"type":"response_ok","request_id":${id},"response":{"type":"${request.type}"}}`);
        if (request.type !== 'execute') answer();
        // The last one asked is answered first.
        else if (held.unshift(answer) === 2) for (const late of held) late();
      });
    });
    const address = server.address();
    const port = typeof address === 'object' && address !== null ? address.port : 0;
    const wire = await connectHranaWs({ host: '127.0.0.1', port, workload: workloads.update, streams: 2 });
    const order: number[] = [];
    await Promise.all(
      wire.lanes.map(
        (lane, at) =>
          new Promise<void>((resolve) => {
            lane.run([[1]], (error) => {
              expect(error).toBeNull();
              order.push(at);
              resolve();
            });
          }),
      ),
    );
    expect(order).toEqual([1, 0]);
    wire.close();
    server.close();
  });

  it('with a server that goes away: the transaction in flight ends in an error', async () => {
    const server = createServer((socket) => {
      // Ready at once, and again after the statements are prepared; then the end.
      let asked = 0;
      socket.on('data', () => {
        asked += 1;
        if (asked <= 2) socket.write(Buffer.from([0x5a, 0, 0, 0, 5, 0x49]));
        else socket.destroy();
      });
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const port = await portOf(server);
    const wire = await connectPostgres({ host: '127.0.0.1', port, workload: workloads.update, streams: 1 });
    const error = await new Promise<string | null>((resolve) => wire.lanes[0]?.run([[1]], resolve));
    expect(error).toContain('closed');
    server.close();
  });
});
