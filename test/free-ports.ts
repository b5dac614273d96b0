/**
 * Ports for processes that are stopped and started again where they were. They lie below the range the kernel hands out
 * itself, so that no connection takes one in between, and below those of whole deployments; files that run at the same time
 * have ranges of their own.
 */
import { createServer } from 'node:net';

const firstPort = 10_000;
const portsPerWorker = 2_000;
const workers = 5;

let next = Math.floor(Math.random() * portsPerWorker);

/** Ports nobody listens on, none of which this process has been given before. */
export async function freePorts(count: number): Promise<readonly number[]> {
  const worker = Number(process.env.VITEST_POOL_ID ?? 0) % workers;
  const ports: number[] = [];
  while (ports.length < count) {
    const port = firstPort + worker * portsPerWorker + (next++ % portsPerWorker);
    if (await isFree(port)) ports.push(port);
  }
  return ports;
}

async function isFree(port: number): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const probe = createServer();
  probe.once('error', () => resolve(false));
  probe.listen(port, '127.0.0.1', () => probe.close(() => resolve(true)));
  return promise;
}
