import { spawnSync } from 'node:child_process';
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { EpochTree } from '../../../storage/history/epoch-tree.ts';
import {
  type AppendFacts,
  ReceiverDriver,
  type RegionClient,
  runRecovery,
  TailReader,
} from '../../../storage/index.ts';
import { checkedFrames, parseFrame, splitFrames } from '../../../storage/redo/frame.ts';
import {
  type Epoch,
  epoch,
  type Lsn,
  lsn,
  mainBranch,
  nodeId,
  type PgId,
  pageNo,
  zeroLsn,
} from '../../../storage/redo/ids.ts';
import { redoLimits } from '../../../storage/redo/limits.ts';
import { MtrStream, type StoredMtr } from '../../../storage/redo/mtr-stream.ts';
import {
  eventually,
  nodeIds,
  ReferencePages,
  smallMtr,
  startRegion,
  type TestNode,
  type TestRegion,
  type TestRegionOptions,
  TestWriter,
} from '../region-harness.ts';

const regions: TestRegion[] = [];
const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
  for (const region of regions.splice(0)) await region.close();
});

async function open(options: TestRegionOptions = {}): Promise<{ region: TestRegion; client: RegionClient }> {
  const region = await startRegion(options);
  regions.push(region);
  const client = region.client();
  await eventually('all six are up', () => client.upNodes.length === 6);
  return { region, client };
}

async function writeSome(writer: TestWriter, count: number, bytes = 160): Promise<Lsn> {
  let last = writer.driver.lastLsn;
  for (let at = 0; at < count; at++) {
    last = writer.driver.commit(smallMtr(1 + (at % 20), at, bytes));
    if (at % 5 === 0) await writer.untilDurable(last);
  }
  await writer.untilDurable(last);
  return last;
}

/** Every frame of a node's log by epoch and LSN, read from its files. */
function framesOnDisk(node: TestNode): Map<string, string> {
  const directory = join(node.config.dataDir, 'log');
  const frames = new Map<string, string>();
  for (const name of readdirSync(directory)) {
    const file = readFileSync(join(directory, name));
    for (let at = 0; file.subarray(at).some((byte) => byte !== 0); ) {
      const parsed = parseFrame(file, at);
      if (parsed.kind !== 'frame') throw new Error(`${name}: ${parsed.kind} at ${at}`);
      const { header, length } = parsed;
      frames.set(`${header.epoch}/${header.base}`, file.toString('base64', at, at + length));
      at += length;
    }
  }
  return frames;
}

async function untilComplete(client: RegionClient, ids: readonly string[], vdl: Lsn): Promise<void> {
  await eventually(`${ids.join(', ')} complete to ${vdl}`, async () => {
    const all = await client.status();
    return (
      all.filter(({ node, status }) => ids.includes(node) && (status?.scl ?? 0) >= vdl).length === ids.length
    );
  });
}

/** A mini-transaction of so many whole pages that is read from elsewhere. */
function storedMtr(pages: number) {
  const stretches: { readonly pg: PgId; readonly length: number; readonly bytes: Uint8Array }[] = [];
  const stream = new MtrStream({
    pgBytes: redoLimits.pgBytesMin,
    stretchBytesMax: redoLimits.framePayloadBytesMax,
    shrink: null,
    onStretch: (pg, bytes) => stretches.push({ pg, length: bytes.length, bytes: bytes.slice() }),
  });
  for (let at = 1; at <= pages; at++)
    stream.add({ kind: 'pageImage', page: pageNo(at), bytes: new Uint8Array(4096).fill(at % 256) });
  stream.finish([{ kind: 'commit', commitTimeUs: 1, trace: null }]);
  const test = {
    reads: [] as { readonly from: number; readonly to: number }[],
    fail: Number.POSITIVE_INFINITY,
  };
  const mtr: StoredMtr = {
    stretches,
    byteLength: stream.byteLength,
    commits: 1,
    read: async (from, to) => {
      test.reads.push({ from, to });
      if (test.reads.length >= test.fail) throw new Error('the disk has failed');
      return stretches.slice(from, to).map(({ bytes }) => bytes);
    },
  };
  return Object.assign(test, { mtr });
}

