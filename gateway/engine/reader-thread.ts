/**
 * One reading thread: an engine, the redo that waits to be given to it, and how it is getting on. Redo is handed over when a
 * statement needs it or when enough has gathered: a thread nobody uses costs nothing, and begins anew when it is used again.
 */
import { type Lsn, maxLsn, zeroLsn } from '../../storage/redo.ts';
import { EngineLife } from './core/engine-life.ts';
import { BusyShare } from './core/pool-growth.ts';
import type { ReaderView } from './core/reader-choice.ts';
import type { Engine } from './engine.ts';
import type { EngineSession } from './engine-stream.ts';

/** Redo at which a thread in use is given it without being asked. */
const handOverBytes = 256 * 1024;
/** A thread that has not been used for this long is idle. */
const idleAfterMs = 2_000;
/** Redo an idle thread is not worth: it begins anew instead. */
const idleBacklogBytes = 4 * 1024 * 1024;
/** One slow statement says little about the next ones. */
const tookUsMax = 15_000;
/** Sessions kept for single statements. */
const idleSessionsMax = 64;

/** What all threads of a pool read up to, and redo beyond it. */
export interface ReaderFeed {
  readonly vdl: () => Lsn;
  /** Redo that is on its way to being durable, in LSN order; null when it is too much to be kept. */
  readonly undurable: () => readonly Uint8Array[] | null;
}

export class ReaderThread implements ReaderView {
  readonly id: number;
  readonly engine: Engine;
  /** Read transactions that live here. */
  pinned = 0;
  private readonly idleSessions: EngineSession[] = [];
  private backlog: Uint8Array[] = [];
  private backlogBytes = 0;
  private told: Lsn = zeroLsn;
  private opened = false;
  private readonly aheadBytesMax: number;
  /** Redo given or kept since the VDL was `aheadOf`. */
  private aheadBytes = 0;
  private aheadOf: Lsn = zeroLsn;
  /** Redo behind what it was told has been left out: it can go no further, and begins anew when that is needed. */
  private gapped = false;
  private foldedTo: Lsn = zeroLsn;
  private usedAtMs: number;
  private running: {
    readonly operation: number;
    readonly sinceMs: number;
    /** What the engine had waited for pages before. */
    readonly fetchedMs: number;
  } | null = null;
  /** How long the statement that runs had run when it was last looked at; 0 when none did. */
  runningMs = 0;
  /** How much of that it waited for pages. */
  fetchingMs = 0;
  private readonly busy = new BusyShare();
  /** What a statement takes on this thread, going by the last dozen. */
  private meanUs = 0;
  private readonly life = new EngineLife();

  /**
   * @param aheadBytesMax redo that is kept for a thread whose statement takes long, and that a thread holds of a transaction which
   * is not durable; beyond it the thread begins anew afterwards.
   */
  constructor(id: number, engine: Engine, nowMs: number, aheadBytesMax: number) {
    this.id = id;
    this.engine = engine;
    this.usedAtMs = nowMs;
    this.aheadBytesMax = aheadBytesMax;
  }

  get queuedUs(): number {
    return this.engine.pendingOperations * this.meanUs;
  }

  /** A statement took so long. */
  took(us: number, nowMs: number): void {
    this.usedAtMs = nowMs;
    this.busy.add(us);
    this.meanUs += (Math.min(us, tookUsMax) - this.meanUs) / 12;
  }

  get busyShare(): number {
    return this.busy.share;
  }

  /** How long the thread has given no sign of life although it has something to do, and did not wait for a CPU. */
  get stuckMs(): number {
    return this.life.stuckMs;
  }

  /** How long it has had nothing to do; 0 while it has, or while a transaction lives here. */
  idleMs(nowMs: number): number {
    return this.pinned > 0 || this.engine.pendingOperations > 0 ? 0 : nowMs - this.usedAtMs;
  }

