/** What every NATS connection has to do, whoever implements it. Run by `bus.test.ts` against each. */
import { afterEach, describe, expect, test } from 'vitest';
import type { NatsPart } from '../simulation/ports/nats.ts';

export interface BusFixture {
  /** A connection of a process of its own to one of two servers that have a route between them. */
  open(server: 0 | 1): NatsPart;
  /** Both servers are gone at once, and there again with nothing remembered. */
  stopServers(): Promise<void>;
  startServers(): Promise<void>;
  /** From now on nothing of what its server sends reaches this connection. */
  clog(connection: NatsPart): void;
  unclog(connection: NatsPart): void;
  /** Bytes that certainly are too many to wait for one that takes none. */
  readonly floodBytes: number;
  until(condition: () => boolean): Promise<void>;
  /** Lets a time pass in which everything under way arrives, interest in subjects too. */
  rest(): Promise<void>;
  /** Lets time pass until `done` is settled. */
  settle<T>(done: Promise<T>): Promise<T>;
  stop(): Promise<void>;
}

const bytes = (text: string): Uint8Array => Buffer.from(text);
const text = (data: Uint8Array): string => Buffer.from(data).toString();

export function busConformance(name: string, start: () => Promise<BusFixture>): void {
  describe(`bus: ${name}`, { timeout: 30_000 }, () => {
    let fixture: BusFixture | null = null;
    afterEach(async () => {
      await fixture?.stop();
      fixture = null;
    });

    /** A connection at each server. */
    const setUp = async () => {
      const bus = await start();
      fixture = bus;
      const [here, there] = [bus.open(0), bus.open(1)];
      await bus.until(() => here.connected && there.connected);
      // The route, too.
      let isRouted = false;
      const stop = there.subscribe('route', () => {
        isRouted = true;
      });
      while (!isRouted) {
        here.publish('route', bytes(''));
        await bus.rest();
      }
      stop();
      return { ...bus, bus, here, there };
    };

    test('a message goes to each subscription whose pattern it meets, at every server, and to no other', async () => {
      const { here, there, rest, until } = await setUp();
      const heard: string[] = [];
      const patterns = ['a.b', 'a.*', 'a.>', '*.b', 'a', 'a.*.c', '>'];
      for (const pattern of patterns)
        there.subscribe(pattern, ({ subject, data }) => heard.push(`${pattern}: ${subject} ${text(data)}`));
      here.subscribe('a.*', ({ subject }) => heard.push(`own: ${subject}`));
      await rest();
      expect(here.publish('a.b', bytes('1'))).toBe('sent');
      expect(here.publish('a.b.c', bytes('2'))).toBe('sent');
      expect(here.publish('a', bytes('3'))).toBe('sent');
      await until(() => heard.includes('a: a 3') && heard.includes('>: a 3'));
      await rest();
      const expected = [
        'a.b: a.b 1',
        'a.*: a.b 1',
        'a.>: a.b 1',
        '*.b: a.b 1',
        '>: a.b 1',
        'own: a.b',
        'a.*.c: a.b.c 2',
        'a.>: a.b.c 2',
        '>: a.b.c 2',
        'a: a 3',
        '>: a 3',
      ];
      const times = (list: readonly string[]) =>
        Object.fromEntries(list.map((one) => [one, list.filter((other) => other === one).length]));
      expect(times(heard)).toEqual(times(expected));
    });

    test('what one publishes arrives in the order in which it was published, whatever its subject', async () => {
      const { here, there, rest, until } = await setUp();
      const heard: number[] = [];
      there.subscribe('n.>', ({ data }) => heard.push(Number(text(data))));
      await rest();
      const sent = Array.from({ length: 300 }, (_, number) => number);
      for (const number of sent) here.publish(`n.${number % 7}`, bytes(String(number)));
      await until(() => heard.length >= sent.length);
      expect(heard).toEqual(sent);
    });

    test('a request has the first answer that comes, and the others are dropped', async () => {
      const { here, there, rest, settle } = await setUp();
      const asked: boolean[] = [];
      there.subscribe('ask', (message) => {
        asked.push(message.wantsAnswer);
        expect(message.respond(bytes(`re: ${text(message.data)}`))).toBe('sent');
        message.respond(bytes('again'));
      });
      await rest();
      for (const question of ['one', 'two']) {
        const reply = await settle(here.request('ask', bytes(question), 5_000));
        expect(reply.kind === 'reply' && text(reply.data)).toBe(`re: ${question}`);
      }
      expect(asked).toEqual([true, true]);
    });

    test('who asks where nobody listens is told so and need not wait, also when somebody has listened before', async () => {
      const { here, there, rest, settle } = await setUp();
      expect(await settle(here.request('nobody', bytes(''), 600_000))).toEqual({ kind: 'no-responders' });
      const stop = there.subscribe('gone', ({ respond }) => respond(bytes('here')));
      await rest();
      expect((await settle(here.request('gone', bytes(''), 5_000))).kind).toBe('reply');
      stop();
      await rest();
      expect(await settle(here.request('gone', bytes(''), 600_000))).toEqual({ kind: 'no-responders' });
    });

    test('who asks one that does not answer waits for as long as it wanted to', async () => {
      const { here, there, rest, settle } = await setUp();
      there.subscribe('silent', () => undefined);
      await rest();
      expect(await settle(here.request('silent', bytes(''), 50))).toEqual({ kind: 'timeout' });
    });

    test('who asks for many answers hears each of them until it stops, and that nobody listens', async () => {
      const { here, there, rest, until } = await setUp();
      there.subscribe('many', ({ respond }) => {
        for (const word of ['a', 'b', 'c']) respond(bytes(word));
      });
      await rest();
      const heard: string[] = [];
      const ask = (subject: string) =>
        here.requestMany(subject, bytes(''), (reply) =>
          heard.push(reply.kind === 'reply' ? text(reply.data) : reply.kind),
        );
      const many = ask('many');
      await until(() => heard.length === 3);
      if (many.kind === 'sent') many.stop();
      ask('many');
      const nobody = ask('nobody');
      await until(() => heard.length === 7);
      expect([many.kind, nobody.kind]).toEqual(['sent', 'sent']);
      expect(heard.slice(0, 3)).toEqual(['a', 'b', 'c']);
      expect(heard.slice(3).sort()).toEqual(['a', 'b', 'c', 'no-responders']);
    });

    test('a flush is over when the server has what was published before, and refused without a connection', async () => {
      const { here, settle, stopServers, until } = await setUp();
      expect(await settle(here.flush(5_000))).toBe('flushed');
      await stopServers();
      await until(() => !here.connected);
      expect(await settle(here.flush(5_000))).toBe('disconnected');
    });

    test('a message that wants no answer can be given none', async () => {
      const { here, there, rest, until } = await setUp();
      const heard: unknown[] = [];
      there.subscribe('told', ({ wantsAnswer, respond }) => heard.push([wantsAnswer, respond(bytes(''))]));
      await rest();
      here.publish('told', bytes(''));
      await until(() => heard.length > 0);
      expect(heard).toEqual([[false, 'disconnected']]);
    });

    test('the longest message arrives, and one byte more is refused before it is sent', async () => {
      const { here, there, rest, until, settle } = await setUp();
      const heard: number[] = [];
      there.subscribe('large', ({ data }) => heard.push(data.length));
      await rest();
      const most = here.maxPayloadBytes;
      expect(most).toBeGreaterThan(1_000);
      expect(here.publish('large', new Uint8Array(most + 1))).toBe('too-large');
      expect(await settle(here.request('large', new Uint8Array(most + 1), 1_000))).toEqual({
        kind: 'too-large',
      });
      expect(here.publish('large', new Uint8Array(most))).toBe('sent');
      await until(() => heard.length > 0);
      expect(heard).toEqual([most]);
    });

    test('nothing is sent without a server, and nothing throws; a connection is made by itself, and subscriptions stay', async () => {
      const { bus, here, rest, until, settle } = await setUp();
      const heard: string[] = [];
      here.subscribe('news', ({ data }) => heard.push(text(data)));
      await rest();
      await bus.stopServers();
      await until(() => !here.connected);
      expect(here.publish('news', bytes('lost'))).toBe('disconnected');
      expect(await settle(here.request('news', bytes(''), 1_000))).toEqual({ kind: 'disconnected' });
      const late = bus.open(0);
      expect([late.connected, late.maxPayloadBytes, late.publish('news', bytes(''))]).toEqual([
        false,
        0,
        'disconnected',
      ]);
      await bus.startServers();
      await until(() => here.connected && late.connected);
      await rest();
      expect(late.publish('news', bytes('found'))).toBe('sent');
      await until(() => heard.length > 0);
      expect(heard).toEqual(['found']);
    });

    test('a request that is under way when its server dies ends in its own time: it may have been acted on', async () => {
      const { bus, here, there, rest, settle } = await setUp();
      there.subscribe('slow', () => undefined);
      await rest();
      const answer = here.request('slow', bytes(''), 700);
      await rest();
      await bus.stopServers();
      expect(await settle(answer)).toEqual({ kind: 'timeout' });
    });

    test('nothing is heard after an unsubscription or a closing, and what is closed sends nothing', async () => {
      const { here, there, rest, settle, until } = await setUp();
      const heard: string[] = [];
      const stop = there.subscribe('a', () => heard.push('a'));
      there.subscribe('b', () => heard.push('b'));
      await rest();
      stop();
      await rest();
      here.publish('a', bytes(''));
      here.publish('b', bytes(''));
      await until(() => heard.length > 0);
      await rest();
      expect(heard).toEqual(['b']);
      await settle(there.close());
      await settle(there.close());
      here.publish('b', bytes(''));
      await rest();
      expect([heard.length, there.connected, there.publish('b', bytes(''))]).toEqual([
        1,
        false,
        'disconnected',
      ]);
      expect(await settle(there.request('b', bytes(''), 1_000))).toEqual({ kind: 'disconnected' });
    });

    test('who takes too little is cut off and comes back, and everybody else misses nothing', async () => {
      const { bus, here, there, rest, until, clog, unclog, floodBytes } = await setUp();
      const slow = bus.open(1);
      await until(() => slow.connected);
      const [heard, heardSlow]: [number[], string[]] = [[], []];
      there.subscribe('flood', ({ data }) => heard.push(data.length));
      slow.subscribe('flood', () => heardSlow.push('flood'));
      slow.subscribe('after', () => heardSlow.push('after'));
      await rest();
      clog(slow);
      const pieceBytes = 250_000;
      const pieces = Math.ceil(floodBytes / pieceBytes);
      for (let piece = 0; piece < pieces; piece += 1) {
        here.publish('flood', new Uint8Array(pieceBytes));
        await until(() => heard.length === piece + 1);
      }
      await until(() => !slow.connected);
      expect(heard.length).toBe(pieces);
      unclog(slow);
      await until(() => slow.connected);
      await rest();
      here.publish('after', bytes(''));
      await until(() => heardSlow.includes('after'));
      expect(heardSlow.length).toBeLessThan(pieces);
    });
  });
}
