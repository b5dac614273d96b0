/**
 * Virtual time and the only loop of a simulation. Everything that happens is an event in one heap ordered by
 * (time, number of scheduling): a packet, a disk completion, a timer, a client, a fault. One event runs to its end
 * before the next begins. A process may use promises as long as they wait for nothing but events of this world: whatever follows
 * from an event by promises happens before the next event, in an order that depends on nothing else.
 */
import assert from 'node:assert/strict';
import { Prng } from './prng.ts';
import type { Trace } from './trace.ts';

/** Names a scheduled event; never used twice in a run. */
export type EventId = number;

type ScheduledEvent = {
  readonly timeUs: number;
  readonly id: EventId;
  readonly label: string;
  readonly run: () => void;
};

/**
 * Why a run stopped: the predicate held, nothing was left to do, the time was reached, or the step budget was
 * spent (which a runner reports as a failure to make progress).
 */
export type RunOutcome = 'met' | 'idle' | 'deadline' | 'budget';

export type WorldOptions = {
  readonly seed: number;
  readonly trace: Trace;
  /** Events this world may process in its whole life. */
  readonly stepsMax: number;
};

const before = (left: ScheduledEvent, right: ScheduledEvent): boolean =>
  left.timeUs < right.timeUs || (left.timeUs === right.timeUs && left.id < right.id);

/**
 * Turns of the machine's event loop, between which all that follows by promises happens. Many are ordered at once: a whole round of
 * the loop for each would be a fifth of a run.
 */
class Turns {
  private ordered = 0;
  private waiting: (() => void) | null = null;

  next(): Promise<void> {
    if (this.ordered === 0) this.order();
    return new Promise((resolve) => {
      this.waiting = resolve;
    });
  }

  private order(): void {
    for (; this.ordered < turnsAtOnce; this.ordered++)
      setImmediate(() => {
        this.ordered -= 1;
        const { waiting } = this;
        this.waiting = null;
        waiting?.();
      });
  }
}

const turnsAtOnce = 64;

export class World {
  readonly seed: number;
  readonly trace: Trace;
  private readonly root: Prng;
  private readonly streamNames = new Set<string>();
  private readonly stepsMax: number;
  private readonly heap: ScheduledEvent[] = [];
  private readonly waiting = new Set<EventId>();
  private nextId = 0;
  private timeUs = 0;
  private stepCount = 0;
  private running = false;
  private settled = true;

  constructor(options: WorldOptions) {
    this.seed = options.seed;
    this.trace = options.trace;
    this.stepsMax = options.stepsMax;
    this.root = Prng.fromSeed(options.seed);
  }

  /** Virtual microseconds since the run began. Processes must not see it; they have clocks of their own. */
  get nowUs(): number {
    return this.timeUs;
  }

  /** Events processed so far. */
  get steps(): number {
    return this.stepCount;
  }

  /** Events scheduled and neither run nor cancelled. */
  get pending(): number {
    return this.waiting.size;
  }

  /**
   * The stream of chance that belongs to `name`. Handed out once: two consumers of one stream would disturb each other.
   * @throws AssertionError when the name was taken before.
   */
  prng(name: string): Prng {
    assert(!this.streamNames.has(name), `the stream ${name} already has a consumer`);
    this.streamNames.add(name);
    return this.root.stream(name);
  }

  /** Runs `run` in `delayUs` microseconds. The label goes into the trace hash, so it should say what and to whom. */
  schedule(delayUs: number, label: string, run: () => void): EventId {
    assert(Number.isSafeInteger(delayUs) && delayUs >= 0, `bad delay ${delayUs} for ${label}`);
    return this.at(this.timeUs + delayUs, label, run);
  }

  /** Runs `run` at `timeUs`. @throws AssertionError when that is in the past. */
  at(timeUs: number, label: string, run: () => void): EventId {
    assert(Number.isSafeInteger(timeUs) && timeUs >= this.timeUs, `${label} lies in the past: ${timeUs}`);
    const id = this.nextId;
    this.nextId += 1;
    this.waiting.add(id);
    this.push({ timeUs, id, label, run });
    return id;
  }

