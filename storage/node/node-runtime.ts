/**
 * Drives the pure node: requests and what the disk reports become events, effects become writes and replies.
 */

import { locateCommit } from '../locate/locate-commit.ts';
import type { HeldFrame } from '../log/core/held-frames.ts';
import type { DiskHealth } from '../log/disk-health.ts';
import type { FrameReader } from '../log/frame-reader.ts';
import type { AppendResult, HotLog } from '../log/hot-log.ts';
import type { LogSealer } from '../log/sealer.ts';
import type { StateFile } from '../log/state-file.ts';
import type { FoldLimit, PageReader } from '../pages/page-reader.ts';
import { PacedTimer } from '../process/paced-timer.ts';
import { pause, type Runtime } from '../process/runtime.ts';
import type { ReceivedFrame } from '../redo/frame.ts';
import { type Epoch, genesisEpoch, minLsn, unreachable } from '../redo/ids.ts';
import { holdingsOf, type KeptParts } from '../retention/kept-parts.ts';
import type { Scrubber } from '../scrub/scrubber.ts';
import type {
  FetchImagesRequest,
  LocateRequest,
  RefusalCode,
  RetainRequest,
  StatusReply,
  StatusRequest,
  StorageReply,
  StorageRequest,
} from '../wire/core/messages.ts';
import type { StorageNode } from './core/node.ts';
import type { Caller, FetchAnswer, NodeEffect, NodeEvent } from './core/node-events.ts';
import { RepairSession } from './core/repair-session.ts';
import { ImageRefill, readImages } from './image-refill.ts';
import type { NodeRecord } from './node-data.ts';
import type { Repair } from './repair.ts';
import type { RotWatch } from './rot-watch.ts';

export interface NodeRuntimeOptions {
  readonly node: StorageNode;
  readonly log: HotLog;
  readonly stateFile: StateFile<NodeRecord>;
  readonly identity: Omit<NodeRecord, 'state'>;
  readonly frames: FrameReader;
  readonly pages: PageReader;
  readonly repair: Repair;
  readonly kept: KeptParts;
  /** The node's images were replaced by those of others: so many bytes of pages. */
  readonly onFilled: (bytes: number) => void;
  /** Told of log files that could not be dropped. */
  readonly onTrouble: (what: string, reason: string) => void;
  readonly rot: RotWatch;
  readonly sealer: LogSealer;
  readonly scrubber: Scrubber;
  readonly health: DiskHealth;
  readonly status: (request: StatusRequest) => StatusReply;
  readonly runtime: Runtime;
  /** The disk is not to be trusted any more: the process has to be restarted to read back what it has. */
  readonly onFatal: (message: string) => void;
}

export type Answer = (reply: StorageReply) => void;

/** Hears what a node does; for metrics. */
export interface NodeWatcher {
  /** The pages of one request were built, or could not be. */
  onPagesRead(tookMs: number): void;
  onRefused(code: RefusalCode): void;
}

export const nodeRuntimeLimits = {
  /** How often the node looks around: waiting fetches, repair, the durable hint, folding. */
  tickMs: 50,
  /** The same while it lacks nothing and has nothing to fold. A fetch without news is answered so much late. */
  restingTickMs: 250,
  /** The same while nobody waits for an answer, either, and there is nothing but `main` to look after. */
  idleTickMs: 500,
  /** Wait before the state file is written again after the disk was full. */
  stateRetryMs: 500,
  /** Page reads under way; more are refused. */
  pageReadsMax: 64,
} as const;

export class NodeRuntime {
  readonly counters = {
    requests: 0,
    acked: 0,
    refused: 0,
    repairedBytes: 0,
    droppedFiles: 0,
    needsImages: 0,
    /** Of images, from peers or pushed by another region. */
    refilledBytes: 0,
    refills: 0,
  };
  private watcher: NodeWatcher | null = null;
  /** See `RepairSession`. */
  readonly repairs = new RepairSession();
  private readonly options: NodeRuntimeOptions;
  private readonly node: StorageNode;
  private readonly answers = new Map<Caller, Answer>();
  private nextCaller: Caller = 1;
  private pageReads = 0;
  private readonly refill: ImageRefill;
  private readonly ticks: PacedTimer;
  private toldImages: object;
  private resting = false;
  private dropping = false;
  private closed = false;