describe('writing to six nodes', () => {
  it('becomes durable, and every node ends with the same frames byte by byte', async () => {
    const { region, client } = await open();
    const writer = await TestWriter.open(client, 1);
    const end = await writeSome(writer, 40);
    await untilComplete(client, nodeIds, end);
    writer.driver.close();
    const logs = region.nodes.map(framesOnDisk);
    expect(logs[0]?.size).toBeGreaterThan(5);
    for (const log of logs) expect(log).toEqual(logs[0]);
  });

  it('of redo that is elsewhere gives the frames it would have in memory, and ends when it cannot be read', async () => {
    const { region, client } = await open();
    const writer = await TestWriter.open(client, 1);
    const [first, second] = [storedMtr(900), storedMtr(700)];
    writer.driver.commit(first.mtr);
    writer.driver.commit(smallMtr(1, 7));
    const end = writer.driver.commit(second.mtr);
    await writer.untilDurable(end);
    await untilComplete(client, nodeIds, end);
    // Read in pieces, each once, in order.
    expect(first.reads.map(({ from }) => from)).toEqual(
      first.reads.map((_, at) => first.reads[at - 1]?.to ?? 0),
    );
    expect(first.reads.length).toBeGreaterThan(1);
    expect(first.reads.at(-1)?.to).toBe(first.mtr.stretches.length);
    const logs = region.nodes.map(framesOnDisk);
    for (const log of logs) expect(log).toEqual(logs[0]);

    const broken = storedMtr(900);
    broken.fail = 2;
    writer.driver.commit(broken.mtr);
    await writer.until(() => writer.lost !== null);
    expect(writer.lost).toContain('the disk has failed');
    expect([writer.driver.isOver, writer.driver.vdl]).toEqual([true, end]);
    const next = await TestWriter.open(client, 2);
    expect(next.driver.vdl).toBe(end);
    await next.untilDurable(next.driver.commit(smallMtr(1, 8)));
    next.driver.close();
  });

  it('shares frames between the commits of one turn of the event loop', async () => {
    const { region, client } = await open();
    const writer = await TestWriter.open(client, 1);
    for (let at = 0; at < 99; at++) writer.driver.commit(smallMtr(1, at));
    const last = writer.driver.commit(smallMtr(1, 99));
    await writer.untilDurable(last);
    await untilComplete(client, ['n1'], last);
    expect(framesOnDisk(region.node('n1')).size).toBe(1);
  });

  it('tells when each batch left, when each node had it and which node made the quorum', async () => {
    const { client } = await open();
    const facts: AppendFacts[] = [];
    const writer = await TestWriter.open(client, 1, {
      recordFacts: true,
      onDurable: (_vdl, more) => facts.push(...more),
    });
    const end = await writeSome(writer, 3);
    await eventually('all six acknowledged', () => facts.every(({ acks }) => acks.length === 6));
    expect(facts[0]?.lsnFrom).toBe(0);
    expect(facts.at(-1)?.lsnTo).toBe(end);
    for (const { acks, sentAtUs } of facts) {
      expect(acks.filter(({ quorum }) => quorum)).toHaveLength(1);
      expect(acks[3]?.quorum).toBe(true);
      expect(new Set(acks.map(({ az }) => az))).toEqual(new Set(['az1', 'az2', 'az3']));
      for (const ack of acks) expect(ack.ackedAtUs).toBeGreaterThanOrEqual(sentAtUs);
    }
  });
});

