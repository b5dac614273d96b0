/**
 * Drives the receiver of a secondary region: frames from NATS to the region's six nodes, acknowledgements back, and a
 * `replicate` span for every traced write once it is durable here.
 */
import {
  type BranchName,
  type DriverPlace,
  type Epoch,
  EpochTree,
  type FetchSource,
  framePayload,
  type Lsn,
  lsn,
  machine,
  mainBranch,
  type NodeLinks,
  type Offered,
  PacedTimer,
  type ReceivedFrame,
  ReceiverDriver,
  RecordCursor,
  type Recovered,
  type RecoveryGoal,
  type RegionId,
  type Runtime,
  splitFrames,
  zeroLsn,
} from '../../storage/index.ts';
import {
  attributes,
  keptTrace,
  type Logger,
  newSpanId,
  readTraceContext,
  replicateSpanName,
  type SpanShape,
  spanNames,
  type Telemetry,
} from '../../telemetry/index.ts';
import {
  carriesImages,
  decodeShipped,
  encodeAck,
  lineOf,
  type Shipped,
  subjectsOf,
} from '../bus/core/messages.ts';
import type { NatsConnection, NatsMessage } from '../bus/nats-connection.ts';
import { ClockOffset } from './core/clock-offset.ts';
import { Receiver, type ReceiverEffect, type ReceiverPosition } from './core/receiver.ts';
import { StallWatch } from './core/stall-watch.ts';
import { ImageReceiving } from './image-receiving.ts';
import { type Codec, unpacked, zstd } from './packing.ts';
import type { Reign } from './reign.ts';

const tickMs = 50;
/** While this region has everything. */
const quietTickMs = 100;
/** Traced commits that wait to be durable here; beyond it newer ones go without their span. */
const tracesWaitingMax = 50_000;

/** Writes frames to a region's nodes and says what became durable. */
export interface RegionReceiver {
  /** @param frames split, and so checked, by the caller. */
  offer(frames: readonly ReceivedFrame[], tree: EpochTree): Offered;
  close(): void;
}

/** What it tells: how much is durable and complete by now, and that it is over and why. */
export interface ReceiverNews {
  readonly durable: (vdl: Lsn, vcl: Lsn) => void;
  readonly lost: (reason: string) => void;
}

/** Writes to these nodes what continues `at`. */
export function openRegionReceiver(
  region: NodeLinks,
  at: Reign,
  on: ReceiverNews,
  place?: DriverPlace,
): RegionReceiver {
  const { head, forks, vdl } = at;
  return new ReceiverDriver({
    region,
    authority: head,
    head,
    forks,
    start: vdl,
    onDurable: on.durable,
    onFenced: (by) => on.lost(`epoch ${by} has sealed the nodes`),
    onQuorumLost: on.lost,
    ...(place !== undefined && { place }),
  });
}

/** What a receiver needs of NATS. */
export interface Inlet extends Pick<NatsConnection, 'publish'> {
  subscribe(subject: string, onMessage: (message: Pick<NatsMessage, 'data'>) => void): () => void;
}

export interface ReceivingOptions {
  readonly cluster: string;
  readonly region: RegionId;
  /** The line of history that is received; `main` by default. */
  readonly branch?: BranchName;
  /** What arrives of other lines. */
  readonly onOther?: (branch: BranchName, bytes: Uint8Array) => void;
  readonly connection: Inlet;
  /** The region's nodes. */
  readonly nodes: FetchSource;
  readonly recover: (goal: RecoveryGoal) => Promise<Recovered | null>;
  /** As `openRegionReceiver` does. */
  readonly openReceiver: (at: Reign, on: ReceiverNews) => RegionReceiver;
  /** The region follows a path; whatever it held beside that path is an orphan. The nodes are told of the path once this is done. */
  readonly onJoined: (outcome: Recovered) => Promise<void> | undefined;
  readonly telemetry: Telemetry;
  readonly log: Logger;
  readonly runtime?: Runtime;
  readonly codec?: Codec;
}

interface WaitingTrace {
  readonly lsn: Lsn;
  readonly commitTimeUs: number;
  readonly trace: Uint8Array;
  readonly from: RegionId;
}

