import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import {
  controlBucket,
  controlStream,
  hintSubject,
  recordSubject,
} from '../../../regions/bus/core/control-subjects.ts';
import { subjectsOf } from '../../../regions/bus/core/messages.ts';
import {
  inboxPrefixOf,
  type NatsRole,
  natsRoles,
  permissionsOf,
} from '../../../regions/bus/core/nats-permissions.ts';
import { natsServerSecurity } from '../../../regions/bus/core/nats-server-security.ts';
import {
  type NatsConnection,
  type NatsStatus,
  openNatsConnection,
} from '../../../regions/bus/nats-connection.ts';
import { natsSecurity } from '../../../regions/bus/nats-security.ts';
import { type RegionId, regionId } from '../../../storage/core.ts';
import { type IdentityFiles, openCredentials } from '../../../storage/index.ts';
import { createLogger } from '../../../telemetry/index.ts';
import { TestAuthority } from '../../certificates.ts';
import { startNatsServers, testToken } from '../../conformance/control-store-servers.ts';
import { freePorts } from '../../free-ports.ts';

const cluster = 'test';
const near = regionId('us-east-1');
const far = regionId('eu-west-1');

/** Whether nats-server would let one of these patterns stand for the subject. */
function allows(patterns: readonly string[], subject: string): boolean {
  const parts = subject.split('.');
  return patterns.some((pattern) => {
    const wanted = pattern.split('.');
    const open = wanted.at(-1) === '>';
    if (open ? parts.length < wanted.length : parts.length !== wanted.length) return false;
    return wanted.every((part, at) => part === '>' || part === '*' || part === parts[at]);
  });
}

