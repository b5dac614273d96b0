/** Reads a backup: finds it in a store, finds the place that an operator means, puts the database together as it was there. */
import type { PageFile } from '../../storage/data.ts';
import { EpochTree, type Lsn, type ReceivedFrame, splitFrames } from '../../storage/index.ts';
import { timeText } from '../place/time-text.ts';
import { type Catalog, readCatalog, readManifest } from './catalog.ts';
import { type ConsistencyPoint, pointsIn } from './core/consistency-points.ts';
import { type LogPiece, logChain, restorePlan, setsOnPath } from './core/log-chain.ts';
import type { ImageSet, Manifest } from './core/manifest.ts';
import { type LogObject, type PartObject, parsePartName, setPrefix } from './core/object-names.ts';
import { decodePart } from './core/page-part.ts';
import { readObject } from './object-codec.ts';
import { storeBelow } from './object-store.ts';
import { type ObjectStore, StoreError } from './store-types.ts';
import type { Target } from './target.ts';

/** A backup cannot be read, or not as was asked; the message says what is missing and what can be had. */
export class RestoreError extends Error {
  override readonly name = 'RestoreError';
}

/** The clusters and regions whose backups lie in a store. @throws StoreError. */
export async function backupsIn(store: ObjectStore): Promise<readonly string[]> {
  const listed = await store.list('');
  const found = listed.flatMap(({ name }) => /^([^/]+\/[^/]+)\/manifest-[01]\.json$/.exec(name)?.[1] ?? []);
  return [...new Set(found)].sort();
}

/** One of them: `cluster` and `region` may be left out where that leaves no choice. @throws StoreError, RestoreError. */
export async function findBackup(
  store: ObjectStore,
  { cluster, region }: { readonly cluster?: string | undefined; readonly region?: string | undefined },
): Promise<BackupReader> {
  const all = await backupsIn(store);
  const fits = all.filter((name) => {
    const [itsCluster, itsRegion] = name.split('/');
    return (cluster ?? itsCluster) === itsCluster && (region ?? itsRegion) === itsRegion;
  });
  const [only] = fits;
  if (only !== undefined && fits.length === 1) return BackupReader.open(storeBelow(store, only));
  const there = all.length === 0 ? 'none' : all.join(', ');
  if (fits.length === 0)
    throw new RestoreError(`${store.describe} holds no such backup; there are: ${there}`);
  throw new RestoreError(
    `${store.describe} holds ${fits.length} backups (${fits.join(', ')}): say which with --of <cluster>/<region>`,
  );
}

export class BackupReader {
  readonly store: ObjectStore;
  readonly manifest: Manifest;
  readonly catalog: Catalog;
  /** Why the other manifest cannot be read; null when it can. */
  readonly damaged: string | null;
  readonly tree: EpochTree;

  private constructor(store: ObjectStore, manifest: Manifest, catalog: Catalog, damaged: string | null) {
    this.store = store;
    this.manifest = manifest;
    this.catalog = catalog;
    this.damaged = damaged;
    this.tree = new EpochTree(manifest.forks);
  }

  /** @param store the folder of one cluster and region. @throws StoreError, RestoreError. */
  static async open(store: ObjectStore): Promise<BackupReader> {
    const found = await readManifest(store);
    if (found.kind === 'absent') throw new RestoreError(`${store.describe} holds no backup`);
    if (found.kind === 'damaged')
      throw new RestoreError(`the manifest in ${store.describe} is damaged: ${found.reason}`);
    return new BackupReader(store, found.manifest, await readCatalog(store), found.damaged);
  }

  /** The places to which everything is there, from the oldest image set on; the newest stretch last. */
  get reaches(): readonly { readonly from: Lsn; readonly to: Lsn }[] {
    const found: { from: Lsn; to: Lsn }[] = [];
    for (const set of [...setsOnPath(this.manifest)].reverse()) {
      if (set.to > this.manifest.through) continue;
      const chain = logChain(this.catalog.logs, this.manifest, set.from, this.manifest.through);
      const to = chain.kind === 'whole' ? this.manifest.through : chain.gap.from;
      const last = found.at(-1);
      if (to < set.to || (last !== undefined && last.to >= to)) continue;
      if (last !== undefined && last.to >= set.to) last.to = to;
      else found.push({ from: set.to, to });
    }
    return found;
  }

