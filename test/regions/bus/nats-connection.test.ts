import { once } from 'node:events';
import { connect } from 'node:net';
import { afterEach, describe, expect, test } from 'vitest';
import {
  type NatsConnection,
  type NatsStatus,
  openNatsConnection,
} from '../../../regions/bus/nats-connection.ts';
import { startNatsServers, type TestServers, testToken } from '../../conformance/control-store-servers.ts';

const bytes = (text: string) => new TextEncoder().encode(text);
const text = (data: Uint8Array) => new TextDecoder().decode(data);

describe('NATS connection', () => {
  const connections: NatsConnection[] = [];
  const running: TestServers[] = [];

  const start = async (ports?: readonly number[]) => {
    const servers = await startNatsServers(1, ports);
    running.push(servers);
    const [server] = servers.servers;
    if (server === undefined) throw new Error('one server was started');
    return { servers, url: server.url };
  };
  const open = (url: string, onStatus?: (status: NatsStatus) => void, token = testToken) => {
    const connection = openNatsConnection({
      servers: [url],
      token,
      name: 'test',
      ...(onStatus === undefined ? {} : { onStatus }),
    });
    connections.push(connection);
    return connection;
  };
  /** A listener, and a promise of the first status of each kind. */
  const statuses = () => {
    const seen: NatsStatus[] = [];
    let wake: () => void = () => undefined;
    const until = (kind: NatsStatus['kind']): Promise<NatsStatus> =>
      new Promise((resolve) => {
        wake = () => {
          const found = seen.find((status) => status.kind === kind);
          if (found !== undefined) resolve(found);
        };
        wake();
      });
    const onStatus = (status: NatsStatus) => {
      seen.push(status);
      wake();
    };
    return { onStatus, until, seen };
  };

  afterEach(async () => {
    await Promise.all(connections.splice(0).map((connection) => connection.close()));
    await Promise.all(running.splice(0).map((servers) => servers.stop()));
  });

  test('carries messages, headers, requests and answers', async () => {
    const { url } = await start();
    const [sender, receiver] = [open(url), open(url)];
    expect(await sender.whenConnected(5_000)).toBe(true);
    expect(await receiver.whenConnected(5_000)).toBe(true);
    const heard = Promise.withResolvers<string>();
    receiver.subscribe('a.*', (message) => {
      if (message.subject === 'a.ask')
        message.respond(bytes(`re: ${text(message.data)}`), { answered: 'yes' });
      else heard.resolve(`${message.subject} ${text(message.data)} ${message.header('traceparent')}`);
    });
    expect(await receiver.flush(1_000)).toBe('flushed');
    expect(sender.publish('a.tell', bytes('hello'), { traceparent: '00-1' })).toBe('sent');
    expect(await heard.promise).toBe('a.tell hello 00-1');
    const answer = await sender.request('a.ask', bytes('you?'), 1_000);
    expect(answer.kind === 'reply' && `${text(answer.data)} ${answer.header('answered')}`).toBe(
      're: you? yes',
    );
  });

  test('tells nobody there, no answer and too large apart', async () => {
    const { url } = await start();
    const connection = open(url);
    await connection.whenConnected(5_000);
    expect(await connection.request('nobody', bytes(''), 1_000)).toEqual({ kind: 'no-responders' });
    connection.subscribe('silent', () => undefined);
    expect(await connection.request('silent', bytes(''), 50)).toEqual({ kind: 'timeout' });
    const large = new Uint8Array(connection.maxPayloadBytes + 1);
    expect(connection.publish('large', large)).toBe('too-large');
    expect(await connection.request('large', large, 50)).toEqual({ kind: 'too-large' });
  });

  test('hears every answer to a request that is answered in several messages, and that nobody listens', async () => {
    const { url } = await start();
    const [asking, answering] = [open(url), open(url)];
    await Promise.all([asking, answering].map((connection) => connection.whenConnected(5_000)));
    answering.subscribe('many', (message) => {
      for (const part of ['one', 'two', 'three']) message.respond(bytes(part));
    });
    await answering.flush(2_000);
    const heard: string[] = [];
    const three = Promise.withResolvers<void>();
    const sent = asking.requestMany('many', bytes('?'), (reply) => {
      heard.push(reply.kind === 'reply' ? text(reply.data) : reply.kind);
      if (heard.length === 3) three.resolve();
    });
    await three.promise;
    expect(heard).toEqual(['one', 'two', 'three']);
    if (sent.kind === 'sent') sent.stop();
    const nobody = Promise.withResolvers<string>();
    asking.requestMany('nobody', bytes('?'), (reply) => nobody.resolve(reply.kind));
    expect(await nobody.promise).toBe('no-responders');
    const large = new Uint8Array(asking.maxPayloadBytes + 1);
    expect(asking.requestMany('many', large, () => undefined).kind).toBe('too-large');
    await asking.close();
    expect(asking.requestMany('many', bytes('?'), () => undefined).kind).toBe('disconnected');
  });

  test('passes over messages that name no subject for an answer or whose headers cannot be read, and says so once', async () => {
    const { url } = await start();
    const { onStatus, seen } = statuses();
    const connection = open(url, onStatus);
    await connection.whenConnected(5_000);
    const heard: unknown[] = [];
    connection.subscribe('question', (message) => {
      heard.push([message.wantsAnswer, message.respond(bytes('answer')), message.header('traceparent')]);
    });
    await connection.flush(1_000);
    const [host = '', port] = url.split(':');
    const stray = connect(Number(port), host);
    const header = 'NATS/1.0\r\nno such\u0001name: 1\r\n\r\n';
    const login = JSON.stringify({ auth_token: testToken, headers: true, verbose: false });
    const hpub = `HPUB question ${header.length} ${header.length + 2}\r\n${header}hi\r\n`;
    stray.end(`CONNECT ${login}\r\nPUB question 2\r\nhi\r\n${hpub}PUB question 2\r\nhi\r\nPING\r\n`);
    await once(stray.resume(), 'close');
    expect(await connection.flush(1_000)).toBe('flushed');
    const passedOver = [false, 'disconnected', undefined];
    expect(heard).toEqual([passedOver, passedOver, passedOver]);
    expect(seen.filter(({ kind }) => kind === 'unanswerable')).toEqual([
      { kind: 'unanswerable', subject: 'question', suppressed: 0 },
    ]);
    const answered = await connection.request('question', bytes(''), 1_000);
    expect(answered.kind === 'reply' && text(answered.data)).toBe('answer');
  });

  test('refuses everything while there is no server, and connects by itself once there is', async () => {
    const first = await start();
    await first.servers.stop();
    const { onStatus, until } = statuses();
    const connection = open(first.url, onStatus);
    expect(connection.publish('a', bytes(''))).toBe('disconnected');
    expect(await connection.request('a', bytes(''), 50)).toEqual({ kind: 'disconnected' });
    expect(await connection.flush(50)).toBe('disconnected');
    expect(await connection.whenConnected(10)).toBe(false);
    expect((await until('connect-failed')).kind).toBe('connect-failed');
    await start(first.servers.ports);
    expect(await connection.whenConnected(5_000)).toBe(true);
  });

  test('refuses to publish once the server is gone, and hears its subjects again after it came back', async () => {
    const first = await start();
    const { onStatus, until } = statuses();
    const connection = open(first.url, onStatus);
    await connection.whenConnected(5_000);
    const heard = Promise.withResolvers<string>();
    connection.subscribe('news', (message) => heard.resolve(text(message.data)));
    await first.servers.stop();
    await until('disconnected');
    expect(connection.connected).toBe(false);
    expect(connection.publish('news', bytes('lost'))).toBe('disconnected');
    await start(first.servers.ports);
    expect(await connection.whenConnected(5_000)).toBe(true);
    expect(connection.publish('news', bytes('found'))).toBe('sent');
    expect(await heard.promise).toBe('found');
  });

  test('notices a server that freezes, within a few pings', async () => {
    const { servers, url } = await start();
    const { onStatus, until } = statuses();
    const connection = open(url, onStatus);
    await connection.whenConnected(5_000);
    servers.servers[0]?.process.kill('SIGSTOP');
    await until('disconnected');
    expect(connection.publish('a', bytes(''))).toBe('disconnected');
  });

  test('reports a refused token and keeps trying', async () => {
    const { url } = await start();
    const { onStatus, seen } = statuses();
    const connection = open(url, onStatus, 'wrong');
    expect(await connection.whenConnected(1_000)).toBe(false);
    const refusals = seen.filter((status) => status.kind === 'connect-failed');
    expect(refusals.length).toBeGreaterThan(1);
    expect(JSON.stringify(refusals)).not.toContain('wrong');
  });

  test('delivers nothing after unsubscribe and refuses everything after close', async () => {
    const { url } = await start();
    const connection = open(url);
    await connection.whenConnected(5_000);
    let heard = 0;
    const unsubscribe = connection.subscribe('a', () => {
      heard += 1;
    });
    connection.publish('a', bytes(''));
    await connection.flush(1_000);
    unsubscribe();
    connection.publish('a', bytes(''));
    await connection.flush(1_000);
    expect(heard).toBe(1);
    await connection.close();
    await connection.close();
    expect(connection.publish('a', bytes(''))).toBe('disconnected');
    expect(await connection.whenConnected(10)).toBe(false);
  });
});