describe('losing nodes', () => {
  it('goes on without a zone, stops without three nodes, and repairs the nodes that come back', {
    timeout: 60_000,
  }, async () => {
    const { region, client } = await open({ children: true });
    const writer = await TestWriter.open(client, 1);
    await writeSome(writer, 20);
    await Promise.all([region.node('n1').kill(), region.node('n2').kill()]);
    const durable = await writeSome(writer, 40);

    await region.node('n3').kill();
    const unknown = writer.driver.commit(smallMtr(7, 7));
    await writer.until(() => writer.lost !== null);
    expect(writer.driver.vdl).toBe(durable);
    expect(unknown).toBeGreaterThan(durable);
    expect(writer.driver.isOver).toBe(true);

    await Promise.all(['n1', 'n2', 'n3'].map((id) => region.node(id).start()));
    await eventually('all six are up', () => client.upNodes.length === 6);
    const next = await TestWriter.open(client, 2);
    expect(next.driver.lastLsn).toBeGreaterThanOrEqual(durable);
    const end = await writeSome(next, 10);
    await untilComplete(client, nodeIds, end);
    next.driver.close();
    const complete = framesOnDisk(region.node('n4'));
    for (const id of ['n1', 'n2', 'n3']) {
      const log = framesOnDisk(region.node(id));
      for (const [key, bytes] of complete) {
        // What the second reign's writer found above VDL is an orphan that need not be everywhere.
        if (key.startsWith('1/') && Number(key.slice(2)) >= durable) continue;
        expect(log.get(key), `${id} ${key}`).toBe(bytes);
      }
    }
  });

  it('survives a kill of all six at once: what was durable is there, and a new writer goes on', {
    timeout: 60_000,
  }, async () => {
    const { region, client } = await open({ children: true });
    const writer = await TestWriter.open(client, 1);
    const durable = await writeSome(writer, 30);
    for (let at = 0; at < 50; at++) writer.driver.commit(smallMtr(3, at));
    await new Promise((resolve) => setImmediate(resolve));
    await Promise.all(region.nodes.map((node) => node.kill()));
    writer.driver.close();
    appendFileSync(
      join(region.node('n1').config.dataDir, 'log', '0000000001.log'),
      Buffer.from('SX\u0001\u0000torn write'),
    );
    await Promise.all(region.nodes.map((node) => node.start()));
    await eventually('all six are up', () => client.upNodes.length === 6);
    const next = await TestWriter.open(client, 2);
    expect(next.driver.lastLsn).toBeGreaterThanOrEqual(durable);
    const end = await writeSome(next, 5);
    await untilComplete(client, nodeIds, end);
  });

  it('passes over a frozen node', { timeout: 30_000 }, async () => {
    const { region, client } = await open({ children: true });
    const writer = await TestWriter.open(client, 1);
    await writeSome(writer, 5);
    region.node('n6').freeze();
    const frozenAt = performance.now();
    await writeSome(writer, 20);
    expect(performance.now() - frozenAt).toBeLessThan(1_500);
    region.node('n6').thaw();
    await untilComplete(client, ['n6'], writer.driver.vdl);
  });

  it('rebuilds a node that was wiped, and does not count it as a witness before', {
    timeout: 30_000,
  }, async () => {
    const { region, client } = await open();
    const writer = await TestWriter.open(client, 1);
    const end = await writeSome(writer, 30);
    const wiped = region.node('n5');
    await wiped.kill();
    rmSync(wiped.config.dataDir, { recursive: true });
    await wiped.start();
    expect(wiped.running?.node.state.hydrated).toBe(false);
    await untilComplete(client, ['n5'], end);
    await eventually('it is a witness again', () => wiped.running?.node.state.hydrated === true);
    expect(framesOnDisk(wiped)).toEqual(framesOnDisk(region.node('n1')));
  });
});

describe('a full disk', () => {
  it.skipIf(process.getuid?.() !== 0)(
    'keeps the quorum without that node, which heals once there is space',
    { timeout: 60_000 },
    async () => {
      const mounted = join('/tmp', `sextant-full-${process.pid}`);
      mkdirSync(mounted, { recursive: true });
      const mount = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=3m', 'tmpfs', mounted]);
      if (mount.status !== 0) throw new Error(`mount: ${mount.stderr}`);
      cleanups.push(async () => {
        for (const region of regions.splice(0)) await region.close();
        spawnSync('umount', [mounted]);
        rmSync(mounted, { recursive: true, force: true });
      });
      const dataDir = (node: string, directory: string): string =>
        join(node === 'n2' ? mounted : directory, node);
      const { client } = await open({ dataDir });
      const writer = await TestWriter.open(client, 1);
      await writeSome(writer, 5);
      const ballast = join(mounted, 'ballast');
      expect(() => writeFileSync(ballast, Buffer.alloc(4 * 2 ** 20))).toThrow(/ENOSPC/);
      // More than the space the log has made ahead.
      const durable = await writeSome(writer, 500, 900);
      const status = (await client.status()).find(({ node }) => node === 'n2')?.status;
      expect(status?.scl).toBeLessThan(durable);
      expect(existsSync(ballast)).toBe(true);
      rmSync(ballast);
      await untilComplete(client, ['n2'], durable);
    },
  );
});

