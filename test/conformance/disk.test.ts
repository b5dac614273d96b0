/** The disk suite against this machine's files, the simulator's disk, and the disk in memory of the tests of storage. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { type Disk, type DiskFile, nodeDisk, onDisk } from '../../storage/log/disk.ts';
import { NodeDisk } from '../simulation/ports/node-disk.ts';
import { makeWorld } from '../simulation/testing.ts';
import { Disk as DiskTwin } from '../simulation/twins/disk.ts';
import { MemoryDisk } from '../storage/log/hot-log-memory-disk.ts';
import { type DiskFixture, diskConformance, type End, type Interrupted } from './disk.ts';
import { appendForEver, ok, replaceForEver } from './disk-work.ts';
import { settleIn } from './virtual-time.ts';

const writerPath = fileURLToPath(new URL('disk-writer.ts', import.meta.url));
/** So much is acknowledged at least before the end. */
const linesMin = 8;

/** Runs the writer in a process of its own and kills it. */
async function killWriter(work: 'append' | 'replace', directory: string): Promise<Interrupted> {
  const child = spawn(
    process.execPath,
    ['--disable-warning=ExperimentalWarning', writerPath, work, directory],
    {
      stdio: ['ignore', 'pipe', 'inherit'],
    },
  );
  let output = '';
  child.stdout.on('data', (chunk: Buffer) => {
    output += chunk.toString();
  });
  while (output.split('\n').length <= linesMin && child.exitCode === null) await delay(5);
  const closed = once(child, 'close');
  child.kill('SIGKILL');
  await closed;
  // The last line may have been cut short.
  const lines = output.split('\n').slice(0, -1);
  return { disk: nodeDisk, acknowledged: Number(lines.at(-1) ?? 0) };
}

async function startFiles(): Promise<DiskFixture> {
  const root = mkdtempSync(join(tmpdir(), 'sextant-disk-'));
  let made = 0;
  return {
    disk: nodeDisk,
    directory: () => {
      made += 1;
      const path = join(root, String(made));
      mkdirSync(path);
      return path;
    },
    interruptAppends: (directory) => killWriter('append', directory),
    interruptReplacing: (directory) => killWriter('replace', directory),
    full: async () => ok(await onDisk<DiskFile>((done) => nodeDisk.open('/dev/full', 'existing', done))),
    settle: (done) => done,
    stop: async () => rmSync(root, { recursive: true, force: true }),
  };
}

// A machine whose power can be taken away is not at hand: what the kernel has flushed is the kernel's word.
diskConformance('files of this machine', ['process'], startFiles);

async function startTwin(): Promise<DiskFixture> {
  const world = makeWorld(1);
  let directories = 0;
  const machine = (label: string) => {
    const disk = new DiskTwin(
      world,
      label,
      { syncUs: { min: 100, max: 3_000 }, stallPerMille: 0, capacityBytes: 64 * 1024 * 1024 },
      (completion) => port.completed(completion),
    );
    const boot = (): NodeDisk => new NodeDisk(disk, { acksBeforeSync: false, forgetsRenames: false });
    let port = boot();
    return {
      disk,
      get port() {
        return port;
      },
      restart: (): NodeDisk => {
        port = boot();
        return port;
      },
    };
  };
  const main = machine('main');
  const interrupted = async (
    work: typeof appendForEver,
    directory: string,
    end: End,
  ): Promise<Interrupted> => {
    const own = machine(`of ${directory} ${end}`);
    let acknowledged = 0;
    const count = (now: number): void => {
      acknowledged = now;
    };
    // It stops where it is when the disk calls back no more.
    void work(own.port, directory, count);
    const { promise, resolve } = Promise.withResolvers<void>();
    world.schedule(40_000, 'the end', () => {
      own.disk.crash(end);
      resolve();
    });
    await settleIn(world, promise);
    return { disk: own.restart(), acknowledged };
  };
  return {
    disk: main.port,
    directory: () => {
      directories += 1;
      return `d${directories}`;
    },
    interruptAppends: (directory, end) => interrupted(appendForEver, directory, end),
    interruptReplacing: (directory, end) => interrupted(replaceForEver, directory, end),
    full: async (directory) => {
      const own = machine(`full ${directory}`);
      const opened = onDisk<DiskFile>((done) => own.port.open(`${directory}/log`, 'create', done));
      const file = ok(await settleIn(world, opened));
      own.disk.setFull(true);
      return file;
    },
    settle: (done) => settleIn(world, done),
    stop: () => Promise.resolve(),
  };
}

diskConformance('the simulator’s', ['process', 'power'], startTwin);

async function startMemory(): Promise<DiskFixture> {
  let directories = 0;
  const interrupted = async (work: typeof appendForEver, directory: string): Promise<Interrupted> => {
    const disk = new MemoryDisk();
    let acknowledged = 0;
    const { promise, resolve } = Promise.withResolvers<Disk>();
    const count = (now: number): void => {
      acknowledged = now;
      // What is under way then is under way on the disk that is left behind.
      if (now === 20) resolve(disk.survivor());
    };
    const ended = work(disk, directory, count).catch(() => undefined);
    const survivor = await promise;
    // Whoever writes would run on for ever.
    disk.fault = () => 'EIO';
    await ended;
    return { disk: survivor, acknowledged: Math.min(acknowledged, 20) };
  };
  return {
    disk: new MemoryDisk(),
    directory: () => {
      directories += 1;
      return `/d${directories}`;
    },
    interruptAppends: (directory) => interrupted(appendForEver, directory),
    interruptReplacing: (directory) => interrupted(replaceForEver, directory),
    full: async (directory) => {
      const disk = new MemoryDisk();
      const file = ok(await onDisk<DiskFile>((done) => disk.open(`${directory}/log`, 'create', done)));
      disk.capacityBytes = 0;
      return file;
    },
    settle: (done) => done,
    stop: () => Promise.resolve(),
  };
}

diskConformance('in memory', ['power'], startMemory);
