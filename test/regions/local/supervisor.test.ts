import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { requestAction, serveControl, supervisorStatus } from '../../../regions/local/control-socket.ts';
import { deleteDeployment, prepareDeployment } from '../../../regions/local/data-directory.ts';
import { DeploymentError, readDeployment } from '../../../regions/local/deployment-file.ts';
import { portsOf } from '../../../regions/local/layout/core/local-ports.ts';
import { controlSocket, pidFile, supervisorDir } from '../../../regions/local/layout/local-layout.ts';
import { regionPlans } from '../../../regions/local/layout/region-plans.ts';
import {
  bringUp,
  type RunningDeployment,
  runningSupervisor,
  stopLeftovers,
  takeDown,
} from '../../../regions/local/local-deployment.ts';
import { backoffMs } from '../../../regions/local/managed-process.ts';
import { lockDirectory } from '../../../storage/process/directory-lock.ts';
import { identify, isAlive, readPidFile, writePidFile } from '../../../storage/process/process-identity.ts';

const fake = fileURLToPath(new URL('./fake-process.ts', import.meta.url));
const programs = { storage: [fake], agent: [fake], gateway: [fake], endpoint: [fake] };
const basePort = () => 20_000 + Math.floor(Math.random() * 10_000);

let dataDir: string;
let running: RunningDeployment | undefined;
let progress: string[];

beforeEach(() => {
  dataDir = mkdtempSync(join(tmpdir(), 'sx-up-'));
  progress = [];
});
afterEach(async () => {
  await running?.stop();
  running = undefined;
  rmSync(dataDir, { recursive: true, force: true });
});

/** Waits until `condition` gives a value. */
async function eventually<T>(condition: () => T | undefined | false, timeoutMs = 8_000): Promise<T> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const value = condition();
    if (value !== undefined && value !== false) return value;
    if (performance.now() > deadline) throw new Error(`still waiting for ${condition}`);
    await sleep(10);
  }
}

const up = async (port = basePort()): Promise<RunningDeployment> => {
  running = await bringUp(
    { dataDir, regions: ['us-east-1'], basePort: port },
    { programs, onProgress: (line) => progress.push(line), timeoutMs: 20_000 },
  );
  return running;
};
const processOf = (id: string) => running?.supervisor.status.processes.find((process) => process.id === id);

