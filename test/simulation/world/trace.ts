/**
 * What happened in a run, folded into one hash: two runs with the same hash processed the same events in the same
 * order. The last lines are kept for the report of a failure; all of them can be printed.
 */
import assert from 'node:assert/strict';

/** Where the whole trace goes when somebody asked to see it. */
export type TracePrinter = (line: string) => void;

export type TraceOptions = {
  /** Lines kept for the report of a failure. */
  readonly keptLinesMax: number;
  /** Receives every line as it is added. */
  readonly print?: TracePrinter;
};

/** Rolling 64-bit hash (two 32-bit lanes, after FNV-1a) over lines, and a ring of the last of them. */
export class Trace {
  private readonly options: TraceOptions;
  private readonly ring: string[] = [];
  private next = 0;
  private low = 0x811c_9dc5;
  private high = 0x9e37_79b9;
  private count = 0;

  constructor(options: TraceOptions = { keptLinesMax: 200 }) {
    assert(options.keptLinesMax > 0, 'keep at least one line');
    this.options = options;
  }

  /** Adds one line; its end counts, so "ab" + "c" differs from "a" + "bc". */
  add(line: string): void {
    for (let index = 0; index < line.length; index += 1) this.fold(line.charCodeAt(index));
    this.fold(0x1_0000);
    this.count += 1;
    this.ring[this.next] = line;
    this.next = (this.next + 1) % this.options.keptLinesMax;
    this.options.print?.(line);
  }

  private fold(code: number): void {
    this.low = Math.imul(this.low ^ code, 0x0100_0193);
    // A rotation keeps the second lane from being a function of the first.
    const mixed = Math.imul(this.high ^ code, 0x85eb_ca6b);
    this.high = (mixed << 13) | (mixed >>> 19);
  }

  /** Sixteen hexadecimal digits over everything added so far. */
  hash(): string {
    const hex = (word: number): string => (word >>> 0).toString(16).padStart(8, '0');
    return hex(this.high) + hex(this.low);
  }

  /** Lines added so far. */
  get lines(): number {
    return this.count;
  }

  /** The last lines, oldest first. */
  tail(): readonly string[] {
    if (this.count < this.options.keptLinesMax) return [...this.ring];
    return [...this.ring.slice(this.next), ...this.ring.slice(0, this.next)];
  }
}
