/** The last minutes as columns of numbers, as uPlot draws them. What was not heard is a gap and no line. Pure. */
import type { LiveEvent } from './api-types.ts';
import { type WriteRates, WriteWindow } from './write-rates.ts';

/** What is kept, in seconds. */
export const windowSeconds = 300;
/** Without an event for longer there is a gap. */
const gapSeconds = 1.2;

type Column = (number | null)[];

export class Curves {
  /** Seconds since 1970, by the clock of the gateway. */
  readonly seconds: number[] = [];
  /** Milliseconds that each secondary is behind. */
  readonly lag = new Map<string, Column>();
  readonly commits: Column = [];
  readonly p50Ms: Column = [];
  readonly p99Ms: Column = [];
  private readonly window = new WriteWindow();
  private ratesNow: WriteRates | null = null;

  /** As of the last event. */
  get rates(): WriteRates | null {
    return this.ratesNow;
  }

  add(event: LiveEvent): void {
    const at = event.atMs / 1_000;
    const last = this.seconds.at(-1);
    this.ratesNow = this.window.add(event);
    // A clock that was set back: what is there says nothing about these seconds any more.
    if (last !== undefined && at <= last) {
      if (last - at > gapSeconds) this.clear();
      else return;
    }
    if (last !== undefined && at - last > gapSeconds) this.push(last + 0.001, new Map(), null);
    const lags = event.status.regions
      .filter(({ name }) => name !== event.status.primary)
      .map(({ name, lagMs }): [string, number | null] => [name, lagMs]);
    for (const { name } of event.status.regions)
      if (!this.lag.has(name))
        this.lag.set(
          name,
          this.seconds.map(() => null),
        );
    this.push(at, new Map(lags), this.ratesNow);
    while ((this.seconds[0] ?? at) < at - windowSeconds) this.shift();
  }

  private push(at: number, lags: ReadonlyMap<string, number | null>, rates: WriteRates | null): void {
    this.seconds.push(at);
    for (const [region, column] of this.lag) column.push(lags.get(region) ?? null);
    this.commits.push(rates?.commits ?? null);
    this.p50Ms.push(rates?.p50Ms ?? null);
    this.p99Ms.push(rates?.p99Ms ?? null);
  }

  private get columns(): readonly (number | null)[][] {
    return [this.seconds, this.commits, this.p50Ms, this.p99Ms, ...this.lag.values()];
  }

  private shift(): void {
    for (const column of this.columns) column.shift();
  }

  private clear(): void {
    for (const column of this.columns) column.length = 0;
  }
}
