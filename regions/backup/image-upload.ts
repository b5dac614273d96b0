/**
 * Uploads image sets: every page of the database, part by part, read from the storage nodes as of one place for as long as they
 * serve that, and as of a newer one when they do not any more. Where a set stands is in the manifest, so a restart goes on with it.
 */
import { randomBytes } from 'node:crypto';
import {
  type Lsn,
  maxLsn,
  type PagesFetched,
  pageNo,
  pause,
  type RegionClient,
  type Runtime,
} from '../../storage/index.ts';
import type { Logger } from '../../telemetry/index.ts';
import type { Held } from '../control/core/survivors.ts';
import type { BackupState } from './backup-state.ts';
import { readCatalog } from './catalog.ts';
import type { BackupLimits } from './core/backup-config.ts';
import { unneeded, whySetDue } from './core/backup-rules.ts';
import type { Filling } from './core/manifest.ts';
import { partName } from './core/object-names.ts';
import { encodePart } from './core/page-part.ts';
import { packObject } from './object-codec.ts';
import type { ObjectStore } from './store-types.ts';

const pageBytes = 4096;
/** Of the database's first page, where SQLite keeps the number of its pages. */
const pageCountOffset = 28;

export interface ImageUploadOptions {
  readonly state: BackupState;
  readonly store: ObjectStore;
  readonly links: Pick<RegionClient, 'readPages'>;
  readonly keepDays: number;
  readonly limits: BackupLimits;
  readonly runtime: Runtime;
  readonly log: Logger;
}

export class ImageUpload {
  private readonly options: ImageUploadOptions;
  private uploadedMs: number | null = null;

  constructor(options: ImageUploadOptions) {
    this.options = options;
  }

  /** Why a set is due; null while none is. */
  get due(): string | null {
    const { state, runtime, limits } = this.options;
    return whySetDue(state.manifest, runtime.nowMs() - state.setDoneAtMs, limits);
  }

  /** Uploads the next part of a set, or begins one that is due. @returns whether there was anything to do. @throws StoreError. */
  async step(me: Held): Promise<boolean> {
    const { state, log } = this.options;
    const { filling } = state.manifest;
    if (filling !== null) return this.uploadPart(filling, me);
    const reason = this.due;
    if (reason === null) return false;
    const { head } = state.manifest;
    const lastPage = await this.pagesAt(me.vdl, head);
    if (lastPage === null || state.manifest.head !== head) return false;
    const id = `${String(me.vdl).padStart(16, '0')}-${randomBytes(4).toString('hex')}`;
    log.info({ set: id, pages: lastPage, reason }, 'an image set of the backup begins');
    this.uploadedMs = this.options.runtime.nowMs();
    const begun = { id, head, from: me.vdl, to: me.vdl, commitUs: null, parts: 0, pages: 0, bytes: 0 };
    state.manifest = { ...state.manifest, filling: { ...begun, nextPage: 1, lastPage } };
    return true;
  }

  /** How many pages the database has; null when it has none yet or no node says. */
  private async pagesAt(at: Lsn, head: Filling['head']): Promise<number | null> {
    const read = await this.options.links.readPages(head, at, [pageNo(1)]);
    const first = read.kind === 'pages' ? read.pages[0] : null;
    if (first === null || first === undefined) return null;
    const pages = Buffer.from(first.buffer, first.byteOffset, first.length).readUInt32BE(pageCountOffset);
    return pages === 0 ? null : pages;
  }

  private async uploadPart(filling: Filling, me: Held): Promise<boolean> {
    const { state, runtime } = this.options;
    const { id, nextPage, lastPage, parts } = filling;
    const end = Math.min(nextPage + this.options.limits.partPages - 1, lastPage);
    const wanted = Array.from({ length: end - nextPage + 1 }, (_, at) => pageNo(nextPage + at));
    const beganMs = runtime.nowMs();
    let at = filling.to;
    let read = await this.read(filling, at, wanted);
    // The nodes have folded that place away: pages as of a newer one do as well, for the log from `from` on is in the store.
    if (read.kind === 'unavailable') {
      at = maxLsn(at, me.vdl);
      read = await this.read(filling, at, wanted);
    }
    if (read.kind === 'unavailable') {
      this.options.log.warn({ set: id, reason: read.reason }, 'pages for the backup cannot be read');
      return false;
    }
    const pages: number[] = [];
    const images: Uint8Array[] = [];
    for (const [place, image] of read.pages.entries()) {
      if (image === null) continue;
      pages.push(nextPage + place);
      images.push(image);
    }
    const packed = await packObject(encodePart({ pages, images }));
    await state.put(partName(id, { part: parts, firstPage: nextPage, at, crc: packed.crc }), packed.bytes);
    const { filling: now } = state.manifest;
    // The region has turned to a path on which what was read does not lie.
    if (now?.id !== id) return true;
    const filled: Filling = {
      ...now,
      to: maxLsn(now.to, at),
      parts: parts + 1,
      pages: now.pages + pages.length,
      bytes: now.bytes + packed.bytes.length,
      nextPage: end + 1,
    };
    state.manifest = { ...state.manifest, filling: filled };
    if (end === lastPage) await this.finish(filled);
    else await state.save();
    const dueMs = (images.length * pageBytes * 1_000) / this.options.limits.imageBytesPerSecond;
    await pause(runtime, Math.max(0, dueMs - (runtime.nowMs() - beganMs)));
    return true;
  }

  private read(
    { head }: Filling,
    at: Lsn,
    pages: Parameters<RegionClient['readPages']>[2],
  ): Promise<PagesFetched> {
    return this.options.links.readPages(head, at, pages, { timeoutMs: 10_000 });
  }

  /** The set counts from now on; then what it makes unneeded goes, which is named by no manifest any more. */
  private async finish(filling: Filling): Promise<void> {
    const { state, store, keepDays, runtime, log } = this.options;
    const { nextPage: _next, lastPage: _last, ...set } = filling;
    const { through, throughUs, sets, gaps } = state.manifest;
    const commitUs = through >= set.to ? throughUs : null;
    state.manifest = { ...state.manifest, filling: null, sets: [...sets, { ...set, commitUs }] };
    await state.save();
    state.setDoneAtMs = runtime.nowMs();
    const tookMs = this.uploadedMs === null ? null : Math.round(runtime.nowMs() - this.uploadedMs);
    log.info(
      { set: set.id, pages: set.pages, bytes: set.bytes, tookMs },
      'an image set of the backup is whole',
    );
    const catalog = await readCatalog(store);
    const nowUs = runtime.wallUs();
    const { kept, names } = unneeded(state.manifest, catalog.logs, catalog.parts, { keepDays, nowUs });
    const from = kept[0]?.from ?? set.from;
    const stays = new Set(kept.map(({ id }) => id));
    state.manifest = {
      ...state.manifest,
      sets: state.manifest.sets.filter(({ id }) => stays.has(id)),
      gaps: gaps.filter(({ to }) => to > from),
    };
    if (names.length > 0) await state.save();
    for (const name of names) await store.remove(name);
    const after = names.length === 0 ? catalog : await readCatalog(store);
    state.bytes = after.bytes;
    state.objects = after.objects;
    if (names.length > 0) log.info({ objects: names.length }, 'old objects of the backup are deleted');
  }
}