describe('taking over', () => {
  it('forks at the durable end; the writer before is fenced and hears of nothing durable any more', async () => {
    const { client } = await open();
    const old = await TestWriter.open(client, 1);
    const end = await writeSome(old, 25);
    const next = await TestWriter.open(client, 2);
    expect(next.driver.lastLsn).toBe(end);
    const heard = old.durable.length;
    old.driver.commit(smallMtr(1, 1));
    await old.until(() => old.fencedBy !== null);
    expect(old.fencedBy).toBe(2);
    expect(old.durable).toHaveLength(heard);
    expect(old.driver.isOver).toBe(true);
    await writeSome(next, 5);
  });

  it('refuses to fork an epoch twice, and one that an other has passed', async () => {
    const { client } = await open();
    await TestWriter.open(client, 3);
    const again = await runRecovery(
      client,
      { kind: 'fork', branch: mainBranch, epoch: epoch(3) },
      { timeoutMs: 5_000 },
    );
    expect(again).toMatchObject({ kind: 'failed', reason: expect.stringContaining('earlier attempt') });
    const older = await runRecovery(
      client,
      { kind: 'fork', branch: mainBranch, epoch: epoch(2) },
      { timeoutMs: 5_000 },
    );
    expect(older).toEqual({ kind: 'fenced', by: 3 });
  });

  it('ends with a value when too few nodes answer, and when it is aborted', async () => {
    const { region, client } = await open();
    await Promise.all(['n1', 'n2', 'n3'].map((id) => region.node(id).kill()));
    const goal = { kind: 'fork', branch: mainBranch, epoch: epoch(1) } as const;
    expect(await runRecovery(client, goal, { timeoutMs: 300 })).toEqual({
      kind: 'timeout',
      phase: 'sealing',
    });
    const abort = new AbortController();
    const aborted = runRecovery(client, goal, { timeoutMs: 10_000, signal: abort.signal });
    abort.abort();
    expect(await aborted).toEqual({ kind: 'aborted' });
  });
});

/** Nothing is folded until it is said that no reader needs what is durable by then. */
function heldLowWater() {
  const bounds = {
    readPointAgeMs: Number.POSITIVE_INFINITY,
    unfoldedBytesMax: Number.POSITIVE_INFINITY,
    lowWaterEveryMs: 10,
  };
  const raise = async (): Promise<void> => {
    bounds.readPointAgeMs = 0;
    await new Promise((resolve) => setTimeout(resolve, 250));
    bounds.readPointAgeMs = Number.POSITIVE_INFINITY;
  };
  return { bounds, raise };
}

/** Whether every node has folded something. */
async function haveFolded(region: TestRegion): Promise<boolean> {
  const told = region.nodes.map(async ({ config }) =>
    (await fetch(`http://${config.listen}/metrics`)).text(),
  );
  return (await Promise.all(told)).every((text) =>
    /^sextant_storage_pages_built_total(?:\{.*\})? [1-9]/m.test(text),
  );
}

