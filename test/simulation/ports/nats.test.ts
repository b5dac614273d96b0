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
  return { world: topology.world, here, there };
};

/** What all NATS connections promise is in `test/conformance/bus.ts`. */
describe('a NATS connection of a process', () => {
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
