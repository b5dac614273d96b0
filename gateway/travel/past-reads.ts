/**
 * Reads of the past: what place a wish means, and an engine that reads there. Engines are few and made on demand; streams at the
 * same place share one, and one that nobody uses goes to the next place that is asked for.
 */
import { type Place, timeText } from '../../regions/index.ts';
import {
  type Located,
  type Lsn,
  locate,
  machine,
  type RegionClient,
  type Runtime,
  type Timer,
} from '../../storage/index.ts';
import type { Logger } from '../../telemetry/index.ts';
import type { GatewayVolume } from '../reign/gateway-volume.ts';
import { adviseError, adviseFailure } from '../sql/errors.ts';
import type { SqlOutcome } from '../sql/sql.ts';
import { PastEngine, type PastEngineOptions, type PastPoint, samePoint } from './past-engine.ts';

export interface PastLimits {
  /** Places of the past that are read at once: a thread each. */
  readonly pastPlaces: number;
  /** A thread that nobody has used for so long ends. */
  readonly pastIdleMs: number;
  /** How long a place that this region has not got yet is waited for. */
  readonly readWaitMs: number;
}

export interface PastReadsOptions {
  readonly region: RegionClient;
  /** Where its engines get their threads. */
  readonly reserve: PastEngineOptions['reserve'];
  readonly limits: PastLimits;
  readonly log: Pick<Logger, 'warn'>;
  /** Default: that of redo. */
  readonly runtime?: Runtime;
}

/** The line of history on which a wish is looked for. */
type Line = Pick<GatewayVolume, 'head' | 'readers' | 'reached'>;

/** A place that can be read, in words too. */
export interface Resolved extends PastPoint {
  /** `EPOCH:LSN`, and the time of that commit where the log still says it. */
  readonly text: string;
}

const pageCacheBytes = 16 * 1024 * 1024;
const lookEveryMs = 1_000;

const unavailable = (why: string): SqlOutcome<never> => adviseFailure('SEXTANT_POINT_UNAVAILABLE', why);

export class PastReads {
  private readonly options: PastReadsOptions;
  private readonly runtime: Runtime;
  private engines: PastEngine[] = [];
  private starting = 0;
  private ticker: Timer | null = null;
  private closed = false;

  constructor(options: PastReadsOptions) {
    this.options = options;
    this.runtime = options.runtime ?? machine;
  }

  /** Threads that read the past now. */
  get size(): number {
    return this.engines.length;
  }

  /**
   * The consistency point that a wish means (S40).
   * @param hasAll resolves once this region shows everything that was acknowledged anywhere before now, with null, or with why it
   * does not: a time means all commits up to it, also those that this region has yet to get.
   */
  async resolve(
    volume: Line,
    place: Place,
    hasAll: () => Promise<SqlOutcome<unknown>>,
  ): Promise<SqlOutcome<Resolved>> {
    switch (place.kind) {
      case 'lsn':
        return this.resolveLsn(volume, place.lsn);
      case 'time':
        return this.resolveTime(volume, place.us, hasAll);
      case 'path':
        if (place.epoch === volume.head) return this.resolveLsn(volume, place.lsn);
        return this.found({ head: place.epoch, upTo: place.lsn, atUs: null });
    }
  }

  private async resolveLsn(volume: Line, at: Lsn): Promise<SqlOutcome<Resolved>> {
    const { limits } = this.options;
    const reached = await volume.reached(at, limits.readWaitMs);
    if (!reached)
      return unavailable(
        `LSN ${at} lies above ${volume.readers.vdl}, the newest that can be read here, and has not come within readWaitMs = ${limits.readWaitMs}`,
      );
    return this.found({ head: volume.head, upTo: at, atUs: null });
  }

  private async resolveTime(
    volume: Line,
    us: number,
    hasAll: () => Promise<SqlOutcome<unknown>>,
  ): Promise<SqlOutcome<Resolved>> {
    const { region } = this.options;
    if (us > this.runtime.wallUs())
      return unavailable(
        `${timeText(us)} lies ahead of this gateway's clock: what will be written by then is not known`,
      );
    const newest = await locate(region, { head: volume.head, upTo: volume.readers.vdl, atUs: null });
    // One writer's commits are in the order of its clock: a later one here says that all before it are here.
    if (newest.kind !== 'located' || newest.commitTimeUs === null || newest.commitTimeUs <= us) {
      const all = await hasAll();
      if (!all.ok) return all;
    }
    return this.found({ head: volume.head, upTo: volume.readers.vdl, atUs: us });
  }

