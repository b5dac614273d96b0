/**
 * The engine's cache of volume pages: for each page the versions that open snapshots need, newest last.
 *
 * A version is valid for the read points `from` to `through`; `through` is Infinity while it is the newest one
 * the engine knows. Three rules keep a stale page from being taken for a current one:
 *
 * G1. A version above the durable LSN is never evicted: storage cannot give it back yet.
 * G2. Versions of a page leave oldest first or all together, so what remains never hides a version that was dropped
 *     from between.
 * G3. A page fetched at a read point below the head is valid at that read point only, unless that was pinned all the while and the
 *     page is known not to have changed since. A fetch at the head is valid onwards.
 *
 * G110. What a large transaction wrote is not here but in a layer (`scratch/core/page-layers.ts`) until it is durable.
 *
 * A snapshot holds a pin on its read point for as long as it reads; a read point without a pin may not be read,
 * unless it is the head.
 */
import assert from 'node:assert/strict';
import {
  applyChange,
  type Lsn,
  lsn,
  type PageChange,
  type PageNo,
  redoLimits,
} from '../../../storage/redo.ts';
import { type PageLayer, PageLayers } from '../scratch/core/page-layers.ts';
import { PageChanges } from './page-changes.ts';

interface Version {
  from: Lsn;
  /** Last read point this version is known to be right for; Infinity for the newest. */
  through: number;
  /** Null when the volume holds no such page at these read points. */
  bytes: Uint8Array | null;
  /** The version may be evicted when its redo, which ends here, is durable. */
  redoLsn: Lsn;
}

interface Chain {
  readonly versions: Version[];
  /** Set by every read, cleared by the eviction hand: a page read since the hand passed stays. */
  used: boolean;
}

export interface PageStoreStart {
  readonly kind: 'reader' | 'writer';
  readonly head: Lsn;
  /** Bound on cached pages, in bytes; pages that are not yet durable, and those of open snapshots, may exceed it. */
  readonly cacheBytesMax: number;
}

/** Pages looked at in one go: at most some hundred microseconds' worth, so that a large excess is dropped piece by piece. */
const evictionScans = { min: 64, perExcessPage: 4, max: 8_192 } as const;
const recycledMax = 256;

export class PageStore {
  private readonly kind: 'reader' | 'writer';
  private readonly cacheBytesMax: number;
  private readonly chains = new Map<PageNo, Chain>();
  /** Pages with more than one version: the ones to look at when a pin is lifted. */
  private readonly multiple = new Set<PageNo>();
  private readonly pins = new Pins();
  /** While there are pins. */
  private readonly changes = new PageChanges();
  private readonly layers = new PageLayers();
  private readonly recycled: Uint8Array[] = [];
  private headLsn: Lsn;
  private durableLsn: Lsn;
  private bytes = 0;

  constructor(start: PageStoreStart) {
    this.kind = start.kind;
    this.headLsn = start.head;
    this.durableLsn = start.head;
    this.cacheBytesMax = start.cacheBytesMax;
  }

  /** The newest read point: the last commit published or folded. */
  get head(): Lsn {
    return this.headLsn;
  }

  get durable(): Lsn {
    return this.durableLsn;
  }

  /** Bytes held by page versions. */
  get cachedBytes(): number {
    return this.bytes;
  }

  /** Pages that are kept when they are durable and no snapshot needs them. */
  get pagesMax(): number {
    return Math.floor(this.cacheBytesMax / redoLimits.pageBytes);
  }

  /** Starts a snapshot at the head. @returns its read point, to be given to `unpin` once. */
  pin(): Lsn {
    if (this.pins.isEmpty) this.changes.begin(this.headLsn);
    this.pins.add(this.headLsn);
    return this.headLsn;
  }

  /** Holds a read point that is the head, or pinned, while pages are on their way. To be given to `unpin` once. */
  hold(readPoint: Lsn): void {
    if (readPoint === this.headLsn) this.pin();
    else this.pins.again(readPoint);
  }

  /** Ends a snapshot and drops the versions nothing else needs. */
  unpin(readPoint: Lsn): void {
    if (!this.pins.remove(readPoint) || readPoint === this.headLsn) return;
    for (const page of this.multiple) {
      const chain = this.chains.get(page);
      if (chain !== undefined) this.dropUnneeded(page, chain);
    }
  }

