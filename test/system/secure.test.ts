/** A deployment whose processes encrypt what they say: what somebody on the way sees, who is turned away, new certificates under load. */

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { request } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createClient } from '@libsql/client';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { z } from 'zod';
import { gatewayConfigSchema } from '../../gateway/process/config.ts';
import {
  changeAuthority,
  issueCertificate,
  renewCertificates,
} from '../../regions/certs/certificate-store.ts';
import { gatewayPart } from '../../regions/index.ts';
import { certificatesIn, loadProcessConfig } from '../../storage/index.ts';
import { freePorts } from '../free-ports.ts';
import { tapped } from '../tap.ts';
import { TestDeployment } from './local-deployment.ts';

const regions = ['us-east-1', 'eu-west-1'] as const;
const [east, europe] = regions;
const marker = 'MARKER-in-a-statement-0123456789';
let deployment: TestDeployment;
let pki: string;
const cleanups: (() => unknown)[] = [];

beforeAll(async () => {
  deployment = await TestDeployment.start({ regions, flags: ['--secure'] });
  pki = join(deployment.dataDir, 'supervisor/certs');
}, 180_000);
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});
afterAll(async () => {
  await deployment?.stop();
}, 60_000);

const portOf = (address: string): number => Number(address.slice(address.lastIndexOf(':') + 1));

/** @returns the address to dial. */
async function listenedTo(address: string, seen: Buffer[]): Promise<string> {
  const tap = await tapped(portOf(address), seen);
  cleanups.push(() => tap.close());
  return tap.address;
}

