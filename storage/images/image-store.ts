/**
 * The durable images of one node's pages: a chain of runs, sealed files that each hold the newest images of the pages that
 * changed in a stretch of the log, and a manifest that names them. Images survive a restart, and older versions of a page are
 * there for every boundary between two runs.
 *
 * An image is made from the log and is a cache of it (S9) as long as the log below is kept.
 */

import assert from 'node:assert/strict';
import { type Floor, noFloor } from '../history/floor.ts';
import type { StateFile } from '../log/state-file.ts';
import { nextTurn, pause } from '../process/runtime.ts';
import { genesisEpoch, type Lsn, type PageNo, zeroLsn } from '../redo/ids.ts';
import type { FillBatch, FillStanding } from './core/fill.ts';
import { type FoldPoint, type Manifest, runsThrough } from './core/manifest.ts';
import { type MergeBounds, mergeBounds, mergeBytesPerSecond, nextMerge } from './core/merge-policy.ts';
import { replacedBy } from './core/rot-plan.ts';
import { pageBytes } from './core/run-format.ts';
import { MergeCursor } from './core/slot-plan.ts';
import { type Filled, FillFile } from './fill-file.ts';
import {
  type ImageCounters,
  type ImageRead,
  type ImageStoreOptions,
  type ImagesStored,
  imageStoreBounds,
  type PageSource,
  type PagesFrom,
} from './image-store-types.ts';
import { fetchRotten } from './rot-healing.ts';
import { canMerge, mergedRun, placeOf, runAfter } from './run-chain.ts';
import type { RunFile, RunPlace, SlotBytes } from './run-file.ts';
import { type RunParts, type RunWritten, writeRun } from './run-writer.ts';
import { findImages, type ImagesFound } from './store-opening.ts';
import { Turnstile } from './turnstile.ts';

/** Everything that changed since the newest run. */
export interface NewImages {
  /** The epoch on whose path the images lie, and up to where they hold everything. */
  readonly point: FoldPoint;
  /** Whether the point is a CPL. */
  readonly isConsistent: boolean;
  /** See `RunFacts`. */
  readonly endsAt: number | null;
  /** Stay as they are until they are stored. */
  readonly pages: ReadonlyMap<PageNo, Uint8Array>;
}

export type ImagesOpened =
  | { readonly kind: 'open'; readonly store: ImageStore }
  | { readonly kind: 'failed'; readonly message: string };

export class ImageStore {
  readonly counters: ImageCounters;
  private readonly options: ImageStoreOptions;
  private readonly bounds: MergeBounds;
  private readonly place: RunPlace;
  private readonly manifest: StateFile<Manifest>;
  private readonly fill: FillFile;
  private nextFile: number;
  /** A chain, the base first. */
  private runs: readonly RunFile[];
  /** Replaced or dropped, and perhaps still named by the manifest on the disk. */
  private leaving: RunFile[] = [];
  private kept: ReadonlySet<Lsn> = new Set();
  private changing: Promise<unknown> = Promise.resolve();
  private removals: Promise<unknown> = Promise.resolve();
  private seenForeground = 0;
  private closed = false;

  private constructor(
    options: ImageStoreOptions,
    place: RunPlace,
    found: Omit<Extract<ImagesFound, { kind: 'found' }>, 'lost'>,
    fill: FillFile,
    counters: ImageCounters,
  ) {
    this.counters = counters;
    this.options = options;
    this.bounds = { ...mergeBounds, ...options.bounds };
    this.place = place;
    this.manifest = found.manifest;
    this.fill = fill;
    this.runs = found.runs;
    this.nextFile = found.nextFile;
  }

  /** Opens the images of an earlier process. Fails as a value when the disk does not let it look. */
  static async open(options: ImageStoreOptions): Promise<ImagesOpened> {
    const { disk, directory } = options;
    const counters = { runsWritten: 0, bytesWritten: 0, merges: 0, rottenFound: 0, rottenHealed: 0 };
    const place: RunPlace = {
      disk,
      directory,
      reads: new Turnstile(imageStoreBounds.readsMax),
      onRot: (reason) => {
        counters.rottenFound += 1;
        options.onTrouble('a page image is rotten and is fetched from a peer', reason);
      },
    };
    const fill = await FillFile.find(place);
    const found = await findImages(place, fill.file);
    if (found.kind === 'failed') return found;
    // A kill came after the manifest had named the run.
    if (found.runs.some(({ entry }) => entry.file === fill.file)) await fill.forget();
    for (const reason of found.lost) options.onTrouble('page images are lost and are made anew', reason);
    return { kind: 'open', store: new ImageStore(options, place, found, fill, counters) };
  }

