/**
 * The response gate of a writer: answers wait here until the volume is durable at everything they saw, and as long as the
 * lease is suspended. Pure.
 *
 * G20. An answer leaves only when the VDL has reached its LSN and the lease is valid at that moment (R24). A read that
 *   asks for no more than something durable needs no lease, and is not held here.
 * G21. Answers leave in the order of their LSNs, and those of one LSN in the order in which they came.
 * G22. Once closed, nothing leaves as durable any more, not even what is. Nor does what was given up.
 */
import assert from 'node:assert/strict';
import { type Lsn, maxLsn } from '../../../storage/core.ts';

interface Held<T> {
  readonly lsn: Lsn;
  readonly sinceMs: number;
  readonly item: T;
}

export class ResponseGate<T> {
  private held: Held<T>[] = [];
  /** Entries at the front of `held` that have left; the array is cut for many at once. */
  private left = 0;
  private durableLsn: Lsn;
  private open = true;

  constructor(start: Lsn) {
    this.durableLsn = start;
  }

  get durable(): Lsn {
    return this.durableLsn;
  }

  get size(): number {
    return this.held.length - this.left;
  }

  /** Moves the durable point. Nothing leaves by itself: call `release`. */
  advance(vdl: Lsn): void {
    this.durableLsn = maxLsn(this.durableLsn, vdl);
  }

  /** Whether an answer that saw `lsn` could leave if the lease is valid. */
  covers(lsn: Lsn): boolean {
    return this.open && lsn <= this.durableLsn;
  }

  /** Holds an answer, from `nowMs` on, until `release` gives it out or `giveUp` or `close` gives it up. */
  hold(lsn: Lsn, item: T, nowMs: number): void {
    assert(this.open, 'G22: a closed gate holds nothing');
    let at = this.held.length;
    // Answers come nearly in order: an older snapshot's is a few places from the end.
    while (at > this.left && (this.held[at - 1]?.lsn ?? 0) > lsn) at--;
    const entry = { lsn, item, sinceMs: nowMs };
    if (at === this.held.length) this.held.push(entry);
    else this.held.splice(at, 0, entry);
  }

  /** Takes out what may leave. @param mayAcknowledge whether the lease is valid now. */
  release(mayAcknowledge: boolean): readonly T[] {
    if (!this.open || !mayAcknowledge) return [];
    const out: T[] = [];
    for (
      let first = this.held[this.left];
      first !== undefined && first.lsn <= this.durableLsn;
      first = this.held[this.left]
    ) {
      out.push(first.item);
      this.left++;
    }
    if (this.left === this.held.length || this.left > 1_024) {
      this.held.splice(0, this.left);
      this.left = 0;
    }
    return out;
  }

  /** Takes out what has been held since `heldSinceMs` or longer: its clients have waited for the lease as long as they may. */
  giveUp(heldSinceMs: number): readonly T[] {
    const rest = this.held.slice(this.left);
    this.held = rest.filter(({ sinceMs }) => sinceMs > heldSinceMs);
    this.left = 0;
    return rest.filter(({ sinceMs }) => sinceMs <= heldSinceMs).map(({ item }) => item);
  }

  /** Ends the gate. @returns everything that was held. */
  close(): readonly T[] {
    this.open = false;
    const rest = this.held.slice(this.left).map(({ item }) => item);
    this.held = [];
    this.left = 0;
    return rest;
  }
}
