import { describe, expect, it } from 'vitest';
import type { Address } from '../deployment/topology.ts';
import { makeTopology, networkOptions } from '../testing.ts';
import { type LinkEvent, Network } from './network.ts';

type Seen = { readonly links: LinkEvent[]; readonly messages: number[]; connection: number };

const writer: Address = 'us-east-1/g1';
const node: Address = 'eu-west-1/n1';

const setUp = (seed: number, overrides: Partial<typeof networkOptions> = {}) => {
  const topology = makeTopology(seed);
  const { world } = topology;
  const network = new Network<{ readonly n: number }>(topology, 'net', { ...networkOptions, ...overrides });
  const listen = (address: Address): Seen => {
    const seen: Seen = { links: [], messages: [], connection: 0 };
    network.attach(address, {
      onLink: (event) => {
        seen.links.push(event);
        if (event.kind === 'open') seen.connection = event.connection;
      },
      onMessage: (_from, message) => seen.messages.push(message.n),
    });
    return seen;
  };
  return { topology, world, network, listen, left: listen(writer), right: listen(node) };
};

const connect = (seed: number, overrides: Partial<typeof networkOptions> = {}) => {
  const made = setUp(seed, overrides);
  made.network.dial(writer, node);
  made.world.runUntil(() => made.left.connection > 0, 1_000_000);
  return made;
};

const range = (from: number, to: number): number[] =>
  Array.from({ length: to - from }, (_, index) => from + index);

