/** The endpoints of a region by real sockets, before gateways that say what they are told to say. */
import { createServer as createHttpServer, type Server as HttpServer } from 'node:http';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { afterEach, describe, expect, test } from 'vitest';
import { endpointConfigSchema } from '../../../regions/deploy/endpoint-config.ts';
import { Endpoint } from '../../../regions/endpoint/endpoint.ts';
import { serveEndpointHttp } from '../../../regions/endpoint/endpoint-http.ts';
import { endpointObserver } from '../../../regions/endpoint/endpoint-metrics.ts';
import { createLogger, MetricRegistry, metrics } from '../../../telemetry/index.ts';
import { eventually } from '../../storage/region-harness.ts';
import { samplesOf } from '../../telemetry/metrics/exposition.ts';

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
  ready = true;
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
          ? { ready: gateway.ready, phase: gateway.phase, epoch: 1 }
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
  return (await watchedEndpoint(gateways)).endpoint.ports;
}

async function watchedEndpoint(
  gateways: readonly object[],
  waitMs?: number,
): Promise<{ endpoint: Endpoint; registry: MetricRegistry }> {
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
  const registry = new MetricRegistry({ process: 'endpoint' }, metrics.droppedSeries);
  const observer = endpointObserver(registry, ['http', 'postgres']);
  const endpoint = await Endpoint.start(config, log, observer, waitMs);
  observer.watch(() => endpoint);
  closers.push(() => endpoint.close());
  return { endpoint, registry };
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

describe('what an endpoint tells', () => {
  /** Samples by name and labels, without those that every series has. */
  async function scraped(port: number): Promise<ReadonlyMap<string, number>> {
    const text = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
    const samples = samplesOf(text).map(({ name, labels, value }) => {
      const { process: _, ...own } = labels;
      return [`${name} ${Object.values(own).join(' ')}`.trim(), value] as const;
    });
    return new Map(samples);
  }

  async function watched(gateways: readonly object[], waitMs?: number) {
    const { endpoint, registry } = await watchedEndpoint(gateways, waitMs);
    const log = createLogger({ service: 'test', region: 'us', component: 'endpoint', level: 'silent' });
    const server = await serveEndpointHttp('127.0.0.1:0', {
      registry,
      gateways: () => endpoint.gateways,
      credentials: undefined,
      log,
    });
    closers.push(() => new Promise((resolve) => server.close(resolve)));
    return { endpoint, port: portOf(server) };
  }

  test('are its connections by port, what became of others, and how it sees each gateway', async () => {
    const one = await Gateway.start('us/g1');
    const dead = await Gateway.start('us/g2');
    one.phase = 'writing';
    dead.end();
    const { endpoint, port } = await watched(
      [one, dead].map(({ id, http, postgres }) => ({ gateway: id.slice(3), address: http, postgres })),
    );
    const [, , writer, reader] = endpoint.ports;
    await leadsTo(writer, 'us/g1');
    // Of two that read the one that nobody has comes first, and refuses.
    await leadsTo(reader, 'us/g1');
    const samples = await scraped(port);
    expect(samples.get('sextant_endpoint_handed_over_total writer postgres')).toBeGreaterThan(0);
    expect(samples.get('sextant_endpoint_connections writer postgres')).toBeGreaterThan(0);
    expect(samples.get('sextant_endpoint_connections writer http')).toBe(0);
    expect(samples.get('sextant_endpoint_wait_seconds_count writer postgres')).toBeGreaterThan(0);
    expect(samples.get('sextant_endpoint_dials_failed_total us/g2')).toBeGreaterThan(0);
    expect(samples.get('sextant_endpoint_refused_total reader postgres no_gateway')).toBe(0);
    expect(samples.get('sextant_endpoint_gateways writing')).toBe(1);
    expect(samples.get('sextant_endpoint_gateway_answers us/g1')).toBe(1);
    expect(samples.get('sextant_endpoint_gateway_connections us/g1')).toBeGreaterThan(0);
  });

  test('is that it is ready while a gateway serves, and else how each of them is', async () => {
    const one = await Gateway.start('us/g1');
    const { port } = await watched([{ gateway: 'g1', address: one.http, postgres: one.postgres }]);
    const ready = () => fetch(`http://127.0.0.1:${port}/readyz`);
    await eventually('it is ready', async () => (await ready()).status === 200);
    one.ready = false;
    await eventually('it is not ready', async () => (await ready()).status === 503);
    expect(await (await ready()).json()).toEqual({
      ready: false,
      reason: 'no gateway serves: us/g1 is not ready',
    });
    expect((await fetch(`http://127.0.0.1:${port}/v2/pipeline`)).status).toBe(404);
    expect((await fetch(`http://127.0.0.1:${port}/readyz`, { method: 'POST' })).status).toBe(405);
  });

  test('a connection that no gateway takes is counted as refused', async () => {
    const dead = await Gateway.start('us/g1');
    dead.end();
    const { endpoint, port } = await watched(
      [{ gateway: 'g1', address: dead.http, postgres: dead.postgres }],
      200,
    );
    const client = clientOf(endpoint.ports[2]);
    await eventually('it is let go', () => client.isClosed());
    const samples = await scraped(port);
    expect(samples.get('sextant_endpoint_refused_total writer postgres no_gateway')).toBe(1);
  });
});