  /** The last transaction at or below what was asked for. @throws StoreError, RestoreError. */
  async resolve(target: Target): Promise<ConsistencyPoint | { readonly lsn: Lsn; readonly commitUs: null }> {
    const { through, throughUs } = this.manifest;
    if (target.kind === 'newest')
      return (await this.lastPoint(through, () => true)) ?? { lsn: through, commitUs: null };
    if (target.kind === 'lsn') {
      if (target.lsn > through)
        throw new RestoreError(
          `the backup ends at LSN ${through}${throughUs === null ? '' : ` (${timeText(throughUs)})`}, before LSN ${target.lsn}`,
        );
      const found = await this.lastPoint(target.lsn, () => true);
      if (found !== null) return found;
      const set = setsOnPath(this.manifest).find(({ to }) => to <= target.lsn);
      if (set === undefined) throw new RestoreError(this.tooOld(`LSN ${target.lsn}`));
      return { lsn: set.to, commitUs: null };
    }
    return this.resolveTime(target.us);
  }

  /** R66: clocks may go back. Where that makes a time mean two places, both are named and neither is taken. */
  private async resolveTime(us: number): Promise<ConsistencyPoint> {
    const { through } = this.manifest;
    const last = await this.lastPoint(
      through,
      ({ commitUs }) => commitUs <= us,
      ({ minUs }) => minUs <= us,
    );
    if (last === null) throw new RestoreError(this.tooOld(timeText(us)));
    const pieces = this.allPieces().filter(({ from, object }) => from < last.lsn && object.maxUs > us);
    for (const piece of pieces) {
      const points = await this.points(piece);
      const later = points.find(({ commitUs, lsn }) => commitUs > us && lsn < last.lsn);
      if (later === undefined) continue;
      const before = await this.lastPoint(
        later.lsn,
        ({ lsn, commitUs }) => lsn < later.lsn && commitUs <= us,
      );
      throw new RestoreError(
        `a clock went back: at ${timeText(us)} the history was at LSN ${before?.lsn ?? 'unknown'} and again at LSN ${last.lsn}. Say which with --at <LSN>`,
      );
    }
    return last;
  }

  /** The last point at or below `at` that passes. @param hasAny tells by its name whether an object may have one. */
  private async lastPoint(
    at: Lsn,
    passes: (point: ConsistencyPoint) => boolean,
    hasAny: (object: LogObject) => boolean = () => true,
  ): Promise<ConsistencyPoint | null> {
    const pieces = this.allPieces().filter(
      ({ from, object }) => from < at && object.maxUs > 0 && hasAny(object),
    );
    for (const piece of pieces.reverse()) {
      const found = (await this.points(piece)).findLast((point) => point.lsn <= at && passes(point));
      if (found !== undefined) return found;
    }
    return null;
  }

  /** All stretches of the log that are there, gaps left out, the oldest first. */
  private allPieces(): LogPiece[] {
    const { logs } = this.catalog;
    const { through } = this.manifest;
    const found: LogPiece[] = [];
    for (let at = logs[0]?.from ?? through; at < through; ) {
      const chain = logChain(logs, this.manifest, at, through);
      found.push(...chain.pieces);
      if (chain.kind === 'whole') break;
      at = chain.gap.to;
    }
    return found;
  }

  private async points(piece: LogPiece): Promise<readonly ConsistencyPoint[]> {
    const frames = await this.frames(piece.object);
    return pointsIn(frames, piece.from, piece.to, ({ header }) =>
      this.tree.visibleUntil(this.manifest.head, header.epoch),
    );
  }

  private async frames(object: LogObject): Promise<readonly ReceivedFrame[]> {
    const split = splitFrames(await readObject(this.store, object));
    if (split.kind === 'bad')
      throw new StoreError(`${this.store.describe}: the object ${object.name} is damaged: ${split.reason}`);
    return split.frames;
  }