export class Receiving {
  private readonly options: ReceivingOptions;
  private readonly runtime: Runtime;
  private readonly codec: Codec;
  private readonly branch: BranchName;
  private readonly receiver = new Receiver();
  /** By who ships: each has a clock of its own. */
  private readonly offsets = new Map<RegionId, ClockOffset>();
  /** What this region itself sees of standing still, whatever its primary sees. */
  private readonly watch = new StallWatch();
  private readonly ticker: PacedTimer;
  private readonly unsubscribe: () => void;
  private store: RegionReceiver | null = null;
  private tree = new EpochTree();
  private waiting: WaitingTrace[] = [];
  private unpacking: Promise<void> = Promise.resolve();
  /** Since when this region is being filled from nothing; null while it is not. */
  private fillingSinceUs: number | null = null;
  private readonly images: ImageReceiving;
  private imageBytes = 0;
  private shape: { readonly from: RegionId; readonly shape: SpanShape } | null = null;
  private closed = false;

  constructor(options: ReceivingOptions) {
    const { runtime = machine, codec = zstd, branch = mainBranch } = options;
    this.options = options;
    this.runtime = runtime;
    this.codec = codec;
    this.branch = branch;
    this.images = new ImageReceiving({
      ...options,
      codec,
      onBegun: () => {
        this.fillingSinceUs ??= Math.round(runtime.wallUs());
      },
      onFilled: (filled) => {
        this.imageBytes += filled;
        this.lose('this region was filled with images');
      },
    });
    const subject = subjectsOf(options.cluster).ship(options.region);
    this.unsubscribe = options.connection.subscribe(subject, (message) => this.arrived(message.data));
    this.ticker = new PacedTimer(runtime, tickMs, () => this.tick());
  }

  private tick(): void {
    this.step({ kind: 'tick' });
    const { receiver } = this;
    const { vcl, vdl } = receiver.position;
    const nowMs = this.runtime.nowMs();
    // A primary that is silent wants nothing; a join has its own limits and its own log lines.
    const isBehind =
      receiver.state.kind === 'following' && receiver.hears(nowMs) && vdl < receiver.primaryVdl;
    for (const news of this.watch.look({ isBehind, progress: vcl + this.images.stored }, nowMs)) {
      const { branch } = this;
      const facts = { primary: this.from, branch, vdl, vcl, primaryVdl: receiver.primaryVdl };
      if (news.kind === 'stalled')
        this.options.log.error(
          { ...facts, forMs: news.forMs },
          'this region stands still behind its primary',
        );
      else if (news.kind === 'recovered')
        this.options.log.info({ ...facts, afterMs: news.afterMs }, 'this region moves again');
      // The primary begins its lane anew first; what it sends then is all there may be to mend.
      else if (news.attempt > 1) this.lose(`stands still for ${Math.round(news.forMs)} ms`);
    }
  }

  /** How long this region has stood still behind a primary that it hears; 0 while it moves or has everything. */
  get stalledMs(): number {
    return this.watch.stalledMs(this.runtime.nowMs());
  }

  get position(): ReceiverPosition {
    return this.receiver.position;
  }

  get primaryVdl(): Lsn {
    return this.receiver.primaryVdl;
  }

  /** Whose path this region follows or joins; null before anybody was heard. */
  get primary(): RegionId | null {
    return this.receiver.primary;
  }

  /** How far the primary's wall clock is ahead of ours, in microseconds; 0 before the first exchange. */
  get clockAheadUs(): number {
    return this.from === null ? 0 : this.offsetOf(this.from).offsetUs;
  }

  private offsetOf(region: RegionId): ClockOffset {
    const offset = this.offsets.get(region) ?? new ClockOffset();
    this.offsets.set(region, offset);
    return offset;
  }

  /** Following a primary that was heard lately. */
  get following(): boolean {
    return this.receiver.state.kind === 'following' && this.receiver.hears(this.runtime.nowMs());
  }

  /** Since the primary was heard; null when it never was. */
  get heardMsAgo(): number | null {
    return this.receiver.heardMsAgo(this.runtime.nowMs());
  }

  /** See `Receiver`. */
  get levelMsAgo(): number | null {
    return this.receiver.levelMsAgo(this.runtime.nowMs());
  }

  close(): void {
    this.closed = true;
    this.ticker.stop();
    this.unsubscribe();
    this.images.close();
    this.store?.close();
  }

