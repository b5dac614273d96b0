/**
 * One reign of this gateway as the writer: redo from the engine to the quorum, and the gate that answers wait at until the
 * volume is durable at what they saw. A reign ends once and for all; the next one is another object.
 */
import assert from 'node:assert/strict';
import {
  type AppendFacts,
  type Epoch,
  type Fork,
  type Lsn,
  type RegionClient,
  WriterDriver,
} from '../../storage/index.ts';
import type { EngineCommitEvent } from '../engine/engine.ts';
import { ResponseGate } from './core/gate.ts';

export interface ReignOptions {
  readonly region: RegionClient;
  readonly epoch: Epoch;
  readonly forks: readonly Fork[];
  readonly forkLsn: Lsn;
  /** Whether the lease is valid at this moment (R24). */
  readonly mayAcknowledge: () => boolean;
  /** An answer could leave and the lease is not valid: the role has to look. */
  readonly onLapsed: () => void;
  readonly onDurable: (vdl: Lsn, facts: readonly AppendFacts[]) => void;
  readonly onCommit: (commit: EngineCommitEvent) => void;
  readonly onFenced: (by: Epoch) => void;
  readonly onQuorumLost: (reason: string) => void;
  /** Redo has left for the nodes, in LSN order. */
  readonly onFramed: (bytes: Uint8Array, end: Lsn) => void;
  readonly recordFacts: boolean;
  /** Whether the engine is about to commit more. */
  readonly isMoreComing: () => boolean;
}

/** Called once: true when the answer may leave, false when its reign is over. */
type Waiter = (released: boolean) => void;

export class Reign {
  readonly epoch: Epoch;
  readonly forks: readonly Fork[];
  readonly forkLsn: Lsn;
  private readonly options: ReignOptions;
  private readonly driver: WriterDriver;
  private readonly gate: ResponseGate<Waiter>;
  private readonly roomWaiters: (() => void)[] = [];
  private over = false;
  private taken: Lsn;

  constructor(options: ReignOptions) {
    const { region, epoch, forks, forkLsn } = options;
    this.options = options;
    this.epoch = epoch;
    this.forks = forks;
    this.forkLsn = forkLsn;
    this.gate = new ResponseGate(forkLsn);
    this.taken = forkLsn;
    this.driver = new WriterDriver({
      region,
      epoch,
      forks,
      forkLsn,
      onDurable: (vdl, facts) => this.durable(vdl, facts),
      onFenced: options.onFenced,
      onQuorumLost: options.onQuorumLost,
      onFramed: options.onFramed,
      recordFacts: options.recordFacts,
      isMoreComing: options.isMoreComing,
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
    this.options.onCommit(commit);
    const at = this.driver.commit(commit.mtr);
    this.taken = at;
    assert.equal(at, commit.lsn, 'G24: the engine and the volume count the same LSNs');
  }

  /** The engine has answered everything it was asked. */
  gathered(): void {
    if (!this.over) this.driver.gathered();
  }

  /** Calls back, at once or later, with true when an answer that saw `seen` may leave, with false when the reign ended before. */
  settle(seen: Lsn, done: Waiter): void {
    if (this.over) done(false);
    else if (this.gate.covers(seen) && this.options.mayAcknowledge()) done(true);
    else {
      this.gate.hold(seen, done);
      if (this.gate.covers(seen)) this.options.onLapsed();
    }
  }

  /** Resolves when redo may be added, or after `waitMs`. @returns whether it may. */
  room(waitMs: number): Promise<boolean> {
    if (this.hasRoom || this.over) return Promise.resolve(this.hasRoom);
    return new Promise((resolve) => {
      const done = (): void => {
        clearTimeout(timer);
        resolve(this.hasRoom);
      };
      const timer = setTimeout(done, waitMs);
      this.roomWaiters.push(done);
    });
  }

  /** Lets out what is durable; called when the lease was renewed, too. */
  release(): void {
    for (const waiter of this.gate.release(this.options.mayAcknowledge())) waiter(true);
  }

  /** Stops at once: nothing is acknowledged any more. */
  close(): void {
    if (this.over) return;
    this.over = true;
    this.driver.close();
    for (const waiter of this.gate.close()) waiter(false);
    for (const waiter of this.roomWaiters.splice(0)) waiter();
  }

  private durable(vdl: Lsn, facts: readonly AppendFacts[]): void {
    if (this.over) return;
    this.gate.advance(vdl);
    this.options.onDurable(vdl, facts);
    this.release();
    if (this.gate.size > 0 && !this.options.mayAcknowledge()) this.options.onLapsed();
    if (this.hasRoom) for (const waiter of this.roomWaiters.splice(0)) waiter();
  }
}