  constructor(options: NodeRuntimeOptions) {
    this.options = options;
    this.node = options.node;
    const { pages, repair, onTrouble } = options;
    this.toldImages = pages.images.chain;
    this.refill = new ImageRefill({
      tree: options.node.tree,
      images: pages.images,
      pages,
      repair,
      step: (event) => this.step(event),
      onBytes: (bytes) => {
        this.counters.refilledBytes += bytes;
        this.repairs.brought(bytes);
      },
      onTrouble,
      onFilled: (bytes) => {
        this.counters.refills += 1;
        options.onFilled(bytes);
      },
    });
    this.ticks = new PacedTimer(options.runtime, nodeRuntimeLimits.tickMs, () => this.tick());
    const members = options.node.state.members?.current ?? null;
    if (members !== null) repair.useMembers?.(members);
    repair.onMembers = (membership) => this.step({ kind: 'membersHeard', membership });
  }

  get sealed(): Epoch {
    return this.node.sealed;
  }

  /** Tells one watcher what happens from now on. */
  watch(watcher: NodeWatcher): void {
    this.watcher = watcher;
  }

  /**
   * Takes a request from somebody who believes in the membership epoch `members`. `answer` runs at most once; null for a one-way message.
   * @returns a name by which the owner says that nobody waits for the answer any more.
   */
  request(request: StorageRequest, answer: Answer | null, members = 0): Caller | null {
    if (this.closed) return null;
    this.counters.requests += 1;
    if (request.kind === 'status') {
      answer?.(this.options.status(request));
      return null;
    }
    const caller = answer === null ? null : this.nextCaller++;
    if (caller !== null && answer !== null) this.answers.set(caller, answer);
    if (request.kind === 'fetchImages') {
      if (caller !== null) void this.answerImages(caller, request);
      return caller;
    }
    if (request.kind === 'locate') {
      if (caller !== null) void this.answerLocate(caller, request);
      return caller;
    }
    if (request.kind !== 'retain') this.step({ kind: 'request', caller, request, members });
    else this.retain(caller, request, members);
    if (caller === null) return null;
    return this.answers.has(caller) ? caller : null;
  }

  private retain(caller: Caller | null, request: RetainRequest, members: number): void {
    const { kept } = this.options;
    this.step({ kind: 'retain', caller, request, holdings: holdingsOf(kept), members });
    // Before another turn begins: a merge may be about to take that boundary away.
    kept.keepImages(this.node.segment.floor.lsn);
  }

  callerGone(caller: Caller): void {
    if (!this.answers.delete(caller) || this.closed) return;
    this.step({ kind: 'callerGone', caller });
  }

  /** Frames that are not what was written: they are claimed no longer (S15). */
  unclaim(frames: readonly HeldFrame[]): void {
    this.step({ kind: 'rotten', frames });
  }

  /** Stops, saves what shortens the next recovery and waits for the disk. */
  async close(): Promise<void> {
    if (this.closed) return;
    this.closed = true;
    this.ticks.stop();
    this.answers.clear();
    this.options.repair.close();
    this.options.sealer.close();
    this.options.scrubber.close();
    await this.options.stateFile.save({ ...this.options.identity, state: this.node.state });
    await this.refill.close();
    await this.options.pages.close();
    await this.options.log.close();
  }

  private step(event: NodeEvent): void {
    if (this.closed) return;
    this.tellImages();
    const effects = this.node.step(event, this.options.runtime.nowMs());
    for (const effect of effects) this.carryOut(effect);
    // Frames that were persisted make nothing to do before a writer says that more is durable, or that nobody reads below.
    if (!this.resting) return;
    if (event.kind !== 'persisted' && !this.hasRest) this.rest(false);
    else this.ticks.pace(this.restingMs);
  }

  /** S26: before anything is decided the node knows which images it has. */
  private tellImages(): void {
    const { images } = this.options.pages;
    const { chain, base, point } = images;
    if (chain === this.toldImages) return;
    this.toldImages = chain;
    this.step({ kind: 'imagesChanged', base, point });
  }

  private tick(): void {
    this.step({ kind: 'tick' });
    const { node, options, foldLimit } = this;
    const end = node.segment.volumeEnd(node.durable.head);
    if (end >= node.durable.vdl) this.repairs.level(end, options.runtime.wallUs());
    node.segment.join(foldLimit.head, foldLimit.lowWater);
    this.followBranches();
    options.kept.keepImages(node.segment.floor.lsn);
    options.sealer.tick(foldLimit.head, foldLimit.lowWater);
    if (this.hasRest) this.rest(true);
    // S20: images that the saved floor counts on go back to a fork only once another one is saved.
    else if (!node.keeping.isSaving) void options.pages.fold(foldLimit);
  }