  /** What the runs hold: everything visible here, and nothing else. At zero there are none. */
  get point(): FoldPoint {
    const last = this.runs.at(-1)?.entry;
    return last === undefined ? { head: genesisEpoch, lsn: zeroLsn } : { head: last.epoch, lsn: last.to };
  }

  /** The same object as long as the chain is the same: whoever keeps it sees whether anything has changed. */
  get chain(): object {
    return this.runs;
  }

  /** CPLs at which runs end, ascending: pages can be read as of these. */
  get boundaries(): readonly Lsn[] {
    return this.places.map(({ lsn }) => lsn);
  }

  /** The same with the epochs they lie in: where this node's floor may be. */
  get places(): readonly Floor[] {
    const ends = this.entries.filter(({ isConsistent, to }) => isConsistent && to >= this.fuzzyTo);
    return ends.map(({ epoch, to }) => ({ epoch, lsn: to }));
  }

  /**
   * Where the images begin: the base, and the point from which on its pages are right with the log from there on (S24); null
   * without any images.
   */
  get base(): { readonly at: Floor; readonly fuzzyTo: Lsn } | null {
    const base = this.runs[0]?.entry;
    if (base === undefined) return null;
    return { at: { epoch: base.epoch, lsn: base.to }, fuzzyTo: base.fuzzyTo ?? base.to };
  }

  /** S24: below this the pages are not those of any one point. */
  get fuzzyTo(): Lsn {
    return this.runs[0]?.entry.fuzzyTo ?? zeroLsn;
  }

  /** The highest end of a run at or below `at`, a CPL or not; the beginning when there is none. */
  endBelow(at: Lsn): Floor {
    const run = at < this.fuzzyTo ? undefined : this.entries[runsThrough(this.entries, at) - 1];
    return run === undefined ? noFloor : { epoch: run.epoch, lsn: run.to };
  }

  /** Of all runs in the chain. */
  get bytes(): number {
    return this.runs.reduce((sum, run) => sum + run.bytes, 0);
  }

  get runCount(): number {
    return this.runs.length;
  }

  /** Pages known to be rotten that nobody has brought back yet. */
  get rotten(): number {
    return this.runs.reduce((sum, run) => sum + run.rottenCount, 0);
  }

  /** See `runAfter`. */
  runAfter(file: number): RunFile | null {
    return runAfter(this.runs, file);
  }

  /** Whether a rotten page waits to be fetched, or what is right in memory only to be written. */
  get wantsHealing(): boolean {
    return this.runs.some((run) => run.rottenCount > 0 || run.wantsRewrite);
  }

  get wantsMerge(): boolean {
    return this.mergeable() !== null;
  }

  /** Somebody reads at these boundaries: from now on merges leave them alone, whatever the bounds say. */
  keep(boundaries: readonly Lsn[]): void {
    this.kept = new Set(boundaries);
  }

  /**
   * Reads pages as of `at`, which is the end of a run or lies above them all. Which runs tell them is settled when this is
   * called; what changes afterwards does not matter.
   */
  async read(pages: readonly PageNo[], at: Lsn = this.point.lsn): Promise<readonly ImageRead[]> {
    const runs = this.runs.slice(0, runsThrough(this.entries, at));
    const places = pages.map((page) => placeOf(runs, page));
    const slots = new Map<RunFile, Set<number>>();
    for (const place of places)
      if (place !== null) slots.set(place.run, (slots.get(place.run) ?? new Set()).add(place.slot));
    const read = new Map<RunFile, ReadonlyMap<number, SlotBytes>>();
    await Promise.all(
      [...slots].map(async ([run, wanted]) => read.set(run, await this.readSlots(run, [...wanted]))),
    );
    return places.map((place) => {
      const bytes = place === null ? undefined : read.get(place.run)?.get(place.slot);
      if (bytes === undefined) return { kind: 'absent' };
      return bytes instanceof Uint8Array ? { kind: 'ok', bytes } : { kind: 'bad', reason: bytes.reason };
    });
  }