  /** A page at a pinned read point: its bytes (to be copied, not kept), null when it does not exist, undefined when it must be fetched. */
  readAt(page: PageNo, readPoint: Lsn): Uint8Array | null | undefined {
    const chain = this.chains.get(page);
    const version = chain === undefined ? undefined : versionAt(chain, readPoint);
    if (chain === undefined || version === undefined)
      return this.layers.isEmpty ? undefined : this.layers.readAt(page, readPoint);
    chain.used = true;
    return version.bytes;
  }

  /** Whether `readAt` has it. The page does not count as used. */
  has(page: PageNo, readPoint: Lsn): boolean {
    const chain = this.chains.get(page);
    return (
      (chain !== undefined && versionAt(chain, readPoint) !== undefined) || this.layers.has(page, readPoint)
    );
  }

  /** How much of the bound on what is cached is taken: 1 for all of it. */
  get filled(): number {
    return this.bytes / this.cacheBytesMax;
  }

  /**
   * A page for another engine that reads at a durable read point at or below the head: as `readAt`, but only a version that is
   * the newest one, since nobody here pins that read point.
   */
  peek(page: PageNo, readPoint: Lsn): Uint8Array | null | undefined {
    const newest = this.chains.get(page)?.versions.at(-1);
    if (newest === undefined || newest.through !== Number.POSITIVE_INFINITY || newest.from > readPoint)
      return undefined;
    return newest.bytes;
  }

  /**
   * Where to fetch a page that `readAt` does not have. Not above the durable LSN, which is all that storage answers for;
   * the page is the same at both, since a version between them would be cached (G1).
   */
  fetchPoint(readPoint: Lsn): Lsn {
    return readPoint < this.durableLsn ? readPoint : this.durableLsn;
  }

  /**
   * Takes a page fetched at `fetchPoint(readPoint)`. @param bytes null when storage has no such page; owned by the store from here on.
   * @returns false when it is good for that read point only, and will have to be fetched again
   */
  insert(page: PageNo, readPoint: Lsn, bytes: Uint8Array | null): boolean {
    assert(
      readPoint <= this.headLsn,
      `G3: a page cannot be fetched above the head (${readPoint} > ${this.headLsn})`,
    );
    const chain = this.chainOf(page);
    const { versions } = chain;
    let at = versions.length;
    while (at > 0 && (versions[at - 1]?.from ?? 0) > readPoint) at--;
    const before = versions[at - 1];
    if (before !== undefined && before.through >= readPoint) return true; // a read-ahead of a page that is here already
    const after = versions[at];
    const isNewest = readPoint === this.headLsn || this.isUnchangedSince(page, readPoint);
    const through = !isNewest ? readPoint : after === undefined ? Number.POSITIVE_INFINITY : after.from - 1;
    versions.splice(at, 0, { from: readPoint, through, bytes, redoLsn: this.fetchPoint(readPoint) });
    this.noteAdded(page, chain);
    this.evict(page);
    return isNewest;
  }

  /** The newest version of a page, for a diff, good until the next call: null when it does not exist or is not cached. */
  newest(page: PageNo): Uint8Array | null {
    const version = this.chains.get(page)?.versions.at(-1);
    if (version !== undefined && version.through === Number.POSITIVE_INFINITY) return version.bytes;
    return this.layers.readAt(page, this.headLsn) ?? null;
  }

  /** A page buffer to fill and hand to `publish`; its content is arbitrary. */
  takeBuffer(): Uint8Array {
    return this.recycled.pop() ?? new Uint8Array(redoLimits.pageBytes);
  }

  /** Gives a buffer of `takeBuffer` back unpublished. */
  returnBuffer(bytes: Uint8Array): void {
    if (this.recycled.length < recycledMax && bytes.length === redoLimits.pageBytes)
      this.recycled.push(bytes);
  }

  /** Makes a transaction's pages the newest versions. The buffers are the store's from here on. */
  publish(pages: ReadonlyMap<PageNo, Uint8Array>, at: Lsn): void {
    assert(this.kind === 'writer', 'G4: only a writer publishes pages');
    if (at <= this.headLsn) assert.fail(`G4: commits ascend: ${at} after ${this.headLsn}`);
    this.headLsn = at;
    for (const [page, bytes] of pages) {
      this.supersede(page, this.chainOf(page), bytes, at);
      if (!this.pins.isEmpty) this.changes.note(page, at);
    }
    this.evict();
  }

