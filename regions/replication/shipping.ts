/**
 * Drives one shipper per secondary, each with a NATS connection of its own (R1): a server that stalls a publisher for
 * a frozen subscriber then stalls the shipping to that region alone.
 */
import {
  type BranchName,
  type FetchSource,
  type Floor,
  type Lsn,
  machine,
  mainBranch,
  maxLsn,
  PacedTimer,
  RegionFetch,
  type RegionId,
  type Runtime,
  splitFrames,
  type Timer,
  zeroLsn,
} from '../../storage/index.ts';
import type { Logger } from '../../telemetry/index.ts';
import {
  type ClockEcho,
  decodeAck,
  decodeImagesAck,
  encodeShipped,
  type ImagesAck,
  type ShipAck,
  subjectsOf,
} from '../bus/core/messages.ts';
import { bodyBytesFor, payloadProblem } from '../bus/core/payload-room.ts';
import type { NatsConnection } from '../bus/nats-connection.ts';
import { commitMarksIn } from './core/commit-marks.ts';
import type { FillProgress } from './core/image-shipper.ts';
import type { LagMemory } from './core/lag-memory.ts';
import { type Lag, Shipper, type ShipperEffect } from './core/shipper.ts';
import { type ShippingBounds, shippingLimits } from './core/shipping-limits.ts';
import { type StallNews, StallWatch } from './core/stall-watch.ts';
import { ImageLane } from './image-lane.ts';
import { type Codec, type Packed, packed, zstd } from './packing.ts';
import type { Reign } from './reign.ts';

const fetchWaitMs = 1_000;
const tickMs = 50;
/** While the secondary has everything: nothing but a heartbeat is due. */
const quietTickMs = 100;

export interface ShippingOptions {
  readonly cluster: string;
  readonly from: RegionId;
  /** Who ships, when it is not the region whose path it is. */
  readonly via?: RegionId;
  /** The line of history that is shipped; `main` by default. */
  readonly branch?: BranchName;
  readonly secondaries: readonly RegionId[];
  readonly region: FetchSource;
  /** Opens a connection named for its purpose. */
  readonly connect: (purpose: string) => Outlet;
  /** A lane has begun to stand still. */
  readonly onStalled: (to: RegionId) => void;
  /** Redo has left for a secondary; `again` of it had left before. In bytes, before compression. */
  readonly onShipped?: (to: RegionId, bytes: number, again: number) => void;
  /** Commits are known to be durable there, so many milliseconds after they were made, on the primary's clock. */
  readonly onReplicated?: (to: RegionId, afterMs: readonly number[]) => void;
  /** What is known of each secondary's lag from before this reign. */
  readonly remembered: LagMemory;
  readonly log: Logger;
  readonly runtime?: Runtime;
  readonly bounds?: ShippingBounds;
  readonly codec?: Codec;
}

/** What a lane needs of its NATS connection. */
export type Outlet = Pick<NatsConnection, 'publish' | 'close' | 'maxPayloadBytes'>;

/** Lag, and how long the lane has stood still; 0 while it moves. */
export type LaneLag = Lag & {
  readonly stalledMs: number;
  /** Why the log does not bring the secondary up any more, in words; null while it can. */
  readonly needsImages: string | null;
  /** While it is filled with images: it needs the log from here on. */
  readonly imagesFrom: Lsn | null;
};

/** Of one lane: redo sent and not stored there, the most that may be now, and whether it is known where the secondary is. */
export interface LaneWindow {
  readonly region: RegionId;
  readonly usedBytes: number;
  readonly sizeBytes: number;
  readonly isKnown: boolean;
}

export class Shipping {
  private readonly options: ShippingOptions;
  private readonly reign: Reign;
  private lanes: readonly Lane[];
  /** Every lane reads from a node of its own turn, also those that come later. */
  private opened = 0;

  constructor(options: ShippingOptions, reign: Reign) {
    this.options = options;
    this.reign = reign;
    this.lanes = options.secondaries.map((to) => new Lane(options, reign, to, this.opened++));
  }

  /** Regions have come or gone: lanes to those that are new begin, lanes to others end, and the rest go on as they are. */
  shipTo(secondaries: readonly RegionId[]): void {
    const gone = this.lanes.filter(({ to }) => !secondaries.includes(to));
    const kept = this.lanes.filter(({ to }) => secondaries.includes(to));
    const isNew = (to: RegionId): boolean => !kept.some((lane) => lane.to === to);
    const begun = secondaries
      .filter(isNew)
      .map((to) => new Lane(this.options, this.reign, to, this.opened++));
    this.lanes = [...kept, ...begun];
    for (const lane of gone) void lane.close();
  }