  /**
   * Pages as of the newest CPL at which a run ends and that `isWanted`, in the order of their numbers from `fromPage` on, `bytesMax` of them, at
   * least one.
   * @returns where to go on, null at the end, and about how many pages there are in all; or why there are none.
   */
  async pagesFrom(
    fromPage: PageNo,
    bytesMax: number,
    isWanted: (place: Floor) => boolean = () => true,
  ): Promise<PagesFrom> {
    const at = this.places.findLast(isWanted);
    if (at === undefined) return { kind: 'bad', reason: 'there are no images here yet that were wanted' };
    const runs = this.runs.slice(0, runsThrough(this.entries, at.lsn));
    const count = Math.max(1, Math.floor(bytesMax / pageBytes));
    const found = new MergeCursor(runs.map(mergedRun), fromPage).next(count + 1);
    const wanted = found.slice(0, count).map(({ page }) => page as PageNo);
    const pages: { page: PageNo; bytes: Uint8Array }[] = [];
    for (const [place, read] of (await this.read(wanted, at.lsn)).entries()) {
      const page = wanted[place];
      if (read.kind === 'bad') return read;
      if (read.kind === 'ok' && page !== undefined) pages.push({ page, bytes: read.bytes });
    }
    const next = (found[count]?.page ?? null) as PageNo | null;
    return { kind: 'pages', at, pages, next, total: Math.max(0, ...runs.map(({ entry }) => entry.pages)) };
  }

  /** Stores a run above the newest one. Nothing is lost when that fails: the caller has the pages still. */
  async append({ point, isConsistent, endsAt, pages }: NewImages): Promise<ImagesStored> {
    const from = this.point.lsn;
    assert(
      pages.size > 0 && point.lsn > from,
      `S13: a run of ${pages.size} pages from ${from} to ${point.lsn}`,
    );
    const sorted = [...pages.keys()].sort((a, b) => a - b);
    let at = 0;
    const written = await this.write({
      // Below a base there is nothing that could be gone.
      facts: {
        epoch: point.head,
        from,
        to: point.lsn,
        isConsistent,
        endsAt: from === zeroLsn ? null : endsAt,
      },
      pagesMax: sorted.length,
      next: async (count) => {
        const some = sorted.slice(at, at + count);
        at += some.length;
        const images = some.map((page) => pages.get(page) ?? assert.fail(`page ${page} is gone`));
        return some.length === 0 ? { kind: 'end' } : { kind: 'part', part: { pages: some, images } };
      },
      pace: () => nextTurn(this.options.runtime),
    });
    if (written.kind === 'failed') return written;
    return this.commit(written.run, (runs) => (this.point.lsn === from ? [...runs, written.run] : null));
  }

  /**
   * Takes back what lies above `lsn`, where another history begins. At once for every reader; on the disk as soon as that
   * takes it, or at a later start, which finds the same.
   */
  async dropAbove(lsn: Lsn): Promise<void> {
    const runs = this.runs.slice(0, runsThrough(this.entries, lsn));
    if (runs.length === this.runs.length) return;
    this.leaving.push(...this.runs.slice(runs.length));
    this.runs = runs;
    await this.exclusive(() => this.saveManifest(this.runs));
  }

  /** How far images from elsewhere have come that are to take the place of these; null while none do. */
  get filling(): FillStanding | null {
    return this.fill.standing;
  }

  /** Takes in the next pages from elsewhere, flushed. Nobody reads them before `adopt`. */
  addFill(batch: FillBatch): Promise<Filled> {
    return this.fill.add(batch, this.fill.file ?? this.nextFile++);
  }

  dropFill(): Promise<void> {
    return this.fill.drop();
  }