  /** As `publish`, for pages that are not in memory. The layer is the store's from here on. */
  publishLayer(layer: PageLayer, at: Lsn): void {
    assert(this.kind === 'writer', 'G4: only a writer publishes pages');
    if (at <= this.headLsn) assert.fail(`G4: commits ascend: ${at} after ${this.headLsn}`);
    this.headLsn = at;
    for (const page of layer.pages()) this.supersedeBeside(page, at);
    this.changes.begin(at);
    this.layers.add(layer, at);
  }

  /** Nothing more is read: its layers go. */
  close(): void {
    this.layers.close();
  }

  /** Folds one whole mini-transaction that is durable into the pages that are cached, and moves the head to it. */
  fold(changes: readonly PageChange[], at: Lsn): void {
    assert(this.kind === 'reader', 'G4: only a reader folds redo');
    if (at <= this.headLsn) assert.fail(`G4: redo ascends: ${at} after ${this.headLsn}`);
    for (const change of changes) {
      this.foldChange(change, at);
      if (!this.pins.isEmpty) this.changes.note(change.page, at);
    }
    this.headLsn = at;
    this.durableLsn = at;
    this.evict();
  }

  private foldChange(change: PageChange, at: Lsn): void {
    const chain = this.chains.get(change.page);
    const tail = chain?.versions.at(-1);
    if (chain === undefined || tail === undefined || tail.through !== Number.POSITIVE_INFINITY) return;
    if (tail.from === at || !this.isPinnedWithin(tail.from, at - 1)) {
      const image = tail.bytes ?? new Uint8Array(redoLimits.pageBytes);
      if (change.kind === 'pageImage' && tail.bytes !== null) tail.bytes.set(change.bytes);
      else tail.bytes = applyChange(image, change);
      tail.from = at;
      tail.redoLsn = at;
      return;
    }
    const image = tail.bytes === null ? new Uint8Array(redoLimits.pageBytes) : tail.bytes.slice();
    this.supersede(change.page, chain, applyChange(image, change), at);
  }

  private supersede(page: PageNo, chain: Chain, bytes: Uint8Array, at: Lsn): void {
    const tail = chain.versions.at(-1);
    if (tail !== undefined && tail.through === Number.POSITIVE_INFINITY) {
      if (!this.isPinnedWithin(tail.from, at - 1)) {
        this.recycle(tail);
        tail.bytes = bytes;
        tail.from = at;
        tail.redoLsn = at;
        chain.used = true;
        return;
      }
      tail.through = at - 1;
    }
    chain.versions.push({ from: at, through: Number.POSITIVE_INFINITY, bytes, redoLsn: at });
    chain.used = true;
    this.noteAdded(page, chain);
  }

  /** The newest version of a page lies in a layer from here on. */
  private supersedeBeside(page: PageNo, at: Lsn): void {
    const chain = this.chains.get(page);
    const tail = chain?.versions.at(-1);
    if (chain === undefined || tail === undefined || tail.through !== Number.POSITIVE_INFINITY) return;
    if (this.isPinnedWithin(tail.from, at - 1)) {
      tail.through = at - 1;
      return;
    }
    chain.versions.pop();
    this.recycle(tail);
    this.bytes -= redoLimits.pageBytes;
    if (chain.versions.length < 2) this.multiple.delete(page);
    if (chain.versions.length === 0) this.chains.delete(page);
  }

  /** Tells up to where the volume is durable; pages up to here may be evicted. */
  setDurable(durable: Lsn): void {
    if (this.kind === 'reader' || durable <= this.durableLsn) return;
    this.durableLsn = durable < this.headLsn ? durable : this.headLsn;
    this.layers.settle(this.durableLsn);
    this.evict();
  }

  private chainOf(page: PageNo): Chain {
    const found = this.chains.get(page);
    if (found !== undefined) return found;
    const chain: Chain = { versions: [], used: true };
    this.chains.set(page, chain);
    return chain;
  }

  private noteAdded(page: PageNo, chain: Chain): void {
    this.bytes += redoLimits.pageBytes;
    if (chain.versions.length > 1) this.multiple.add(page);
  }

  private isUnchangedSince(page: PageNo, readPoint: Lsn): boolean {
    return this.pins.has(readPoint) && this.changes.isUnchangedSince(page, readPoint);
  }

  private isPinnedWithin(from: number, through: number): boolean {
    return this.pins.anyWithin(from, through);
  }

