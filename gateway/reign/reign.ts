/**
 * One reign of this gateway as the writer: redo from the engine to the quorum, and the gate that answers wait at until the
 * volume is durable at what they saw. A reign ends once and for all; the next one is another object.
 */
import assert from 'node:assert/strict';
import {
  type AppendFacts,
  type DriverPlace,
  type Epoch,
  type Fork,
  type Lsn,
  machine,
  type NodeLinks,
  type Runtime,
  WriterDriver,
} from '../../storage/index.ts';
import type { EngineCommitEvent } from '../engine/engine.ts';
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
  durable(vdl: Lsn, facts: readonly AppendFacts[]): void;
}

export interface ReignOptions {
  readonly region: NodeLinks;
  readonly start: ReignStart;
  readonly engines: ReignEngines;
  readonly recordFacts: boolean;
  readonly place?: DriverPlace;
}

/** Called once: true when the answer may leave, false when its reign is over or the lease was suspended for too long. */
type Waiter = (released: boolean) => void;

export class Reign {
  readonly epoch: Epoch;
  readonly forks: readonly Fork[];
  readonly forkLsn: Lsn;
  private readonly port: ReignPort;
  private readonly engines: ReignEngines;
  private readonly runtime: Runtime;
  private readonly driver: WriterDriver;
  private readonly gate: ResponseGate<Waiter>;
  private readonly proof: WriterProof;
  private readonly roomWaiters: (() => void)[] = [];
  private over = false;
  private taken: Lsn;

  constructor({ region, start, engines, recordFacts, place = {} }: ReignOptions) {
    this.runtime = place.runtime ?? machine;
    const { epoch, forks, vdl: forkLsn, port } = start;
    this.port = port;
    this.engines = engines;
    this.epoch = epoch;
    this.forks = forks;
    this.forkLsn = forkLsn;
    this.gate = new ResponseGate(forkLsn);
    this.taken = forkLsn;
    this.proof = new WriterProof({
      region,
      epoch,
      vdl: () => this.vdl,
      runtime: this.runtime,
      onFenced: (by) => port.fenced(by),
    });
    this.driver = new WriterDriver({
      region,
      epoch,
      forks,
      forkLsn,
      onDurable: (vdl, facts) => this.durable(vdl, facts),
      onFenced: (by) => port.fenced(by),
      onQuorumLost: (reason) => port.quorumLost(reason),
      onFramed: (bytes, end) => engines.framed(bytes, end),
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

  /** End of everything committed. */
  get lastLsn(): Lsn {
    return this.driver.lastLsn;
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

  get hasRoom(): boolean {
    return this.driver.hasRoom;
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
    assert.equal(at, commit.lsn, 'G24: the engine and the volume count the same LSNs');
  }

  /** The engine has answered everything it was asked. */
  gathered(): void {
    if (!this.over) this.driver.gathered();
  }

  /** Whether everything up to `seen` is durable under this reign, whoever may acknowledge now. */
  covers(seen: Lsn): boolean {
    return this.gate.covers(seen);
  }

  /** Calls back once four nodes have said that they still take this reign's word, or the reign is over (G37). */
  prove(done: () => void): void {
    this.proof.prove(done);
  }

  /** Calls back, at once or later, with true when an answer that saw `seen` may leave, with false when it was given up. */
  settle(seen: Lsn, done: Waiter): void {
    if (this.over) done(false);
    else if (this.gate.covers(seen) && this.port.mayAcknowledge()) done(true);
    else {
      this.gate.hold(seen, done, this.runtime.nowMs());
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

  /** Lets out what is durable; called when the lease was renewed, too. */
  release(): void {
    for (const waiter of this.gate.release(this.port.mayAcknowledge())) waiter(true);
  }

  /** Gives up the answers that have waited for `waitMs`. Called while the lease is suspended. */
  giveUp(waitMs: number): void {
    for (const waiter of this.gate.giveUp(this.runtime.nowMs() - waitMs)) waiter(false);
  }

  /** Stops at once: nothing is acknowledged any more. */
  close(): void {
    if (this.over) return;
    this.over = true;
    this.driver.close();
    this.proof.close();
    for (const waiter of this.gate.close()) waiter(false);
    for (const waiter of this.roomWaiters.splice(0)) waiter();
  }

  private durable(vdl: Lsn, facts: readonly AppendFacts[]): void {
    if (this.over) return;
    this.gate.advance(vdl);
    this.engines.durable(vdl, facts);
    this.release();
    if (this.gate.size > 0 && !this.port.mayAcknowledge()) this.port.lapsed();
    if (this.hasRoom) for (const waiter of this.roomWaiters.splice(0)) waiter();
  }
}
