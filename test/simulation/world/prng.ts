/**
 * The only source of chance in a simulation: xoshiro128** over 32-bit integers, seeded by name.
 *
 * A stream's numbers depend on the run's seed and on the stream's own name and on nothing else, so a new consumer,
 * or one more draw by an old one, disturbs no other stream. No decision passes through a floating-point number:
 * a run is the same on every engine and machine.
 */
import assert from 'node:assert/strict';

const uint32Span = 0x1_0000_0000;

/** Murmur3's finaliser: spreads every input bit over all 32 output bits. */
function avalanche(word: number): number {
  let mixed = word;
  mixed = Math.imul(mixed ^ (mixed >>> 16), 0x85eb_ca6b);
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2_ae35);
  return (mixed ^ (mixed >>> 16)) >>> 0;
}

/** Hash of `text` in one of the four lanes that make up a state. */
function hashText(text: string, lane: number): number {
  let hash = (0x811c_9dc5 ^ Math.imul(lane + 1, 0x9e37_79b9)) >>> 0;
  for (let index = 0; index < text.length; index += 1) {
    hash = Math.imul(hash ^ text.charCodeAt(index), 0x0100_0193);
  }
  return avalanche(hash);
}

function rotateLeft(word: number, bits: number): number {
  return (word << bits) | (word >>> (32 - bits));
}

/** State words of xoshiro128**; not all zero. */
export type PrngState = readonly [number, number, number, number];

/** A stream of pseudo-random integers. Not for secrets. */
export class Prng {
  private readonly path: string;
  private a: number;
  private b: number;
  private c: number;
  private d: number;

  private constructor(path: string, state: PrngState) {
    this.path = path;
    [this.a, this.b, this.c, this.d] = state;
    assert((this.a | this.b | this.c | this.d) !== 0, 'an all-zero xoshiro state yields only zeros');
  }

  /** The root stream of a run. @throws AssertionError when `seed` is not a non-negative safe integer. */
  static fromSeed(seed: number): Prng {
    assert(Number.isSafeInteger(seed) && seed >= 0, `a seed is a non-negative safe integer, not ${seed}`);
    return Prng.fromPath(`seed:${seed}`);
  }

  /** A stream in a known state, for comparison with the published generator. */
  static fromState(state: PrngState): Prng {
    return new Prng(`state:${state.join(',')}`, state);
  }

  private static fromPath(path: string): Prng {
    const last = hashText(path, 3);
    const state: PrngState = [hashText(path, 0), hashText(path, 1), hashText(path, 2), last === 0 ? 1 : last];
    return new Prng(path, state);
  }

  /** The sub-stream called `name`: always starts from the same point, however much was drawn from this one. */
  stream(name: string): Prng {
    return Prng.fromPath(`${this.path}/${name.length}:${name}`);
  }

  /** Uniform over 0 to 2^32 - 1. */
  uint32(): number {
    const result = Math.imul(rotateLeft(Math.imul(this.b, 5), 7), 9) >>> 0;
    const shifted = this.b << 9;
    this.c ^= this.a;
    this.d ^= this.b;
    this.b ^= this.c;
    this.a ^= this.d;
    this.c ^= shifted;
    this.d = rotateLeft(this.d, 11);
    return result;
  }

  /** Uniform over 0 to `bound` - 1, without modulo bias. @throws AssertionError unless 1 ≤ bound ≤ 2^32. */
  below(bound: number): number {
    assert(Number.isInteger(bound) && bound >= 1 && bound <= uint32Span, `bad bound ${bound}`);
    const limit = uint32Span - (uint32Span % bound);
    for (;;) {
      const drawn = this.uint32();
      if (drawn < limit) return drawn % bound;
    }
  }

  /** Uniform over `min` to `max`, both included. */
  between(min: number, max: number): number {
    assert(
      Number.isSafeInteger(min) && Number.isSafeInteger(max) && min <= max,
      `bad range ${min} to ${max}`,
    );
    return min + this.below(max - min + 1);
  }

  /** Uniform over a closed range. */
  within(range: Range): number {
    return this.between(range.min, range.max);
  }

  /** True `rate` times in a thousand. @throws AssertionError unless 0 ≤ rate ≤ 1000. */
  perMille(rate: number): boolean {
    assert(Number.isInteger(rate) && rate >= 0 && rate <= 1000, `bad rate ${rate}`);
    return this.below(1000) < rate;
  }

  /** One of `items`, each as likely. @throws AssertionError when there are none. */
  pick<T>(items: readonly T[]): T {
    assert(items.length > 0, 'nothing to pick from');
    for (const item of items.slice(this.below(items.length))) return item;
    throw new Error('unreachable: the index is below the length');
  }

  /** A copy of `items` in a uniformly drawn order. */
  shuffle<T>(items: readonly T[]): T[] {
    const left = [...items];
    const order: T[] = [];
    while (left.length > 0) order.push(...left.splice(this.below(left.length), 1));
    return order;
  }

  /** `length` drawn bytes. */
  bytes(length: number): Uint8Array {
    const bytes = new Uint8Array(length);
    for (let index = 0; index < length; index += 1) bytes[index] = this.uint32() & 0xff;
    return bytes;
  }
}

/** A closed range of integers. */
export type Range = { readonly min: number; readonly max: number };
