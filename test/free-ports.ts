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

/** A whole deployment takes at most so many ports in a row. */
const portsPerDeployment = 200;
const deploymentPortMin = 20_000;
const deploymentPortMax = 32_000;

/** The first of a row of ports for a deployment, drawn by lot, on none of which anybody listens. @throws Error when none is found. */
export async function freeBasePort(): Promise<number> {
  const rows = Math.floor((deploymentPortMax - deploymentPortMin) / portsPerDeployment);
  for (let tries = 0; tries < rows; tries++) {
    const base = deploymentPortMin + portsPerDeployment * Math.floor(Math.random() * rows);
    const ports = Array.from({ length: portsPerDeployment }, (_, at) => base + at);
    if ((await Promise.all(ports.map(isFree))).every(Boolean)) return base;
  }
  throw new Error(
    `no ${portsPerDeployment} free ports in a row from ${deploymentPortMin} to ${deploymentPortMax}`,
  );
}

async function isFree(port: number): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const probe = createServer();
  probe.once('error', () => resolve(false));
  probe.listen(port, '127.0.0.1', () => probe.close(() => resolve(true)));
  return promise;
}