  /** Hands an acknowledgement to the lane it belongs to. */
  acked(bytes: Uint8Array): void {
    const images = decodeImagesAck(bytes);
    if (images !== null) {
      this.lanes.find((lane) => lane.to === images.region)?.imagesAcked(images);
      return;
    }
    const ack = decodeAck(bytes);
    if (ack.kind === 'malformed') {
      this.options.log.warn({ reason: ack.reason }, 'ignored an acknowledgement that could not be read');
      return;
    }
    this.lanes.find((lane) => lane.to === ack.value.region)?.acked(ack.value);
  }

  /** The region's nodes call redo durable up to here: news for the lanes whose window is full. */
  durable(vdl: Lsn): void {
    for (const lane of this.lanes) lane.durable(vdl);
  }

  lag(): readonly (LaneLag & { readonly region: RegionId })[] {
    return this.lanes.map((lane) => ({ region: lane.to, ...lane.lag() }));
  }

  /** How much of each lane's window is in use. */
  windows(): readonly LaneWindow[] {
    return this.lanes.map((lane) => ({ region: lane.to, ...lane.window }));
  }

  async close(): Promise<void> {
    await Promise.all(this.lanes.map((lane) => lane.close()));
  }
}

/** One secondary: its shipper, its connection, its place in the log. */
class Lane {
  readonly to: RegionId;
  private readonly index: number;
  private readonly options: ShippingOptions;
  private readonly reign: Reign;
  private readonly runtime: Runtime;
  private readonly bounds: ShippingBounds;
  private readonly codec: Codec;
  private readonly shipper: Shipper;
  private readonly watch = new StallWatch();
  private connection: Outlet;
  private log: RegionFetch;
  private readonly images: ImageLane;
  /** Of this region's nodes, when the log was last asked for below it. */
  private floor: Floor | null = null;
  /** Counts the lane's beginnings: what an earlier one left under way comes to nothing. */
  private life = 0;
  private readonly ticker: PacedTimer;
  /** The read that waits for its time. */
  private due: Timer | undefined;
  private echo: ClockEcho | null = null;
  private sentTo: Lsn = zeroLsn;
  /** Messages leave in the order their frames were read, however long compressing takes. */
  private sending: Promise<void> = Promise.resolve();
  private closed = false;

  constructor(options: ShippingOptions, reign: Reign, to: RegionId, index: number) {
    this.options = options;
    this.reign = reign;
    this.to = to;
    this.index = index;
    const { runtime = machine, bounds = shippingLimits, codec = zstd } = options;
    this.runtime = runtime;
    this.bounds = bounds;
    this.codec = codec;
    this.shipper = new Shipper(reign.head, reign.vdl, options.remembered[to] ?? null, bounds);
    this.connection = options.connect(`ship-${to}`);
    this.log = new RegionFetch(options.region, index);
    const { cluster, from, region } = options;
    const outlet = (): Outlet => this.connection;
    const onShipped = (bytes: number): void => options.onShipped?.(to, bytes, 0);
    this.images = new ImageLane({
      cluster,
      from,
      to,
      region,
      reign,
      bounds,
      codec,
      runtime,
      outlet,
      onShipped,
    });
    this.ticker = new PacedTimer(runtime, tickMs, () => this.tick());
  }

  private tick(): void {
    const nowMs = this.runtime.nowMs();
    this.carryOut(this.shipper.step({ kind: 'tick' }, nowMs));
    // R62: only a region whose own path is shipped fills others, and images are of `main`.
    const { via, branch } = this.options;
    const isBelow = this.shipper.needsImagesFrom !== null && via === undefined && branch === undefined;
    this.images.tick(isBelow ? this.floor : null);
    const { isBehind, storedTo } = this.shipper;
    for (const news of this.watch.look({ isBehind, progress: storedTo }, nowMs)) this.heard(news);
  }

  private heard(news: StallNews): void {
    const { log, from, branch = mainBranch } = this.options;
    const { vdl, lagBytes, online } = this.lag();
    const facts = { from, branch, to: this.to, vdl, storedTo: this.shipper.storedTo, lagBytes, online };
    if (news.kind === 'stalled') {
      log.error({ ...facts, forMs: news.forMs }, 'a secondary stands still');
      this.options.onStalled(this.to);
    } else if (news.kind === 'recovered')
      log.info({ ...facts, afterMs: news.afterMs }, 'a secondary moves again');
    // A lane that is well and has nothing to send is as good as a new one.
    else if (this.shipper.needsImagesFrom === null) this.rebuild(news.attempt);
  }

