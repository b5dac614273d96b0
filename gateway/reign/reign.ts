/**
 * One reign of this gateway as the writer: redo from the engine to the quorum, and the gate that answers wait at until the
 * volume is durable at what they saw, here and, under an RPO, in another region. A reign ends once and for all; the next one is another object.
 */
import assert from 'node:assert/strict';
import { CommitMarks } from '../../regions/core.ts';
import {
  type AppendEnd,
  type AppendFacts,
  type DriverPlace,
  type Epoch,
  type Fork,
  type Lsn,
  machine,
  maxLsn,
  type NodeId,
  type NodeLinks,
  type Runtime,
  volumeLimits,
  WriterDriver,
} from '../../storage/index.ts';
import type { EngineCommitEvent } from '../engine/commit-events.ts';
import { Elsewhere, type Proof } from './core/elsewhere.ts';
import { ResponseGate } from './core/gate.ts';
import { WriterProof } from './writer-proof.ts';

/** What a reign asks of the writer role that began it, and tells it. Made once for each reign. */
export interface ReignPort {
  /** Whether the lease is valid at this moment (R24). */
  mayAcknowledge(): boolean;
  /** An answer could leave and the lease is not valid: the role has to look. */
  lapsed(): void;
  /** A newer reign has sealed the nodes. */
  fenced(by: Epoch): void;
  quorumLost(reason: string): void;
  /** The thread that writes is stuck or has died. */
  engineLost(reason: string): void;
}

/** Where a reign begins: where its recovery ended. */
export interface ReignStart {
  readonly epoch: Epoch;
  readonly forks: readonly Fork[];
  readonly vdl: Lsn;
  /** How much of that is durable in another region, too, for certain. */
  readonly proven: Lsn;
  /** How long a commit may be durable here alone (`Policy`), in milliseconds; null for as long as it takes. */
  readonly rpoMs: number | null;
  readonly port: ReignPort;
}

/** The engines under a reign: one makes its redo, the others follow it. */
export interface ReignEngines {
  /** Whether more commits are about to come. */
  isMoreComing(): boolean;
  /** Redo has left for the nodes, in LSN order. */
  framed(bytes: Uint8Array, end: Lsn): void;
  /** Before the commit is on its way. */
  committed(commit: EngineCommitEvent, epoch: Epoch): void;
  /** @param free as for `freed`, which follows when it has moved. */
  durable(vdl: Lsn, facts: readonly AppendFacts[], free: Lsn): void;
  /** Answers that saw redo up to here may leave: it is durable, and as far elsewhere as the policy asks for. */
  freed(free: Lsn): void;
  /** What became of redo that was sent to one node, and after how long. */
  appended(node: NodeId, how: AppendEnd, tookMs: number): void;
}

export interface ReignOptions {
  readonly region: NodeLinks;
  readonly start: ReignStart;
  readonly engines: ReignEngines;
  readonly recordFacts: boolean;
  readonly place?: DriverPlace;
}

/**
 * How an answer's wait ends: it may leave; its reign is over, or its lease was suspended for too long; or it waited too long
 * for other regions and is given up.
 */
export type Release = 'free' | 'over' | 'held';

/** Called once. */
type Waiter = (release: Release) => void;

interface Waiting {
  readonly done: Waiter;
  readonly sinceMs: number;
  /** Since when it waits for nothing but other regions, as it was seen; null while it does not. */
  regionsSinceMs: number | null;
}

/** Redo that is durable here and not within the RPO: answers that saw it wait for nothing but other regions. */
export interface Hold {
  readonly rpoMs: number;
  /** How many wait now; those that waited too long were given up. */
  readonly answers: number;
  /** How long the oldest of it has been durable here, in milliseconds. */
  readonly forMs: number;
}

const marksMax = 4_096;

export class Reign {
  readonly epoch: Epoch;
  readonly forks: readonly Fork[];
  readonly forkLsn: Lsn;
  private readonly port: ReignPort;
  private readonly region: NodeLinks;
  private readonly engines: ReignEngines;
  private readonly runtime: Runtime;
  private readonly driver: WriterDriver;
  private readonly gate: ResponseGate<Waiting>;
  private readonly proof: WriterProof;
  private readonly elsewhere: Elsewhere;
  /** When redo that is not free yet became durable here. */
  private readonly durableMarks = new CommitMarks(marksMax);
  private readonly roomWaiters: (() => void)[] = [];
  private over = false;
  private taken: Lsn;

