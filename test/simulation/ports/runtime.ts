/** Time, timers, turns and chance of a simulated process, as the production shells ask for them. */
import type { Runtime } from '../../../storage/process/runtime.ts';
import type { Prng } from '../world/prng.ts';

/** The part of a simulated process's own runtime that is needed here. */
export type TimerHost = {
  readonly random: Prng;
  readonly nowUs: () => number;
  readonly wallUs: () => number;
  readonly setTimer: (name: string, delayUs: number) => void;
  readonly clearTimer: (name: string) => void;
};

const prefix = 'shell ';
const chances = 1 << 30;

export class RuntimeTwin implements Runtime {
  private readonly host: TimerHost;
  private readonly running = new Map<string, () => void>();
  private timers = 0;

  constructor(host: TimerHost) {
    this.host = host;
  }

  /** A timer of the process has rung. @returns whether it was one of these. */
  rang(name: string): boolean {
    const run = this.running.get(name);
    run?.();
    return run !== undefined;
  }

  nowMs(): number {
    return this.host.nowUs() / 1_000;
  }

  wallUs(): number {
    return this.host.wallUs();
  }

  every(periodMs: number, run: () => void): { stop(): void } {
    const name = this.name();
    const again = (): void => this.host.setTimer(name, Math.max(1, Math.round(periodMs * 1_000)));
    this.running.set(name, () => {
      again();
      run();
    });
    again();
    return { stop: () => this.stop(name) };
  }

  after(delayMs: number, run: () => void): { stop(): void } {
    const name = this.name();
    this.running.set(name, () => {
      this.running.delete(name);
      run();
    });
    // Never early: who finds that it is not time yet would ask again for ever, without time passing.
    this.host.setTimer(name, Math.max(0, Math.ceil(delayMs * 1_000)));
    return { stop: () => this.stop(name) };
  }

  soon(run: () => void): void {
    queueMicrotask(run);
  }

  turn(run: () => void): void {
    this.after(0, run);
  }

  random(): number {
    return this.host.random.below(chances) / chances;
  }

  private name(): string {
    this.timers += 1;
    return `${prefix}${this.timers}`;
  }

  private stop(name: string): void {
    if (this.running.delete(name)) this.host.clearTimer(name);
  }
}
