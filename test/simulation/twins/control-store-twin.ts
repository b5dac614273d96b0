/**
 * The simulator's control store: a linearizable compare-and-set register behind a bad network. It answers as the
 * JetStream one does and no better: late, not at all (`unknown`, with the write applied, or applied later, or never), and
 * from the past when read. It runs the conformance suite the real one runs.
 *
 * All chance and all time come from outside, so a run is repeated exactly from its seed.
 */
import assert from 'node:assert/strict';
import { isDeepStrictEqual } from 'node:util';
import type {
  ControlReading,
  ControlStore,
  ControlView,
  ControlWrite,
} from '../../../regions/control/core/control-port.ts';
import {
  type ControlRecord,
  checkControlRecord,
  checkControlStep,
} from '../../../regions/control/core/control-record.ts';

export interface ControlTwinOptions {
  /** Runs `act` once, `delayMs` of virtual time later. */
  schedule(delayMs: number, act: () => void): void;
  /** Uniform in [0, 1). */
  random(): number;
  /** One way between a client and the store. */
  readonly delayMs: { readonly min: number; readonly max: number };
  /** A request nobody reported on is answered `unknown` or `unavailable` after this long. */
  readonly timeoutMs: number;
  readonly pollMs: number;
  /** Chances from 0 to 1, each drawn once per message. */
  readonly chance: {
    /** A request or a notification never arrives. */
    readonly lose: number;
    /** A request arrives up to fifty timeouts after its caller gave it up: 40 s were seen. */
    readonly linger: number;
    /** A read is answered from the past, though never before what its client has seen. */
    readonly stale: number;
  };
}

/** One process's access to the store. */
export interface ControlTwinClient extends ControlStore {
  /** From now on nothing gets through in either direction, until `heal`. */
  cut(): void;
  heal(): void;
  /** The process ends: nothing is called back any more. What it sent may still take effect. */
  stop(): void;
}

/** The register itself, with the view from nowhere that judges need. */
export class ControlStoreTwin {
  readonly #options: ControlTwinOptions;
  readonly #clients: TwinClient[] = [];
  readonly #held: (() => void)[] = [];
  readonly #history: ControlRecord[] = [];
  #stalled: boolean = false;

  constructor(options: ControlTwinOptions) {
    assert(options.delayMs.min <= options.delayMs.max, 'the shortest delay is not longer than the longest');
    this.#options = options;
  }

  /** Every record there has been; the one at index i has sequence i + 1. */
  get history(): readonly ControlRecord[] {
    return this.#history;
  }