describe('reading pages', () => {
  it('gives every page as it was at every read point, folded or not, before and after a restart', {
    timeout: 60_000,
  }, async () => {
    const { region, client } = await open();
    const lowWater = heldLowWater();
    const writer = await TestWriter.open(client, 1, { place: { lowWater: lowWater.bounds } });
    const reference = new ReferencePages(42);
    const pages = Array.from({ length: 8 }, (_, at) => pageNo(at + 1));
    const write = async (count: number): Promise<void> => {
      for (let at = 0; at < count; at++) {
        const last = writer.driver.commit(reference.change(pages.length));
        reference.committed(last);
        if (at % 7 === 0) await writer.untilDurable(last);
      }
      await writer.untilDurable(writer.driver.lastLsn);
    };
    const check = async (from: number): Promise<void> => {
      for (const version of reference.versions.slice(from).filter((_, at) => at % 9 === 0)) {
        const read = await client.readPages(writer.epoch, version.lsn, pages);
        if (read.kind !== 'pages') throw new Error(read.reason);
        read.pages.forEach((page, at) => {
          const wanted = version.pages.get(pages[at] ?? pageNo(1));
          expect(
            page === null ? null : Buffer.from(page).equals(wanted ?? Buffer.alloc(0)),
            `page ${at + 1} at ${version.lsn}`,
          ).toBe(wanted === undefined ? null : true);
        });
      }
    };
    await write(150);
    await check(0);
    const lowWaterAt = reference.versions.length - 1;
    await lowWater.raise();
    await write(60);
    await eventually('pages were folded', () => haveFolded(region));
    await check(lowWaterAt);
    for (const node of region.nodes) {
      await node.kill();
      await node.start();
    }
    await eventually('all six are up', () => client.upNodes.length === 6);
    await check(0);
  });

  it('serves what was folded away by reading the log again', { timeout: 60_000 }, async () => {
    const { region, client } = await open();
    const lowWater = heldLowWater();
    const writer = await TestWriter.open(client, 1, { place: { lowWater: lowWater.bounds } });
    const reference = new ReferencePages(7);
    for (let at = 0; at < 120; at++) reference.committed(writer.driver.commit(reference.change(2)));
    await writer.untilDurable(writer.driver.lastLsn);
    await lowWater.raise();
    for (let at = 0; at < 20; at++) reference.committed(writer.driver.commit(reference.change(2)));
    await writer.untilDurable(writer.driver.lastLsn);
    await eventually('pages were folded', () => haveFolded(region));
    const old = reference.versions[10];
    const read = await client.readPages(writer.epoch, old?.lsn ?? zeroLsn, [pageNo(1)], {
      timeoutMs: 10_000,
    });
    if (read.kind !== 'pages') throw new Error(read.reason);
    expect(Buffer.from(read.pages[0] ?? []).equals(old?.pages.get(pageNo(1)) ?? Buffer.alloc(1))).toBe(true);
  });

  it('tells of a read point that no node has reached', async () => {
    const { client } = await open();
    const writer = await TestWriter.open(client, 1);
    await writeSome(writer, 3);
    const read = await client.readPages(writer.epoch, lsn(writer.driver.lastLsn + 1_000), [pageNo(1)], {
      timeoutMs: 200,
    });
    expect(read).toMatchObject({ kind: 'unavailable', reason: expect.stringContaining('read point') });
  });

  it('asks a second node when the first does not answer', { timeout: 30_000 }, async () => {
    const { region, client } = await open({ children: true });
    const writer = await TestWriter.open(client, 1);
    const end = await writeSome(writer, 20);
    await untilComplete(client, nodeIds, end);
    region.node('n1').freeze();
    const startedAt = performance.now();
    for (let at = 0; at < 20; at++)
      expect((await client.readPages(writer.epoch, end, [pageNo(1)])).kind).toBe('pages');
    expect(performance.now() - startedAt).toBeLessThan(1_500);
    region.node('n1').thaw();
  });
});

describe('tailing', () => {
  it('misses and repeats nothing when the node it reads from is killed', { timeout: 30_000 }, async () => {
    const { region, client } = await open({ children: true });
    const writer = await TestWriter.open(client, 1);
    const first = await writeSome(writer, 20);
    const seen: { readonly base: Lsn; readonly end: Lsn }[] = [];
    const passedOn: string[] = [];
    const tail = new TailReader({
      region: client,
      head: null,
      from: zeroLsn,
      durableOnly: true,
      onPassedOn: (node) => passedOn.push(node),
      onFrames: ({ frames }) => {
        const split = splitFrames(frames);
        if (split.kind === 'frames') seen.push(...split.frames.map(({ header }) => header));
      },
    });
    cleanups.push(() => tail.close());
    await eventually('caught up', () => tail.next >= first);
    const serving = tail.node;
    await region.node(serving ?? 'n1').kill();
    const end = await writeSome(writer, 20);
    await eventually('caught up again', () => tail.next >= end);
    expect(passedOn).toContain(serving);
    let at: Lsn = zeroLsn;
    for (const { base, end: to } of seen) {
      expect(base).toBe(at);
      at = to;
    }
    expect(at).toBe(end);
  });

  it('follows the newest reign, and goes back to where its path leaves what was read', async () => {
    const { region, client } = await open();
    const writer = await TestWriter.open(client, 1);
    const end = await writeSome(writer, 10);
    const heads: { head: Epoch; from: Lsn; forks: number }[] = [];
    const tail = new TailReader({
      region: client,
      head: null,
      from: zeroLsn,
      onFrames: ({ head, from, forks }) => heads.push({ head, from, forks: forks.length }),
    });
    cleanups.push(() => tail.close());
    await eventually('caught up', () => tail.next >= end);
    // One node takes what never becomes durable, and the tail reads it: it is not limited to what is durable.
    const others = nodeIds.slice(1).map((id) => region.node(id));
    await Promise.all(others.map((node) => node.kill()));
    const orphan = writer.driver.commit(smallMtr(9, 9));
    await eventually('the orphan was read', () => tail.next >= orphan);
    writer.driver.close();
    await Promise.all(others.map((node) => node.start()));
    await region.node('n1').kill();
    await eventually('five are up', () => client.upNodes.length === 5);
    const next = await TestWriter.open(client, 2);
    expect(next.driver.lastLsn).toBe(end);
    const after = await writeSome(next, 5);
    await eventually('caught up on the new path', () => heads.at(-1)?.head === 2 && tail.next >= after);
    expect(heads.find(({ head }) => head === 2)).toEqual({ head: 2, from: end, forks: 2 });
  });

  it('delivers nothing while paused, and everything afterwards', async () => {
    const { client } = await open();
    const writer = await TestWriter.open(client, 1);
    let calls = 0;
    const tail = new TailReader({ region: client, head: null, from: zeroLsn, onFrames: () => (calls += 1) });
    cleanups.push(() => tail.close());
    await eventually('the head is known', () => calls > 0);
    tail.pause();
    const before = { calls, next: tail.next };
    const end = await writeSome(writer, 10);
    expect({ calls, next: tail.next }).toEqual(before);
    tail.resume();
    await eventually('caught up', () => tail.next >= end);
  });
});