  /** Puts the pages from elsewhere, which are complete, in the place of all images here. */
  async adopt(): Promise<ImagesStored> {
    const finished = await this.fill.finish();
    if (finished.kind === 'failed') return finished;
    const stored = await this.commit(finished.run, () => [finished.run]);
    await (stored.kind === 'stored' ? this.fill.forget() : this.fill.drop());
    return stored;
  }

  /** Merges once, when the policy says so. @returns false when nothing was merged. */
  async merge(): Promise<boolean> {
    const inputs = this.mergeable();
    if (inputs === null || !(await this.rewrite(inputs))) return false;
    this.counters.merges += 1;
    return true;
  }

  /**
   * Fetches rotten pages and writes their runs anew. S12: what comes is believed when it has the CRC-32 of what was stored. A version
   * that nobody has any more goes, where a newer run has another.
   * @returns whether nothing is left to heal.
   */
  async heal(source: PageSource): Promise<boolean> {
    for (const run of this.runs) {
      if (this.closed) break;
      this.counters.rottenHealed += await fetchRotten(() => (this.closed ? [] : this.runs), run, source);
      const at = this.runs.indexOf(run);
      if (at < 0 || (run.rottenCount === 0 && !run.wantsRewrite)) continue;
      const last =
        run.rottenCount === 0 ? at : replacedBy(this.runs, at, run.rotten(run.entry.pages), this.kept);
      const inputs = last === null ? [] : this.runs.slice(at, last + 1);
      if (inputs.length > 0 && canMerge(inputs)) await this.rewrite(inputs);
    }
    return !this.wantsHealing;
  }

  /** Waits for what is under way and lets go of the files. */
  async close(): Promise<void> {
    this.closed = true;
    await this.changing;
    await Promise.all([...this.runs, ...this.leaving].map((run) => run.retire('closed')));
    await this.removals;
    await this.fill.close();
  }

  private get entries(): readonly RunFile['entry'][] {
    return this.runs.map(({ entry }) => entry);
  }

  /** The runs that the policy wants to be one, unless a page that is rotten is wanted for it. */
  private mergeable(): readonly RunFile[] | null {
    const merge = nextMerge(
      this.runs.map(({ bytes, entry: { to, pages, endsAt } }) => ({ bytes, to, pages, endsAt })),
      this.kept,
      this.bounds,
    );
    const inputs = merge === null ? [] : this.runs.slice(merge.first, merge.last + 1);
    return inputs.length === 0 || !canMerge(inputs) ? null : inputs;
  }

  /** Writes neighbours as one run in their place. @returns false when that could not be done. */
  private async rewrite(inputs: readonly RunFile[]): Promise<boolean> {
    const first = inputs[0]?.entry ?? assert.fail('runs to merge');
    const last = inputs.at(-1)?.entry ?? first;
    const cursor = new MergeCursor(inputs.map(mergedRun));
    const endings = inputs.flatMap(({ entry }) => entry.endsAt ?? []);
    const releases = inputs.map((run) => run.hold());
    const written = await this.write({
      facts: {
        epoch: last.epoch,
        from: first.from,
        to: last.to,
        isConsistent: last.isConsistent,
        endsAt: first.from === zeroLsn || endings.length === 0 ? null : Math.min(...endings),
        ...(first.fuzzyTo !== undefined && first.fuzzyTo > last.to && { fuzzyTo: first.fuzzyTo }),
      },
      pagesMax: inputs.reduce((sum, { entry }) => sum + entry.pages, 0),
      next: (count) => this.nextPart(inputs, cursor, count),
      pace: (bytes) => this.pace(bytes),
    });
    for (const release of releases) release();
    if (written.kind === 'failed') {
      if (!this.closed) this.options.onTrouble('runs of page images could not be merged', written.reason);
      return false;
    }
    const stored = await this.commit(written.run, (runs) => {
      const at = runs.indexOf(inputs[0] as RunFile);
      const isKept = inputs.slice(0, -1).some(({ entry }) => this.kept.has(entry.to));
      const isThere = at >= 0 && !isKept && inputs.every((run, place) => runs[at + place] === run);
      return isThere ? [...runs.slice(0, at), written.run, ...runs.slice(at + inputs.length)] : null;
    });
    return stored.kind === 'stored';
  }