  /** What a linearizable read would answer now. */
  get current(): ControlView | null {
    return this.viewAt(this.#history.length);
  }

  /** Writes the first record. @throws AssertionError when there is one already. */
  bootstrap(record: ControlRecord): void {
    assert(this.#history.length === 0, 'a control store is bootstrapped once');
    checkControlRecord(record);
    this.#history.push(record);
  }

  client(): ControlTwinClient {
    const client = new TwinClient(this, this.#options);
    this.#clients.push(client);
    return client;
  }

  /** The store has no leader: requests wait or are lost, until `resume`. */
  stall(): void {
    this.#stalled = true;
  }

  resume(): void {
    this.#stalled = false;
    for (const act of this.#held.splice(0)) act();
  }

  viewAt(seq: number): ControlView | null {
    const record = this.#history[seq - 1];
    return record === undefined ? null : { seq, record };
  }

  /** Runs `act` at the leader; without one, half of what arrives is lost and the rest waits. */
  atLeader(act: () => void): void {
    if (!this.#stalled) act();
    else if (this.#options.random() < 0.5) this.#held.push(act);
  }

  apply(expectedSeq: number, record: ControlRecord): ControlWrite {
    if (expectedSeq === this.#history.length) {
      const before = this.#history.at(-1);
      assert(before !== undefined, 'a compare-and-set before the bootstrap');
      checkControlStep(before, record);
      this.#history.push(record);
      for (const client of this.#clients) client.hint();
      return { kind: 'won', seq: expectedSeq + 1 };
    }
    const followed = this.viewAt(expectedSeq + 1);
    assert(followed !== null, `a compare-and-set on revision ${expectedSeq}, which there has not been`);
    return isDeepStrictEqual(followed.record, record) ? { kind: 'won', seq: followed.seq } : { kind: 'lost' };
  }
}

interface Watcher {
  readonly onReading: (reading: ControlReading) => void;
  seq: number;
  failing: boolean;
}

class TwinClient implements ControlTwinClient {
  readonly #twin: ControlStoreTwin;
  readonly #options: ControlTwinOptions;
  readonly #watchers = new Set<Watcher>();
  #cut: boolean = false;
  #stopped: boolean = false;
  #polling: boolean = false;
  #highestSeq = 0;

  constructor(twin: ControlStoreTwin, options: ControlTwinOptions) {
    this.#twin = twin;
    this.#options = options;
  }

  cut(): void {
    this.#cut = true;
  }

  heal(): void {
    this.#cut = false;
  }

  stop(): void {
    this.#stopped = true;
    this.#watchers.clear();
  }

  read(done: (reading: ControlReading) => void): void {
    this.#call(
      () => this.#readAtLeader(),
      { kind: 'unavailable', reason: 'timeout' },
      (reading) => done(this.#forwardOnly(reading)),
    );
  }

  compareAndSet(expectedSeq: number, record: ControlRecord, done: (write: ControlWrite) => void): void {
    assert(
      Number.isSafeInteger(expectedSeq) && expectedSeq >= 1,
      `not a sequence of the store: ${expectedSeq}`,
    );
    checkControlRecord(record);
    this.#call<ControlWrite>(
      () => this.#twin.apply(expectedSeq, record),
      { kind: 'unknown', reason: 'timeout' },
      (write) => {
        if (write.kind === 'won') this.#highestSeq = Math.max(this.#highestSeq, write.seq);
        done(write);
      },
    );
  }

  watch(onReading: (reading: ControlReading) => void): () => void {
    const watcher: Watcher = { onReading, seq: 0, failing: false };
    this.#watchers.add(watcher);
    this.#look();
    if (!this.#polling) {
      this.#polling = true;
      this.#poll();
    }
    return () => {
      this.#watchers.delete(watcher);
    };
  }

  /** Something changed: as unreliable as every other message. */
  hint(): void {
    if (this.#watchers.size === 0) return;
    this.#send(() => this.#look());
  }

  #poll(): void {
    this.#options.schedule(this.#options.pollMs, () => {
      if (this.#watchers.size === 0) {
        this.#polling = false;
        return;
      }
      this.#look();
      this.#poll();
    });
  }

  #look(): void {
    this.read((reading) => {
      for (const watcher of [...this.#watchers]) {
        const failed = reading.kind !== 'record';
        if (!failed && !watcher.failing && reading.view.seq <= watcher.seq) continue;
        watcher.failing = failed;
        if (!failed) watcher.seq = reading.view.seq;
        watcher.onReading(reading);
      }
    });
  }

  #readAtLeader(): ControlReading {
    const newest = this.#twin.history.length;
    const oldest = Math.max(1, this.#highestSeq);
    const stale = newest > oldest && this.#options.random() < this.#options.chance.stale;
    const seq = stale ? oldest + Math.floor(this.#options.random() * (newest - oldest)) : newest;
    const view = this.#twin.viewAt(seq);
    return view === null ? { kind: 'absent' } : { kind: 'record', view };
  }

  #forwardOnly(reading: ControlReading): ControlReading {
    if (reading.kind !== 'record') return reading;
    if (reading.view.seq < this.#highestSeq) return { kind: 'unavailable', reason: 'stale answer' };
    this.#highestSeq = reading.view.seq;
    return reading;
  }

  /** A round trip: `act` happens at the leader at most once, and `done` is called exactly once. */
  #call<T>(act: () => T, otherwise: T, done: (answer: T) => void): void {
    let answered: boolean = false;
    const answer = (value: T) => {
      if (answered || this.#stopped) return;
      answered = true;
      done(value);
    };
    this.#options.schedule(this.#options.timeoutMs, () => answer(otherwise));
    this.#send(() => {
      this.#twin.atLeader(() => {
        const value = act();
        this.#send(() => answer(value));
      });
    });
  }

  #send(arrive: () => void): void {
    const { schedule, random, delayMs, chance, timeoutMs } = this.#options;
    if (this.#cut || random() < chance.lose) return;
    const lateMs = random() < chance.linger ? timeoutMs * (1 + 49 * random()) : 0;
    schedule(lateMs + delayMs.min + random() * (delayMs.max - delayMs.min), () => {
      if (lateMs > 0 || !this.#cut) arrive();
    });
  }
}
