/** PostgreSQL clients behind the endpoints of two regions, while the writer moves and gateways are killed. */
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { portsOf } from '../../../regions/local/layout/core/local-ports.ts';
import { endpointMetrics } from '../../../telemetry/metrics/definitions/endpoint.ts';
import { eventually } from '../../storage/region-harness.ts';
import {
  besideTheTable,
  definitionOf,
  type Sample,
  samplesOf,
  sumOf,
} from '../../telemetry/metrics/exposition.ts';
import { TestDeployment } from '../local-deployment.ts';

const regions = ['us-east-1', 'eu-west-1'] as const;
const [east, europe] = regions;
let deployment: TestDeployment;

beforeAll(async () => {
  deployment = await TestDeployment.start({
    regions,
    flags: ['--engine', 'postgres', '--gateways', '2', '--timeout', '280'],
  });
}, 300_000);
afterAll(() => deployment?.stop(), 60_000);

const ports = (region: string) => portsOf(deployment.basePort, deployment.regions.indexOf(region));
const endpointUrl = (port: number): string => `postgres://somebody@127.0.0.1:${port}/main`;

/** What the endpoint of a region counts. */
async function told(region: string): Promise<readonly Sample[]> {
  const answer = await fetch(`http://127.0.0.1:${ports(region).endpoint}/metrics`);
  return samplesOf(await answer.text());
}

/** `<region>/<gateway>` that the connections of clients lead to. */
const ledTo = (samples: readonly Sample[]): readonly string[] =>
  samples
    .filter(({ name, value }) => name === 'sextant_endpoint_gateway_connections' && value > 0)
    .map(({ labels }) => labels.gateway ?? '');

/** Every gateway answers the endpoint of a region, and one writes. */
const settled = (region: string): Promise<void> =>
  eventually(
    `all gateways serve, as ${region} sees it`,
    async () => {
      const samples = await told(region).catch(() => []);
      const count = (state: string) => sumOf(samples, 'sextant_endpoint_gateways', { state });
      return count('writing') === 1 && count('ready') === 3;
    },
    60_000,
  );

/** Inserts one row after another through an endpoint, and connects again after an error. */
class Inserter {
  readonly acknowledged: number[] = [];
  readonly failures: string[] = [];
  private readonly url: string;
  private readonly firstId: number;
  private stopped = false;
  private readonly over: Promise<void>;

  constructor(url: string, firstId: number) {
    this.url = url;
    this.firstId = firstId;
    this.over = this.run();
  }

  async stop(): Promise<void> {
    this.stopped = true;
    await this.over;
  }

  /** Resolves with so many more rows. */
  goesOn(rows: number): Promise<void> {
    const wanted = this.acknowledged.length + rows;
    return eventually('rows are acknowledged', () => this.acknowledged.length >= wanted, 60_000);
  }

  private async run(): Promise<void> {
    let client: pg.Client | null = null;
    for (let id = this.firstId; !this.stopped; id++) {
      try {
        client ??= await this.connect();
        await client.query('INSERT INTO numbered VALUES ($1)', [id]);
        this.acknowledged.push(id);
      } catch (error) {
        this.failures.push(String(error));
        client = null;
      }
      await sleep(20);
    }
    await client?.end();
  }

  private async connect(): Promise<pg.Client> {
    const client = new pg.Client({ connectionString: this.url });
    client.on('error', () => undefined);
    await client.connect();
    return client;
  }
}

async function query(url: string, sql: string): Promise<pg.QueryResult> {
  const client = new pg.Client({ connectionString: url });
  client.on('error', () => undefined);
  await client.connect();
  try {
    return await client.query(sql);
  } finally {
    await client.end();
  }
}

describe('PostgreSQL clients behind endpoints', { timeout: 180_000 }, () => {
  it('a switchover fails no request, and who connects afterwards is led to the new writer', async () => {
    const writerOf = (region: string) => endpointUrl(ports(region).postgresWriter);
    await settled(east);
    await settled(europe);
    // The first statement makes the database, for which a gateway on a busy machine may be silent for longer than endpoints wait.
    await query(deployment.postgres(east), 'CREATE TABLE numbered (id int PRIMARY KEY)');
    const clients = [
      new Inserter(writerOf(east), 1_000_000),
      new Inserter(writerOf(europe), 2_000_000),
      new Inserter(endpointUrl(ports(europe).postgresReader), 3_000_000),
    ];
    await Promise.all(clients.map((client) => client.goesOn(20)));
    await deployment.run('switchover', '--to', europe);
    await Promise.all(clients.map((client) => client.goesOn(20)));
    const moved = new Inserter(writerOf(east), 4_000_000);
    await settled(east);
    await moved.goesOn(5);
    expect(ledTo(await told(east)).some((gateway) => gateway.startsWith(`${europe}/`))).toBe(true);
    for (const client of [...clients, moved]) {
      await client.stop();
      expect(client.failures).toEqual([]);
    }
    const { rows } = await query(writerOf(east), "SET sextant.read = 'global'; SELECT id FROM numbered").then(
      (results) => (Array.isArray(results) ? results.at(-1) : results),
    );
    const there = new Set(rows.map(({ id }: { id: number }) => id));
    const missing = [...clients, moved].flatMap(({ acknowledged }) =>
      acknowledged.filter((id) => !there.has(id)),
    );
    expect(missing).toEqual([]);
  });

  it('a gateway that is killed costs each of its clients one failure, and the next connection finds another', async () => {
    const writer = endpointUrl(ports(europe).postgresWriter);
    await settled(europe);
    // A gateway counts signs of the writer once its connection to NATS is two seconds old.
    await sleep(2_500);
    const clients = [new Inserter(writer, 5_000_000), new Inserter(writer, 6_000_000)];
    await Promise.all(clients.map((client) => client.goesOn(20)));
    let led = '';
    await eventually('both lead to one gateway', async () => {
      const [first = '', ...others] = ledTo(await told(europe));
      led = first;
      return others.length === 0 && first !== '';
    });
    await deployment.signal(led, 'SIGKILL');
    await Promise.all(clients.map((client) => client.goesOn(20)));
    for (const client of clients) {
      await client.stop();
      expect(client.failures, client.failures.join('\n')).toHaveLength(1);
    }
    await settled(europe);
    const { rows } = await query(writer, 'SELECT id FROM numbered WHERE id >= 5000000');
    const there = new Set(rows.map(({ id }) => id));
    for (const { acknowledged } of clients) expect(acknowledged.filter((id) => !there.has(id))).toEqual([]);
  });

  it('endpoints tell what they have handed over, by the table of metrics (T14)', async () => {
    const samples = (await Promise.all(regions.map(told))).flat();
    expect([...new Set(besideTheTable(samples))]).toEqual([]);
    const known = new Set(samples.map(({ name }) => definitionOf(name)));
    for (const one of Object.values(endpointMetrics)) expect(known).toContain(one);
    const handed = { kind: 'writer', protocol: 'postgres' };
    expect(sumOf(samples, 'sextant_endpoint_handed_over_total', handed)).toBeGreaterThanOrEqual(6);
    expect(sumOf(samples, 'sextant_endpoint_refused_total')).toBe(0);
  });
});