  /** G2: drops the oldest versions up to the first that a pin or the head needs. */
  private dropUnneeded(page: PageNo, chain: Chain): void {
    const { versions } = chain;
    let drop = 0;
    for (; drop < versions.length - 1; drop++) {
      const version = versions[drop];
      if (version === undefined || this.isPinnedWithin(version.from, version.through)) break;
      this.recycle(version);
    }
    if (drop > 0) {
      versions.splice(0, drop);
      this.bytes -= drop * redoLimits.pageBytes;
    }
    if (versions.length < 2) this.multiple.delete(page);
  }

  private recycle(version: Version): void {
    if (version.bytes !== null) this.returnBuffer(version.bytes);
  }

  /**
   * Second chance: passes over the pages in the order they came, sparing those read since the last pass. It looks at more
   * of them the further the cache is beyond its bound, so that a bulk load cannot outrun it, and at few when it is not:
   * pages that are not durable yet would be looked at in vain each time.
   * @param keep the page somebody is about to read.
   */
  private evict(keep?: PageNo): void {
    const excess = (this.bytes - this.cacheBytesMax) / redoLimits.pageBytes;
    if (excess <= 0) return;
    let scans = Math.min(
      this.chains.size,
      evictionScans.min + evictionScans.perExcessPage * excess,
      evictionScans.max,
    );
    for (const [page, chain] of this.chains) {
      if (this.bytes <= this.cacheBytesMax || scans-- <= 0) return;
      this.chains.delete(page);
      const newest = chain.versions.at(-1);
      if (page === keep || chain.used || (newest !== undefined && newest.redoLsn > this.durableLsn)) {
        chain.used = false;
        this.chains.set(page, chain);
        continue;
      }
      this.multiple.delete(page);
      this.bytes -= chain.versions.length * redoLimits.pageBytes;
    }
  }
}

function versionAt({ versions }: Chain, readPoint: Lsn): Version | undefined {
  for (let at = versions.length - 1; at >= 0; at--) {
    const version = versions[at];
    if (version === undefined || version.from > readPoint) continue;
    return version.through < readPoint ? undefined : version;
  }
  return undefined;
}

/** Read points of open snapshots, ascending: pins are set at the head, which only rises, and there are few. */
class Pins {
  private readonly points: Lsn[] = [];
  private readonly counts: number[] = [];

  add(head: Lsn): void {
    const last = this.points.length - 1;
    if (this.points[last] === head) {
      this.counts[last] = (this.counts[last] ?? 0) + 1;
      return;
    }
    assert(last < 0 || (this.points[last] ?? 0) < head, 'G3: the head never goes back');
    this.points.push(head);
    this.counts.push(1);
  }

  get isEmpty(): boolean {
    return this.points.length === 0;
  }

  has(readPoint: Lsn): boolean {
    return this.points.lastIndexOf(readPoint) >= 0;
  }

  again(readPoint: Lsn): void {
    const at = this.points.lastIndexOf(readPoint);
    if (at < 0) assert.fail(`G3: read point ${readPoint} is not pinned`);
    this.counts[at] = (this.counts[at] ?? 0) + 1;
  }

  /** @returns whether it was the last pin on that read point. */
  remove(readPoint: Lsn): boolean {
    const at = this.points.lastIndexOf(readPoint);
    if (at < 0) assert.fail(`G3: read point ${readPoint} is not pinned`);
    const left = (this.counts[at] ?? 0) - 1;
    this.counts[at] = left;
    if (left > 0) return false;
    this.points.splice(at, 1);
    this.counts.splice(at, 1);
    return true;
  }

  anyWithin(from: number, through: number): boolean {
    for (let at = this.points.length - 1; at >= 0; at--) {
      const point = this.points[at] ?? 0;
      if (point < from) return false;
      if (point <= through) return true;
    }
    return false;
  }
}

/** Pages of the database whose page 1 this is; 0 for an empty volume. SQLite keeps its size in bytes 28 to 31, big-endian. */
export function databasePages(page1: Uint8Array | null): number {
  if (page1 === null) return 0;
  return new DataView(page1.buffer, page1.byteOffset, page1.byteLength).getUint32(28, false);
}

/** The LSN of a commit whose redo of `byteLength` follows `previous`. */
export function nextLsn(previous: Lsn, byteLength: number): Lsn {
  return lsn(previous + byteLength);
}
