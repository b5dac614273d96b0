/** The faults that drills add to those of the command line: a slow cable, a crash, a slow disk. */
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { type AddressInfo, connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterEach, describe, expect, it } from 'vitest';
import { requestAction, supervisorStatus } from '../../../regions/local/control-socket.ts';
import { bringUp, type RunningDeployment } from '../../../regions/local/local-deployment.ts';
import { controlSocket } from '../../../regions/local/local-layout.ts';
import { RouteProxies, RouteProxy } from '../../../regions/local/route-proxy.ts';
import { freeBasePort } from '../../free-ports.ts';

const ends: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

/** A server that sends back what it hears, behind a cable from `a` to `b`. */
async function echoBehindCable() {
  const echo = createServer((socket) => socket.pipe(socket));
  echo.listen(0, '127.0.0.1');
  await once(echo, 'listening');
  const address = echo.address() as AddressInfo;
  const cables = new RouteProxies([await RouteProxy.open({ from: 'a', to: 'b' }, address.port)]);
  const [proxy] = cables.proxies;
  const socket = connect({ host: '127.0.0.1', port: proxy?.port ?? 0, noDelay: true });
  await once(socket, 'connect');
  ends.push(
    () => void echo.close(),
    () => cables.close(),
    () => void socket.destroy(),
  );
  let heard = '';
  socket.on('data', (chunk) => {
    heard += chunk;
  });
  const roundTrip = async (text: string): Promise<number> => {
    const began = performance.now();
    const wanted = heard + text;
    socket.write(text);
    while (heard.length < wanted.length) await sleep(1);
    expect(heard).toBe(wanted);
    return performance.now() - began;
  };
  return { cables, roundTrip };
}

describe('a cable', () => {
  it('of a slow region takes the delay each way, keeps the order, and is as fast as before at the end', async () => {
    const { cables, roundTrip } = await echoBehindCable();
    await roundTrip('first');
    cables.slow('b', 60);
    expect(cables.slowed).toEqual(['b']);
    expect(await roundTrip('one')).toBeGreaterThanOrEqual(119);
    cables.slow('a', 40);
    expect(await roundTrip('two')).toBeGreaterThanOrEqual(199);
    cables.slow('c', 500);
    cables.slow('a', 0);
    cables.slow('b', 0);
    expect(cables.slowed).toEqual(['c']);
    const fast = [await roundTrip('three'), await roundTrip('four'), await roundTrip('five')];
    expect(Math.min(...fast)).toBeLessThan(100);
  });

  it('brings more than it holds at a time, in order, while it is slow', async () => {
    const { cables, roundTrip } = await echoBehindCable();
    cables.slow('a', 20);
    const large = Array.from({ length: 20_000 }, (_, at) => `${at} `.padEnd(600, 'x')).join('');
    expect(large.length).toBeGreaterThan(8 * 1024 * 1024);
    await roundTrip(large);
  });
});

describe('a supervisor', () => {
  const fake = fileURLToPath(new URL('./fake-process.ts', import.meta.url));

  it('starts a process again that it crashed, and hands a slow disk to storage nodes alone', async () => {
    const dataDir = mkdtempSync(join(tmpdir(), 'sx-faults-'));
    ends.push(() => rmSync(dataDir, { recursive: true, force: true }));
    const running: RunningDeployment = await bringUp(
      { dataDir, regions: ['a'], basePort: await freeBasePort() },
      { programs: { storage: [fake], agent: [fake], gateway: [fake] }, onProgress: () => undefined },
    );
    ends.push(() => running.stop());
    const socket = controlSocket(dataDir);
    const processOf = async (id: string) =>
      (await supervisorStatus(socket))?.processes.find((process) => process.id === id);
    const before = await processOf('a/agent');
    expect(await requestAction(socket, { action: 'crash', target: 'a/agent' })).toEqual({
      changed: ['a/agent'],
    });
    while ((await processOf('a/agent'))?.restarts !== 1) await sleep(20);
    expect((await processOf('a/agent'))?.pid).not.toBe(before?.pid);

    expect(await requestAction(socket, { action: 'slow-disk', target: 'a/n1', delayMs: 80 })).toEqual({
      changed: ['a/n1'],
    });
    expect((await supervisorStatus(socket))?.slowed).toEqual(['a/n1']);
    expect(await requestAction(socket, { action: 'slow-disk', target: 'a/gateway', delayMs: 80 })).toEqual({
      error: 'only a storage node that runs has flushes to slow down, not a/gateway',
    });
    // The fault lives in the process and ends with it.
    await requestAction(socket, { action: 'crash', target: 'a/n1' });
    while ((await processOf('a/n1'))?.restarts !== 1) await sleep(20);
    expect((await supervisorStatus(socket))?.slowed).toEqual([]);
  }, 40_000);
});
