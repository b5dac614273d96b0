/** The faults that drills add to those of the command line: a crash, a slow disk. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterEach, describe, expect, it } from 'vitest';
import { requestAction, supervisorStatus } from '../../../regions/local/control-socket.ts';
import { controlSocket } from '../../../regions/local/layout/local-layout.ts';
import { bringUp, type RunningDeployment } from '../../../regions/local/local-deployment.ts';
import { freeBasePort } from '../../free-ports.ts';

const ends: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

describe('a supervisor', () => {
  const fake = fileURLToPath(new URL('./fake-process.ts', import.meta.url));

  it('starts a process again that it crashed, and hands a slow disk to storage nodes alone', async () => {
    const dataDir = mkdtempSync(join(tmpdir(), 'sx-faults-'));
    ends.push(() => rmSync(dataDir, { recursive: true, force: true }));
    const running: RunningDeployment = await bringUp(
      { dataDir, regions: ['a'], basePort: await freeBasePort() },
      {
        programs: { storage: [fake], agent: [fake], gateway: [fake], endpoint: [fake] },
        onProgress: () => undefined,
      },
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
    await requestAction(socket, { action: 'thaw', target: 'a/n1' });
    expect((await supervisorStatus(socket))?.slowed).toEqual([]);
    await requestAction(socket, { action: 'slow-disk', target: 'a/n1', delayMs: 80 });
    expect(await requestAction(socket, { action: 'slow-disk', target: 'a/gateway', delayMs: 80 })).toEqual({
      error: 'only a storage node that runs has flushes to slow down, not a/gateway',
    });
    // The fault lives in the process and ends with it.
    await requestAction(socket, { action: 'crash', target: 'a/n1' });
    while ((await processOf('a/n1'))?.restarts !== 1) await sleep(20);
    expect((await supervisorStatus(socket))?.slowed).toEqual([]);
  }, 40_000);
});