describe('who may say and hear what (R50)', () => {
  const own = subjectsOf(cluster);
  type Rule = {
    readonly subject: (region: RegionId) => string;
    readonly publish: Readonly<Partial<Record<NatsRole, 'own' | 'any'>>>;
    readonly subscribe: readonly NatsRole[];
  };
  const rules: Readonly<Record<keyof ReturnType<typeof subjectsOf>, Rule>> = {
    ship: { subject: own.ship, publish: { agent: 'any' }, subscribe: ['agent'] },
    pull: { subject: own.pull, publish: { agent: 'any' }, subscribe: ['agent'] },
    ack: { subject: own.ack, publish: { agent: 'any' }, subscribe: ['agent', 'gateway'] },
    report: {
      subject: own.report,
      publish: { agent: 'own', gateway: 'own' },
      subscribe: ['agent', 'gateway'],
    },
    allReports: { subject: () => own.allReports, publish: {}, subscribe: ['agent', 'gateway'] },
    agent: { subject: own.agent, publish: { gateway: 'any' }, subscribe: ['agent'] },
    fence: { subject: own.fence, publish: { agent: 'any' }, subscribe: ['agent'] },
    sql: {
      subject: (region) => `${own.sql(region)}.g1.abc`,
      publish: { gateway: 'any' },
      subscribe: ['gateway'],
    },
    cancel: { subject: own.cancel, publish: { gateway: 'own' }, subscribe: ['gateway'] },
    allCancels: { subject: () => own.allCancels, publish: {}, subscribe: ['gateway'] },
  };
  /** Heard from all regions by whoever hears it. */
  const everywhere = new Set(['report', 'allReports', 'cancel', 'allCancels']);

  for (const [name, { subject, publish, subscribe }] of Object.entries(rules)) {
    for (const role of natsRoles) {
      const may = permissionsOf({ cluster, region: near, role });
      it(`${role}: ${name}`, () => {
        expect(allows(may.publish, subject(near))).toBe(publish[role] !== undefined);
        expect(allows(may.publish, subject(far))).toBe(publish[role] === 'any');
        expect(allows(may.subscribe, subject(near))).toBe(subscribe.includes(role));
        expect(allows(may.subscribe, subject(far))).toBe(everywhere.has(name) && subscribe.includes(role));
      });
    }
  }

  it('both read and change the control record; only agents make its bucket and place its leader', () => {
    const [agent, gateway] = natsRoles.map((role) => permissionsOf({ cluster, region: near, role }).publish);
    for (const both of [
      recordSubject(controlBucket(cluster)),
      hintSubject(cluster),
      ...apis('STREAM.INFO', 'STREAM.MSG.GET'),
    ]) {
      expect(allows(agent ?? [], both)).toBe(true);
      expect(allows(gateway ?? [], both)).toBe(true);
    }
    for (const agents of apis('STREAM.CREATE', 'STREAM.LEADER.STEPDOWN')) {
      expect(allows(agent ?? [], agents)).toBe(true);
      expect(allows(gateway ?? [], agents)).toBe(false);
    }
    for (const nobody of apis('STREAM.DELETE', 'STREAM.PURGE', 'STREAM.UPDATE')) {
      expect(allows(agent ?? [], nobody)).toBe(false);
      expect(allows(gateway ?? [], nobody)).toBe(false);
    }
  });

  it('whatever the code asks of JetStream is allowed to agents', () => {
    const text = ['regions', 'gateway']
      .flatMap((folder) =>
        readdirSync(join(import.meta.dirname, '../../..', folder), { recursive: true, withFileTypes: true }),
      )
      .filter((entry) => entry.isFile() && entry.name.endsWith('.ts') && entry.name !== 'nats-permissions.ts')
      .map((entry) => readFileSync(join(entry.parentPath, entry.name), 'utf8'))
      .join('\n');
    const used = [...text.matchAll(/(?:\$JS\.API\.|')((?:STREAM|CONSUMER|DIRECT)(?:\.[A-Z]+)+)/g)].map(
      ([, api]) => api ?? '',
    );
    expect(used).toContain('STREAM.MSG.GET');
    const { publish } = permissionsOf({ cluster, region: near, role: 'agent' });
    for (const api of used)
      expect(allows(publish, `$JS.API.${api}.${controlStream(cluster)}`), api).toBe(true);
  });

  it('another cluster shares nothing, and nobody hears what others are answered', () => {
    for (const role of natsRoles) {
      const may = permissionsOf({ cluster, region: near, role });
      const theirs = permissionsOf({ cluster: 'other', region: near, role });
      for (const subject of theirs.publish) expect(allows(may.publish, subject)).toBe(false);
      for (const subject of theirs.subscribe) expect(allows(may.subscribe, subject)).toBe(false);
      for (const other of natsRoles)
        for (const region of [near, far])
          expect(allows(may.subscribe, `${inboxPrefixOf({ cluster, region, role: other })}.x.y`)).toBe(
            other === role && region === near,
          );
    }
  });

  const apis = (...names: readonly string[]) =>
    names.map((name) => `$JS.API.${name}.${controlStream(cluster)}`);
});

describe('a NATS server of an encrypted deployment (R51)', () => {
  const log = createLogger({
    service: 'test',
    region: near,
    component: 'test',
    destination: { write: () => undefined },
  });
  const cleanups: (() => unknown)[] = [];
  let authority: TestAuthority;
  let foreign: TestAuthority;
  let server: ChildProcess;
  let port: number;
  let serverFiles: IdentityFiles;
  let dir: string;
  let logFile: string;

  beforeAll(async () => {
    authority = await TestAuthority.make();
    foreign = await TestAuthority.make();
    dir = mkdtempSync(join(tmpdir(), 'sextant-nats-secure-'));
    serverFiles = await authority.issue({ role: 'nats' });
    [port = 0] = await freePorts(1);
    const { tls, authorization } = natsServerSecurity(cluster, [near, far], serverFiles);
    const file = join(dir, 'nats.json');
    logFile = join(dir, 'nats.log');
    const jetstream = { store_dir: join(dir, 'js'), max_file_store: 64 << 20, max_memory_store: 16 << 20 };
    writeFileSync(
      file,
      JSON.stringify({
        host: '127.0.0.1',
        port,
        server_name: 'a',
        log_file: logFile,
        jetstream,
        tls,
        authorization,
      }),
    );
    server = spawn(process.env.NATS_SERVER ?? 'nats-server', ['-c', file], {
      stdio: 'ignore',
      env: { ...process.env, PATH: `${process.env.PATH}:/usr/sbin` },
    });
    await vi.waitFor(async () => {
      const socket = connect(port, '127.0.0.1');
      await once(socket, 'connect').finally(() => socket.destroy());
    }, 20_000);
  }, 30_000);
  afterEach(async () => {
    for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
  });
  afterAll(async () => {
    server.kill('SIGKILL');
    await once(server, 'exit');
    authority.remove();
    foreign.remove();
    rmSync(dir, { recursive: true, force: true });
  });

  function open(files: IdentityFiles | null, role: NatsRole, region = near) {
    const seen: NatsStatus[] = [];
    const credentials = openCredentials(files ?? undefined, { cluster: 'test', role }, log, 20);
    const connection = openNatsConnection({
      servers: [`nats://127.0.0.1:${port}`],
      name: 'test',
      ...(files === null && { token: 'x' }),
      ...natsSecurity(credentials, { cluster, region, role }),
      onStatus: (status) => seen.push(status),
    });
    cleanups.push(async () => {
      await connection.close();
      credentials?.close();
    });
    return { connection, seen };
  }

  const ready = async ({ connection }: { readonly connection: NatsConnection }) =>
    expect(await connection.whenConnected(20_000)).toBe(true);
  const unjudged = {
    identity: { cluster, region: near, role: 'agent', name: 'x' },
    expiresAtMs: 0,
    caExpiresAtMs: 0,
  } as const;
  const bytes = (text: string) => Buffer.from(text);

  it('lets an agent and a gateway speak as their roles do, and no further', async () => {
    const own = subjectsOf(cluster);
    const agent = open(await authority.issue({ role: 'agent', name: 'agent' }), 'agent');
    const gateway = open(await authority.issue({ role: 'gateway', name: 'g1', region: far }), 'gateway', far);
    await Promise.all([ready(agent), ready(gateway)]);
    agent.connection.subscribe(own.agent(near), (message) => message.respond(bytes('done')));
    const heard: string[] = [];
    agent.connection.subscribe(own.fence(near), (message) => heard.push(message.subject));
    agent.connection.subscribe(own.ship(near), (message) => heard.push(message.subject));
    await agent.connection.flush(5_000);
    const answer = await gateway.connection.request(own.agent(near), bytes('?'), 5_000);
    expect(answer).toMatchObject({ kind: 'reply' });
    gateway.connection.publish(own.fence(near), bytes('x'));
    gateway.connection.publish(own.ship(near), bytes('x'));
    await gateway.connection.flush(5_000);
    await agent.connection.flush(5_000);
    await vi.waitFor(() =>
      expect(gateway.seen.filter(({ kind }) => kind === 'error').length).toBeGreaterThan(0),
    );
    expect(heard).toEqual([]);
    expect(agent.seen.filter(({ kind }) => kind === 'error')).toEqual([]);
  }, 30_000);

  it('hears an answer that is given after the server has read its files again', async () => {
    const own = subjectsOf(cluster);
    const agent = open(await authority.issue({ role: 'agent', name: 'agent' }), 'agent');
    const gateway = open(await authority.issue({ role: 'gateway', name: 'g1', region: far }), 'gateway', far);
    await Promise.all([ready(agent), ready(gateway)]);
    const asked = Promise.withResolvers<(bytes: Uint8Array) => void>();
    agent.connection.subscribe(own.agent(near), (message) =>
      asked.resolve((answer) => message.respond(answer)),
    );
    await agent.connection.flush(5_000);
    const answer = gateway.connection.request(own.agent(near), bytes('?'), 10_000);
    const respond = await asked.promise;
    server.kill('SIGHUP');
    await vi.waitFor(
      () => expect(readFileSync(logFile, 'utf8')).toContain('Reloaded server configuration'),
      10_000,
    );
    respond(bytes('done'));
    expect(await answer).toMatchObject({ kind: 'reply' });
  }, 30_000);

  it.each([
    ['plain text', () => null],
    ['a foreign certificate', () => foreign.issue({ role: 'agent', name: 'agent' })],
    ['a certificate of a role that speaks to no NATS', () => authority.issue({ role: 'storage' })],
    ['a certificate of another cluster', () => authority.issue({ role: 'agent', cluster: 'b' })],
    ['a certificate of a region that is not there', () => authority.issue({ role: 'agent', region: 'mars' })],
  ])(
    'refuses %s',
    async (_what, issued) => {
      const files = await issued();
      const raw = files === null ? null : readFileSync(files.certFile, 'utf8');
      // What the client itself would refuse to show is shown all the same.
      const connection = openNatsConnection({
        servers: [`nats://127.0.0.1:${port}`],
        name: 'test',
        ...(files !== null &&
          raw !== null && {
            secured: {
              credentials: {
                material: {
                  ...unjudged,
                  ca: authority.ca,
                  cert: raw,
                  key: readFileSync(files.keyFile, 'utf8'),
                },
              },
              expected: { cluster, role: 'nats' },
              inboxPrefix: '_INBOX_x',
            },
          }),
        onStatus: (status) => seen.push(status),
      });
      const seen: NatsStatus[] = [];
      cleanups.push(() => connection.close());
      await vi.waitFor(() => expect(seen.some(({ kind }) => kind === 'connect-failed')).toBe(true), 20_000);
      expect(connection.connected).toBe(false);
    },
    30_000,
  );

  it('a client speaks to no server that shows another role, and takes up a new certificate of the server', async () => {
    const files = await authority.issue({ role: 'agent', name: 'agent' });
    const { connection, seen } = open(files, 'agent');
    await ready({ connection });
    expect(seen.some(({ kind }) => kind === 'connected')).toBe(true);
    await authority.issueInto(serverFiles, { role: 'storage', name: 'n1' });
    server.kill('SIGHUP');
    await pause(500);
    const late = open(files, 'agent');
    await vi.waitFor(() => expect(JSON.stringify(late.seen)).toContain('expected NATS server'), 20_000);
    expect(late.connection.connected).toBe(false);
    // The server takes its own certificate up again, and nobody was cut off meanwhile.
    await authority.issueInto(serverFiles, { role: 'nats' });
    server.kill('SIGHUP');
    await ready(late);
    expect(seen.filter(({ kind }) => kind === 'disconnected')).toEqual([]);
  }, 60_000);

  it('a client with a certificate never falls back to plain text', async () => {
    const plain = await startNatsServers(1);
    cleanups.push(() => plain.stop());
    const credentials = openCredentials(
      await authority.issue({ role: 'agent', name: 'agent' }),
      { cluster, role: 'agent' },
      log,
    );
    const seen: NatsStatus[] = [];
    const connection = openNatsConnection({
      servers: [plain.servers[0]?.url ?? ''],
      token: testToken,
      name: 'test',
      ...natsSecurity(credentials, { cluster, region: near, role: 'agent' }),
      onStatus: (status) => seen.push(status),
    });
    cleanups.push(() => connection.close().then(() => credentials?.close()));
    await vi.waitFor(() => expect(seen.some(({ kind }) => kind === 'connect-failed')).toBe(true), 20_000);
    expect(connection.connected).toBe(false);
  }, 30_000);
});
