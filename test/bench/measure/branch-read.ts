/**
 * What a branch costs one node, with production files in a temporary directory: how long it takes to begin one and to read the
 * first page there, at the end of the log and in the middle of it. `npx node test/bench/measure/branch-read.ts [MiB of redo]`.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Fork } from '../../../storage/history/epoch-tree.ts';
import { nodeDisk } from '../../../storage/log/disk.ts';
import { type NodeParts, openParts } from '../../../storage/node/node-parts.ts';
import { pause, machine as time } from '../../../storage/process/runtime.ts';
import { encodeFrame } from '../../../storage/redo/frame.ts';
import {
  branchName,
  type Epoch,
  epoch,
  type Lsn,
  lsn,
  mainBranch,
  nodeId,
  pageNo,
  pgId,
  regionId,
  zeroLsn,
} from '../../../storage/redo/ids.ts';
import { encodeMtr, type PageChange } from '../../../storage/redo/record.ts';
import type { StorageReply, StorageRequest } from '../../../storage/wire/core/messages.ts';
import { createLogger } from '../../../telemetry/index.ts';

const MiB = 1024 * 1024;
const redoMiB = Number(process.argv[2] ?? 256);
const pageCount = 16_384;
const framesAtOnce = 64;
const directory = mkdtempSync(join(tmpdir(), 'sextant-branch-read-'));
const region = regionId('us-east-1');
const nothing = { fetch: null, pages: null, images: null };
const parts: NodeParts = await openParts({
  config: {
    cluster: 'test',
    secret: 'a secret for a measurement',
    region,
    node: nodeId('n1'),
    az: 'az1',
    listen: '',
    dataDir: directory,
    peers: [],
  },
  disk: nodeDisk,
  runtime: time,
  repair: {
    fetch: () => Promise.resolve(nothing.fetch),
    readPages: () => Promise.resolve(nothing.pages),
    fetchImages: () => Promise.resolve(nothing.images),
    close: () => undefined,
  },
  logger: createLogger({ service: 'sextant-bench', region, component: 'bench', level: 'silent' }),
  pid: process.pid,
  onFatal: (message) => console.error(message),
  onFlushed: () => undefined,
});
const ask = (request: StorageRequest): Promise<StorageReply> =>
  new Promise((resolve) => parts.runtime.request(request, resolve));

const root: Fork = { epoch: epoch(1), branch: mainBranch, parent: epoch(0), forkLsn: zeroLsn };
let at: Lsn = zeroLsn;
let state = 1;
const random = (below: number): number => {
  state = (state * 1_103_515_245 + 12_345) % 2 ** 31;
  return Math.floor((state / 2 ** 31) * below);
};
const consistent: Lsn[] = [];

/** Writes so many bytes of small transactions, a frame of about 16 KiB each. @param lag how far folding stays behind. */
async function write(bytes: number, lag: number): Promise<void> {
  const until = at + bytes;
  while (at < until) {
    const frames: Uint8Array[] = [];
    for (let made = 0; made < framesAtOnce; made++) {
      const changes = Array.from({ length: 100 }, (): PageChange => {
        const run = { offset: random(3_900), bytes: new Uint8Array(140).fill(1 + random(250)) };
        return { kind: 'pageDelta', page: pageNo(1 + random(pageCount)), runs: [run] };
      });
      const [run] = encodeMtr(
        changes,
        [{ kind: 'commit', commitTimeUs: 1, trace: null }],
        10 * 1024 * MiB,
      ).runs;
      const payload = run?.bytes ?? new Uint8Array(0);
      frames.push(encodeFrame({ epoch: epoch(1), pg: pgId(0), base: at, prevPg: at }, [payload]));
      at = lsn(at + payload.length);
    }
    consistent.push(at);
    const lowWater = lsn(Math.max(0, at - lag));
    const durable = { head: epoch(1), vdl: at };
    const reply = await ask({
      kind: 'append',
      authority: epoch(1),
      durable,
      lowWater,
      frames: Buffer.concat(frames),
    });
    if (reply.kind !== 'acked') throw new Error(JSON.stringify(reply));
  }
}

/** Waits until images are folded up to the low-water mark. */
async function folded(): Promise<void> {
  while (parts.pages.folder.point.lsn < parts.node.lowWater) await pause(time, 50);
}

async function readMs(head: Epoch, readPoint: Lsn, page: number): Promise<number> {
  const from = performance.now();
  const reply = await ask({ kind: 'readPages', head, readPoint, pages: [pageNo(page)] });
  if (reply.kind !== 'pages') throw new Error(JSON.stringify(reply));
  return performance.now() - from;
}

const ms = (value: number): string => `${value.toFixed(1)} ms`;
let allotted = 1;
async function branch(name: string, from: Lsn): Promise<Epoch> {
  const head = epoch(++allotted);
  const fork = { epoch: head, branch: branchName(name), parent: epoch(1), forkLsn: from };
  const began = performance.now();
  const reply = await ask({ kind: 'fork', authority: head, forks: [root, fork] });
  const beganMs = performance.now() - began;
  if (reply.kind !== 'forked') throw new Error(JSON.stringify(reply));
  const first = await readMs(head, from, 7);
  const second = await readMs(head, from, 77);
  const { length } = name;
  console.log(
    `${name}${' '.repeat(Math.max(1, 32 - length))}fork ${ms(beganMs)}, first page ${ms(first)}, another ${ms(second)}`,
  );
  return head;
}

async function indexed(head: Epoch, from: Lsn): Promise<void> {
  const began = performance.now();
  do await pause(time, 20);
  while (parts.pages.branches.isBuilding);
  const took = performance.now() - began;
  console.log(`  indexed after ${ms(took)}; then a page ${ms(await readMs(head, from, 777))}`);
}

await ask({ kind: 'fork', authority: epoch(1), forks: [root] });
await write(redoMiB * MiB, 32 * MiB);
await folded();
console.log(
  `${redoMiB} MiB of redo over ${(pageCount * 4_096) / MiB} MiB of pages; the last 32 MiB not folded`,
);
const tip = await branch('at-the-end', at);
await indexed(tip, at);
const forkedAt = at;
await write(48 * MiB, 0);
await folded();
console.log(
  `main is folded ${(parts.pages.folder.point.lsn - forkedAt) / MiB} MiB beyond it: a page ${ms(await readMs(tip, forkedAt, 9))}`,
);
const middle = consistent[Math.floor(consistent.length / 2)] ?? zeroLsn;
const old = await branch('in-the-middle', middle);
await indexed(old, middle);
await parts.runtime.close();
rmSync(directory, { recursive: true });