  /** How far the engine has folded what it was given; null when it owes nothing. */
  get folded(): Lsn | null {
    return this.opened && this.foldedTo < this.told ? this.foldedTo : null;
  }

  /** Looks at what the thread does. */
  look(nowMs: number): void {
    const operation = this.engine.running;
    const { fetchedMs } = this.engine;
    if (operation === 0) this.running = null;
    else if (this.running?.operation !== operation) this.running = { operation, sinceMs: nowMs, fetchedMs };
    this.runningMs = this.running === null ? 0 : nowMs - this.running.sinceMs;
    this.fetchingMs = this.running === null ? 0 : fetchedMs - this.running.fetchedMs;
    this.busy.look(nowMs);
    this.engine.lookAt(this.life, nowMs);
  }

  /** A session for one statement; given back with `giveBack` unless a transaction keeps it. */
  session(nowMs: number): EngineSession {
    this.usedAtMs = nowMs;
    if (this.engine.pendingOperations === 0) this.life.rested(nowMs);
    return this.idleSessions.pop() ?? this.engine.openSession();
  }

  giveBack(session: EngineSession): void {
    if (this.idleSessions.length < idleSessionsMax) this.idleSessions.push(session);
    else session.close();
  }

  /** Redo the thread has not seen; kept until it is worth handing over. */
  offer(frames: Uint8Array, feed: ReaderFeed, nowMs: number): void {
    if (!this.opened || this.gapped || frames.length === 0) return;
    const vdl = feed.vdl();
    if (vdl !== this.aheadOf) this.aheadBytes = 0;
    this.aheadOf = vdl;
    this.aheadBytes += frames.length;
    this.backlog.push(frames);
    this.backlogBytes += frames.length;
    const idle = this.idleMs(nowMs) > idleAfterMs;
    const keepsTooMuch = this.backlogBytes > (idle ? idleBacklogBytes : this.aheadBytesMax);
    if (keepsTooMuch || this.aheadBytes > this.aheadBytesMax) this.leaveOut();
    else if (!idle && this.backlogBytes >= handOverBytes && this.engine.running === 0) this.bring(feed);
  }

  /** G63: what it shows stays right until more is durable, and so do its pages. */
  private leaveOut(): void {
    this.gapped = true;
    this.backlog = [];
    this.backlogBytes = 0;
  }

  /** Brings the engine up to the feed's VDL: what is sent to it from now on sees that. */
  bring(feed: ReaderFeed): void {
    const vdl = feed.vdl();
    if (!this.opened || (this.gapped && vdl > this.told)) {
      this.begin(vdl, feed.undurable());
      return;
    }
    if (this.backlog.length === 0 && this.told >= vdl) return;
    const only = this.backlog.length === 1 ? this.backlog[0] : undefined;
    this.engine.apply(only ?? Buffer.concat(this.backlog), vdl);
    this.backlog = [];
    this.backlogBytes = 0;
    this.told = maxLsn(this.told, vdl);
  }

  /** Begins anew at a durable point. @param ahead redo beyond it; null when that is not all there. */
  private begin(vdl: Lsn, ahead: readonly Uint8Array[] | null): void {
    this.opened = true;
    this.gapped = ahead === null;
    this.backlog = [...(ahead ?? [])];
    this.backlogBytes = this.backlog.reduce((sum, frames) => sum + frames.length, 0);
    this.aheadBytes = this.backlogBytes;
    this.aheadOf = vdl;
    this.foldedTo = vdl;
    this.told = vdl;
    void this.engine.open({ kind: 'reader', readPoint: vdl }).catch(() => undefined);
  }

  /** Its pages are of no use any more: it begins anew when it is used again. */
  forget(): void {
    this.opened = false;
    this.backlog = [];
    this.backlogBytes = 0;
  }

  noteFolded(readPoint: Lsn): void {
    this.foldedTo = maxLsn(this.foldedTo, readPoint);
  }
}