describe('network', () => {
  it('opens at both ends and delivers a stream in order, whatever the delays drawn', () => {
    const { world, network, left, right } = connect(1);
    for (const n of range(0, 200)) expect(network.send(left.connection, writer, { n })).toBe('sent');
    world.runFor(1_000_000);
    expect(right.messages).toEqual(range(0, 200));
    expect(left.links).toEqual([{ kind: 'open', peer: node, connection: 1, dialled: true }]);
    expect(right.links).toEqual([{ kind: 'open', peer: writer, connection: 1, dialled: false }]);
    expect(network.stats.bytes).toBeGreaterThan(200);
    expect(network.inFlightBytes(left.connection, writer)).toBe(0);
  });

  it('delivers a prefix of what was in flight on a break, tells both ends, and reconnects under a new number', () => {
    const prefixes = new Set<number>();
    for (let seed = 0; seed < 30; seed += 1) {
      const { world, network, left, right } = connect(seed);
      for (const n of range(0, 20)) network.send(left.connection, writer, { n });
      network.break(left.connection);
      world.runFor(1_000_000);
      expect(right.messages).toEqual(range(0, right.messages.length));
      prefixes.add(right.messages.length);
      expect(network.stats.lost).toBe(20 - right.messages.length);
      for (const end of [left, right]) {
        expect(end.links).toHaveLength(3);
        expect(end.links).toContainEqual(expect.objectContaining({ kind: 'closed', connection: 1 }));
        expect(end.links).toContainEqual(expect.objectContaining({ kind: 'open', connection: 2 }));
      }
    }
    expect(prefixes.size).toBeGreaterThan(5);
  });

  it('takes sends on a broken link as long as the sender has not noticed, and loses them', () => {
    const { world, network, left, right } = connect(3);
    network.break(1);
    expect(network.send(1, writer, { n: 1 })).toBe('sent');
    world.runUntil(() => left.links.some((event) => event.kind === 'closed'), 1_000_000);
    expect(network.send(1, writer, { n: 2 })).toBe('no-link');
    world.runFor(1_000_000);
    expect(right.messages).toEqual([]);
  });

  it('holds messages over a short cut and a clog, and delivers them in order afterwards', () => {
    for (const kind of ['cut', 'clog'] as const) {
      const { topology, world, network, left, right } = connect(4);
      const rule = topology.addRule({ from: 'us-east-1', to: 'eu-west-1', effect: { kind } });
      for (const n of range(0, 10)) network.send(left.connection, writer, { n });
      world.runFor(500_000);
      expect(right.messages).toEqual([]);
      topology.removeRule(rule);
      world.runFor(500_000);
      expect(right.messages).toEqual(range(0, 10));
      expect(network.stats.breaks).toBe(0);
    }
  });

  it('breaks what a long cut crosses, even a one-way cut, never opens through it, and reconnects after healing', () => {
    const { topology, world, network, left, right } = connect(5);
    topology.addRule({ from: 'eu-west-1', to: '*', effect: { kind: 'cut' } });
    world.runFor(2_500_000);
    expect(network.stats.breaks).toBe(1);
    expect(network.openLinks()).toEqual([]);
    expect(left.links.at(-1)?.kind).toBe('closed');
    expect(right.links.at(-1)?.kind).toBe('closed');
    topology.heal();
    world.runFor(500_000);
    expect(network.openLinks()).toHaveLength(1);
  });

  it('does not break on a long clog', () => {
    const { topology, world, network } = connect(5);
    topology.addRule({ from: '*', to: '*', effect: { kind: 'clog' } });
    world.runFor(5_000_000);
    expect(network.stats.breaks).toBe(0);
  });

  it('isolates a region from the others and not from itself', () => {
    const { topology } = setUp(6);
    topology.isolate('us-east-1');
    expect(topology.blockage(writer, node)).toBe('cut');
    expect(topology.blockage(node, writer)).toBe('cut');
    expect(topology.blockage(writer, 'us-east-1/n1#bus')).toBe('open');
    expect(topology.blockage(node, 'ap-northeast-1/n1')).toBe('open');
  });

  it('selects processes with their further endpoints, and availability zones', () => {
    const { topology } = setUp(6);
    topology.place('us-east-1/n3', 'az2');
    topology.addRule({ from: 'us-east-1@az2', to: writer, effect: { kind: 'cut' } });
    expect(topology.blockage('us-east-1/n3', 'us-east-1/g1#bus')).toBe('cut');
    expect(topology.blockage('us-east-1/n4', writer)).toBe('open');
    expect(topology.blockage('us-east-1/n3', 'us-east-1/g10')).toBe('open');
  });

  it('delivers nothing of a former life to a restarted process, and redials it', () => {
    const { world, network, listen, left, right } = connect(7);
    network.send(left.connection, writer, { n: 1 });
    network.detach(node);
    const reborn = listen(node);
    world.runUntil(() => reborn.links.length > 0, 1_000_000);
    expect(reborn.links[0]).toMatchObject({ kind: 'open', connection: 2 });
    world.runFor(1_000_000);
    expect([...right.messages, ...reborn.messages]).toEqual([]);
  });

  it('stops redialling after hanging up', () => {
    const { world, network, left } = connect(8);
    network.hangUp(writer, node);
    world.runFor(1_000_000);
    expect(left.links.map((event) => event.kind)).toEqual(['open', 'closed']);
    expect(network.openLinks()).toEqual([]);
  });

  it('bounds what is in flight and takes more once it was delivered', () => {
    const { world, network, left } = connect(9, { inFlightBytesMax: 30 });
    const results = range(0, 10).map((n) => network.send(left.connection, writer, { n }));
    expect(results).toContain('full');
    expect(results[0]).toBe('sent');
    world.runFor(1_000_000);
    expect(network.send(left.connection, writer, { n: 11 })).toBe('sent');
  });

  it('takes no message that no buffer holds: it would be refused for ever', () => {
    const { network, left } = connect(9, { inFlightBytesMax: 3 });
    expect(() => network.send(left.connection, writer, { n: 1 })).toThrow('can never be sent');
  });

  it('takes time for bytes when the line is narrow', () => {
    const { world, network, left, right } = connect(10, { bytesPerMs: 1 });
    const startUs = world.nowUs;
    for (const n of range(0, 50)) network.send(left.connection, writer, { n });
    world.runUntil(() => right.messages.length === 50, 10_000_000);
    expect(world.nowUs - startUs).toBeGreaterThanOrEqual(network.stats.bytes * 1000);
  });

  it('loses, doubles and reorders datagrams', () => {
    const made = setUp(11, { lossPerMille: 200, duplicatePerMille: 200 });
    made.network.dial(writer, node, 'datagram');
    made.world.runUntil(() => made.left.connection > 0, 1_000_000);
    for (const n of range(0, 300)) made.network.send(made.left.connection, writer, { n });
    made.world.runFor(1_000_000);
    const { messages } = made.right;
    const distinct = new Set(messages);
    expect(distinct.size).toBeLessThan(300);
    expect(messages.length).toBeGreaterThan(distinct.size);
    expect(messages).not.toEqual([...messages].sort((a, b) => a - b));
  });

  it('finds out a sender that changes a message in flight', () => {
    const { world, network, left } = connect(12);
    const message = { n: 1 };
    network.send(left.connection, writer, message);
    message.n = 2;
    expect(() => world.runFor(1_000_000)).toThrow('was changed after it was sent');
  });
});