describe('receiving from another region', () => {
  it('stores the same bytes, and counts only what lies on the followed path', {
    timeout: 30_000,
  }, async () => {
    const from = await open();
    const to = await open();
    const writer = await TestWriter.open(from.client, 1);
    const end = await writeSome(writer, 20);
    const forks =
      writer.driver.epoch === 1
        ? [{ epoch: epoch(1), branch: mainBranch, parent: epoch(0), forkLsn: zeroLsn }]
        : [];
    const tree = new EpochTree(forks);
    const joined = await runRecovery(
      to.client,
      { kind: 'follow', branch: mainBranch, epoch: epoch(1), head: epoch(1), forks },
      { timeoutMs: 10_000 },
    );
    expect(joined.kind).toBe('recovered');
    const receiver = new ReceiverDriver({
      region: to.client,
      authority: epoch(1),
      head: epoch(1),
      forks,
      start: zeroLsn,
      onDurable: () => undefined,
      onFenced: () => undefined,
      onQuorumLost: () => undefined,
    });
    cleanups.push(() => receiver.close());
    const offers: string[] = [];
    const tail = new TailReader({
      region: from.client,
      head: epoch(1),
      from: zeroLsn,
      durableOnly: true,
      onFrames: ({ frames }) => offers.push(receiver.offer(checkedFrames(frames), tree).kind),
    });
    cleanups.push(() => tail.close());
    await eventually('durable there too', () => receiver.vdl >= end);
    expect(new Set(offers)).toEqual(new Set(['taken']));
    await untilComplete(to.client, nodeIds, end);
    expect(framesOnDisk(to.region.node('n2'))).toEqual(framesOnDisk(from.region.node('n5')));
    const frames = splitFrames(
      readFileSync(join(to.region.node('n1').config.dataDir, 'log', '0000000001.log')),
    );
    const last = frames.kind === 'frames' ? frames.frames.slice(-1) : [];
    expect(receiver.offer(last, tree)).toEqual({ kind: 'taken', next: end });
  });
});

describe('links', () => {
  it('says that the secret is wrong', async () => {
    const { region } = await open();
    const refusals: string[] = [];
    const stranger = region.client({
      secret: 'not the secret',
      onRefused: (_node, message) => refusals.push(message),
    });
    await eventually('all six refused', () => refusals.length === 6);
    expect(refusals[0]).toContain('LINK_SECRET_WRONG');
    expect(refusals.join()).not.toContain('not the secret');
    const answer = await stranger.request(nodeId('n1'), { kind: 'status' }, 1_000);
    expect(answer).toMatchObject({
      kind: 'unanswered',
      sent: false,
      reason: expect.stringContaining('LINK_SECRET_WRONG'),
    });
  });

  it('does not take one node for another', async () => {
    const { region } = await open();
    const refusals: string[] = [];
    const n2 = region.node('n2').config;
    region.client({
      nodes: [{ node: nodeId('n1'), az: 'az1', address: n2.listen }],
      onRefused: (_node, message) => refusals.push(message),
    });
    await eventually('refused', () => refusals.length === 1);
    expect(refusals[0]).toContain('us-east-1/n2, expected us-east-1/n1');
  });
});
