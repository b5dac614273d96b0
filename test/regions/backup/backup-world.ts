/** A region with real nodes, a writer, a model of what it wrote, and backups of it into a directory. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Backup } from '../../../regions/backup/backup.ts';
import { BackupReader } from '../../../regions/backup/backup-reader.ts';
import { type BackupLimits, backupLimits } from '../../../regions/backup/core/backup-config.ts';
import { DirectoryStore } from '../../../regions/backup/directory-store.ts';
import type { ObjectStore } from '../../../regions/backup/store-types.ts';
import type { Held } from '../../../regions/control/core/survivors.ts';
import type { RegionClient } from '../../../storage/client/region-client.ts';
import { type Fork, forkSchema } from '../../../storage/history/epoch-tree.ts';
import { machine } from '../../../storage/process/runtime.ts';
import { type Lsn, lsn, pageNo } from '../../../storage/redo/ids.ts';
import { diffPage, encodeMtr, type PageChange } from '../../../storage/redo/record.ts';
import { PageFile } from '../../../storage/restore/page-file.ts';
import {
  cluster,
  eventually,
  region,
  secret,
  silent,
  startRegion,
  type TestRegion,
  TestWriter,
} from '../../storage/region-harness.ts';

export const testLimits: BackupLimits = {
  ...backupLimits,
  objectBytes: 24 * 1024,
  objectMs: 30,
  fetchBytes: 8 * 1024,
  fetchWaitMs: 20,
  partPages: 7,
  setLogBytesMin: 64 * 1024,
  idleMs: 5,
  retryMs: 5,
  retryMsMax: 20,
};

export interface Version {
  readonly lsn: Lsn;
  readonly timeUs: number;
  readonly pages: ReadonlyMap<number, Uint8Array>;
}

export class BackupWorld {
  readonly directory: string;
  readonly versions: Version[] = [];
  private readonly nodes: TestRegion;
  private readonly client: RegionClient;
  private writer: TestWriter;
  private forks: readonly Fork[] = [];
  private pages = new Map<number, Uint8Array>();
  private seed = 7;
  private backup: Backup | null = null;
  /** Nodes hold neither log nor images of what lies below; as after a collection. */
  floor: Lsn = lsn(0);
  /** The same of images alone. */
  imageFloor: Lsn = lsn(0);
  /** Runs after each read of pages. */
  afterRead: () => Promise<unknown> = async () => undefined;

  private constructor(nodes: TestRegion, client: RegionClient, writer: TestWriter) {
    this.nodes = nodes;
    this.client = client;
    this.writer = writer;
    this.directory = mkdtempSync(join(tmpdir(), 'sextant-backup-'));
  }

  static async open(): Promise<BackupWorld> {
    const nodes = await startRegion();
    const client = nodes.client();
    const world = new BackupWorld(nodes, client, await TestWriter.open(client, 1));
    await world.learnForks();
    return world;
  }

  get store(): ObjectStore {
    return new DirectoryStore(this.directory);
  }

  get newest(): Version {
    const version = this.versions.at(-1);
    if (version === undefined) throw new Error('nothing was written yet');
    return version;
  }

  /** One transaction that changes some of `count` pages. */
  async write(count: number, timeUs: number): Promise<Version> {
    const next = new Map(this.pages);
    const first = (next.get(1) ?? new Uint8Array(4_096)).slice();
    new DataView(first.buffer).setUint32(28, Math.max(count, next.size), false);
    first[100] = this.random() * 256;
    next.set(1, first);
    for (let at = 0; at < 3; at += 1) {
      const page = 2 + Math.floor(this.random() * (count - 1));
      const image = (next.get(page) ?? new Uint8Array(4_096)).slice();
      for (let byte = 0; byte < 300; byte += 1)
        image[Math.floor(this.random() * 4_096)] = this.random() * 256;
      next.set(page, image);
    }
    const changes: PageChange[] = [];
    for (const [page, image] of next) {
      const change = diffPage(pageNo(page), this.pages.get(page) ?? null, image);
      if (change !== null) changes.push(change);
    }
    this.pages = next;
    const mtr = encodeMtr(changes, [{ kind: 'commit', commitTimeUs: timeUs, trace: null }], 10 * 2 ** 30);
    const at = this.writer.driver.commit(mtr);
    if (typeof at !== 'number') throw new Error('the writer takes nothing');
    await this.writer.untilDurable(at);
    const version = { lsn: at, timeUs, pages: next };
    this.versions.push(version);
    return version;
  }

  /** Another writer takes over, as after a crash. */
  async takeOver(reign: number): Promise<void> {
    this.writer.driver.close();
    this.writer = await TestWriter.open(this.client, reign);
    await this.learnForks();
  }

  startBackup(store: ObjectStore = this.store, more: { readonly secret?: string } = {}): Backup {
    this.backup = new Backup({
      config: { keepDays: 30 },
      store,
      identity: { cluster, region, regions: [region], secret: more.secret ?? secret, restoredFrom: null },
      links: this.links,
      me: () => this.me,
      runtime: machine,
      log: silent,
      limits: testLimits,
    });
    this.backup.start();
    return this.backup;
  }

  /** As a process that is killed: nothing it began counts for anything after this. */
  stopBackup(): void {
    this.backup?.close();
  }

  /** Waits until the store has all that was written, and a whole image set. */
  async level(backup: Backup): Promise<void> {
    await eventually(
      'the backup has everything',
      () => backup.report.through >= this.newest.lsn && backup.report.sets > 0,
    );
  }

  /** The database as the backup has it at an LSN. */
  async restored(at: Lsn, store: ObjectStore = this.store): Promise<ReadonlyMap<number, Uint8Array>> {
    const reader = await BackupReader.open(store);
    const file = new PageFile(join(this.directory, 'restored'));
    try {
      await reader.restore(at, file, () => undefined);
      const pages = new Map<number, Uint8Array>();
      for (let page = 1; page <= file.lastPage; page += 1)
        if (file.has(page)) pages.set(page, file.read(page));
      return pages;
    } finally {
      file.close();
      rmSync(file.path, { force: true });
    }
  }

  async close(): Promise<void> {
    this.stopBackup();
    this.writer.driver.close();
    await this.nodes.close();
    rmSync(this.directory, { recursive: true, force: true });
  }

  private get links(): Pick<RegionClient, 'nodes' | 'request' | 'readPages'> {
    const { client } = this;
    return {
      nodes: client.nodes,
      request: async (node, request, timeoutMs) => {
        if (request.kind !== 'fetch' || request.from >= this.floor)
          return client.request(node, request, timeoutMs);
        const floor = { epoch: this.writer.epoch, lsn: this.floor };
        return { kind: 'refused', code: 'BELOW_FLOOR', reason: 'collected', sealed: floor.epoch, floor };
      },
      readPages: async (head, readPoint, pages, options) => {
        if (readPoint < Math.max(this.floor, this.imageFloor))
          return { kind: 'unavailable', reason: 'collected' };
        const read = await client.readPages(head, readPoint, pages, options);
        await this.afterRead();
        return read;
      },
    };
  }

  private get me(): Held {
    return { epoch: this.writer.epoch, vdl: lsn(this.writer.driver.vdl), forks: this.forks };
  }

  private async learnForks(): Promise<void> {
    const known = this.nodes.nodes[0]?.config.node;
    if (known === undefined) throw new Error('a region has nodes');
    await eventually('a node knows the epoch', async () => {
      const reply = await this.client.request(
        known,
        {
          kind: 'fetch',
          branch: forkBranch,
          head: this.writer.epoch,
          from: lsn(Number.MAX_SAFE_INTEGER),
          bytesMax: 1,
          waitMs: 0,
          durableOnly: true,
          known: { head: 0 as never, vdl: lsn(0) },
        },
        1_000,
      );
      if (reply.kind !== 'fetched') return false;
      this.forks = reply.forks.map((one) => forkSchema.parse(one));
      return true;
    });
  }

  private random(): number {
    this.seed = (this.seed * 1_103_515_245 + 12_345) % 2 ** 31;
    return this.seed / 2 ** 31;
  }
}

const forkBranch = forkSchema.parse({ epoch: 1, branch: 'main', parent: 0, forkLsn: 0 }).branch;
