/** The six storage nodes of a region on disks in memory, with a writer, an agent that has their logs collected, and hands that wipe and kill. */

import type { NodeLinks } from '../../../storage/client/node-links.ts';
import type { FetchSource } from '../../../storage/client/region-fetch.ts';
import { type NodeParts, openParts } from '../../../storage/node/node-parts.ts';
import type { Repair } from '../../../storage/node/repair.ts';
import { machine } from '../../../storage/process/runtime.ts';
import type { runRecovery } from '../../../storage/quorum/recovery-driver.ts';
import { encodeFrame } from '../../../storage/redo/frame.ts';
import {
  epoch,
  type Lsn,
  lsn,
  mainBranch,
  type NodeId,
  nodeId,
  type PageNo,
  pageNo,
  pgId,
  regionId,
  zeroLsn,
} from '../../../storage/redo/ids.ts';
import {
  decodeReply,
  decodeRequest,
  encodeReply,
  encodeRequest,
} from '../../../storage/wire/core/message-codec.ts';
import type { StorageReply, StorageRequest } from '../../../storage/wire/core/messages.ts';
import { MemoryDisk } from '../log/hot-log-memory-disk.ts';
import { eventually, secret, silent, smallMtr } from '../region-harness.ts';
import { joinedBody, sixMembers } from '../samples.ts';

export const reign = epoch(1);
export const ids: readonly NodeId[] = ['n1', 'n2', 'n3', 'n4', 'n5', 'n6'].map(nodeId);
const forks = [{ epoch: reign, branch: mainBranch, parent: epoch(0), forkLsn: zeroLsn }];

const nothing = new Uint8Array(0);

export class SixNodes {
  readonly pages: readonly PageNo[];
  end: Lsn = zeroLsn;
  /** Pages that crossed between nodes, in bytes. */
  imageBytes = 0;
  /** Nobody gives any. */
  hasNoImages = false;
  /** Called before a request for images is answered. */
  onImages: (from: NodeId, to: NodeId) => void = () => undefined;
  private readonly disks = new Map<NodeId, MemoryDisk>();
  private readonly parts = new Map<NodeId, NodeParts>();
  /** Bytes of one request for images. */
  private readonly batchBytes: number;
  private seed = 0;

  constructor({ pages = 40, batchBytes = 16 * 1024 } = {}) {
    this.pages = Array.from({ length: pages }, (_, at) => pageNo(at + 1));
    this.batchBytes = batchBytes;
    for (const id of ids) this.disks.set(id, new MemoryDisk());
  }

  node(id: NodeId): NodeParts {
    const parts = this.parts.get(id);
    if (parts === undefined) throw new Error(`${id} is down`);
    return parts;
  }

  get up(): readonly NodeId[] {
    return ids.filter((id) => this.parts.has(id));
  }

  async start(...some: readonly NodeId[]): Promise<void> {
    await this.startSilently(...some);
    for (const id of some) await this.tell(id);
  }

  /** The nodes as a recovery reaches them. */
  get links(): Parameters<typeof runRecovery>[0] {
    return {
      membership: sixMembers,
      ask: (id, request, _timeoutMs, done) => {
        this.ask(id, request).then(done, () => done({ kind: 'unanswered' }));
      },
    };
  }

  /** The nodes as drivers and agents reach them. */
  get region(): NodeLinks & FetchSource {
    const { up } = this;
    return {
      ...this.links,
      nodes: ids,
      azOf: () => 'az1',
      notify: (id, request) => {
        if (this.parts.has(id)) this.node(id).runtime.request(request, null);
      },
      watch: (watcher) => {
        for (const id of up) watcher.onNodeUp(id);
        return () => undefined;
      },
      request: (id, request) =>
        this.ask(id, request).catch(() => ({ kind: 'unanswered' as const, reason: 'down' })),
    };
  }

  /** No writer tells them anything. */
  async startSilently(...some: readonly NodeId[]): Promise<void> {
    for (const id of some) {
      const parts = await openParts({
        config: {
          cluster: 'test',
          secret,
          region: regionId('us-east-1'),
          node: id,
          az: 'az1',
          listen: '',
          dataDir: '/data',
          peers: [],
        },
        disk: this.disks.get(id) ?? new MemoryDisk(),
        runtime: machine,
        repair: this.peersOf(id),
        logger: silent,
        pid: 1,
        onFatal: (message) => {
          throw new Error(message);
        },
        onFlushed: () => undefined,
        bounds: {
          log: { fileBytesMax: 16 * 1024, tailBytesMax: 0 },
          sealer: { everyMs: 1 },
          pages: { storeAfterMs: 1 },
          images: { aboveBaseBytesMin: 0, smallestBytes: 4096 },
        },
      });
      this.parts.set(id, parts);
    }
  }

  /** As after kill -9: what was not flushed is gone, and nothing is saved. */
  async kill(id: NodeId): Promise<void> {
    const parts = this.node(id);
    this.parts.delete(id);
    const copy = this.disks.get(id)?.survivor();
    await parts.runtime.close();
    if (copy !== undefined) this.disks.set(id, copy);
  }

  async wipe(...some: readonly NodeId[]): Promise<void> {
    for (const id of some) {
      if (this.parts.has(id)) await this.kill(id);
      this.disks.set(id, new MemoryDisk());
    }
  }

  disk(id: NodeId): MemoryDisk {
    return this.disks.get(id) ?? new MemoryDisk();
  }

