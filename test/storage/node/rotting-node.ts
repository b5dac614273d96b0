/** One storage node on a disk in memory whose bytes rot, with a peer that has everything and a supervisor that restarts it. */

import { type NodeParts, openParts } from '../../../storage/node/node-parts.ts';
import { nodeRuntimeLimits } from '../../../storage/node/node-runtime.ts';
import type { Repair } from '../../../storage/node/repair.ts';
import type { pageFolderBounds } from '../../../storage/pages/page-folder.ts';
import { machine } from '../../../storage/process/runtime.ts';
import { encodeFrame } from '../../../storage/redo/frame.ts';
import {
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
import type { StorageReply, StorageRequest } from '../../../storage/wire/core/messages.ts';
import { MemoryDisk } from '../log/hot-log-memory-disk.ts';
import { eventually, secret, silent, smallMtr } from '../region-harness.ts';

const reign = epoch(1);
export const pages = [1, 2, 3, 4, 5, 6, 7].map(pageNo);

/** Transactions one after another, a frame each. */
export function transactions(count: number): readonly Uint8Array[] {
  const frames: Uint8Array[] = [];
  let at = 0;
  for (let index = 0; index < count; index++) {
    const payload = smallMtr(1 + (index % pages.length), index).runs[0]?.bytes ?? new Uint8Array(0);
    frames.push(encodeFrame({ epoch: reign, pg: pgId(0), base: lsn(at), prevPg: lsn(at) }, [payload]));
    at += payload.length;
  }
  return frames;
}

/** A supervisor that would go on for ever would hide a loop. */
const restartsMax = 20;

export class RottingNode {
  readonly disk = new MemoryDisk();
  readonly fatal: string[] = [];
  readonly frames = transactions(600);
  readonly end: Lsn;
  /** Bounds of folding: when images are stored. */
  folding: Partial<typeof pageFolderBounds> = {};
  /** Whether the peer answers. */
  peerIsUp = true;
  /** Added up over all restarts. */
  readonly rot = { found: 0, healed: 0, atStart: 0 };
  parts: NodeParts | undefined;
  private restarting: Promise<void> = Promise.resolve();

  constructor() {
    this.end = lsn(this.frames.reduce((sum, frame) => sum + frame.length - 36, 0));
  }

  /** Starts it, and starts it again whenever its process ends because of its disk. */
  async start(): Promise<NodeParts> {
    let ended = false;
    const parts = await openParts({
      config: {
        cluster: 'test',
        secret,
        region: regionId('us-east-1'),
        node: nodeId('n1'),
        az: 'az1',
        listen: '',
        dataDir: '/data',
        peers: [],
      },
      disk: this.disk,
      runtime: machine,
      repair: this.peer(),
      logger: silent,
      pid: 1,
      onFatal: (message) => {
        if (ended) return;
        ended = true;
        this.fatal.push(message);
        if (this.fatal.length >= restartsMax) return;
        // A few more milliseconds pass, as in a process that is on its way out.
        this.restarting = this.stop().then(() => void this.start());
      },
      onFlushed: () => undefined,
      bounds: {
        log: { fileBytesMax: 32 * 1024, tailBytesMax: 0 },
        pages: this.folding,
        sealer: { everyMs: 1 },
        scrub: { firstMs: 20, restMs: 20 },
      },
    });
    this.rot.atStart += parts.recovery.damageCount;
    this.parts = parts;
    if (this.end > zeroLsn) this.tell(parts);
    return parts;
  }

  /** Ends the process, in good order but with nothing remembered. */
  async stop(): Promise<void> {
    const { parts } = this;
    this.parts = undefined;
    if (parts === undefined) return;
    this.rot.found += parts.rot.counters.found;
    this.rot.healed += parts.rot.counters.healed;
    await parts.runtime.close();
  }

  /** Writes everything, and waits until it is folded and sealed. */
  async fill(): Promise<void> {
    const parts = await this.start();
    await ask(parts, {
      kind: 'fork',
      authority: reign,
      forks: [{ epoch: reign, branch: mainBranch, parent: epoch(0), forkLsn: zeroLsn }],
    });
    for (let at = 0; at < this.frames.length; at += 50)
      await ask(parts, this.append(this.frames.slice(at, at + 50)));
    await this.settled();
  }

  /** Waits until the node holds everything again, folded, sealed, and with nothing rotten left to heal. */
  async settled(): Promise<void> {
    await eventually('the node is level, folded and sealed', async () => {
      await this.restarting;
      const { parts } = this;
      if (parts === undefined) return false;
      const { node, log, rot } = parts;
      const isLevel =
        node.segment.volumeEnd(reign) === this.end && rot.counters.found === rot.counters.healed;
      return isLevel && parts.pages.index.floor === this.end && log.sealedFiles === log.files.length - 1;
    });
  }

  /** Every byte the log's files hold, as [path, offset], of which `pick` chooses. */
  files(ending: string): readonly string[] {
    return this.disk.paths().filter((path) => path.startsWith('/data/log/') && path.endsWith(ending));
  }

  /** Pages at the end of the log; null when the node refuses. */
  async readPages(): Promise<readonly (Uint8Array | null)[] | null> {
    if (this.parts === undefined) return null;
    const reply = await ask(this.parts, { kind: 'readPages', head: reign, readPoint: this.end, pages });
    return reply.kind === 'pages' ? reply.pages : null;
  }

  /** All frames that the node hands out from the beginning on; null when it refuses. */
  async fetch(): Promise<Uint8Array | null> {
    if (this.parts === undefined) return null;
    const reply = await ask(this.parts, {
      kind: 'fetch',
      branch: mainBranch,
      head: reign,
      from: zeroLsn,
      bytesMax: 1024 * 1024,
      waitMs: 0,
      durableOnly: true,
      known: { head: reign, vdl: zeroLsn },
    });
    return reply.kind === 'fetched' ? reply.frames : null;
  }

  private append(frames: readonly Uint8Array[]): StorageRequest {
    const durable = { head: reign, vdl: this.end };
    return {
      kind: 'append',
      authority: reign,
      durable,
      lowWater: this.end,
      frames: Buffer.concat(frames),
    };
  }

  /** A node that has just started hears from its writer what is durable. */
  private tell(parts: NodeParts): void {
    if (parts.node.head === reign) void ask(parts, this.append([]));
  }

  private peer(): Repair {
    return {
      close: () => undefined,
      readPages: () => Promise.resolve(null),
      fetchImages: () => Promise.resolve(null),
      fetch: (_head, from): ReturnType<Repair['fetch']> => {
        if (!this.peerIsUp) return Promise.resolve(null);
        let at = 0;
        const wanted = this.frames.filter((frame) => {
          at += frame.length - 36;
          return at > from;
        });
        return Promise.resolve({ kind: 'fetched', frames: Buffer.concat(wanted.slice(0, 40)), forks: [] });
      },
    };
  }
}

export function ask(parts: NodeParts, request: StorageRequest): Promise<StorageReply> {
  return new Promise((resolve, reject) => {
    parts.runtime.request(request, resolve);
    setTimeout(() => reject(new Error(`no answer to ${request.kind}`)), 200 * nodeRuntimeLimits.tickMs);
  }).then((reply) => reply as StorageReply);
}
