/** Other clients of a gateway: they go on with small reads and writes, and time every one. */
import { type Answer, RawStream, shortly } from './hrana.ts';

export interface Timing {
  readonly count: number;
  readonly failed: number;
  readonly firstError: string | null;
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** The longest time without a success, the end of the time included. */
  readonly longestGapMs: number;
  /** Since the last success. */
  readonly silentMs: number;
}

interface Sample {
  readonly doneMs: number;
  readonly tookMs: number;
  readonly answer: Answer;
}

/** A statement that has no answer for this long counts as failed. */
const patienceMs = 20_000;
const pauseMs = 20;

/** One client that repeats a statement, with a short pause, until it is stopped. */
class Client {
  readonly samples: Sample[] = [];
  private readonly address: string;
  private readonly statement: (at: number) => string;
  private readonly done: Promise<void>;
  private readonly leave = new AbortController();
  private stopped = false;

  constructor(address: string, statement: (at: number) => string) {
    this.address = address;
    this.statement = statement;
    this.done = this.work();
  }

  private async work(): Promise<void> {
    for (let at = 0; !this.stopped; at++) {
      const stream = new RawStream(this.address);
      const beganMs = performance.now();
      const answer = await stream.sql(this.statement(at), { limitMs: patienceMs, signal: this.leave.signal });
      const doneMs = performance.now();
      this.samples.push({ doneMs, tookMs: doneMs - beganMs, answer });
      await stream.close();
      await new Promise((resolve) => setTimeout(resolve, pauseMs));
    }
  }

  stop(): Promise<void> {
    this.stopped = true;
    this.leave.abort();
    return this.done;
  }
}

export type Kind = 'read' | 'write';

export class Others {
  private readonly clients: ReadonlyMap<Kind, readonly Client[]>;
  private fromMs = performance.now();

  /** @param table `(id INTEGER PRIMARY KEY, n INTEGER)`, with rows 1 to 4. */
  constructor(address: string, table: string, perKind = 2) {
    const start = (statement: (at: number) => string): readonly Client[] =>
      Array.from({ length: perKind }, () => new Client(address, statement));
    this.clients = new Map([
      ['read', start((at) => `SELECT n FROM ${table} WHERE id = ${1 + (at % 4)}`)],
      ['write', start((at) => `UPDATE ${table} SET n = n + 1 WHERE id = ${1 + (at % 4)}`)],
    ]);
  }

  /** The time that is measured begins now. */
  mark(): void {
    this.fromMs = performance.now();
  }

  /** What happened since the mark. What has no answer yet counts with the time it has waited. */
  timing(kind: Kind): Timing {
    const nowMs = performance.now();
    const samples = (this.clients.get(kind) ?? [])
      .flatMap((client) => client.samples)
      .filter(({ doneMs }) => doneMs >= this.fromMs)
      .sort((one, other) => one.doneMs - other.doneMs);
    const good = samples.filter(({ answer }) => answer.ok);
    const bad = samples.find(({ answer }) => !answer.ok);
    const times = samples.map(({ tookMs }) => tookMs).sort((one, other) => one - other);
    let longestGapMs = 0;
    let lastMs = this.fromMs;
    for (const doneMs of [...good.map((sample) => sample.doneMs), nowMs]) {
      longestGapMs = Math.max(longestGapMs, doneMs - lastMs);
      lastMs = doneMs;
    }
    const at = (share: number): number =>
      times.length === 0
        ? longestGapMs
        : (times[Math.min(times.length - 1, Math.floor(share * times.length))] ?? 0);
    return {
      count: good.length,
      failed: samples.length - good.length,
      firstError: bad === undefined ? null : shortly(bad.answer),
      p50Ms: at(0.5),
      p99Ms: Math.max(at(0.99), times.length < 100 ? longestGapMs : 0),
      longestGapMs,
      silentMs: nowMs - Math.max(this.fromMs, ...good.map(({ doneMs }) => doneMs)),
    };
  }

  async stop(): Promise<void> {
    await Promise.all([...this.clients.values()].flat().map((client) => client.stop()));
  }
}

/** What a busy machine may add by itself, beside a doubling. */
const slackMs = 150;

/** Whether a time is less than double the one before, near enough for a machine that does other things, too. */
export const lessThanDouble = (before: Timing, during: Timing): boolean =>
  during.failed === 0 &&
  during.count > 0 &&
  during.p50Ms <= 2 * before.p50Ms + slackMs / 5 &&
  during.p99Ms <= 2 * before.p99Ms + slackMs;

const ms = (time: number): string => (time < 100 ? time.toFixed(1) : String(Math.round(time)));

export function timingText(what: string, before: Timing, during: Timing): string {
  const failed = during.failed === 0 ? '' : `, ${during.failed} failed (${during.firstError})`;
  return `${what}: p50 ${ms(before.p50Ms)} → ${ms(during.p50Ms)} ms, p99 ${ms(before.p99Ms)} → ${ms(during.p99Ms)} ms (×${(during.p99Ms / Math.max(1, before.p99Ms)).toFixed(1)})${failed}`;
}
