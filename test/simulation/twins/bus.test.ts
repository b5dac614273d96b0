import { describe, expect, it } from 'vitest';
import { isPattern, isSubject, matchesSubject } from '../deployment/subjects.ts';
import type { Address } from '../deployment/topology.ts';
import { makeTopology, networkOptions } from '../testing.ts';
import { Bus, type BusClient, type BusMessage } from './bus.ts';

const regions = ['ap-northeast-1', 'eu-west-1', 'us-east-1'];

const setUp = (seed: number) => {
  const topology = makeTopology(seed);
  const { world } = topology;
  const bus = new Bus<number>(topology, regions, { network: networkOptions, reconnectBufferBytes: 500 });
  const join = (
    address: Address,
  ): { client: BusClient<number>; got: BusMessage<number>[]; statuses: string[] } => {
    const got: BusMessage<number>[] = [];
    const statuses: string[] = [];
    const client = bus.connect(address, 'bus', {
      isFrozen: () => false,
      inProcess: (_what, run) => run(),
      onMessage: (message) => got.push(message),
      onStatus: (status) => statuses.push(status),
    });
    return { client, got, statuses };
  };
  const publisher = join('us-east-1/agent');
  const subscriber = join('eu-west-1/agent');
  const subscription = subscriber.client.subscribe('sextant.c.ship.*');
  world.runFor(1_000_000);
  return { topology, world, bus, join, publisher, subscriber, subscription };
};

const payloads = (got: readonly BusMessage<number>[]): number[] => got.map((message) => message.payload);
const ascending = (numbers: readonly number[]): number[] => [...numbers].sort((a, b) => a - b);

describe('bus', () => {
  it('carries a publication once to each matching subscription, in its own and in other regions', () => {
    const { world, join, publisher, subscriber, subscription } = setUp(1);
    const local = join('us-east-1/g1');
    local.client.subscribe('sextant.>');
    local.client.subscribe('sextant.c.ship.eu-west-1');
    local.client.subscribe('other');
    world.runFor(1_000_000);
    expect(publisher.client.publish('sextant.c.ship.eu-west-1', 7, 'inbox.1')).toBe('sent');
    world.runFor(1_000_000);
    expect(subscriber.got).toEqual([
      { subject: 'sextant.c.ship.eu-west-1', payload: 7, reply: 'inbox.1', subscription },
    ]);
    expect(payloads(local.got)).toEqual([7, 7]);
    expect(publisher.got).toEqual([]);
  });

  it('keeps the order of one publisher, and never doubles, over broken connections; what is in flight may be lost', () => {
    let lost = 0;
    for (let seed = 0; seed < 20; seed += 1) {
      const { world, bus, publisher, subscriber } = setUp(seed);
      for (let n = 0; n < 60; n += 1) {
        publisher.client.publish('sextant.c.ship.x', n);
        if (n === 20) bus.breakLinks('eu-west-1/nats');
        if (n === 40) bus.breakLinks('us-east-1/agent');
        world.runFor(10_000);
      }
      world.runFor(2_000_000);
      const got = payloads(subscriber.got);
      expect(got).toEqual(ascending(got));
      expect(new Set(got).size).toBe(got.length);
      expect(got).toContain(59);
      lost += 60 - got.length;
    }
    expect(lost).toBeGreaterThan(20);
  });

  it('sends what a disconnected client published late, after reconnecting, up to the bound of its buffer', () => {
    const { world, bus, publisher, subscriber } = setUp(2);
    bus.crashServer('us-east-1');
    world.runUntil(() => !publisher.client.connected, 5_000_000);
    const results = Array.from({ length: 30 }, (_, n) => publisher.client.publish('sextant.c.ship.x', n));
    const kept = results.filter((result) => result === 'buffered').length;
    expect(kept).toBeGreaterThan(0);
    expect(results.at(-1)).toBe('dropped');
    bus.startServer('us-east-1');
    world.runFor(3_000_000);
    expect(publisher.statuses).toEqual(['connected', 'disconnected', 'connected']);
    const got = payloads(subscriber.got);
    // The publisher may be back before the route is; then what it kept is lost on the other side of it.
    expect(got).toEqual(Array.from({ length: kept }, (_, n) => n).slice(kept - got.length));
  });

  it('loses what passes while a region is isolated, and works again after healing', () => {
    const { topology, world, publisher, subscriber } = setUp(3);
    topology.isolate('eu-west-1');
    world.runFor(3_000_000);
    for (let n = 0; n < 5; n += 1) publisher.client.publish('sextant.c.ship.x', n);
    world.runFor(1_000_000);
    topology.heal();
    world.runFor(2_000_000);
    publisher.client.publish('sextant.c.ship.x', 99);
    world.runFor(1_000_000);
    expect(payloads(subscriber.got)).toEqual([99]);
  });

  it('subscribes again after the server was restarted', () => {
    const { world, bus, publisher, subscriber } = setUp(4);
    bus.crashServer('eu-west-1');
    world.runFor(500_000);
    bus.startServer('eu-west-1');
    world.runFor(2_000_000);
    publisher.client.publish('sextant.c.ship.x', 5);
    world.runFor(1_000_000);
    expect(payloads(subscriber.got)).toEqual([5]);
  });

  it('delivers nothing after unsubscribing, though another subscriber keeps the interest alive', () => {
    const { world, join, publisher, subscriber, subscription } = setUp(5);
    const other = join('eu-west-1/g1');
    other.client.subscribe('sextant.c.ship.*');
    world.runFor(1_000_000);
    subscriber.client.unsubscribe(subscription);
    world.runFor(1_000_000);
    publisher.client.publish('sextant.c.ship.x', 1);
    world.runFor(1_000_000);
    expect(subscriber.got).toEqual([]);
    expect(payloads(other.got)).toEqual([1]);
  });
});

describe('subjects', () => {
  it('match by token', () => {
    const table: [string, string, boolean][] = [
      ['a.b', 'a.b', true],
      ['a.b', 'a.b.c', false],
      ['a.*', 'a.b', true],
      ['a.*', 'a', false],
      ['a.*', 'a.b.c', false],
      ['*.b', 'a.b', true],
      ['a.>', 'a.b.c', true],
      ['a.>', 'a', false],
      ['>', 'a', true],
      ['a.b', 'a.c', false],
    ];
    for (const [pattern, subject, expected] of table) {
      expect([pattern, subject, matchesSubject(pattern, subject)]).toEqual([pattern, subject, expected]);
    }
    expect(isSubject('a.*')).toBe(false);
    expect(isSubject('a..b')).toBe(false);
    expect(isPattern('a.>.b')).toBe(false);
    expect(isPattern('a.*.>')).toBe(true);
  });
});