  /** Forgets a scheduled event; false when it already ran or was cancelled. */
  cancel(id: EventId): boolean {
    return this.waiting.delete(id);
  }

  /** Adds a line to the trace that is no event of its own: a fault, an observation of a judge, a drop. */
  note(line: string): void {
    this.trace.add(`${this.timeUs} - ${line}`);
  }

  /** An event goes to a process that uses promises. */
  unsettle(): void {
    this.settled = false;
  }

  /** As `runUntil`, for worlds with processes that use promises. Rejects with what a promise that nobody waits for rejected with. */
  async runUntilSettled(met: () => boolean, deadlineUs: number): Promise<RunOutcome> {
    assert(!this.running, 'the loop was entered from inside an event');
    this.running = true;
    const turns = new Turns();
    const failures: unknown[] = [];
    const failed = (error: unknown): void => void failures.push(error);
    process.on('unhandledRejection', failed);
    try {
      for (;;) {
        if (!this.settled) {
          this.settled = true;
          await turns.next();
          if (failures.length > 0) throw failures[0];
        }
        const outcome = this.runNext(met, deadlineUs);
        if (outcome !== null) return outcome;
      }
    } finally {
      process.off('unhandledRejection', failed);
      this.running = false;
    }
  }

  /** Processes events until `met()` holds or `deadlineUs` (absolute) is reached. */
  runUntil(met: () => boolean, deadlineUs: number): RunOutcome {
    assert(!this.running, 'the loop was entered from inside an event');
    this.running = true;
    try {
      for (;;) {
        const outcome = this.runNext(met, deadlineUs);
        if (outcome !== null) return outcome;
      }
    } finally {
      this.running = false;
    }
  }

  /** Processes the events of the next `durationUs` microseconds. */
  runFor(durationUs: number): RunOutcome {
    const deadlineUs = this.timeUs + durationUs;
    const outcome = this.runUntil(() => false, deadlineUs);
    if (outcome === 'idle') this.timeUs = Math.max(this.timeUs, deadlineUs);
    return outcome;
  }

  /** Processes events until none is left (periodic timers never let that happen) or the step budget is spent. */
  runToIdle(): RunOutcome {
    return this.runUntil(() => false, Number.MAX_SAFE_INTEGER);
  }

  /** @returns null when an event was processed, or why none was. */
  private runNext(met: () => boolean, deadlineUs: number): RunOutcome | null {
    if (met()) return 'met';
    const event = this.peek();
    if (event === undefined) return 'idle';
    if (event.timeUs > deadlineUs) {
      this.timeUs = Math.max(this.timeUs, deadlineUs);
      return 'deadline';
    }
    if (this.stepCount >= this.stepsMax) return 'budget';
    this.step(event);
    return null;
  }

  private step(event: ScheduledEvent): void {
    this.pop();
    this.waiting.delete(event.id);
    this.timeUs = event.timeUs;
    this.stepCount += 1;
    this.trace.add(`${event.timeUs} ${event.id} ${event.label}`);
    event.run();
  }

  /** The next event that was not cancelled, left in the heap. */
  private peek(): ScheduledEvent | undefined {
    for (;;) {
      const event = this.heap[0];
      if (event === undefined || this.waiting.has(event.id)) return event;
      this.pop();
    }
  }

  private push(event: ScheduledEvent): void {
    let index = this.heap.length;
    this.heap.push(event);
    while (index > 0) {
      const parentIndex = (index - 1) >>> 1;
      const parent = this.heap[parentIndex];
      if (parent === undefined || !before(event, parent)) break;
      this.heap[index] = parent;
      index = parentIndex;
    }
    this.heap[index] = event;
  }

  private pop(): void {
    const last = this.heap.pop();
    if (last === undefined || this.heap.length === 0) return;
    let index = 0;
    for (;;) {
      let childIndex = 2 * index + 1;
      let child = this.heap[childIndex];
      const sibling = this.heap[childIndex + 1];
      if (child !== undefined && sibling !== undefined && before(sibling, child)) {
        childIndex += 1;
        child = sibling;
      }
      if (child === undefined || !before(child, last)) break;
      this.heap[index] = child;
      index = childIndex;
    }
    this.heap[index] = last;
  }
}