  /** Another connection, another node to read from, and a word of the secondary from where to go on. */
  private rebuild(attempt: number): void {
    this.options.log.warn({ to: this.to, attempt }, 'the lane to a secondary begins anew');
    this.life += 1;
    this.due?.stop();
    void this.connection.close();
    this.connection = this.options.connect(`ship-${this.to}`);
    this.log = new RegionFetch(this.options.region, this.index + attempt);
    this.sending = Promise.resolve();
    this.echo = null;
    this.carryOut(this.shipper.step({ kind: 'restarted' }, this.runtime.nowMs()));
  }

  acked(ack: ShipAck): void {
    if (this.closed) return;
    this.echo = { ackSentAtUs: ack.ackSentAtUs, ackReceivedAtUs: this.runtime.wallUs() };
    this.carryOut(this.shipper.step({ kind: 'acked', ack }, this.runtime.nowMs()));
  }

  imagesAcked(ack: ImagesAck): void {
    if (!this.closed) this.images.acked(ack);
  }

  durable(vdl: Lsn): void {
    if (!this.closed) this.carryOut(this.shipper.step({ kind: 'durable', vdl }, this.runtime.nowMs()));
  }

  lag(): LaneLag {
    const nowMs = this.runtime.nowMs();
    const { needsImagesFrom: floor, storedTo } = this.shipper;
    return {
      ...this.shipper.lag(nowMs, this.runtime.wallUs()),
      stalledMs: this.watch.stalledMs(nowMs),
      needsImages: floor === null ? null : describeImages(storedTo, floor, this.images.progress),
      imagesFrom: this.images.low,
    };
  }

  get window(): Omit<LaneWindow, 'region'> {
    const { windowUsedBytes: usedBytes, isKnown } = this.shipper;
    return { usedBytes, sizeBytes: this.shipper.windowSizeBytes(this.runtime.nowMs()), isKnown };
  }

  async close(): Promise<void> {
    this.closed = true;
    this.images.close();
    this.ticker.stop();
    this.due?.stop();
    await this.connection.close();
  }

  private carryOut(effects: readonly ShipperEffect[]): void {
    for (const effect of effects) {
      if (effect.kind === 'fetch') this.fetchLater(effect);
      else if (effect.kind === 'ship') this.ship(effect);
      else if (effect.kind === 'look') void this.look(effect.from);
      else if (effect.kind === 'heartbeat') this.beat(effect);
      else this.arrived(effect.commitTimesUs);
    }
    this.ticker.pace(this.shipper.isQuiet ? quietTickMs : tickMs);
  }

  private arrived(commitTimesUs: readonly number[]): void {
    const { onReplicated } = this.options;
    if (onReplicated === undefined) return;
    const nowUs = this.runtime.wallUs();
    onReplicated(
      this.to,
      commitTimesUs.map((timeUs) => Math.max(0, (nowUs - timeUs) / 1_000)),
    );
  }

  private fetchLater({ from, known, afterMs, bytesMax }: Extract<ShipperEffect, { kind: 'fetch' }>): void {
    // A read from elsewhere takes the place of one that has not begun.
    this.due?.stop();
    if (afterMs === 0) void this.fetch(from, known, bytesMax);
    else this.due = this.runtime.after(afterMs, () => void this.fetch(from, known, bytesMax));
  }

  private async fetch(from: Lsn, known: Lsn, bytesMax: number): Promise<void> {
    const { life } = this;
    const reply = await this.read(from, known, bytesMax, fetchWaitMs);
    if (this.closed || life !== this.life) return;
    const split = reply === null ? null : splitFrames(reply.frames);
    if (reply === null || split === null || split.kind === 'bad') {
      if (split?.kind === 'bad')
        this.options.log.error({ reason: split.reason }, 'a storage node sent frames that do not check');
      if (this.log.below !== null) this.belowFloor(this.log.below);
      // The shipper's next tick asks again: a node that fails at once is not asked in a tight loop.
      else this.carryOut(this.shipper.step({ kind: 'fetchFailed' }, this.runtime.nowMs()));
      return;
    }
    const commits = commitMarksIn(split.frames, from, reply.next);
    const { next, vdl, frames } = reply;
    this.carryOut(
      this.shipper.step({ kind: 'fetched', from, next, vdl, frames, commits }, this.runtime.nowMs()),
    );
  }