  constructor({ region, start, engines, recordFacts, place = {} }: ReignOptions) {
    this.runtime = place.runtime ?? machine;
    const { epoch, forks, vdl: forkLsn, proven, rpoMs, port } = start;
    this.port = port;
    this.region = region;
    this.engines = engines;
    this.epoch = epoch;
    this.forks = forks;
    this.forkLsn = forkLsn;
    this.elsewhere = new Elsewhere(epoch, proven);
    this.elsewhere.demand(rpoMs, forkLsn);
    this.gate = new ResponseGate(forkLsn, rpoMs === null ? forkLsn : proven);
    this.gate.permit(this.elsewhere.limit(this.runtime.nowMs()));
    this.taken = forkLsn;
    this.proof = new WriterProof({
      region,
      epoch,
      vdl: () => this.vdl,
      runtime: this.runtime,
      onFenced: (by) => port.fenced(by),
    });
    if (this.gate.free < forkLsn) this.noteHeld(forkLsn);
    this.driver = new WriterDriver({
      region,
      epoch,
      forks,
      forkLsn,
      onDurable: (vdl, facts) => this.durable(vdl, facts),
      onFenced: (by) => port.fenced(by),
      onQuorumLost: (reason) => port.quorumLost(reason),
      onFramed: (bytes, end) => engines.framed(bytes, end),
      onAppended: (node, how, tookMs) => engines.appended(node, how, tookMs),
      recordFacts,
      isMoreComing: () => engines.isMoreComing(),
      place,
    });
  }

  get isOver(): boolean {
    return this.over;
  }

  get vdl(): Lsn {
    return this.gate.durable;
  }

  /** Answers that saw no more may leave while the lease is valid. */
  get free(): Lsn {
    return this.gate.free;
  }

  /** Where reads are made: at what is free, and never below what the reign began with, since there is nothing else to read. */
  get readPoint(): Lsn {
    return maxLsn(this.free, this.forkLsn);
  }

  /** What the policy in force asks for, in milliseconds; null for nothing. */
  get rpoMs(): number | null {
    return this.elsewhere.rpoMs;
  }

  /** End of everything committed. */
  get lastLsn(): Lsn {
    return this.driver.lastLsn;
  }

  /** Four nodes hold everything up to here, within a transaction too. */
  get vcl(): Lsn {
    return this.driver.vcl;
  }

  /** Commits above have never left this process: they certainly do not exist. */
  get takenTo(): Lsn {
    return this.taken;
  }

  get outstandingBytes(): number {
    return this.driver.outstandingBytes;
  }

  get upNodes(): number {
    return this.driver.upNodes;
  }

  get nodes(): readonly NodeId[] {
    return this.region.nodes;
  }

  /** Redo made and not acknowledged by a node, in bytes; null while it has not said where it is. */
  backlogOf(node: NodeId): number | null {
    return this.driver.backlogOf(node);
  }

  /** Redo that waits for other regions takes room as that which waits for storage nodes does. */
  get hasRoom(): boolean {
    return this.driver.hasRoom && this.lastLsn - this.readPoint < volumeLimits.outstandingBytesMax;
  }

  /** Answers that wait for durability. */
  get waiting(): number {
    return this.gate.size;
  }

  /** Everything committed is durable and every answer has left. */
  get isSettled(): boolean {
    return this.vdl === this.lastLsn && this.gate.size === 0;
  }

  /** Takes what the engine committed. After the end it goes nowhere: its answer will say that it is unknown. */
  commit(commit: EngineCommitEvent): void {
    if (this.over) return;
    this.engines.committed(commit, this.epoch);
    const at = this.driver.commit(commit.mtr);
    this.taken = at;
    this.elsewhere.committed(at, this.runtime.nowMs());
    assert.equal(at, commit.lsn, 'G24: the engine and the volume count the same LSNs');
  }

  /** The engine has answered everything it was asked. */
  gathered(): void {
    if (!this.over) this.driver.gathered();
  }

  /** Whether everything up to `seen` may be told under this reign, whoever may acknowledge now. */
  covers(seen: Lsn): boolean {
    return this.gate.covers(seen);
  }

  /** Calls back once four nodes have said that they still take this reign's word, or the reign is over (G37). */
  prove(done: () => void): void {
    this.proof.prove(done);
  }

  /** Calls back, at once or later, when an answer that saw `seen` may leave, or why it never will. */
  settle(seen: Lsn, done: Waiter): void {
    if (this.over) done('over');
    else if (this.gate.covers(seen) && this.port.mayAcknowledge()) done('free');
    else {
      this.gate.hold(seen, { done, sinceMs: this.runtime.nowMs(), regionsSinceMs: null });
      if (this.gate.covers(seen)) this.port.lapsed();
    }
  }

