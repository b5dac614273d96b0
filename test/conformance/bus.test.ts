/** The bus suite against two real NATS servers, and against the simulator's. */
import { setTimeout as delay } from 'node:timers/promises';
import { openNatsConnection } from '../../regions/bus/nats-connection.ts';
import type { Timer } from '../../storage/process/runtime.ts';
import { freePorts } from '../free-ports.ts';
import type { RuleId } from '../simulation/deployment/topology.ts';
import { type NatsPart, NatsTwins } from '../simulation/ports/nats.ts';
import { makeTopology, networkOptions } from '../simulation/testing.ts';
import { Bus, type BusClient, serverAddress } from '../simulation/twins/bus.ts';
import { type BusFixture, busConformance } from './bus.ts';
import { startNatsServers, type TestServers, testToken } from './control-store-servers.ts';
import { settleIn } from './virtual-time.ts';
import { Wire } from './wire.ts';

const portOf = (url: string): number => Number(url.split(':').at(-1));

async function startServers(): Promise<BusFixture> {
  let running: TestServers = await startNatsServers(2);
  const ports = running.ports;
  const connections: NatsPart[] = [];
  const wires = new Map<NatsPart, Wire>();
  // Each connection has a wire of its own, which is there before it is asked for.
  const spare: Wire[][] = [[], []];
  for (const [at, { url }] of running.servers.entries())
    for (const port of await freePorts(3)) spare[at]?.push(await Wire.open(port, portOf(url)));
  return {
    open: (server) => {
      const wire = spare[server]?.pop();
      if (wire === undefined) throw new Error('a test opens at most three connections at a server');
      const connection = openNatsConnection({
        servers: [`127.0.0.1:${wire.port}`],
        token: testToken,
        name: `client ${connections.length}`,
      });
      connections.push(connection);
      wires.set(connection, wire);
      return connection;
    },
    stopServers: () => running.stop(),
    startServers: async () => {
      running = await startNatsServers(2, ports);
    },
    clog: (connection) => wires.get(connection)?.cut(),
    unclog: (connection) => wires.get(connection)?.heal(),
    // What the kernel takes for a socket, and what the server keeps for a second.
    floodBytes: 24_000_000,
    until: async (condition) => {
      while (!condition()) await delay(2);
    },
    rest: () => delay(60),
    settle: (done) => done,
    stop: async () => {
      await Promise.all(connections.map((connection) => connection.close()));
      for (const wire of [...wires.values(), ...spare.flat()]) wire.close();
      await running.stop();
    },
  };
}

busConformance('two NATS servers', startServers);

const regions = ['eu', 'us'] as const;

async function startTwin(): Promise<BusFixture> {
  const topology = makeTopology(1);
  const { world } = topology;
  const bus = new Bus<Uint8Array>(topology, regions, {
    network: { ...networkOptions, inFlightBytesMax: 4_000_000 },
    reconnectBufferBytes: 10_000,
  });
  const addresses = new Map<NatsPart, string>();
  const rules = new Map<NatsPart, RuleId>();
  let opened = 0;
  const after = (delayMs: number, run: () => void): Timer => {
    const timer = world.schedule(delayMs * 1_000, 'timer', run);
    return { stop: () => void world.cancel(timer) };
  };
  const until = async (condition: () => boolean): Promise<void> => {
    const { promise, resolve } = Promise.withResolvers<void>();
    const look = (): void => {
      if (condition()) resolve();
      else world.schedule(10_000, 'look', look);
    };
    look();
    await settleIn(world, promise);
  };
  return {
    open: (server) => {
      opened += 1;
      const address = `${regions[server]}/p${opened}` as const;
      const connectBus = (name: string): BusClient<Uint8Array> =>
        bus.connect(address, name, {
          isFrozen: () => false,
          inProcess: (_what, run) => run(),
          onMessage: (message) => twins.arrived(name, message),
          onNobody: (reply) => twins.nobody(name, reply),
          onStatus: () => undefined,
        });
      const twins: NatsTwins = new NatsTwins({ connectBus, address, incarnation: 1 }, { after });
      const connection = twins.open('main');
      addresses.set(connection, address);
      return connection;
    },
    stopServers: async () => {
      for (const region of regions) bus.crashServer(region);
    },
    startServers: async () => {
      for (const region of regions) bus.startServer(region);
    },
    clog: (connection) => {
      const to = addresses.get(connection) ?? '';
      const from = serverAddress(to.split('/')[0] ?? '');
      rules.set(connection, topology.addRule({ from, to, effect: { kind: 'clog' } }));
    },
    unclog: (connection) => {
      const rule = rules.get(connection);
      if (rule !== undefined) topology.removeRule(rule);
    },
    floodBytes: 8_000_000,
    until,
    rest: async () => {
      const end = world.nowUs + 1_000_000;
      await until(() => world.nowUs >= end);
    },
    settle: (done) => settleIn(world, done),
    stop: () => Promise.resolve(),
  };
}

busConformance('the simulator’s', startTwin);