  private followBranches(): void {
    const { branches, segment, tree } = this.node;
    const others = branches.live.filter((branch) => branch !== branches.main);
    for (const { durable, lowWater } of others) segment.join(durable.head, minLsn(lowWater, durable.vdl));
    const heads = others.map(({ name }) => tree.headOf(name));
    // One that is sealed here and not known has no path yet.
    this.options.pages.follow(heads.filter((head) => head !== genesisEpoch));
  }

  private get foldLimit(): FoldLimit {
    const { head, vdl } = this.node.durable;
    return { head, lowWater: minLsn(this.node.lowWater, vdl) };
  }

  private get hasRest(): boolean {
    const { durable, segment } = this.node;
    return segment.volumeEnd(durable.head) >= durable.vdl && this.options.pages.isDone(this.foldLimit);
  }

  /** Whoever waits for news, branches, and what peers have yet to tell are looked after by ticks alone. */
  private get restingMs(): number {
    const { care, branches } = this.node;
    const isIdle = this.answers.size === 0 && care.isWhole && branches.live.length <= 1;
    return isIdle ? nodeRuntimeLimits.idleTickMs : nodeRuntimeLimits.restingTickMs;
  }

  /** Only a tick lets the node rest, so that one busy by fits and starts does not put its ticks off for ever. */
  private rest(resting: boolean): void {
    if (resting === this.resting || this.closed) return;
    this.resting = resting;
    this.ticks.pace(resting ? this.restingMs : nodeRuntimeLimits.tickMs);
  }

  private carryOut(effect: NodeEffect): void {
    switch (effect.kind) {
      case 'persistFrames':
        this.append(effect.ticket, effect.frames);
        return;
      case 'persistState':
        void this.saveState(effect.ticket);
        return;
      case 'reply':
        this.answer(effect.caller, effect.reply);
        return;
      case 'replyFrames':
        void this.answerFrames(effect.caller, effect.answer);
        return;
      case 'replyPages':
        void this.answerPages(effect);
        return;
      case 'held':
        this.options.pages.held(effect.frames, effect.bytes);
        return;
      case 'forked':
        // Of `main` the next fold sees whether the images lie on the path that is written.
        this.options.pages.branches.forked(effect.fork);
        return;
      case 'dropLog':
        void this.dropLog(effect.through);
        return;
      case 'unclaimed':
        this.options.rot.unclaimed(effect.entries);
        // What is indexed lies elsewhere once it is held again.
        if (effect.entries.length > 0) this.options.pages.branches.reset();
        return;
      case 'healed':
        this.options.rot.healed(effect.entries);
        return;
      case 'members':
        this.options.repair.useMembers?.(effect.membership);
        return;
      case 'fetchImages':
      case 'storeImages':
      case 'dropFill':
      case 'adoptImages':
        this.refill.carryOut(effect);
        return;
      case 'askPeers':
        this.askPeers();
        return;
      case 'repair':
        void this.repair(effect);
        return;
      default:
        unreachable(effect);
    }
  }

  private answer(caller: Caller, reply: StorageReply): void {
    const answer = this.answers.get(caller);
    if (answer === undefined) return;
    this.answers.delete(caller);
    if (reply.kind === 'acked') this.counters.acked += 1;
    if (reply.kind === 'refused') {
      this.counters.refused += 1;
      this.watcher?.onRefused(reply.code);
    }
    answer(reply);
  }

  private refuse(caller: Caller, code: RefusalCode, reason: string): void {
    this.answer(caller, { kind: 'refused', code, reason, sealed: this.node.sealed });
  }

  private append(ticket: number, frames: readonly ReceivedFrame[]): void {
    this.options.log.append(
      frames.map((frame) => frame.bytes),
      (result) => this.appended(ticket, result),
    );
  }

  private appended(ticket: number, result: AppendResult): void {
    if (result.kind === 'persisted') {
      this.options.health.worked('log');
      this.step({ kind: 'persisted', ticket, positions: result.positions });
      return;
    }
    if (result.reason === 'disk-full') this.options.health.failed('log', result.message);
    const code = {
      'disk-full': 'DISK_FULL',
      'queue-full': 'OVERLOADED',
      'io-error': 'DISK_FAILED',
      closed: 'DISK_FAILED',
    } as const;
    this.step({ kind: 'persistFailed', ticket, code: code[result.reason], reason: result.message });
  }

