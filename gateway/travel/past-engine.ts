/** One engine that reads the volume as it was at one place, and the streams on it. */
import {
  type Epoch,
  type Lsn,
  machine,
  type PageNo,
  type RegionClient,
  type Runtime,
} from '../../storage/index.ts';
import type { Engine } from '../engine/engine.ts';
import type { EngineReserve } from '../engine/engine-reserve.ts';
import type { EngineSession } from '../engine/engine-stream.ts';

/** A consistency point on the path to `head` (S40). */
export interface PastPoint {
  readonly head: Epoch;
  readonly lsn: Lsn;
}

export const samePoint = (a: PastPoint, b: PastPoint): boolean => a.head === b.head && a.lsn === b.lsn;

export interface PastEngineOptions {
  readonly region: Pick<RegionClient, 'readPages'>;
  readonly reserve: Pick<EngineReserve, 'start'>;
  readonly pageCacheBytes: number;
  /** The engine is of no further use. */
  readonly onFatal: (engine: PastEngine) => void;
  readonly runtime?: Runtime;
}

/** The first look at a place below the images reads the log from there; what follows finds it read. */
const pageReadMs = 25_000;

export class PastEngine {
  private readonly options: PastEngineOptions;
  private readonly engine: Engine;
  private at: PastPoint;
  private opening: Promise<void>;
  private streamsNow = 0;
  private restingSinceMs = 0;

  private constructor(
    options: PastEngineOptions,
    point: PastPoint,
    engine: (past: () => PastEngine) => Engine,
  ) {
    this.options = options;
    this.at = point;
    this.engine = engine(() => this);
    this.opening = this.engine.open({ kind: 'reader', readPoint: point.lsn });
  }

  /** @throws Error when no thread can be started. */
  static async start(options: PastEngineOptions, point: PastPoint): Promise<PastEngine> {
    const { pageCacheBytes } = options;
    let past: PastEngine | null = null;
    const engine = await options.reserve.start({
      pageCacheBytes,
      pageReadMs,
      readPages: (pages) => (past === null ? Promise.reject(new Error('not open')) : past.readPages(pages)),
      // G55: nothing moves it from here on, since no redo is given to it.
      onCommit: () => {
        throw new Error('G54: nothing is written to the past');
      },
      onFatal: () => {
        if (past !== null) options.onFatal(past);
      },
    });
    past = new PastEngine(options, point, () => engine);
    await past.opening;
    return past;
  }

  get point(): PastPoint {
    return this.at;
  }

  /** How many streams read here. */
  get streams(): number {
    return this.streamsNow;
  }

  /** How long nobody has read here; 0 while somebody does. */
  restingMs(nowMs: number): number {
    return this.streamsNow > 0 ? 0 : nowMs - this.restingSinceMs;
  }

  /** Goes to another place; nobody may be reading here. */
  async moveTo(point: PastPoint): Promise<void> {
    this.at = point;
    this.opening = this.engine.open({ kind: 'reader', readPoint: point.lsn });
    await this.opening;
  }

  /** Counts a stream in before its engine is waited for, so that nobody takes the engine elsewhere meanwhile. */
  join(): void {
    this.streamsNow += 1;
  }

  leave(): void {
    this.streamsNow -= 1;
    if (this.streamsNow === 0) this.restingSinceMs = (this.options.runtime ?? machine).nowMs();
  }

  /** Resolves when the engine reads at its place. */
  async opened(): Promise<void> {
    await this.opening;
  }

  openSession(): EngineSession {
    return this.engine.openSession();
  }

  async close(): Promise<void> {
    await this.engine.close();
  }

  /** In one request, however many they are: below the images each costs a look through the log. */
  private async readPages(pages: readonly PageNo[]): Promise<readonly (Uint8Array | null)[]> {
    const { head, lsn } = this.at;
    const read = await this.options.region.readPages(head, lsn, pages, { timeoutMs: pageReadMs });
    if (read.kind === 'unavailable') throw new Error(read.reason);
    return read.pages;
  }
}
