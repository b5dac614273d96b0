import { describe, expect, it } from 'vitest';
import type { Timer } from '../../../storage/process/runtime.ts';
import type { Address } from '../deployment/topology.ts';
import { makeTopology, networkOptions } from '../testing.ts';
import { Bus, type BusClient } from '../twins/bus.ts';
import { NatsTwins } from './nats.ts';

const bytes = (text: string): Uint8Array => Buffer.from(text);
const secondUs = 1_000_000;

const setUp = () => {
  const topology = makeTopology(1);
  const bus = new Bus<Uint8Array>(topology, ['eu', 'us'], {
    network: networkOptions,
    reconnectBufferBytes: 10_000,
  });
  const process = (address: Address): NatsTwins => {
    const connectBus = (name: string): BusClient<Uint8Array> =>
      bus.connect(address, name, {
        isFrozen: () => false,
        inProcess: (_what, run) => run(),
        onMessage: (message) => twins.arrived(name, message),
        onStatus: () => undefined,
      });
    const after = (delayMs: number, run: () => void): Timer => {
      let stopped = false;
      topology.world.schedule(delayMs * 1_000, 'timer', () => {
        if (!stopped) run();
      });
      return {
        stop: () => {
          stopped = true;
        },
      };
    };
    const twins: NatsTwins = new NatsTwins({ connectBus, address, incarnation: 1 }, { after });
    return twins;
  };
  const here = process('us/agent');
  const there = process('eu/agent');
  return { world: topology.world, bus, here, there };
};

describe('a NATS connection', () => {
  it('hands each message to the subscriptions that want it, for as long as they do', () => {
    const { world, here, there } = setUp();
    const [from, to] = [here.open('main'), there.open('main')];
    const got: string[] = [];
    const stop = to.subscribe('a.*', ({ subject, data }) => got.push(`${subject} ${Buffer.from(data)}`));
    to.subscribe('b', () => got.push('b'));
    world.runFor(secondUs);
    expect(from.publish('a.x', bytes('one'))).toBe('sent');
    expect(from.publish('b', bytes(''))).toBe('sent');
    world.runFor(secondUs);
    stop();
    from.publish('a.x', bytes('two'));
    world.runFor(secondUs);
    expect(got).toEqual(['a.x one', 'b']);
  });

  it('answers a request once, and says when nobody did in time', async () => {
    const { world, here, there } = setUp();
    const [from, to] = [here.open('main'), there.open('main')];
    to.subscribe('ask', (message) => {
      message.respond(bytes('one'));
      message.respond(bytes('two'));
    });
    world.runFor(secondUs);
    const answered = from.request('ask', bytes(''), 500);
    const silent = from.request('nobody', bytes(''), 500);
    world.runFor(secondUs);
    const reply = await answered;
    expect(reply.kind === 'reply' ? Buffer.from(reply.data).toString() : reply.kind).toBe('one');
    expect(await silent).toEqual({ kind: 'timeout' });
  });

  it('refuses what is published before it is connected, while it is not, and what the server would not take', () => {
    const { world, bus, here } = setUp();
    const connection = here.open('main');
    expect(connection.publish('a', bytes('x'))).toBe('disconnected');
    world.runFor(secondUs);
    expect(connection.publish('a', new Uint8Array(connection.maxPayloadBytes + 1))).toBe('too-large');
    bus.crashServer('us');
    world.runFor(secondUs);
    expect(connection.connected).toBe(false);
    expect(connection.publish('a', bytes('x'))).toBe('disconnected');
  });

  it('is over when it is closed, and another of the same purpose is not', async () => {
    const { world, here, there } = setUp();
    const old = there.open('ship');
    const got: string[] = [];
    old.subscribe('a', () => got.push('old'));
    world.runFor(secondUs);
    await old.close();
    there.open('ship').subscribe('a', () => got.push('new'));
    const from = here.open('main');
    world.runFor(secondUs);
    from.publish('a', bytes('x'));
    world.runFor(secondUs);
    expect(got).toEqual(['new']);
    expect(old.publish('a', bytes('x'))).toBe('disconnected');
  });
});