describe('an encrypted deployment', { timeout: 150_000 }, () => {
  it('is what it is in plain text: it writes, ships, moves, and answers its commands', async () => {
    await deployment.client(europe).execute('CREATE TABLE note (id INTEGER PRIMARY KEY, text TEXT)');
    await deployment
      .client(europe)
      .execute({ sql: 'INSERT INTO note (text) VALUES (?)', args: ['from Europe'] });
    await deployment.settled();
    const { rows } = await deployment.client(europe).execute('SELECT text FROM note');
    expect(rows.map(({ text }) => text)).toEqual(['from Europe']);
    await deployment.run('switchover', '--to', europe);
    await deployment.settled();
    await deployment.run('switchover', '--to', east);
    await deployment.settled();
    // Agents are asked by the command line where no gateway answers.
    await deployment.run('gateway', 'kill', europe);
    await deployment.run('gateway', 'kill', east);
    expect((await deployment.cli(['status', '--json'])).stdout).toContain(`"${europe}"`);
    await deployment.run('gateway', 'start', east);
    await deployment.run('gateway', 'start', europe);
    await deployment.settled();
  });

  it('takes clients over HTTPS and WSS alone, who trust its authority', async () => {
    for (const transport of ['http', 'ws'] as const) {
      const { rows } = await deployment.client(east, transport).execute('SELECT 1 AS one');
      expect(rows[0]?.one, transport).toBe(1);
    }
    expect(await deployment.run('sql', east, 'SELECT 40 + 2 AS answer')).toContain('42');
    const health: unknown = JSON.parse((await deployment.cli(['doctor', '--json'])).stdout);
    expect(health).toMatchObject({ ok: true });
    const plain = await fetch(`${deployment.url(east).replace('https', 'http')}/v2/pipeline`, {
      method: 'POST',
      body: '{}',
    });
    expect(plain.status).toBe(400);
    expect(await plain.json()).toMatchObject({ code: 'SEXTANT_PLAIN_TEXT' });
    // Who does not trust the authority sends nothing.
    const stranger = request(`${deployment.url(east)}/healthz`, { ca: [], agent: false });
    stranger.end();
    const [error] = await once(stranger, 'error');
    expect(error).toMatchObject({ code: 'UNABLE_TO_VERIFY_LEAF_SIGNATURE' });
  });

  it('answers plain text on no port of its own but with a sentence', async () => {
    const sockets = z
      .object({
        regions: z.array(z.object({ agent: z.string(), nodes: z.array(z.object({ address: z.string() })) })),
      })
      .parse(JSON.parse((await deployment.cli(['status', '--json'])).stdout));
    const addresses = sockets.regions.flatMap(({ agent, nodes }) => [
      agent,
      ...nodes.map(({ address }) => address),
    ]);
    expect(addresses).toHaveLength(14);
    for (const address of addresses) {
      const answer = await fetch(`http://127.0.0.1:${portOf(address)}/metrics`);
      expect(answer.status, address).toBe(400);
      expect(await answer.json()).toMatchObject({ code: 'TLS_REQUIRED' });
    }
  });

  it('shows somebody on the way neither SQL, nor rows, nor a secret', async () => {
    const loaded = loadProcessConfig(
      join(deployment.dataDir, europe, 'region.yaml'),
      gatewayConfigSchema,
      gatewayPart(undefined),
    );
    if (loaded.kind !== 'ok') throw new Error(loaded.message);
    const config = loaded.value;
    const seen: Buffer[] = [];
    const [port = 0] = await freePorts(1);
    const dir = await mkdtemp(join(tmpdir(), 'sextant-tapped-'));
    cleanups.push(() => rm(dir, { recursive: true, force: true }));
    const certificate = await issueCertificate(
      pki,
      { identity: { region: europe, role: 'gateway', name: 'g2' }, hosts: ['127.0.0.1'], days: 1 },
      Date.now(),
    );
    const servers = await Promise.all(config.nats.servers.map((url) => listenedTo(url, seen)));
    const nodes = await Promise.all(
      config.nodes.map(async (node) => ({ ...node, address: await listenedTo(node.address, seen) })),
    );
    const file = join(dir, 'config.json');
    const files = { caFile: 'ca.pem', certFile: 'cert.pem', keyFile: 'key.pem' };
    const identity = Object.fromEntries(
      Object.entries(files).map(([key, name]) => [key, join(certificate, name)]),
    );
    await writeFile(
      file,
      JSON.stringify({
        ...config,
        gateway: 'g2',
        listen: `127.0.0.1:${port}`,
        nodes,
        nats: { ...config.nats, servers: servers.map((address) => `nats://${address}`) },
        identity,
      }),
    );
    const gateway: ChildProcess = spawn(
      process.execPath,
      [join(import.meta.dirname, '../../gateway/main.ts'), '--config', file],
      { stdio: 'ignore' },
    );
    cleanups.push(async () => {
      gateway.kill('SIGKILL');
      await once(gateway, 'exit');
    });
    const client = createClient({ url: `https://127.0.0.1:${port}`, intMode: 'number' });
    cleanups.push(() => client.close());
    await vi.waitFor(async () => expect((await fetch(`https://127.0.0.1:${port}/readyz`)).status).toBe(200), {
      timeout: 60_000,
      interval: 200,
    });
    // A write goes over NATS to the writer, and comes back as pages from the nodes.
    await client.execute('CREATE TABLE secret_note (text TEXT)');
    await client.execute({ sql: 'INSERT INTO secret_note VALUES (?)', args: [marker] });
    const { rows } = await client.execute('SELECT text FROM secret_note');
    expect(rows[0]?.text).toBe(marker);
    const wire = Buffer.concat(seen).toString('latin1');
    expect(wire.length).toBeGreaterThan(20_000);
    for (const hidden of [marker, 'secret_note', config.secret, 'SELECT', 'INSERT', 'Bearer'])
      expect(wire, hidden).not.toContain(hidden);
  });

  it('takes new certificates, and a new authority, while it writes: no request fails', async () => {
    await deployment
      .client(east)
      .execute('CREATE TABLE IF NOT EXISTS steady (id INTEGER PRIMARY KEY, at TEXT)');
    const failures: unknown[] = [];
    let writes = 0;
    let going: boolean = true;
    cleanups.push(() => {
      going = false;
    });
    const load = regions.map(async (region) => {
      const client = deployment.client(region);
      while (going) {
        await client.execute("INSERT INTO steady (at) VALUES ('now')").then(
          () => {
            writes += 1;
          },
          (error: unknown) => failures.push(error),
        );
      }
    });
    /** Files are looked at every two seconds, and NATS servers are told after two looks more. */
    const takenUp = () => new Promise((resolve) => setTimeout(resolve, 6_000));
    await changeAuthority(pki, 'add', Date.now());
    await deployment.trust();
    await takenUp();
    await changeAuthority(pki, 'use', Date.now());
    await renewCertificates(pki, { withinMs: 0, days: 90 }, Date.now());
    await takenUp();
    await changeAuthority(pki, 'drop', Date.now());
    await takenUp();
    going = false;
    await Promise.all(load);
    expect(failures).toEqual([]);
    expect(writes).toBeGreaterThan(50);
    const [authority] = certificatesIn(readFileSync(join(pki, 'ca.pem'), 'utf8'));
    const agent = readFileSync(join(pki, east, 'agent/agent/cert.pem'), 'utf8');
    expect(authority !== undefined && certificatesIn(agent)[0]?.verify(authority.publicKey)).toBe(true);
    // What connects from here on knows the new authority alone: a node that starts again comes back.
    await deployment.run('node', 'kill', `${east}/n1`);
    await deployment.run('node', 'start', `${east}/n1`);
    await deployment.until('the node is back', ({ regions: all }) =>
      all.every(({ nodes }) => nodes.every(({ state }) => state === 'up')),
    );
    await deployment.settled();
    const refused = [...regions, 'witness']
      .flatMap((region) => logsOf(region))
      .filter((line) => line.includes('certificate') && line.includes('cannot be used'));
    expect(refused).toEqual([]);
  });
});

function logsOf(region: string): readonly string[] {
  const dir = join(deployment.dataDir, region);
  const files = readdirSync(dir, { recursive: true })
    .map(String)
    .filter((name) => name.endsWith('process.log'));
  return files.flatMap((name) => readFileSync(join(dir, name), 'utf8').split('\n'));
}
