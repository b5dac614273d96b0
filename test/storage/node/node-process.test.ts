import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  appendFileSync,
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { type Disk, type DiskFailure, type DiskFile, nodeDisk } from '../../../storage/log/disk.ts';
import {
  type RunningNode,
  type StorageNodeOptions,
  startStorageNode,
} from '../../../storage/node/node-process.ts';
import { nodeRuntimeLimits } from '../../../storage/node/node-runtime.ts';
import type { StorageConfig } from '../../../storage/process/config.ts';
import { encodeFrame } from '../../../storage/redo/frame.ts';
import {
  epoch,
  genesisEpoch,
  lsn,
  mainBranch,
  type NodeId,
  nodeId,
  pgId,
  regionId,
  zeroLsn,
} from '../../../storage/redo/ids.ts';
import type { AppendRequest, StorageRequest } from '../../../storage/wire/core/messages.ts';
import { type Answer, StorageClient } from '../../../storage/wire/storage-client.ts';
import { createLogger } from '../../../telemetry/index.ts';
import { eventually, secret, silent, smallMtr } from '../region-harness.ts';

vi.mock('../../../storage/process/ticker.ts', () => import('../process/plain-ticker.ts'));

const mainPath = fileURLToPath(new URL('../../../storage/main.ts', import.meta.url));
const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

function newConfig(overrides: Partial<StorageConfig> = {}): StorageConfig {
  const directory = mkdtempSync(join(tmpdir(), 'sextant-node-'));
  cleanups.push(() => rmSync(directory, { recursive: true, force: true }));
  return {
    cluster: 'test',
    secret,
    region: regionId('us-east-1'),
    node: nodeId('n1'),
    az: 'az1',
    listen: '127.0.0.1:0',
    dataDir: join(directory, 'data'),
    peers: [],
    ...overrides,
  };
}

async function start(config: StorageConfig, options: StorageNodeOptions = {}): Promise<RunningNode> {
  const node = await startStorageNode(config, { logger: silent, ...options });
  cleanups.push(() => node.close());
  return node;
}

async function connect(
  node: RunningNode,
  id: NodeId = nodeId('n1'),
): Promise<(request: StorageRequest) => Promise<Answer>> {
  const client = await new Promise<StorageClient>((resolve) => {
    const made: StorageClient = new StorageClient({
      cluster: 'test',
      secret,
      region: regionId('us-east-1'),
      target: { node: id, az: 'az1', address: node.address },
      onUp: () => resolve(made),
    });
    cleanups.push(() => made.close());
  });
  return (request) => client.request(request, 3_000);
}

const forkOf = (reign: number, parent = genesisEpoch, at = zeroLsn): StorageRequest => ({
  kind: 'fork',
  authority: epoch(reign),
  forks: [{ epoch: epoch(reign), branch: mainBranch, parent, forkLsn: at }],
});

/** One small transaction as an append; the frames follow one another from `base` on. */
function append(reign: number, base: number, seed = base): AppendRequest & { readonly end: number } {
  const [run] = smallMtr(1, seed).runs;
  const bytes = run?.bytes ?? new Uint8Array(0);
  const frames = encodeFrame({ epoch: epoch(reign), pg: pgId(0), base: lsn(base), prevPg: lsn(base) }, [
    bytes,
  ]);
  return {
    kind: 'append',
    authority: epoch(reign),
    durable: { head: epoch(reign), vdl: zeroLsn },
    lowWater: zeroLsn,
    frames,
    end: base + bytes.length,
  };
}

/** Counts how often a node looks around, from now on. */
function ticksOf({ node }: RunningNode): () => number {
  const steps = vi.spyOn(node, 'step');
  return () => steps.mock.calls.filter(([event]) => event.kind === 'tick').length;
}

/** Opens files of the machine's disk; what is appended to a log file goes through `pass`. */
const logAppendsPass =
  (pass: (append: DiskFile['append']) => DiskFile['append']): Disk['open'] =>
  (path, mode, done) =>
    nodeDisk.open(path, mode, (opened) => {
      if (opened.kind === 'failed' || !path.endsWith('.log')) return done(opened);
      const file = opened.value;
      const append = pass((buffers, position, wrote) => file.append(buffers, position, wrote));
      done({ kind: 'ok', value: { ...file, append } });
    });