describe('a supervised deployment', () => {
  test('starts every process, keeps them running, breaks and repairs them on request, and stops them all', async () => {
    const { supervisor } = await up();
    const socket = controlSocket(dataDir);
    const status = await supervisorStatus(socket);
    expect(status?.phase).toBe('ready');
    expect(status?.processes.map(({ id }) => id).toSorted()).toEqual(
      ['agent', 'gateway', 'n1', 'n2', 'n3', 'n4', 'n5', 'n6', 'nats'].map((name) => `us-east-1/${name}`),
    );
    expect(statSync(socket).mode & 0o777).toBe(0o600);
    const pids = status?.processes.map(({ pid }) => pid ?? 0) ?? [];

    // Dies by itself: comes back.
    const first = processOf('us-east-1/n1')?.pid ?? 0;
    process.kill(first, 'SIGKILL');
    const second = await eventually(
      () => processOf('us-east-1/n1')?.restarts === 1 && processOf('us-east-1/n1')?.pid,
    );
    expect(second).not.toBe(first);
    expect(progress).toContain('us-east-1/n1 ended (signal SIGKILL): starting it again');
    expect(readPidFile(pidFile(join(dataDir, 'us-east-1', 'n1')))?.pid).toBe(second);

    // Killed on purpose: stays away until started.
    expect(await requestAction(socket, { action: 'kill', target: 'us-east-1/n2' })).toEqual({
      changed: ['us-east-1/n2'],
    });
    await sleep(2 * backoffMs(2));
    expect(processOf('us-east-1/n2')).toMatchObject({ state: 'stopped', pid: null });
    await requestAction(socket, { action: 'start', target: 'us-east-1/n2' });
    expect(processOf('us-east-1/n2')).toMatchObject({ state: 'running' });

    // Frozen and thawed: the same process.
    const third = processOf('us-east-1/n3')?.pid ?? 0;
    await requestAction(socket, { action: 'freeze', target: 'us-east-1/n3' });
    expect(processOf('us-east-1/n3')).toMatchObject({ state: 'frozen', pid: third });
    if (process.platform === 'linux') {
      await eventually(() => / T /.test(readFileSync(`/proc/${third}/stat`, 'utf8')));
    }
    await requestAction(socket, { action: 'thaw', target: 'us-east-1/n3' });
    expect(processOf('us-east-1/n3')).toMatchObject({ state: 'running', pid: third });

    // Wiped: another process, without the data of the first.
    const data = join(dataDir, 'us-east-1', 'n4', 'data');
    const wiped = processOf('us-east-1/n4')?.pid ?? 0;
    await eventually(() => existsSync(join(data, `written-by-${wiped}`)));
    await requestAction(socket, { action: 'wipe', target: 'us-east-1/n4' });
    const fourth = processOf('us-east-1/n4')?.pid ?? 0;
    await eventually(() => existsSync(join(data, `written-by-${fourth}`)));
    expect(readdirSync(data)).toEqual([`written-by-${fourth}`]);

    expect(await requestAction(socket, { action: 'kill', target: 'mars/n1' })).toEqual({
      error: 'no region mars; there are us-east-1',
    });
    expect(await requestAction(socket, { action: 'kill', target: 'us-east-1/n7' })).toMatchObject({
      error: expect.stringMatching(/^no process us-east-1\/n7; there are .*us-east-1\/n6/),
    });

    const last = supervisor.status.processes.map(({ pid }) => pid ?? 0);
    await supervisor.stop();
    expect([...pids, ...last].filter((pid) => identify(pid) !== undefined)).toEqual([]);
    expect(await supervisorStatus(socket)).toBeUndefined();
  }, 40_000);

  test('that cannot start names the process, its last words and its log, and leaves nothing running', async () => {
    const data = join(dataDir, 'us-east-1', 'n5', 'data');
    prepareDeployment({ dataDir, regions: ['us-east-1'] });
    mkdirSync(data, { recursive: true });
    writeFileSync(join(data, 'ended-badly'), '');
    const failure = up();
    await expect(failure).rejects.toThrow(DeploymentError);
    await expect(failure).rejects.toThrow(
      /^us-east-1\/n5 keeps ending \(exit code 3\)\nlast lines of .*n5\/process\.log:\n(.*\n)*.*the disk is upside down/,
    );
    expect(await stopLeftovers(dataDir)).toEqual([]);
    expect(runningSupervisor(dataDir)).toBeUndefined();
  }, 40_000);

  test('of a version with a configuration for each process goes on with its data, from the file of its region', async () => {
    const { cluster, secret } = prepareDeployment({ dataDir, regions: ['us-east-1'] });
    const former = join(dataDir, 'us-east-1', 'n5', 'config.json');
    const data = join(dataDir, 'us-east-1', 'n5', 'data');
    mkdirSync(data, { recursive: true });
    writeFileSync(former, JSON.stringify({ cluster, secret, node: 'n5' }));
    writeFileSync(join(data, 'kept'), '');
    const { deployment } = await up();
    expect(deployment.cluster).toBe(cluster);
    expect(existsSync(former)).toBe(false);
    expect(existsSync(join(data, 'kept'))).toBe(true);
    expect(readdirSync(data).some((name) => name.startsWith('written-by-'))).toBe(true);
    expect(readFileSync(join(dataDir, 'us-east-1', 'secrets', 'cluster'), 'utf8').trim()).toBe(secret);
  }, 40_000);

  test('refuses a busy port by its number, who wants it and --base-port', async () => {
    const port = basePort();
    const [gateway] = portsOf(port, 0).gateways;
    const other = createServer().listen(gateway, '127.0.0.1');
    await expect(up(port)).rejects.toThrow(
      new RegExp(`port ${gateway} \\(for us-east-1/gateway\\) is in use .*--base-port`),
    );
    other.close();
    expect(runningSupervisor(dataDir)).toBeUndefined();
  });

  test('is not started twice, and not while it is being stopped', async () => {
    prepareDeployment({ dataDir, regions: ['us-east-1'] });
    for (const [purpose, sentence] of [
      [
        'sextant up',
        /already running or starting \(supervisor pid \d+, since 2.*`sextant down --data \S+` stops it/,
      ],
      ['sextant down', /is being stopped \(sextant down, pid \d+, since 2/],
    ] as const) {
      const held = await lockDirectory(supervisorDir(dataDir), purpose);
      await expect(up()).rejects.toThrow(sentence);
      await expect(up()).rejects.toThrow(`pid ${process.pid}`);
      if (held.kind === 'locked') held.lock.release();
    }
  });

  test('is started by exactly one of several that try at the same moment; the others say who has it and change nothing', async () => {
    const port = basePort();
    const attempts = await Promise.allSettled(
      ['a', 'b', 'c'].map((region) =>
        bringUp(
          { dataDir, regions: [region], basePort: port },
          { programs, onProgress: () => undefined, timeoutMs: 20_000 },
        ),
      ),
    );
    const up = attempts.flatMap((attempt) => (attempt.status === 'fulfilled' ? [attempt.value] : []));
    running = up[0];
    expect(up).toHaveLength(1);
    for (const attempt of attempts) {
      if (attempt.status === 'rejected')
        expect(String(attempt.reason)).toMatch(
          new RegExp(`already running or starting \\(supervisor pid ${process.pid},`),
        );
    }
    expect(readDeployment(dataDir)).toEqual(running?.deployment);
    const files = ['n1', 'n6', 'agent', 'gateway', 'nats'].map((name) =>
      pidFile(join(dataDir, running?.deployment.regions[0] ?? '', name)),
    );
    const identities = files.map((file) => readPidFile(file));
    expect(identities.map((identity) => identity !== undefined && isAlive(identity))).toEqual(
      files.map(() => true),
    );
    expect(statSync(files[0] ?? '').mode & 0o777).toBe(0o600);
    expect(statSync(join(files[0] ?? '', '..', '..')).mode & 0o777).toBe(0o700);
    await running?.stop();
    expect(identities.filter((identity) => identity !== undefined && isAlive(identity))).toEqual([]);
  }, 40_000);

  test('restarts after a pause that doubles from 100 ms to 2 s', () => {
    expect([1, 2, 3, 4, 5, 6, 7, 60].map(backoffMs)).toEqual([0, 100, 200, 400, 800, 1_600, 2_000, 2_000]);
  });
});

describe('taking a deployment down', () => {
  test('stops what the pid files name when it is the same process, frozen or not, and no stranger with its pid', async () => {
    const { spawn } = await import('node:child_process');
    const sleeper = () => spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'], { stdio: 'ignore' });
    prepareDeployment({ dataDir, regions: ['us-east-1'] });
    const [ours, stranger] = [sleeper(), sleeper()];
    const identityOf = (pid: number | undefined) => eventually(() => identify(pid ?? 0));
    const [oursIdentity, strangerIdentity] = await Promise.all([
      identityOf(ours.pid),
      identityOf(stranger.pid),
    ]);
    writePidFile(pidFile(join(dataDir, 'us-east-1', 'n1')), oursIdentity);
    writePidFile(pidFile(join(dataDir, 'us-east-1', 'n2')), {
      pid: strangerIdentity.pid,
      startedAt: 'another:1',
    });
    writeFileSync(join(dataDir, 'us-east-1', 'n2', 'note'), '');
    ours.kill('SIGSTOP');
    // Cut short by a crash of the machine: nothing that runs may need it to be found.
    writeFileSync(join(dataDir, 'deployment.json'), '{"version": 1, "clus');

    expect(await takeDown(dataDir)).toEqual(['us-east-1/n1']);
    expect(isAlive(oursIdentity)).toBe(false);
    expect(isAlive(strangerIdentity)).toBe(true);
    expect(await takeDown(dataDir)).toEqual([]);
    stranger.kill('SIGKILL');
  });

  test('finds the processes that a killed supervisor left, and the next up stops them too', async () => {
    const { spawn } = await import('node:child_process');
    const script = `
      import { bringUp } from ${JSON.stringify(resolve('regions/local/local-deployment.ts'))};
      const program = ${JSON.stringify(fake)};
      await bringUp({ dataDir: ${JSON.stringify(dataDir)}, regions: ['us-east-1'], basePort: ${basePort()} },
        { programs: { storage: [program], agent: [program], gateway: [program], endpoint: [program] }, onProgress: () => {} });
      console.log('up');`;
    const start = async () => {
      const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      await new Promise((done) => child.stdout.once('data', done));
      const pids = ['n1', 'n6', 'agent', 'gateway', 'nats'].map((name) =>
        readPidFile(pidFile(join(dataDir, 'us-east-1', name))),
      );
      child.kill('SIGKILL');
      await new Promise((done) => child.once('exit', done));
      return pids.flatMap((identity) => (identity === undefined ? [] : [identity]));
    };
    const first = await start();
    expect(first.map(isAlive)).toEqual([true, true, true, true, true]);
    const second = await start();
    expect(first.map(isAlive)).toEqual([false, false, false, false, false]);
    expect(second.map(isAlive)).toEqual([true, true, true, true, true]);
    expect(await takeDown(dataDir)).toHaveLength(9);
    expect(second.map(isAlive)).toEqual([false, false, false, false, false]);
  }, 60_000);
});

describe('a data directory', () => {
  test('gets its secrets once, in a file that only its owner reads, and keeps them', () => {
    const first = prepareDeployment({ dataDir, regions: ['a', 'b'], basePort: 21_000 });
    expect(statSync(join(dataDir, 'deployment.json')).mode & 0o777).toBe(0o600);
    expect(first.secret.length).toBeGreaterThanOrEqual(32);
    expect(prepareDeployment({ dataDir })).toEqual(first);
    expect(prepareDeployment({ dataDir, regions: ['a', 'b'], basePort: 22_000 })).toEqual({
      ...first,
      basePort: 22_000,
    });
  });

  test('of other regions is refused', () => {
    prepareDeployment({ dataDir, regions: ['a', 'b'] });
    expect(() => prepareDeployment({ dataDir, regions: ['b', 'a'] })).toThrow(
      /holds a deployment of a,b, not of b,a/,
    );
  });

  test('with data of another cluster is refused', () => {
    const { cluster } = prepareDeployment({ dataDir, regions: ['a'] });
    mkdirSync(join(dataDir, 'a', 'n3'), { recursive: true });
    const refused = new RegExp(`data of cluster other, but .* is of cluster ${cluster}`);
    // As a version before the files of regions left it, and as it is now.
    for (const file of ['n3/config.json', 'region.yaml']) {
      writeFileSync(join(dataDir, 'a', file), JSON.stringify({ cluster: 'other' }));
      expect(() => prepareDeployment({ dataDir })).toThrow(refused);
      rmSync(join(dataDir, 'a', file));
    }
  });

  test('that holds something else is neither used nor deleted', () => {
    writeFileSync(join(dataDir, 'thesis.txt'), 'precious');
    expect(() => prepareDeployment({ dataDir })).toThrow(/is not empty and holds no Sextant deployment/);
    expect(() => prepareDeployment({ dataDir, fresh: true })).toThrow(
      /--fresh deletes only a Sextant deployment/,
    );
    writeFileSync(join(dataDir, 'deployment.json'), '{"kind":"something else"}');
    expect(() => prepareDeployment({ dataDir, fresh: true })).toThrow(
      /--fresh deletes only a Sextant deployment/,
    );
    expect(readdirSync(dataDir).toSorted()).toEqual(['deployment.json', 'thesis.txt']);
  });

  test('is emptied by --fresh of what is ours and of nothing else', () => {
    const first = prepareDeployment({ dataDir, regions: ['a'] });
    const gateways = regionPlans(first, dataDir, []).flatMap((plan) => plan.gateways);
    expect(gateways.length).toBeGreaterThan(0);
    for (const { temporaryFolder } of gateways) mkdirSync(String(temporaryFolder), { recursive: true });
    mkdirSync(join(dataDir, 'a', 'n1'), { recursive: true });
    writeFileSync(join(dataDir, 'notes.txt'), '');
    expect(deleteDeployment(dataDir)).toBe(`the data of a in ${dataDir} (cluster ${first.cluster})`);
    expect(readdirSync(dataDir)).toEqual(['notes.txt']);
    rmSync(join(dataDir, 'notes.txt'));
    const second = prepareDeployment({ dataDir, regions: ['b'], fresh: true });
    expect(second.cluster).not.toBe(first.cluster);
    expect(readDeployment(dataDir)).toEqual(second);
  });

  test.each([
    [{ regions: [] }, /at least one region/],
    [{ regions: ['a', 'a'] }, /every region is named once/],
    [{ regions: ['North'] }, /a region name is 1 to 63/],
    [{ regions: ['a', 'witness'] }, /--regions: witness is the name of the third vote/],
    [{ regions: ['supervisor'] }, /supervisor is a directory of the deployment's own/],
    [{ regions: ['a', 'tmp'] }, /tmp is a directory of the deployment's own/],
    [{ basePort: 99_999 }, /--base-port is a number from 1 to/],
    [{ basePort: Number.NaN }, /--base-port is a number from 1 to/],
  ])('is not made for %o', (request, message) => {
    expect(() => prepareDeployment({ dataDir, ...request })).toThrow(message);
    expect(readdirSync(dataDir)).toEqual([]);
  });

  test('with a damaged or lost deployment.json is not started, and can be given up: both say what is there', () => {
    const first = prepareDeployment({ dataDir, regions: ['a', 'b'] });
    const text = readFileSync(join(dataDir, 'deployment.json'), 'utf8');
    const config = (file: string) => {
      mkdirSync(dirname(join(dataDir, file)), { recursive: true });
      writeFileSync(join(dataDir, file), JSON.stringify({ cluster: first.cluster }));
    };
    // A version before this one left the first, this one leaves the second.
    config('a/n1/config.json');
    config('b/region.yaml');
    writeFileSync(join(dataDir, 'notes.txt'), '');
    for (let bytes = 1; bytes < text.length - 2; bytes += 7) {
      writeFileSync(join(dataDir, 'deployment.json'), text.slice(0, bytes));
      let message = '';
      try {
        prepareDeployment({ dataDir });
      } catch (error) {
        if (error instanceof DeploymentError) message = error.message;
      }
      expect(message).toMatch(/deployment\.json:\d+:\d+: .*\n.*`sextant down`.*a copy.*--fresh/s);
      for (const secret of [first.secret, first.natsToken])
        for (let at = 0; at + 6 <= secret.length; at++)
          expect(message).not.toContain(secret.slice(at, at + 6));
    }
    rmSync(join(dataDir, 'deployment.json'));
    expect(() => prepareDeployment({ dataDir })).toThrow(/deployment\.json is lost.*a copy.*--fresh/);
    writeFileSync(join(dataDir, 'deployment.json'), text.slice(0, 100));
    expect(deleteDeployment(dataDir)).toBe(
      `the data of a, b in ${dataDir}, whose deployment.json was damaged or lost`,
    );
    expect(readdirSync(dataDir)).toEqual(['notes.txt']);
  });

  test('whose path is too long for a socket is refused with a reason', () => {
    const long = join(dataDir, 'x'.repeat(100));
    expect(() => prepareDeployment({ dataDir: long })).toThrow(/choose a shorter --data/);
  });
});

test('a control socket that a dead supervisor left is replaced', async () => {
  const path = controlSocket(dataDir);
  mkdirSync(supervisorDir(dataDir), { recursive: true });
  writeFileSync(path, '');
  expect(await supervisorStatus(path)).toBeUndefined();
  const status = { pid: 1, phase: 'ready' as const, isolated: [], wan: [], slowed: [], processes: [] };
  const server = await serveControl(path, { status: () => status, act: async () => ({ changed: [] }) });
  expect(await supervisorStatus(path)).toEqual(status);
  server.close();
});
