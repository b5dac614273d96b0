/** The endpoints of a region by real sockets, before gateways that say what they are told to say. */
import { createServer as createHttpServer, type Server as HttpServer } from 'node:http';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { afterEach, expect, test } from 'vitest';
import { endpointConfigSchema } from '../../../regions/endpoint/config.ts';
import { Endpoint } from '../../../regions/endpoint/endpoint.ts';
import { createLogger } from '../../../telemetry/index.ts';
import { eventually } from '../../storage/region-harness.ts';

const closers: (() => Promise<unknown> | unknown)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

const portOf = (server: HttpServer | Server): number => (server.address() as AddressInfo).port;

async function listening<T extends HttpServer | Server>(server: T): Promise<T> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  closers.push(() => new Promise((resolve) => server.close(resolve)));
  return server;
}

/** A gateway: how it is, which others there are, and a port for PostgreSQL clients that says whose it is. */
class Gateway {
  readonly id: string;
  phase = 'reading';
  readonly sockets = new Set<Socket>();
  readonly http: string;
  readonly postgres: string;
  readonly #postgres: Server;

  private constructor(id: string, http: HttpServer, postgres: Server) {
    this.id = id;
    this.http = `127.0.0.1:${portOf(http)}`;
    this.postgres = `127.0.0.1:${portOf(postgres)}`;
    this.#postgres = postgres;
  }

  static async start(id: string, others: () => readonly object[] = () => []): Promise<Gateway> {
    const http = createHttpServer((request, response) => {
      const body =
        request.url === '/readyz'
          ? { ready: true, phase: gateway.phase, epoch: 1 }
          : { epoch: 1, primary: null, writer: null, gateways: others() };
      response.end(JSON.stringify(body));
    });
    const postgres = createServer((socket) => {
      gateway.sockets.add(socket);
      socket.on('error', () => undefined);
      socket.write(id);
    });
    const gateway = new Gateway(id, await listening(http), await listening(postgres));
    closers.push(() => gateway.end());
    return gateway;
  }

  /** As the others are told of it. */
  get heard(): object {
    const [region = '', gateway = ''] = this.id.split('/');
    return { region, gateway, address: this.http, postgres: this.postgres, ready: true };
  }

  /** Takes no more PostgreSQL clients, and lets go of those it has. */
  end(lastWords = ''): void {
    this.#postgres.close();
    for (const socket of this.sockets) socket.end(lastWords);
  }
}

async function endpointOf(gateways: readonly object[]): Promise<readonly number[]> {
  const config = endpointConfigSchema.parse({
    cluster: 'c1',
    secret: 's'.repeat(32),
    region: 'us',
    writer: '127.0.0.1:0',
    reader: '127.0.0.1:0',
    postgres: { writer: '127.0.0.1:0', reader: '127.0.0.1:0' },
    gateways,
    tls: false,
  });
  const log = createLogger({ service: 'test', region: 'us', component: 'endpoint', level: 'silent' });
  const endpoint = await Endpoint.start(config, log);
  closers.push(() => endpoint.close());
  return endpoint.ports;
}

interface Client {
  readonly said: () => string;
  readonly isClosed: () => boolean;
}

function clientOf(port: number | undefined): Client {
  const socket = connect(port ?? 0, '127.0.0.1');
  closers.push(() => socket.destroy());
  let said = '';
  let closed = false;
  socket.setEncoding('utf8').on('data', (text: string) => {
    said += text;
  });
  socket
    .on('error', () => undefined)
    .on('close', () => {
      closed = true;
    });
  return { said: () => said, isClosed: () => closed };
}

/** Who takes a new client; asked until it is that gateway. */
const leadsTo = (port: number | undefined, id: string): Promise<void> =>
  eventually(`a client reaches ${id}`, async () => {
    const client = clientOf(port);
    await eventually('it is taken', () => client.said() !== '' || client.isClosed());
    return client.said() === id;
  });

test('PostgreSQL clients reach the gateway that writes, in another region too, and readers those here', async () => {
  const eu = await Gateway.start('eu/g1');
  const us = await Gateway.start('us/g1', () => [eu.heard]);
  const [, , writer, reader] = await endpointOf([{ gateway: 'g1', address: us.http, postgres: us.postgres }]);
  us.phase = 'writing';
  await leadsTo(writer, 'us/g1');
  us.phase = 'reading';
  eu.phase = 'writing';
  await leadsTo(writer, 'eu/g1');
  await leadsTo(reader, 'us/g1');
});

test('a gateway that takes no PostgreSQL clients is left out, though it writes', async () => {
  const one = await Gateway.start('us/g1');
  const other = await Gateway.start('us/g2');
  one.phase = 'writing';
  const [, , writer] = await endpointOf([
    { gateway: 'g1', address: one.http },
    { gateway: 'g2', address: other.http, postgres: other.postgres },
  ]);
  await leadsTo(writer, 'us/g2');
  expect(one.sockets.size).toBe(0);
});

test('why a gateway lets its client go reaches the client, and its next connection finds another gateway', async () => {
  const one = await Gateway.start('us/g1');
  const other = await Gateway.start('us/g2');
  one.phase = 'writing';
  const [, , writer] = await endpointOf(
    [one, other].map(({ id, http, postgres }) => ({ gateway: id.slice(3), address: http, postgres })),
  );
  await leadsTo(writer, 'us/g1');
  const client = clientOf(writer);
  await eventually('it is taken', () => client.said() === 'us/g1');
  const words = ` 57P01 ${'x'.repeat(300_000)}`;
  one.end(words);
  await eventually('it is told', () => client.isClosed());
  expect(client.said()).toBe(`us/g1${words}`);
  await leadsTo(writer, 'us/g2');
});
