/** The link suite against WebSockets over TCP, and against the simulator's links. */
import { createServer, type Server } from 'node:http';
import type { Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { connectLink } from '../../storage/wire/link.ts';
import type { LinkConnection } from '../../storage/wire/link-connection.ts';
import { LinkServer } from '../../storage/wire/link-server.ts';
import { freePorts } from '../free-ports.ts';
import type { LinkMessage } from '../simulation/deployment/sim-types.ts';
import { type Address, Topology } from '../simulation/deployment/topology.ts';
import { LinksTwin } from '../simulation/ports/links.ts';
import { latency, makeWorld, networkOptions } from '../simulation/testing.ts';
import { type ConnectionId, Network } from '../simulation/twins/network.ts';
import { type LinkFixture, linkConformance } from './links.ts';
import { settleIn } from './virtual-time.ts';
import { Wire } from './wire.ts';

const cluster = 'c1';
const secret = 'correct horse';
const bufferedBytesMax = 1024 * 1024;
const bounds = { pingMs: 20, silencesMax: 5, bufferedBytesMax };

async function startSockets(): Promise<LinkFixture> {
  const [near, far] = await freePorts(2);
  if (near === undefined || far === undefined) throw new Error('two ports were asked for');
  const wire = await Wire.open(near, far);
  const heard: Uint8Array[] = [];
  let newest: LinkConnection | null = null;
  let running: Server | null = null;
  const sockets = new Set<Socket>();
  const peer = {
    heard,
    send: (bytes: Uint8Array) => void newest?.send(bytes),
    stop: async () => {
      const server = running;
      running = null;
      if (server === null) return;
      for (const socket of sockets) socket.destroy();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
    start: async () => {
      const server = createServer();
      running = server;
      server.on('connection', (socket) => {
        sockets.add(socket);
        socket.once('close', () => sockets.delete(socket));
      });
      new LinkServer({
        server,
        cluster,
        secret,
        bounds,
        onLink: (link) => {
          newest = link;
          return { onMessage: (bytes) => heard.push(Uint8Array.from(bytes)), onClose: () => undefined };
        },
      });
      await new Promise<void>((resolve) => server.listen(far, '127.0.0.1', () => resolve()));
    },
  };
  await peer.start();
  const links: { close(): void }[] = [];
  return {
    peer,
    bufferedBytesMax,
    dial: (handlers) => {
      const link = connectLink({
        address: `127.0.0.1:${near}`,
        cluster,
        secret,
        random: () => 0,
        bounds,
        retryMinMs: 10,
        retryMaxMs: 50,
        onRefused: () => undefined,
        ...handlers,
      });
      links.push(link);
      return link;
    },
    cut: () => wire.cut(),
    heal: () => wire.heal(),
    until: async (condition) => {
      while (!condition()) await delay(2);
    },
    rest: () => delay(80),
    stop: async () => {
      for (const link of links) link.close();
      wire.close();
      await peer.stop();
    },
  };
}

linkConformance('WebSockets', startSockets);

const caller: Address = 'us/g1';
const node: Address = 'us/n1';

async function startTwin(): Promise<LinkFixture> {
  const world = makeWorld(3);
  const topology = new Topology(world, latency);
  const network = new Network<LinkMessage>(topology, 'net', {
    ...networkOptions,
    inFlightBytesMax: bufferedBytesMax,
  });
  const links = new LinksTwin({
    dial: (to) => network.dial(caller, to),
    hangUp: (to) => network.hangUp(caller, to),
    send: (to, message, connection) => {
      const on = connection ?? network.connectionTo(caller, to);
      return on === undefined ? 'no-link' : network.send(on, caller, message);
    },
    bufferedBytes: (to) => {
      const on = network.connectionTo(caller, to);
      return on === undefined ? 0 : network.inFlightBytes(on, caller);
    },
  });
  network.attach(caller, {
    onLink: (event) => void links.onLink(event),
    onMessage: (from, message, connection) => links.onMessage(from, message, connection),
  });
  const heard: Uint8Array[] = [];
  let newest: ConnectionId | null = null;
  const peer = {
    heard,
    send: (bytes: Uint8Array) => {
      if (newest !== null) network.send(newest, node, { kind: 'bytes', bytes });
    },
    stop: async () => network.detach(node),
    start: async () =>
      network.attach(node, {
        onLink: (event) => {
          if (event.kind === 'closed') return;
          newest = event.connection;
          network.send(event.connection, node, { kind: 'ready' });
        },
        onMessage: (_from, message) => {
          if (message.kind === 'bytes') heard.push(message.bytes);
        },
      }),
  };
  await peer.start();
  const rules: number[] = [];
  const until = async (condition: () => boolean): Promise<void> => {
    const { promise, resolve } = Promise.withResolvers<void>();
    const look = (): void => {
      if (condition()) resolve();
      else world.schedule(1_000, 'look', look);
    };
    look();
    await settleIn(world, promise);
  };
  return {
    peer,
    bufferedBytesMax,
    dial: (handlers) => links.dial({ address: node, ...handlers }),
    cut: () => {
      for (const [from, to] of [
        [caller, node],
        [node, caller],
      ] as const)
        rules.push(topology.addRule({ from, to, effect: { kind: 'cut' } }));
    },
    heal: () => {
      for (const rule of rules.splice(0)) topology.removeRule(rule);
    },
    until,
    rest: async () => {
      const end = world.nowUs + 5_000_000;
      await until(() => world.nowUs >= end);
    },
    stop: () => Promise.resolve(),
  };
}

linkConformance('the simulator’s', startTwin);