  /** Puts the database together as it was at `lsn`. @throws StoreError, RestoreError. */
  async restore(lsn: Lsn, into: PageFile, onProgress: (done: RestoreProgress) => void): Promise<ImageSet> {
    const plan = restorePlan(this.manifest, this.catalog.logs, lsn);
    if (plan.kind === 'impossible') throw new RestoreError(`${plan.reason}. ${this.reachText()}`);
    const { set, pieces } = plan;
    const total = set.parts + pieces.length;
    let done = 0;
    for (const part of await this.partsOf(set)) {
      const { pages, images } = await this.pagePart(part);
      for (const [at, page] of pages.entries()) into.put(page, images[at] ?? new Uint8Array(0));
      onProgress({ done: ++done, total, what: `page images of LSN ${set.to}` });
    }
    const range = { tree: this.tree, head: this.manifest.head, from: set.from, until: lsn };
    for (const { object, to } of pieces) {
      const wrong = into.fold(await this.frames(object), range);
      if (wrong !== null)
        throw new StoreError(`${this.store.describe}: the object ${object.name} is damaged: ${wrong}`);
      onProgress({ done: ++done, total, what: `log to LSN ${to}` });
    }
    into.flush();
    return set;
  }

  /** The parts of a set in order. @throws StoreError that says which are missing. */
  private async partsOf(set: ImageSet): Promise<readonly PartObject[]> {
    const listed = await this.store.list(setPrefix(set.id));
    const parts = new Map<number, PartObject>();
    for (const { name } of listed) {
      const part = parsePartName(name);
      // A kill may have left a part twice: as of two places, and either will do.
      if (part !== null && part.at >= set.from && part.at <= set.to) parts.set(part.part, part);
    }
    return Array.from({ length: set.parts }, (_, at) => {
      const part = parts.get(at);
      if (part === undefined)
        throw new StoreError(
          `${this.store.describe}: part ${at} of ${set.parts} of image set ${set.id} is missing`,
        );
      return part;
    });
  }

  private async pagePart(part: PartObject): Promise<NonNullable<ReturnType<typeof decodePart>>> {
    const decoded = decodePart(await readObject(this.store, part));
    if (decoded === null)
      throw new StoreError(`${this.store.describe}: the object ${part.name} is not a part of an image set`);
    return decoded;
  }

  /** Reads everything and checks it. @returns what is wrong, a line for each. @throws StoreError when the store does not answer. */
  async verify(onProgress: (done: RestoreProgress) => void): Promise<readonly string[]> {
    const problems: string[] = this.damaged === null ? [] : [this.damaged];
    const { sets, gaps, through } = this.manifest;
    const total = sets.reduce((sum, set) => sum + set.parts, this.catalog.logs.length);
    let done = 0;
    const attempt = async (act: () => Promise<unknown>): Promise<void> => {
      try {
        await act();
      } catch (error) {
        if (!(error instanceof StoreError)) throw error;
        problems.push(error.message);
      }
    };
    for (const set of sets)
      await attempt(async () => {
        for (const part of await this.partsOf(set)) {
          await attempt(() => this.pagePart(part));
          onProgress({ done: ++done, total, what: `image set ${set.id}` });
        }
      });
    for (const object of this.catalog.logs) {
      await attempt(() => this.frames(object));
      onProgress({ done: ++done, total, what: `log to LSN ${object.to}` });
    }
    const begin = sets[0]?.from ?? this.catalog.logs[0]?.from ?? through;
    for (let at = begin; at < through; ) {
      const chain = logChain(this.catalog.logs, this.manifest, at, through);
      if (chain.kind === 'whole') break;
      const { from, to } = chain.gap;
      if (!gaps.some((gap) => gap.from <= from && gap.to >= to))
        problems.push(`${this.store.describe}: the log from LSN ${from} to ${to} is missing`);
      at = to;
    }
    if (sets.length === 0) problems.push(`${this.store.describe}: there is no whole image set yet`);
    return problems;
  }

  private tooOld(what: string): string {
    return `the backup holds no transaction at or before ${what}. ${this.reachText()}`;
  }

  private reachText(): string {
    const stretches = this.reaches.map(({ from, to }) => `LSN ${from} to ${to}`);
    return stretches.length === 0
      ? 'Nothing can be restored from it yet: it has no whole image set.'
      : `It can restore ${stretches.join(' and ')}.`;
  }
}

export interface RestoreProgress {
  readonly done: number;
  readonly total: number;
  readonly what: string;
}
