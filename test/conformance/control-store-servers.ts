/** Real nats-server processes for tests: one server or a cluster, in a temporary directory, on ports of their own. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { freePorts } from '../free-ports.ts';

export const testToken = 'test-token';

export interface TestServer {
  readonly name: string;
  readonly url: string;
  readonly process: ChildProcess;
}

export interface TestServers {
  readonly servers: readonly TestServer[];
  /** For starting again where these were. */
  readonly ports: readonly number[];
  /** Kills every server, also frozen ones, and removes their data. */
  stop(): Promise<void>;
}

/** Starts `count` servers with JetStream and waits until each takes connections. Without `reuse`, on random ports. */
export async function startNatsServers(count: number, reuse?: readonly number[]): Promise<TestServers> {
  const root = mkdtempSync(join(tmpdir(), 'sextant-nats-'));
  const ports = reuse ?? (await freePorts(2 * count));
  const clientPorts = ports.slice(0, count);
  const routePorts = ports.slice(count);
  const servers = clientPorts.map((port, index): TestServer => {
    const name = `s${index + 1}`;
    const file = join(root, `${name}.conf`);
    const routes = routePorts.map((route) => `nats://127.0.0.1:${route}`).join(', ');
    const cluster = `cluster { name: test, listen: "127.0.0.1:${routePorts[index]}", routes: [${routes}] }`;
    writeFileSync(
      file,
      [
        `server_name: ${name}`,
        `listen: "127.0.0.1:${port}"`,
        `authorization { token: "${testToken}" }`,
        'write_deadline: "1s"',
        `jetstream { store_dir: "${join(root, name)}", max_file_store: 64M, max_memory_store: 16M }`,
        count > 1 ? cluster : '',
      ].join('\n'),
    );
    const child = spawn(process.env.NATS_SERVER ?? 'nats-server', ['-c', file], {
      stdio: 'ignore',
      env: { ...process.env, PATH: `${process.env.PATH}:/usr/sbin` },
    });
    return { name, url: `127.0.0.1:${port}`, process: child };
  });
  await Promise.all(clientPorts.map((port) => delayUntilListening(port)));
  return {
    servers,
    ports,
    async stop() {
      await Promise.all(
        servers.map(async ({ process: child }) => {
          if (child.exitCode !== null || child.signalCode !== null) return;
          const exited = once(child, 'exit');
          child.kill('SIGKILL');
          await exited;
        }),
      );
      rmSync(root, { recursive: true, force: true });
    },
  };
}

const startTimeoutMs = 10_000;

/** A connection is what tells: whoever tries to listen there has the port at the moment when the server wants it. */
async function accepts(port: number): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const socket = connect(port, '127.0.0.1');
  socket.once('connect', () => resolve(true));
  socket.once('error', () => resolve(false));
  const accepted = await promise;
  socket.destroy();
  return accepted;
}

async function delayUntilListening(port: number): Promise<void> {
  const deadline = performance.now() + startTimeoutMs;
  while (!(await accepts(port))) {
    if (performance.now() > deadline)
      throw new Error(`no nats-server on port ${port} after ${startTimeoutMs} ms`);
    await delay(20);
  }
}