  /** Writes transactions to all nodes that are up; all is durable. */
  async write(count: number): Promise<void> {
    for (let left = count; left > 0; left -= 50) {
      const frames: Uint8Array[] = [];
      for (let index = 0; index < Math.min(50, left); index++, this.seed++) {
        const page = this.pages[this.seed % this.pages.length] ?? pageNo(1);
        const payload = smallMtr(page, this.seed).runs[0]?.bytes ?? new Uint8Array(0);
        frames.push(encodeFrame({ epoch: reign, pg: pgId(0), base: this.end, prevPg: this.end }, [payload]));
        this.end = lsn(this.end + payload.length);
      }
      await Promise.all(this.up.map((id) => this.ask(id, this.append(Buffer.concat(frames)))));
    }
    await Promise.all(this.up.map((id) => this.tell(id)));
  }

  /** Has every node store images of all there is, and drop the log below. */
  async collect(...some: readonly NodeId[]): Promise<Lsn> {
    const who = some.length > 0 ? some : this.up;
    await eventually('every node has a floor at the end', async () => {
      await Promise.all(
        who.map((id) =>
          this.ask(id, {
            kind: 'retain',
            head: reign,
            keepFrom: this.end,
            sinceUs: 0,
            bytesMax: 0,
            copies: this.end,
          }),
        ),
      );
      return who.every((id) => this.node(id).node.segment.floor.lsn > this.end - 20_000);
    });
    return lsn(Math.min(...who.map((id) => this.node(id).node.segment.floor.lsn)));
  }

  async settled(...some: readonly NodeId[]): Promise<void> {
    await eventually(
      `${some.join(', ')} are complete`,
      () => some.every((id) => this.isComplete(id)),
      30_000,
    );
  }

  isComplete(id: NodeId): boolean {
    const { node } = this.node(id);
    return node.segment.volumeEnd(reign) >= this.end && node.state.hydrated;
  }

  /** Pages at the end; waits while the node reads its log again. */
  async read(id: NodeId): Promise<readonly (Uint8Array | null)[] | string> {
    let pages: readonly (Uint8Array | null)[] | string = '';
    await eventually(`${id} tells pages`, async () => {
      pages = await this.readOnce(id);
      return pages !== 'NOT_COMPLETE';
    });
    return pages;
  }

  async readOnce(id: NodeId): Promise<readonly (Uint8Array | null)[] | string> {
    const reply = await this.ask(id, {
      kind: 'readPages',
      head: reign,
      readPoint: this.end,
      pages: this.pages,
    });
    return reply.kind === 'pages' ? reply.pages : reply.kind === 'refused' ? reply.code : reply.kind;
  }

  /** Numbers of the pages at the end that two nodes tell differently. */
  async differing(one: NodeId, other: NodeId): Promise<readonly PageNo[]> {
    const [ours, theirs] = [await this.read(one), await this.read(other)];
    if (typeof ours === 'string' || typeof theirs === 'string') throw new Error(`${ours}, ${theirs}`);
    return this.pages.filter((_, at) => Buffer.compare(ours[at] ?? nothing, theirs[at] ?? nothing) !== 0);
  }

  /** As over a link: what is said is encoded and read back. */
  async ask(id: NodeId, request: StorageRequest): Promise<StorageReply> {
    const sent = encodeRequest(request);
    const heard = decodeRequest(sent.kind, joinedBody(sent.body));
    if (heard.kind === 'malformed') throw new Error(heard.reason);
    const reply = await new Promise<StorageReply>((resolve) =>
      this.node(id).runtime.request(heard.message, resolve),
    );
    const answered = encodeReply(reply);
    const back = decodeReply(answered.kind, answered.body);
    if (back.kind === 'malformed') throw new Error(back.reason);
    return back.message;
  }

  async close(): Promise<void> {
    await Promise.all([...this.parts.values()].map(({ runtime }) => runtime.close()));
  }

  private append(frames: Uint8Array): StorageRequest {
    return {
      kind: 'append',
      authority: reign,
      durable: { head: reign, vdl: this.end },
      lowWater: this.end,
      frames,
    };
  }

  private async tell(id: NodeId): Promise<void> {
    await this.ask(id, { kind: 'fork', authority: reign, forks });
    await this.ask(id, this.append(new Uint8Array(0)));
  }

  private peersOf(own: NodeId): Repair {
    const others = (): readonly NodeId[] => this.up.filter((id) => id !== own);
    let first = 0;
    return {
      close: () => undefined,
      readPages: () => Promise.resolve(null),
      fetch: async (head, from) => {
        const floors = [];
        for (const id of others()) {
          const known = { head, vdl: zeroLsn };
          const reply = await this.ask(id, {
            kind: 'fetch',
            branch: mainBranch,
            head,
            from,
            bytesMax: 4_000,
            waitMs: 0,
            durableOnly: true,
            known,
          });
          if (reply.kind === 'fetched' && reply.frames.length > 0) return { ...reply, kind: 'fetched' };
          if (reply.kind === 'refused' && reply.floor !== undefined) floors.push(reply.floor);
        }
        const lowest = floors.sort((a, b) => a.lsn - b.lsn)[0];
        return lowest === undefined ? null : { kind: 'below', floor: lowest };
      },
      fetchImages: async (head, fromPage) => {
        const donors = this.hasNoImages ? [] : others();
        for (let tried = 0; tried < donors.length; tried++, first++) {
          const id = donors[first % donors.length];
          if (id === undefined || !this.parts.has(id)) continue;
          this.onImages(id, own);
          const reply = await this.ask(id, {
            kind: 'fetchImages',
            head,
            fromPage,
            bytesMax: this.batchBytes,
          });
          if (reply.kind !== 'images') continue;
          this.imageBytes += reply.bytes.length;
          return reply;
        }
        return null;
      },
    };
  }
}
