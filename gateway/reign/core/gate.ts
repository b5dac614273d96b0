/**
 * The response gate of a writer: answers wait here until the volume is durable at everything they saw, until other regions have
 * as much of that as the policy asks for, and as long as the lease is suspended. Pure.
 *
 * G20. An answer leaves only when the VDL has reached its LSN and the lease is valid at that moment (R24). A read that
 *   asks for no more than something durable needs no lease, and is not held here.
 * G36. Under an RPO it leaves only once the redo up to its LSN was within the RPO (`elsewhere.ts`).
 * G21. Answers leave in the order of their LSNs, and those of one LSN in the order in which they came.
 * G22. Once closed, nothing leaves as durable any more, not even what is. Nor does what was given up.
 */
import assert from 'node:assert/strict';
import { lsn as asLsn, type Lsn, maxLsn } from '../../../storage/core.ts';

interface Held<T> {
  readonly lsn: Lsn;
  readonly item: T;
}

/** What an answer waits for: four nodes, other regions, or nothing but a valid lease. */
export type WaitsFor = 'durability' | 'regions' | 'lease';

export class ResponseGate<T> {
  private held: Held<T>[] = [];
  /** Entries at the front of `held` that have left; the array is cut for many at once. */
  private left = 0;
  private durableLsn: Lsn;
  private freeLsn: Lsn;
  private open = true;

  /** @param free how far answers may leave when the reign begins; less than `start` while other regions have yet to prove it. */
  constructor(start: Lsn, free: Lsn) {
    this.durableLsn = start;
    this.freeLsn = free;
  }

  get durable(): Lsn {
    return this.durableLsn;
  }

  /** Answers that saw no more than this may leave while the lease is valid. */
  get free(): Lsn {
    return this.freeLsn;
  }

  get size(): number {
    return this.held.length - this.left;
  }

  /** Moves the durable point. Nothing is free or leaves by itself: call `permit` and `release`. */
  advance(vdl: Lsn): void {
    this.durableLsn = maxLsn(this.durableLsn, vdl);
  }

  /** Frees what is durable up to `limit`. What was free once stays free: it was within the RPO then. */
  permit(limit: Lsn): void {
    this.freeLsn = maxLsn(this.freeLsn, asLsn(Math.min(this.durableLsn, limit)));
  }

  /** How many answers wait for nothing but other regions. */
  get heldBack(): number {
    let count = 0;
    for (let at = this.left; (this.held[at]?.lsn ?? Number.POSITIVE_INFINITY) <= this.durableLsn; at++)
      if ((this.held[at]?.lsn ?? 0) > this.freeLsn) count++;
    return count;
  }

  /** Whether an answer that saw `lsn` could leave if the lease is valid. */
  covers(lsn: Lsn): boolean {
    return this.open && lsn <= this.freeLsn;
  }

  /** Holds an answer until `release` gives it out, or `giveUp` or `close` gives it up. */
  hold(lsn: Lsn, item: T): void {
    assert(this.open, 'G22: a closed gate holds nothing');
    let at = this.held.length;
    // Answers come nearly in order: an older snapshot's is a few places from the end.
    while (at > this.left && (this.held[at - 1]?.lsn ?? 0) > lsn) at--;
    const entry = { lsn, item };
    if (at === this.held.length) this.held.push(entry);
    else this.held.splice(at, 0, entry);
  }

  /** Takes out what may leave. @param mayAcknowledge whether the lease is valid now. */
  release(mayAcknowledge: boolean): readonly T[] {
    if (!this.open || !mayAcknowledge) return [];
    const out: T[] = [];
    for (
      let first = this.held[this.left];
      first !== undefined && first.lsn <= this.freeLsn;
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

  /** Takes out those of the answers that are to be given up. @param which is told too what an answer waits for. */
  giveUp(which: (item: T, waitsFor: WaitsFor) => boolean): readonly T[] {
    const out: T[] = [];
    this.held = this.held.slice(this.left).filter(({ lsn, item }) => {
      if (!which(item, lsn > this.durableLsn ? 'durability' : lsn > this.freeLsn ? 'regions' : 'lease'))
        return true;
      out.push(item);
      return false;
    });
    this.left = 0;
    return out;
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