  private async nextPart(inputs: readonly RunFile[], cursor: MergeCursor, count: number): Promise<RunParts> {
    const merged = cursor.next(count);
    if (merged.length === 0) return { kind: 'end' };
    const images = new Array<Uint8Array>(merged.length);
    for (const [place, run] of inputs.entries()) {
      const slots = merged.filter((page) => page.run === place).map(({ slot }) => slot);
      if (slots.length === 0) continue;
      const read = await this.readSlots(run, slots);
      for (const [at, page] of merged.entries()) {
        if (page.run !== place) continue;
        const bytes = read.get(page.slot);
        if (!(bytes instanceof Uint8Array))
          return { kind: 'stopped', reason: bytes?.reason ?? 'a page is gone' };
        images[at] = bytes;
      }
    }
    return { kind: 'part', part: { pages: merged.map(({ page }) => page), images } };
  }

  private async readSlots(run: RunFile, slots: readonly number[]): Promise<ReadonlyMap<number, SlotBytes>> {
    const sorted = [...slots].sort((a, b) => a - b);
    const read = await run.read(sorted);
    return new Map(sorted.map((slot, at) => [slot, read[at] ?? { reason: 'it was not read' }]));
  }

  private async write(source: Omit<Parameters<typeof writeRun>[1], 'file'>): Promise<RunWritten> {
    const file = this.nextFile++;
    const written = await writeRun(this.place, {
      ...source,
      file,
      next: async (count) =>
        this.closed ? { kind: 'stopped', reason: 'the store is closed' } : source.next(count),
      pace: (bytes) => {
        this.counters.bytesWritten += bytes;
        return source.pace(bytes);
      },
    });
    if (written.kind === 'written') this.counters.runsWritten += 1;
    return written;
  }

  /**
   * Puts a new run where `place` says. S13: the manifest first, then the readers.
   * @param place the chain with the run in it; null when what it builds on is gone.
   */
  private commit(
    run: RunFile,
    place: (runs: readonly RunFile[]) => readonly RunFile[] | null,
  ): Promise<ImagesStored> {
    return this.exclusive(async () => {
      const before = this.runs;
      const next = place(before);
      const failure = next === null ? builtOnNothing : await this.saveManifest(next);
      // Runs may have been dropped meanwhile. The manifest that says so waits for this one.
      const now = failure === null ? place(this.runs) : null;
      if (now === null) {
        this.leaving.push(run);
        return { kind: 'failed', reason: failure ?? builtOnNothing };
      }
      this.leaving.push(...this.runs.filter((candidate) => !now.includes(candidate)));
      const isSaved = this.runs === before;
      this.runs = now;
      if (isSaved) this.removeLeaving();
      return { kind: 'stored' };
    });
  }

  /** @returns why it could not be saved; it may be on the disk all the same. */
  private async saveManifest(runs: readonly RunFile[]): Promise<string | null> {
    const saved = await this.manifest.save({ runs: runs.map(({ entry }) => entry) });
    if (saved.kind === 'failed') return saved.message;
    if (runs === this.runs) this.removeLeaving();
    return null;
  }

  /** S13: the manifest on the disk is the one in use, so nothing names these any more. Their last readers finish first. */
  private removeLeaving(): void {
    const gone = this.leaving.map((run) => run.retire('removed'));
    this.leaving = [];
    this.removals = Promise.all([this.removals, ...gone]);
  }

  private exclusive<T>(change: () => Promise<T>): Promise<T> {
    const changed = this.changing.then(change);
    this.changing = changed.catch(() => undefined);
    return changed;
  }

  /** Waits as long as writing so many bytes may take. */
  private async pace(bytes: number): Promise<void> {
    const seen = this.options.foreground?.() ?? 0;
    const isBusy = seen !== this.seenForeground;
    this.seenForeground = seen;
    const ms = (bytes / mergeBytesPerSecond(this.runs.length, isBusy, this.bounds)) * 1_000;
    await (ms < 1 ? nextTurn(this.options.runtime) : pause(this.options.runtime, ms));
  }
}

const builtOnNothing = 'the runs it follows were dropped';