  private step(event: Parameters<Receiver['step']>[0]): void {
    if (this.closed) return;
    for (const effect of this.receiver.step(event, this.runtime.nowMs())) this.carryOut(effect);
    this.ticker.pace(this.receiver.isQuiet ? quietTickMs : tickMs);
  }

  private arrived(bytes: Uint8Array): void {
    const receivedAtUs = this.runtime.wallUs();
    if (carriesImages(bytes)) {
      this.images.arrived(bytes);
      return;
    }
    const shipped = decodeShipped(bytes);
    if (shipped.kind === 'malformed') {
      this.options.log.warn({ reason: shipped.reason }, 'ignored a shipped message that could not be read');
      return;
    }
    const { compressed, ...message } = shipped.value;
    const line = lineOf(message);
    if (line !== this.branch) {
      this.options.onOther?.(line, bytes);
      return;
    }
    const offset = this.offsetOf(message.via ?? message.from);
    if (message.echo !== null) {
      const { ackSentAtUs, ackReceivedAtUs } = message.echo;
      offset.add({ t0: ackSentAtUs, t1: ackReceivedAtUs, t2: message.sentAtUs, t3: receivedAtUs });
    }
    // Unpacking is asynchronous; a chain keeps what arrived in order in order.
    this.unpacking = this.unpacking.then(async () => {
      const frames = compressed ? await this.unpack(message.frames) : message.frames;
      if (frames === null) return;
      const transitMs = Math.max(0, (receivedAtUs + offset.offsetUs - message.sentAtUs) / 1_000);
      this.step({ kind: 'shipped', message: { ...message, frames }, transitMs });
    });
  }

  private async unpack(frames: Uint8Array): Promise<Uint8Array | null> {
    try {
      return await unpacked(frames, this.codec);
    } catch (error) {
      this.options.log.warn({ err: error }, 'ignored a shipped message that does not decompress');
      return null;
    }
  }

  private carryOut(effect: ReceiverEffect): void {
    switch (effect.kind) {
      case 'join':
        void this.join(effect.head, effect.forks);
        return;
      case 'store':
        this.keep(effect);
        return;
      case 'ack':
        this.acknowledge(effect.to, effect.gap);
        return;
    }
  }

  private async join(head: Epoch, forks: Shipped['forks']): Promise<void> {
    const { log, recover, openReceiver, onJoined } = this.options;
    this.store?.close();
    this.store = null;
    this.waiting = [];
    const outcome = await recover({ kind: 'follow', branch: this.branch, epoch: head, head, forks });
    const { state } = this.receiver;
    // The primary may have changed meanwhile, and a join of its path be under way.
    if (this.closed || state.kind !== 'joining' || state.head !== head) return;
    if (outcome === null || outcome.head !== head) {
      if (outcome !== null)
        log.error({ epoch: head, found: outcome.head }, 'the nodes do not follow the path they were given');
      this.step({ kind: 'joinFailed', head });
      return;
    }
    log.info({ branch: this.branch, epoch: head, vdl: outcome.vdl }, 'follows the primary');
    this.tree = new EpochTree(outcome.forks);
    await onJoined(outcome);
    if (this.closed || this.receiver.state !== state) return;
    const store = openReceiver(outcome, {
      durable: (vdl, vcl) => this.durable(vdl, vcl),
      lost: (reason) => {
        if (this.store === store) this.lose(reason);
      },
    });
    this.store = store;
    if (outcome.vdl === zeroLsn && this.receiver.primaryVdl > zeroLsn)
      this.fillingSinceUs ??= Math.round(this.runtime.wallUs());
    this.step({ kind: 'joined', outcome });
    if (this.fillingSinceUs !== null && this.imageBytes > 0 && outcome.vdl >= this.receiver.primaryVdl)
      this.filled(this.fillingSinceUs, outcome.vdl);
  }

  private keep({ frames }: Extract<ReceiverEffect, { kind: 'store' }>): void {
    const split = splitFrames(frames);
    if (split.kind === 'bad') {
      this.lose(`frames from the primary do not check: ${split.reason}`);
      return;
    }
    if (this.options.telemetry.enabled) for (const frame of split.frames) this.expectTraces(frame);
    const offered: Offered = this.store?.offer(split.frames, this.tree) ?? { kind: 'over' };
    // Not expected of a primary that respects the credit window; joining again finds out where to go on.
    if (offered.kind !== 'taken') this.lose(`the region cannot take what was shipped: ${offered.kind}`);
  }