describe('a storage node', () => {
  it('acknowledges with its SCL once frames are flushed, and still has them after a restart', async () => {
    const config = newConfig();
    const first = await start(config);
    const ask = await connect(first);
    expect(await ask(forkOf(1))).toEqual({ kind: 'forked' });
    const one = append(1, 0);
    expect(await ask(one)).toEqual({ kind: 'acked', head: 1, scls: [[0, one.end]] });
    const two = append(1, one.end);
    expect(await ask(two)).toEqual({ kind: 'acked', head: 1, scls: [[0, two.end]] });
    await first.close();
    const second = await start(config);
    const again = await connect(second);
    expect(await again({ kind: 'status' })).toMatchObject({
      head: 1,
      scl: two.end,
      region: 'us-east-1',
      node: 'n1',
      az: 'az1',
    });
  });

  it('hands out frames as they were written, from memory and from disk', async () => {
    const config = newConfig();
    const first = await start(config);
    const ask = await connect(first);
    await ask(forkOf(1));
    const one = append(1, 0);
    const two = append(1, one.end);
    await ask(one);
    await ask(two);
    const fetch: StorageRequest = {
      kind: 'fetch',
      branch: mainBranch,
      head: epoch(1),
      from: zeroLsn,
      bytesMax: 100_000,
      waitMs: 0,
      durableOnly: false,
      known: { head: genesisEpoch, vdl: zeroLsn },
    };
    const wanted = Buffer.concat([one.frames, two.frames]);
    const near = await ask(fetch);
    expect(near).toMatchObject({ kind: 'fetched', head: 1, next: two.end });
    expect(near.kind === 'fetched' && Buffer.from(near.frames).equals(wanted)).toBe(true);
    await first.close();
    const far = await (await connect(await start(config)))(fetch);
    expect(far.kind === 'fetched' && Buffer.from(far.frames).equals(wanted)).toBe(true);
  });

  it('keeps its seal over a restart', async () => {
    const config = newConfig();
    const first = await start(config);
    const ask = await connect(first);
    await ask(forkOf(1));
    expect(await ask({ kind: 'seal', branch: mainBranch, epoch: epoch(5) })).toMatchObject({
      kind: 'sealed',
      fresh: true,
    });
    await first.close();
    const second = await connect(await start(config));
    expect(await second(append(1, 0))).toMatchObject({ kind: 'refused', code: 'SEALED', sealed: 5 });
  });

  it('answers a waiting fetch as soon as there is news', async () => {
    const node = await start(newConfig());
    const ask = await connect(node);
    await ask(forkOf(1));
    const startedAt = performance.now();
    const waiting = ask({
      kind: 'fetch',
      branch: mainBranch,
      head: epoch(1),
      from: zeroLsn,
      bytesMax: 100_000,
      waitMs: 2_500,
      durableOnly: false,
      known: { head: epoch(1), vdl: zeroLsn },
    });
    const one = append(1, 0);
    await ask(one);
    expect(await waiting).toMatchObject({ kind: 'fetched', next: one.end });
    expect(performance.now() - startedAt).toBeLessThan(2_000);
  });

  it('looks around less often while it has nothing to do, and often again once it has', async () => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
    cleanups.push(() => vi.useRealTimers());
    const { tickMs, restingTickMs } = nodeRuntimeLimits;
    const node = await start(newConfig());
    const ticks = ticksOf(node);
    const ask = await connect(node);
    await ask(forkOf(1));
    vi.advanceTimersByTime(tickMs);
    expect(ticks()).toBe(1);
    vi.advanceTimersByTime(2 * restingTickMs);
    expect(ticks()).toBe(3);
    const one = append(1, 0);
    await ask(one);
    // A frame is nothing to do yet, so a lone client's commits wake nobody in between.
    vi.advanceTimersByTime(tickMs);
    expect(ticks()).toBe(3);
    // Told that it is durable and that no reader goes below: to be folded, which takes a tick and the next one notices.
    const point = { durable: { head: epoch(1), vdl: lsn(one.end) }, lowWater: lsn(one.end) };
    await ask({ ...append(1, one.end), ...point, frames: new Uint8Array(0) });
    vi.advanceTimersByTime(tickMs);
    expect(ticks()).toBe(4);
    await eventually('the node rests again', () => {
      vi.advanceTimersByTime(tickMs);
      const before = ticks();
      vi.advanceTimersByTime(restingTickMs - tickMs);
      return ticks() === before;
    });
  });

  it('cuts away what a crash left of a write that was never acknowledged', async () => {
    const config = newConfig();
    const first = await start(config);
    const ask = await connect(first);
    await ask(forkOf(1));
    const one = append(1, 0);
    await ask(one);
    await first.close();
    const log = join(config.dataDir, 'log', '0000000001.log');
    appendFileSync(log, append(1, one.end).frames.subarray(0, 50));
    const second = await connect(await start(config));
    expect(await second({ kind: 'status' })).toMatchObject({ scl: one.end });
    const two = append(1, one.end);
    expect(await second(two)).toEqual({ kind: 'acked', head: 1, scls: [[0, two.end]] });
  });

  it('does not count a frame that rotted, and hands out none', async () => {
    const config = newConfig();
    const first = await start(config);
    const ask = await connect(first);
    await ask(forkOf(1));
    const one = append(1, 0);
    const two = append(1, one.end);
    const three = append(1, two.end);
    for (const request of [one, two, three]) await ask(request);
    await first.close();
    const log = join(config.dataDir, 'log', '0000000001.log');
    const bytes = readFileSync(log);
    bytes.writeUInt8(bytes.readUInt8(one.frames.length + 60) ^ 1, one.frames.length + 60);
    writeFileSync(log, bytes);
    const second = await connect(await start(config));
    expect(await second({ kind: 'status' })).toMatchObject({ scl: one.end });
    expect(await second(two)).toEqual({ kind: 'acked', head: 1, scls: [[0, three.end]] });
  });

  it('ends, to be restarted, when a frame rots while it runs', async () => {
    const fatal: string[] = [];
    const config = newConfig();
    const first = await start(config);
    const ask = await connect(first);
    await ask(forkOf(1));
    await ask(append(1, 0));
    await first.close();
    const second = await start(config, { onFatal: (message) => fatal.push(message) });
    const log = join(config.dataDir, 'log', '0000000001.log');
    // In place: a file that is written anew is empty for a moment, and a node reads its log when it has started.
    const file = openSync(log, 'r+');
    writeSync(file, Buffer.of((readFileSync(log)[60] ?? 0) ^ 1), 0, 1, 60);
    closeSync(file);
    const again = await connect(second);
    const read = await again({
      kind: 'fetch',
      branch: mainBranch,
      head: epoch(1),
      from: zeroLsn,
      bytesMax: 1_000,
      waitMs: 0,
      durableOnly: false,
      known: { head: epoch(1), vdl: zeroLsn },
    });
    expect(read).toMatchObject({ kind: 'refused', code: 'DISK_FAILED' });
    expect(fatal).toEqual([expect.stringContaining('checksum')]);
  });

  it('writes no frame before the fork of its epoch is safe (S4)', async () => {
    const written: string[] = [];
    let renames = 0;
    let releaseState: (() => void) | null = null;
    const disk: typeof nodeDisk = {
      ...nodeDisk,
      rename: (from, to, done) => {
        const rename = (): void => nodeDisk.rename(from, to, done);
        renames += 1;
        if (renames === 2) releaseState = rename;
        else rename();
      },
      open: logAppendsPass((append) => (buffers, position, wrote) => {
        written.push('frames');
        append(buffers, position, wrote);
      }),
    };
    const ask = await connect(await start(newConfig(), { disk }));
    const forked = ask(forkOf(1));
    const acked = ask(append(1, 0));
    await eventually('the state is on its way', () => releaseState !== null);
    await ask({ kind: 'status' });
    expect(written).toEqual([]);
    const release: unknown = releaseState;
    if (typeof release === 'function') release();
    expect((await forked).kind).toBe('forked');
    expect((await acked).kind).toBe('acked');
    expect(written).toEqual(['frames']);
  });

  it('refuses what does not fit on the disk, and takes it when there is space again', async () => {
    const full: DiskFailure = { kind: 'failed', code: 'ENOSPC', message: 'no space left' };
    let isFull = false;
    const disk: typeof nodeDisk = {
      ...nodeDisk,
      open: logAppendsPass(
        (append) => (buffers, position, wrote) =>
          isFull ? setImmediate(() => wrote(full)) : append(buffers, position, wrote),
      ),
    };
    const lines: string[] = [];
    const destination = { write: (line: string) => void lines.push(line) };
    const logger = createLogger({ service: 's', region: 'r', component: 'c', destination });
    const node = await start(newConfig(), { disk, logger });
    const ask = await connect(node);
    const get = async (path: string) => (await fetch(`http://${node.address}${path}`)).text();
    const trouble = 'the disk takes no writes (log): no space left';
    await ask(forkOf(1));
    const one = append(1, 0);
    await ask(one);
    expect(await get('/metrics')).toMatch(/sextant_storage_disk_full\{[^}]*\} 0/);
    isFull = true;
    const two = append(1, one.end);
    for (let tries = 0; tries < 3; tries++)
      expect(await ask(two)).toMatchObject({ kind: 'refused', code: 'DISK_FULL' });
    const unready = await fetch(`http://${node.address}/readyz`);
    expect([unready.status, await unready.json()]).toEqual([
      503,
      { ready: false, reason: trouble, head: 1, sealed: 1, scl: one.end, vdl: 0 },
    ]);
    expect(await get('/metrics')).toMatch(/sextant_storage_disk_full\{[^}]*\} 1/);
    expect(await get('/metrics')).toMatch(/sextant_storage_disk_failures_total\{[^}]*\} 3/);
    expect(await ask({ kind: 'status' })).toMatchObject({ kind: 'status', trouble });
    isFull = false;
    expect(await ask(two)).toEqual({ kind: 'acked', head: 1, scls: [[0, two.end]] });
    expect(JSON.parse(await get('/readyz'))).toMatchObject({ ready: true, scl: two.end });
    expect(await get('/metrics')).toMatch(/sextant_storage_disk_full\{[^}]*\} 0/);
    expect(await ask({ kind: 'status' })).not.toHaveProperty('trouble');
    // Said once for all three, and once that it is over.
    expect(
      lines.filter((line) => line.includes('the disk takes')).map((line) => JSON.parse(line)),
    ).toMatchObject([
      { level: 'error', reason: 'no space left', msg: expect.stringContaining('takes no writes') },
      { level: 'info', failures: 3, msg: 'the disk takes writes again' },
    ]);
  });

  it('says over HTTP that it lives, how complete it is, and its metrics', async () => {
    const node = await start(newConfig());
    const ask = await connect(node);
    await ask(forkOf(1));
    await ask(append(1, 0));
    const get = async (path: string): Promise<{ status: number; text: string }> => {
      const response = await fetch(`http://${node.address}${path}`);
      return { status: response.status, text: await response.text() };
    };
    expect((await get('/healthz')).status).toBe(200);
    expect(JSON.parse((await get('/readyz')).text)).toMatchObject({ ready: true, head: 1 });
    expect((await get('/metrics')).text).toMatch(/sextant_storage_appended_bytes_total\{[^}]*\} [1-9]/);
    expect((await get('/secret')).status).toBe(404);
  });
});

