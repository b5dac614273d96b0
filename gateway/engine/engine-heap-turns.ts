/**
 * Turns at taking much memory. A statement that computes or reads values of many megabytes makes the memory of its thread's SQLite
 * grow, and when a hundred clients ask for such at once all reading threads would hold as much at the same time. So only as many of
 * them go on as have cores to run on; the others wait for a moment in the middle of their statement. It is a courtesy, not a bound:
 * a statement that keeps its turn for long makes nobody wait for longer than `waitMs`.
 */
import { availableParallelism } from 'node:os';

/** Counts that threads share: in `all` those of a gateway's engines together, in `own` those of one of them. */
export interface SharedCounts {
  readonly all: SharedArrayBuffer;
  readonly own: SharedArrayBuffer;
}

/** The first word is the handover's, the second one that of the turns. */
const turnWord = 1;
export const sharedCounts = (): SharedArrayBuffer => new SharedArrayBuffer(2 * Int32Array.BYTES_PER_ELEMENT);

/** The main thread needs a core, too. */
const turnsAtOnce = Math.max(1, Math.floor(availableParallelism() / 2));
const waitMs = 2_000;
/** How often who waits looks whether that is still wanted. */
const lookMs = 20;

/** One engine's turns; both of its threads make theirs of the same counts. */
export class HeapTurns {
  private readonly taken: Int32Array;
  private readonly own: Int32Array;
  private readonly atOnce: number;

  /** @param atOnce turns there are. */
  constructor({ all, own }: SharedCounts, atOnce = turnsAtOnce) {
    this.taken = new Int32Array(all);
    this.own = new Int32Array(own);
    this.atOnce = atOnce;
  }

  /** The engine's side: waits for a turn, `waitMs` at most, and has one afterwards. @param isWanted asked every few milliseconds. */
  take(isWanted: () => boolean): void {
    if (Atomics.load(this.own, turnWord) === 1) return;
    const until = performance.now() + waitMs;
    for (;;) {
      const taken = Atomics.load(this.taken, turnWord);
      if (taken < this.atOnce) {
        if (Atomics.compareExchange(this.taken, turnWord, taken, taken + 1) === taken) break;
        continue;
      }
      if (performance.now() >= until || !isWanted()) {
        Atomics.add(this.taken, turnWord, 1);
        break;
      }
      Atomics.wait(this.taken, turnWord, taken, lookMs);
    }
    Atomics.store(this.own, turnWord, 1);
  }

  /** Either side's, the main thread's when the engine's has ended: the turn is somebody else's. */
  giveBack(): void {
    if (Atomics.exchange(this.own, turnWord, 0) === 0) return;
    Atomics.sub(this.taken, turnWord, 1);
    Atomics.notify(this.taken, turnWord);
  }
}