  /** Resolves when redo may be added, or after `waitMs`. @returns whether it may. */
  room(waitMs: number): Promise<boolean> {
    if (this.hasRoom || this.over) return Promise.resolve(this.hasRoom);
    return new Promise((resolve) => {
      const done = (): void => {
        timer.stop();
        resolve(this.hasRoom);
      };
      const timer = this.runtime.after(waitMs, done);
      this.roomWaiters.push(done);
    });
  }

  /** Lets out what is free; called when the lease was renewed, too. */
  release(): void {
    for (const { done } of this.gate.release(this.port.mayAcknowledge())) done('free');
  }

  /** Puts a policy in force, from this moment on. */
  demand(rpoMs: number | null): void {
    if (this.over || rpoMs === this.rpoMs) return;
    this.elsewhere.demand(rpoMs, this.lastLsn);
    this.look();
  }

  /** A region has acknowledged what was shipped to it. */
  acknowledged(proof: Proof): void {
    if (this.over) return;
    this.elsewhere.acknowledged(proof);
    this.look();
  }

  /** What each secondary has acknowledged in this reign, for people. */
  get heardElsewhere(): Readonly<Record<string, Lsn>> {
    return Object.fromEntries(this.elsewhere.heard);
  }

  /**
   * Gives up the answers that have waited for other regions, or for a suspended lease, for so long. Called many times a second.
   * What a large commit took before, to become durable here, counts for neither.
   * @param suspendedMs how long the lease has been suspended; null while it is not.
   */
  giveUp(afterMs: number, suspendedMs: number | null): void {
    if (this.over || this.gate.size === 0 || (this.rpoMs === null && suspendedMs === null)) return;
    const nowMs = this.runtime.nowMs();
    // Whether what they saw outlives this region is unknown.
    const held = this.gate.giveUp((waiting, waitsFor) => {
      if (waitsFor !== 'regions') return false;
      waiting.regionsSinceMs ??= nowMs;
      return nowMs - waiting.regionsSinceMs >= afterMs;
    });
    for (const { done } of held) done('held');
    if (suspendedMs === null || suspendedMs < afterMs) return;
    for (const { done } of this.gate.giveUp(({ sinceMs }) => nowMs - sinceMs >= afterMs)) done('over');
  }

  /** What is durable here and not within the RPO; null while nothing is. */
  get hold(): Hold | null {
    const { rpoMs } = this;
    if (this.over || rpoMs === null || this.gate.free >= this.vdl) return null;
    const nowMs = this.runtime.nowMs();
    const sinceUs = this.durableMarks.oldest?.commitTimeUs ?? nowMs * 1_000;
    return { rpoMs, answers: this.gate.heldBack, forMs: Math.max(0, nowMs - sinceUs / 1_000) };
  }

  /** Stops at once: nothing is acknowledged any more. */
  close(): void {
    if (this.over) return;
    this.over = true;
    this.driver.close();
    this.proof.close();
    for (const { done } of this.gate.close()) done('over');
    for (const waiter of this.roomWaiters.splice(0)) waiter();
  }

  private durable(vdl: Lsn, facts: readonly AppendFacts[]): void {
    if (this.over) return;
    this.gate.advance(vdl);
    const before = this.gate.free;
    this.gate.permit(this.elsewhere.limit(this.runtime.nowMs()));
    this.engines.durable(vdl, facts, this.gate.free);
    this.letOut(before);
    if (this.gate.free < vdl) this.noteHeld(vdl);
    if (this.gate.size > 0 && !this.port.mayAcknowledge()) this.port.lapsed();
  }

  private noteHeld(vdl: Lsn): void {
    this.durableMarks.add([{ lsn: vdl, commitTimeUs: this.runtime.nowMs() * 1_000, commits: 1 }]);
  }

  private look(): void {
    const before = this.gate.free;
    this.gate.permit(this.elsewhere.limit(this.runtime.nowMs()));
    this.letOut(before);
  }

  /** @param before what was free before. */
  private letOut(before: Lsn): void {
    const { free } = this.gate;
    if (free > before) {
      this.durableMarks.settle(free);
      this.engines.freed(free);
    }
    this.release();
    if (this.hasRoom) for (const waiter of this.roomWaiters.splice(0)) waiter();
  }
}