describe('a start that cannot succeed', () => {
  it('names the port and the key when the port is taken', async () => {
    const node = await start(newConfig());
    const port = node.address.split(':').at(-1);
    await expect(start(newConfig({ listen: node.address }))).rejects.toThrow(
      new RegExp(`port ${port} is taken.*key listen`),
    );
  });

  it('does not touch the data of another node, region or cluster', async () => {
    const config = newConfig();
    await (await start(config)).close();
    for (const other of [{ node: nodeId('n2') }, { region: regionId('eu-west-1') }, { cluster: 'prod' }]) {
      await expect(start({ ...config, ...other })).rejects.toThrow(
        'holds the data of node test/us-east-1/n1',
      );
    }
  });
});

describe('the process', () => {
  const write = (config: object): string => {
    const directory = mkdtempSync(join(tmpdir(), 'sextant-main-'));
    cleanups.push(() => rmSync(directory, { recursive: true, force: true }));
    mkdirSync(directory, { recursive: true });
    const file = join(directory, 'node.json');
    writeFileSync(file, JSON.stringify(config));
    return file;
  };

  it('starts from its file, says when it is ready and ends with code 0 on SIGTERM', {
    timeout: 15_000,
  }, async () => {
    const child = spawn(process.execPath, [mainPath, '--config', write(newConfig())], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    cleanups.push(() => child.kill('SIGKILL'));
    let output = '';
    await new Promise<void>((resolve) =>
      child.stdout.on('data', (text: Buffer) => {
        output += text.toString();
        if (output.includes('the storage node is ready')) resolve();
      }),
    );
    child.kill('SIGTERM');
    const [code] = await once(child, 'exit');
    expect(code).toBe(0);
    expect(output).not.toContain(secret);
  });

  it('is refused a data directory that another has, with its pid, and gets it once that one was killed', {
    timeout: 60_000,
  }, async () => {
    const config = newConfig();
    const first = spawn(process.execPath, [mainPath, '--config', write(config)], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    cleanups.push(() => first.kill('SIGKILL'));
    await once(first.stdout, 'data');
    const second = spawnSync(process.execPath, [mainPath, '--config', write(config)]);
    expect(second.status).toBe(1);
    expect(second.stderr.toString()).toMatch(
      new RegExp(`dataDir ${config.dataDir} is in use by pid ${first.pid} \\(storage node n1, since 2`),
    );
    expect(first.exitCode).toBeNull();
    await expect(start(config)).rejects.toThrow(`in use by pid ${first.pid}`);
    first.kill('SIGKILL');
    await once(first, 'exit');
    await (await start(config)).close();
  });

  it('ends with code 1 and a sentence when the configuration is wrong', { timeout: 15_000 }, () => {
    const unknown = spawnSync(process.execPath, [
      mainPath,
      '--config',
      write({ ...newConfig(), colour: 'blue' }),
    ]);
    expect(unknown.status).toBe(1);
    expect(unknown.stderr.toString()).toMatch(/unknown key colour/);
    const usage = spawnSync(process.execPath, [mainPath]);
    expect(usage.status).toBe(1);
    expect(usage.stderr.toString()).toContain('--config FILE');
  });
});
