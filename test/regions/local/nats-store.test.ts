import { appendFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { ProcessSpec } from '../../../regions/local/layout/local-processes.ts';
import { ManagedProcess } from '../../../regions/local/managed-process.ts';
import {
  downgradeHint,
  rememberStoreVersion,
  storeProblem,
  storeVersion,
} from '../../../regions/local/nats-store-version.ts';
import { StoreJudge, StoreWatch } from '../../../regions/nats/nats-store-watch.ts';

const mebibyte = 1024 * 1024;
let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'sextant-store-'));
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

const specOf = (name: string): ProcessSpec => ({
  id: `a/${name}`,
  region: 'a',
  role: 'nats',
  dir: join(dir, name),
  dataDir: join(dir, name, 'data'),
  command: process.execPath,
  args: ['-e', 'setInterval(() => {}, 1000)'],
  ports: [],
});

describe('a NATS server whose disk is full', () => {
  const well = { freeBytes: 100 * mebibyte, complaint: undefined };
  const full = { freeBytes: 4_096, complaint: undefined };
  const silent = { ...well, complaint: 'no space left on device' };

  test('says so while it is, and is started again once there is space, whatever it says itself', () => {
    const judge = new StoreJudge();
    expect(judge.judge(well, 0)).toBe(false);
    expect(judge.trouble).toBeNull();
    for (let nowMs = 1_000; nowMs < 200_000; nowMs += 1_000) expect(judge.judge(full, nowMs)).toBe(false);
    expect(judge.trouble).toBe('its disk is full (4096 bytes left): JetStream stores nothing; make space');
    // A little space is none: it would be full again at once.
    expect(judge.judge({ ...full, freeBytes: 1.5 * mebibyte }, 200_000)).toBe(false);
    expect(judge.judge(well, 201_000)).toBe(true);
    expect(judge.trouble).toBeNull();
    expect(judge.judge(well, 202_000)).toBe(false);
  });

  test('that goes on complaining is started again after pauses that grow from 5 s to a minute, and from 5 s after calm', () => {
    const judge = new StoreJudge();
    const restarts: number[] = [];
    for (let second = 0; second < 300; second++)
      if (judge.judge(silent, second * 1_000)) restarts.push(second);
    expect(restarts).toEqual([0, 5, 15, 35, 75, 135, 195, 255]);
    expect(judge.trouble).toBe('JetStream cannot store: no space left on device');
    const calm = new StoreJudge();
    expect([0, 5, 15, 1_000, 1_005].map((second) => calm.judge(silent, second * 1_000))).toEqual([
      true,
      true,
      true,
      true,
      true,
    ]);
  });

  test('is known by its log too: by lines of this life, whole or in a log that was set aside', () => {
    const spec = specOf('nats');
    const log = join(spec.dir, 'process.log');
    const watch = new StoreWatch(spec.dataDir, log);
    expect(watch.look()).toBeUndefined();
    mkdirSync(spec.dataDir, { recursive: true });
    const old = '[1] 2026/11/29 02:38:29.691872 [ERR] JetStream out of resources, will be DISABLED\n';
    writeFileSync(log, old);
    expect(watch.look()).toMatchObject({ freeBytes: expect.any(Number), complaint: undefined });
    appendFileSync(log, '[1] 2026/11/29 02:38:30.691872 [INF] all is well\n');
    expect(watch.look()?.complaint).toBeUndefined();
    appendFileSync(
      log,
      "[1] 2026/11/29 02:38:31.292798 [ERR] JetStream failed to store a msg on stream 'x': write 1.blk: no space left on device\n",
    );
    expect(watch.look()?.complaint).toBe(
      "[ERR] JetStream failed to store a msg on stream 'x': write 1.blk: no space left on device",
    );
    expect(watch.look()?.complaint).toBeUndefined();
    writeFileSync(log, old);
    expect(watch.look()?.complaint).toBe('[ERR] JetStream out of resources, will be DISABLED');
  });

  test('is not started again when an operator has stopped it meanwhile', async () => {
    const managed = new ManagedProcess(specOf('n'));
    expect(await managed.restart(1_000, 'full')).toBe(false);
    managed.start();
    const first = managed.status.pid;
    await sleep(200);
    expect(await managed.restart(5_000, 'its disk was full')).toBe(true);
    expect(managed.status).toMatchObject({ state: 'running', restarts: 1, lastExit: 'its disk was full' });
    expect(managed.status.pid).not.toBe(first);
    const restarting = managed.restart(5_000, 'again');
    await managed.kill();
    expect(await restarting).toBe(false);
    expect(managed.status).toMatchObject({ state: 'stopped', restarts: 1 });
    await managed.retire(0);
    managed.start();
    expect(managed.status.state).toBe('stopped');
  }, 30_000);
});

describe('a store of NATS', () => {
  const server = (version: string) => ({ path: '/usr/sbin/nats-server', version });

  test('of 2.10 or newer is refused to an older server at once, with both versions and the ways out', () => {
    expect(storeProblem('2.15.3', server('2.9.10'), true)).toBe(
      'the NATS data here was written by nats-server 2.15.3, and /usr/sbin/nats-server is 2.9.10, which cannot read it: ' +
        'set $NATS_SERVER to a nats-server of 2.10.0 or newer (best 2.15.3 or newer), or give the data up with --fresh',
    );
    for (const [wrote, now, replicated] of [
      [undefined, '2.9.10', true],
      ['2.9.10', '2.9.9', true],
      ['2.9.10', '2.15.3', true],
      ['2.15.3', '2.10.27', true],
      ['2.15.3', '2.9.10', false],
    ] as const)
      expect(storeProblem(wrote, server(now), replicated)).toBeUndefined();
    expect(downgradeHint('2.15.3', server('2.14.10'))).toMatch(/2\.14\.10 here, and 2\.15\.3 has written/);
    expect(downgradeHint('2.15.3', server('2.15.3'))).toBeUndefined();
    expect(downgradeHint(undefined, server('2.9.10'))).toBeUndefined();
  });

  test('is remembered by the newest server that wrote it, and in older data told from the logs', () => {
    const servers = [specOf('one'), specOf('two')];
    expect(storeVersion(dir, servers)).toBeUndefined();
    for (const [index, version] of ['2.9.10', '2.12.15'].entries()) {
      mkdirSync(servers[index]?.dir ?? '');
      const line = `[1] 2026/11/29 02:38:02.3 [INF]   Version:  ${version}\n`;
      writeFileSync(join(servers[index]?.dir ?? '', 'process.log'), line.repeat(2));
    }
    expect(storeVersion(dir, servers)).toBe('2.12.15');
    rememberStoreVersion(dir, '2.12.15', '2.15.3');
    expect(storeVersion(dir, servers)).toBe('2.15.3');
    rememberStoreVersion(dir, '2.15.3', '2.9.10');
    expect(storeVersion(dir, servers)).toBe('2.15.3');
  });
});
