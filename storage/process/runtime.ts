/**
 * What a shell asks of the machine it runs on besides its disk and its links: time, timers, turns and chance. Shells get a
 * `Runtime` and never call the machine themselves, so that the simulator can run them on a time of its own.
 */
import { every, monotonicMs, wallUs } from './clock.ts';

/** Something that is to happen later, once or again and again. */
export interface Timer {
  /** It does not happen any more. */
  stop(): void;
}

export interface Runtime {
  /** Milliseconds on a clock that never goes back; comparable within this process only. */
  nowMs(): number;
  /** Microseconds since 1970 by the wall clock, which may be wrong and may jump. Nothing is decided by it. */
  wallUs(): number;
  /** First after half a period to one and a half: on this machine, timers of one period run together. */
  every(periodMs: number, run: () => void): Timer;
  /** @param delayMs below zero is at once. */
  after(delayMs: number, run: () => void): Timer;
  /** Runs something when the callback that is being carried out has ended, before anything else that arrives. */
  soon(run: () => void): void;
  /** Runs something in a later turn: what has arrived by then comes first. */
  turn(run: () => void): void;
  /** From 0 up to 1. */
  random(): number;
}

/** This machine. */
export const machine: Runtime = {
  nowMs: monotonicMs,
  wallUs,
  every: (periodMs, run) => ({ stop: every(periodMs, run) }),
  after: (delayMs, run) => {
    const timer = setTimeout(run, Math.max(0, delayMs));
    return { stop: () => clearTimeout(timer) };
  },
  soon: (run) => process.nextTick(run),
  turn: (run) => void setImmediate(run),
  random: Math.random,
};

/** Resolves in a later turn. */
export function nextTurn(runtime: Runtime): Promise<void> {
  return new Promise((resolve) => runtime.turn(resolve));
}

/** Resolves after `delayMs`. */
export function pause(runtime: Runtime, delayMs: number): Promise<void> {
  return new Promise((resolve) => runtime.after(delayMs, resolve));
}
