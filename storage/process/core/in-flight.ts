/**
 * What is under way, by ascending numbers: put in when it is sent, taken out when it is answered, many thousand times a
 * second. A `Map` would do the same, and cost a third of a busy process: it is rebuilt every few hundred insertions, each
 * table points at the one that replaced it, and once a table has grown old the garbage collector keeps all that came after
 * it, with whatever stood in them. The slots here stay where they are.
 */
const slotsMin = 256;
const slotsMax = 65_536;

export class InFlight<T extends object> implements Iterable<T> {
  private numbers: number[] = new Array<number>(slotsMin).fill(-1);
  private values: (T | undefined)[] = new Array<T | undefined>(slotsMin).fill(undefined);
  /** Those whose slot was taken by one that has been under way for a whole round. */
  private readonly strays = new Map<number, T>();
  private count = 0;

  get size(): number {
    return this.count;
  }

  /** @param number a safe integer from 0, in use by nobody else here. */
  set(number: number, value: T): void {
    this.count += 1;
    const slot = this.slotOf(number);
    if (this.values[slot] === undefined) {
      this.numbers[slot] = number;
      this.values[slot] = value;
      return;
    }
    this.strays.set(number, value);
    if (this.strays.size > this.values.length / 4 && this.values.length < slotsMax) this.grow();
  }

  get(number: number): T | undefined {
    const slot = this.slotOf(number);
    if (this.numbers[slot] === number) return this.values[slot];
    return this.strays.size === 0 ? undefined : this.strays.get(number);
  }

  /** @returns what stood there. */
  take(number: number): T | undefined {
    const value = this.get(number);
    if (value === undefined) return undefined;
    this.count -= 1;
    const slot = this.slotOf(number);
    if (this.numbers[slot] === number) {
      this.numbers[slot] = -1;
      this.values[slot] = undefined;
    } else this.strays.delete(number);
    return value;
  }

  /** Takes everything out. @returns it with its numbers, in no particular order. */
  drain(): readonly (readonly [number, T])[] {
    const all = [...this.entries()];
    this.strays.clear();
    this.numbers.fill(-1);
    this.values.fill(undefined);
    this.count = 0;
    return all;
  }

  /** What is here with its numbers, in no particular order. */
  *entries(): Generator<readonly [number, T]> {
    // Most often nothing is under way, and there are hundreds of slots.
    for (let slot = 0; this.count > 0 && slot < this.values.length; slot++) {
      const value = this.values[slot];
      if (value !== undefined) yield [this.numbers[slot] ?? 0, value];
    }
    yield* this.strays;
  }

  *[Symbol.iterator](): Iterator<T> {
    if (this.count === 0) return;
    for (const value of this.values) if (value !== undefined) yield value;
    yield* this.strays.values();
  }

  private slotOf(number: number): number {
    return number % this.values.length;
  }

  private grow(): void {
    const length = this.values.length * 4;
    const all = this.drain();
    this.numbers = new Array<number>(length).fill(-1);
    this.values = new Array<T | undefined>(length).fill(undefined);
    for (const [number, value] of all) this.set(number, value);
  }
}