  private async found(wish: Parameters<typeof locate>[1]): Promise<SqlOutcome<Resolved>> {
    const found: Located = await locate(this.options.region, wish);
    const { head } = wish;
    switch (found.kind) {
      case 'located': {
        const { commitTimeUs } = found;
        const time = commitTimeUs === null ? '' : ` ${timeText(commitTimeUs)}`;
        return { ok: true, value: { head, lsn: found.lsn, text: `${head}:${found.lsn}${time}` } };
      }
      case 'belowFloor':
        return unavailable(
          `That is not kept any more: the log of this region is complete from LSN ${found.floor.lsn} of epoch ${found.floor.epoch} on (the floor; \`retention\` in the region's file says how much is kept)`,
        );
      case 'unknownEpoch':
        return unavailable(
          `No storage node of this region knows epoch ${head}: \`sextant losses\` and \`sextant status\` name those there are, and what a region has not got another may have`,
        );
      case 'unavailable':
        return {
          ok: false,
          error: adviseError(
            'SEXTANT_STORAGE_UNAVAILABLE',
            `No storage node says what lies there: ${found.reason}`,
          ),
        };
    }
  }

  /** An engine that reads there, with this stream counted in: give it back with `leave`. */
  async join(point: PastPoint): Promise<SqlOutcome<PastEngine>> {
    const shared = this.engines.find((engine) => samePoint(engine.point, point));
    if (shared !== undefined) return joined(shared, () => shared.opened());
    const idle = this.engines.find(({ streams }) => streams === 0);
    if (idle !== undefined) return joined(idle, () => idle.moveTo(point));
    const { pastPlaces } = this.options.limits;
    if (this.engines.length + this.starting >= pastPlaces)
      return adviseFailure(
        'SEXTANT_LIMIT',
        `pastPlaces = ${pastPlaces} places of the past are being read at once here: end a stream that reads another one, or read at the same place`,
      );
    return this.started(point);
  }

  private async started(point: PastPoint): Promise<SqlOutcome<PastEngine>> {
    const { region, reserve, log } = this.options;
    this.starting += 1;
    try {
      const engine = await PastEngine.start(
        {
          region,
          reserve,
          pageCacheBytes,
          runtime: this.runtime,
          onFatal: (gone) => {
            log.warn({ point: gone.point }, 'a thread that reads the past has ended');
            this.engines = this.engines.filter((other) => other !== gone);
          },
        },
        point,
      );
      engine.join();
      if (this.closed) {
        await engine.close();
        return adviseFailure('SEXTANT_SHUTTING_DOWN', 'This gateway is stopping');
      }
      this.engines.push(engine);
      this.ticker ??= this.runtime.every(lookEveryMs, () => this.look());
      return { ok: true, value: engine };
    } catch (error) {
      return noThread(error);
    } finally {
      this.starting -= 1;
    }
  }

  private look(): void {
    const nowMs = this.runtime.nowMs();
    const resting = this.engines.filter(
      (engine) => engine.restingMs(nowMs) >= this.options.limits.pastIdleMs,
    );
    this.engines = this.engines.filter((engine) => !resting.includes(engine));
    for (const engine of resting) void engine.close();
    if (this.engines.length > 0) return;
    this.ticker?.stop();
    this.ticker = null;
  }

  async close(): Promise<void> {
    this.closed = true;
    this.ticker?.stop();
    await Promise.all(this.engines.splice(0).map((engine) => engine.close()));
  }
}

/** Counts a stream in while its engine gets there, and out again when that ends first. */
async function joined(engine: PastEngine, opening: () => Promise<void>): Promise<SqlOutcome<PastEngine>> {
  engine.join();
  try {
    await opening();
    return { ok: true, value: engine };
  } catch (error) {
    engine.leave();
    return noThread(error);
  }
}

function noThread(error: unknown): SqlOutcome<never> {
  const why = error instanceof Error ? error.message : String(error);
  return adviseFailure(
    'SEXTANT_STORAGE_UNAVAILABLE',
    `The thread that would read the past has ended: ${why}`,
  );
}