  /** @param waitMs how long it may wait for news. @returns null when this try brought nothing. */
  private read(from: Lsn, known: Lsn, mostBytes: number, waitMs: number): ReturnType<RegionFetch['fetch']> {
    return this.log.fetch({
      kind: 'fetch',
      branch: this.options.branch ?? mainBranch,
      head: this.reign.head,
      from,
      bytesMax: Math.min(mostBytes, bodyBytesFor(this.connection.maxPayloadBytes)),
      waitMs,
      // R2: a secondary must never hold what the primary's recovery may not find.
      durableOnly: true,
      known: { head: this.reign.head, vdl: known },
    });
  }

  private async look(from: Lsn): Promise<void> {
    const { life } = this;
    const reply = await this.read(from, from, this.bounds.messageBytes, 0);
    if (this.closed || life !== this.life) return;
    const split = reply === null ? null : splitFrames(reply.frames);
    const found =
      reply === null || split === null || split.kind === 'bad'
        ? { next: from, commits: [] }
        : { next: reply.next, commits: commitMarksIn(split.frames, from, reply.next) };
    this.carryOut(this.shipper.step({ kind: 'looked', from, ...found }, this.runtime.nowMs()));
    if (reply === null && this.log.below !== null) this.belowFloor(this.log.below);
  }

  /** R61: what the secondary lacks is held as images only. Said once; asked again now and then, in case it has come up by other means. */
  private belowFloor(floor: Floor): void {
    this.floor = floor;
    const wasBelow = this.shipper.needsImagesFrom !== null;
    this.carryOut(this.shipper.step({ kind: 'belowFloor', floor: floor.lsn }, this.runtime.nowMs()));
    const { needsImages } = this.lag();
    if (wasBelow || needsImages === null) return;
    const { from } = this.options;
    this.options.log.error(
      { from, to: this.to, needsImages },
      'a secondary cannot be brought up from the log',
    );
  }

  private ship({ start, next, vdl, frames }: Extract<ShipperEffect, { kind: 'ship' }>): void {
    const { life } = this;
    this.sending = this.sending.then(async () => {
      const body = await packed(frames, this.codec);
      if (this.closed || life !== this.life) return;
      const outcome = this.publish(start, next, vdl, body);
      if (outcome === 'sent') this.sent(start, next, frames.length);
      this.carryOut(this.shipper.step({ kind: 'shipped', outcome }, this.runtime.nowMs()));
    });
  }

  private sent(start: Lsn, next: Lsn, bytes: number): void {
    this.options.onShipped?.(this.to, bytes, start < this.sentTo ? bytes : 0);
    this.sentTo = maxLsn(this.sentTo, next);
  }

  /** Behind the messages under way: one that overtook them would look like a gap. */
  private beat({ start, vdl }: Extract<ShipperEffect, { kind: 'heartbeat' }>): void {
    const { life } = this;
    this.sending = this.sending.then(() => {
      if (!this.closed && life === this.life)
        this.publish(start, start, vdl, { bytes: new Uint8Array(0), compressed: false });
    });
  }

  private publish(start: Lsn, next: Lsn, vdl: Lsn, body: Packed): 'sent' | 'refused' {
    const { head, forks } = this.reign;
    const { from, via, cluster } = this.options;
    const message = {
      from,
      ...(via !== undefined && { via }),
      head,
      forks,
      start,
      next,
      vdl,
      sentAtUs: this.runtime.wallUs(),
      echo: this.echo,
      frames: body.bytes,
    };
    const outcome = this.connection.publish(subjectsOf(cluster).ship(this.to), encodeShipped(message, body));
    if (outcome === 'too-large')
      this.options.log.error(
        { to: this.to, bytes: body.bytes.length, problem: payloadProblem(this.connection.maxPayloadBytes) },
        'the NATS server refuses messages of this size, so that a secondary gets nothing',
      );
    return outcome === 'sent' ? 'sent' : 'refused';
  }
}

function describeImages(storedTo: Lsn, floor: Lsn, progress: FillProgress | null): string {
  const below = `its position ${storedTo} is below the retained log, which begins at ${floor}`;
  if (progress === null) return `needs images: ${below}`;
  const { bytes, totalBytes, bytesPerSecond } = progress;
  const percent = totalBytes === 0 ? 0 : Math.floor((100 * bytes) / totalBytes);
  const left = bytesPerSecond === 0 ? '' : `, ${Math.ceil((totalBytes - bytes) / bytesPerSecond)} s left`;
  return `needs images: ${percent} % of about ${totalBytes} bytes are there, ${bytesPerSecond} bytes a second${left}; ${below}`;
}