  private lose(reason: string): void {
    this.options.log.warn(
      { reason, branch: this.branch, epoch: this.receiver.position.head },
      'stopped following: joins again when the primary is heard',
    );
    this.store?.close();
    this.store = null;
    // A message that never unpacks must not hold up those of the next beginning.
    this.unpacking = Promise.resolve();
    this.step({ kind: 'lost' });
  }

  private expectTraces(frame: ReceivedFrame): void {
    const { from } = this;
    if (from === null) return;
    const { base } = frame.header;
    const { vdl } = this.receiver.position;
    const cursor = new RecordCursor(framePayload(frame.bytes));
    while (cursor.next()) {
      const { trace, end } = cursor;
      if (trace === null || base + end <= vdl) continue;
      if (this.waiting.length >= tracesWaitingMax) return;
      this.waiting.push({ lsn: lsn(base + end), commitTimeUs: cursor.commitTimeUs, trace, from });
    }
  }

  private get from(): RegionId | null {
    return this.receiver.primary;
  }

  private durable(vdl: Lsn, vcl: Lsn): void {
    this.step({ kind: 'durable', vdl, vcl });
    if (this.fillingSinceUs !== null && vdl >= this.receiver.primaryVdl)
      this.filled(this.fillingSinceUs, vdl);
    if (this.waiting.length === 0) return;
    const offsetUs = this.clockAheadUs;
    const endUs = Math.round(this.runtime.wallUs() + offsetUs);
    const done = this.waiting.findIndex((write) => write.lsn > vdl);
    const settled = done < 0 ? this.waiting : this.waiting.slice(0, done);
    this.waiting = done < 0 ? [] : this.waiting.slice(done);
    for (const write of settled) this.traced(write, endUs, offsetUs);
  }

  /** From nothing to level with the primary. */
  private filled(sinceUs: number, vdl: Lsn): void {
    this.fillingSinceUs = null;
    const { region, telemetry } = this.options;
    telemetry.record({
      name: spanNames.bootstrap,
      kind: 'internal',
      context: keptTrace(),
      parentSpanId: null,
      startUs: sinceUs,
      endUs: Math.round(this.runtime.wallUs()),
      attributes: {
        [attributes.targetRegion]: region,
        ...(this.from !== null && { [attributes.sourceRegion]: this.from }),
        [attributes.lsn]: vdl,
        // What images hold came as pages, and not as the redo that they were made of.
        [attributes.filledBytes]: this.imageBytes > 0 ? this.imageBytes : vdl,
      },
    });
  }

  /** A span whose duration is the lag of one write: commit there to durable here, on the primary's clock. */
  private traced(write: WaitingTrace, endUs: number, offsetUs: number): void {
    const parent = readTraceContext(write.trace);
    if (parent === null || !parent.sampled) return;
    const { traceId, spanId: parentSpanId } = parent;
    const { commitTimeUs: startUs } = write;
    this.options.telemetry.recordRow(
      this.shapeFrom(write.from),
      { traceId, spanId: newSpanId(), parentSpanId, startUs, endUs: Math.max(endUs, startUs) },
      [write.lsn, -offsetUs / 1000],
    );
  }

  /** Of the spans of writes that come from there. */
  private shapeFrom(from: RegionId): SpanShape {
    if (this.shape?.from !== from) this.shape = { from, shape: replicateShape(from, this.options.region) };
    return this.shape.shape;
  }

  private acknowledge(to: RegionId, gap: boolean): void {
    const { cluster, region, connection } = this.options;
    const ack = encodeAck({ region, ...this.receiver.position, gap, ackSentAtUs: this.runtime.wallUs() });
    // Lost or refused, the next one says the same.
    connection.publish(subjectsOf(cluster).ack(to), ack);
  }
}

/** The values that differ, in their order: the write's LSN, and how far the clock here is ahead of the primary's. */
function replicateShape(from: RegionId, to: RegionId): SpanShape {
  return {
    name: replicateSpanName(from, to),
    kind: 'consumer',
    attributes: [
      [attributes.sourceRegion, from],
      [attributes.targetRegion, to],
    ],
    numbers: [attributes.lsn, attributes.clockSkewMs],
    failure: null,
  };
}