  private async saveState(ticket: number): Promise<void> {
    const { stateFile, identity, onFatal, health, runtime } = this.options;
    for (;;) {
      // The newest state holds every promise made before it, so it may be saved in place of the one asked for.
      const saved = await stateFile.save({ ...identity, state: this.node.state });
      if (saved.kind === 'saved') break;
      if (saved.reason === 'io-error') {
        onFatal(`the state file cannot be written: ${saved.message}`);
        return;
      }
      health.failed('state file', saved.message);
      await pause(runtime, nodeRuntimeLimits.stateRetryMs);
      if (this.closed) return;
    }
    health.worked('state file');
    this.step({ kind: 'statePersisted', ticket });
  }

  private async answerFrames(caller: Caller, { head, vdl, next, forks, frames }: FetchAnswer): Promise<void> {
    const read = await this.options.frames.read(frames);
    const good = read.kind === 'ok' ? read.frames : read.good;
    const bad = frames[good.length];
    if (read.kind === 'bad' && good.length === 0) {
      this.refuse(caller, 'DISK_FAILED', read.reason);
      return;
    }
    this.answer(caller, {
      kind: 'fetched',
      head,
      vdl,
      next: bad === undefined ? next : bad.base,
      forks,
      frames: join(good),
    });
  }

  private async answerPages({
    caller,
    head,
    readPoint,
    pages,
  }: Extract<NodeEffect, { kind: 'replyPages' }>): Promise<void> {
    if (this.pageReads >= nodeRuntimeLimits.pageReadsMax) {
      this.refuse(caller, 'OVERLOADED', `${nodeRuntimeLimits.pageReadsMax} page reads are under way here`);
      return;
    }
    this.pageReads += 1;
    const startMs = this.options.runtime.nowMs();
    const read = await this.options.pages.read(head, readPoint, pages);
    this.pageReads -= 1;
    this.watcher?.onPagesRead(this.options.runtime.nowMs() - startMs);
    if (read.kind === 'pages') this.answer(caller, read);
    else this.refuse(caller, read.code, read.reason);
  }

  private async answerImages(caller: Caller, request: FetchImagesRequest): Promise<void> {
    if (this.pageReads >= nodeRuntimeLimits.pageReadsMax) {
      this.refuse(caller, 'OVERLOADED', `${nodeRuntimeLimits.pageReadsMax} page reads are under way here`);
      return;
    }
    this.pageReads += 1;
    const reply = await readImages(this.options.pages.images, this.node.tree, request);
    this.pageReads -= 1;
    this.answer(caller, reply);
  }

  private async answerLocate(caller: Caller, request: LocateRequest): Promise<void> {
    const { node, frames } = this.options;
    this.answer(caller, await locateCommit({ tree: node.tree, segment: node.segment, frames }, request));
  }

  /** One drop at a time; what an unsuccessful one left is offered again. */
  private async dropLog(through: number): Promise<void> {
    if (this.dropping) return;
    this.dropping = true;
    const { files } = this.options.kept;
    const dropped = await files.dropThrough(through);
    this.dropping = false;
    if (dropped.kind === 'dropped') this.counters.droppedFiles += dropped.files;
    else this.options.onTrouble('log files could not be dropped; tries again', dropped.message);
  }

  private askPeers(): void {
    const { repair } = this.options;
    repair.askBranches?.((node, told, peers) => {
      this.step({ kind: 'peerTold', node, told, peers });
      const { care, branches, refilling, needsImages } = this.node;
      const isSettled = care.known.isWhole && branches.all.length === 1 && !care.isAsking;
      // In a region without branches nobody is asked again.
      if (isSettled && refilling === null && needsImages === null) repair.rest?.();
    });
  }

  private async repair({ head, from, durable }: Extract<NodeEffect, { kind: 'repair' }>): Promise<void> {
    this.repairs.asked(from, this.options.runtime.wallUs());
    const fetched = await this.options.repair.fetch(head, from, durable);
    if (fetched === null || fetched.kind === 'below') {
      if (fetched !== null) this.counters.needsImages += 1;
      this.step({ kind: 'repairFailed', ...(fetched !== null && { floor: fetched.floor }) });
      return;
    }
    this.counters.repairedBytes += fetched.frames.length;
    this.repairs.brought(fetched.frames.length);
    this.step({ kind: 'repaired', frames: fetched.frames, forks: fetched.forks });
  }
}

function join(parts: readonly Uint8Array[]): Uint8Array {
  const only = parts[0];
  return only !== undefined && parts.length === 1 ? only : Buffer.concat(parts);
}
