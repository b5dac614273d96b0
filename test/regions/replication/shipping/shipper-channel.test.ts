/** Shipper and receiver at the two ends of a channel that loses, repeats and reorders, with time and chance from a seed. */
import { describe, expect, test } from 'vitest';
import type { ShipAck, Shipped } from '../../../../regions/bus/core/messages.ts';
import { Receiver, type ReceiverEvent } from '../../../../regions/replication/core/receiver.ts';
import { Shipper, type ShipperEvent } from '../../../../regions/replication/core/shipper.ts';
import { type ShippingBounds, shippingLimits } from '../../../../regions/replication/core/shipping-limits.ts';
import { epoch, type Lsn, lsn, mainBranch, regionId } from '../../../../storage/redo/ids.ts';
import { Prng } from '../../../simulation/world/prng.ts';

const primary = regionId('us-east-1');
const secondary = regionId('eu-west-1');
const head = epoch(2);
const forks = [{ epoch: head, branch: mainBranch, parent: epoch(0), forkLsn: lsn(0) }];

interface Faults {
  readonly lose: number;
  readonly repeat: number;
  readonly refuse: number;
  readonly failFetch: number;
  /** One way, at most; at least 1 ms. */
  readonly delayMs: number;
  /** How often the secondary's agent starts anew, or loses its nodes. */
  readonly restartEveryMs: number;
}
const calm: Faults = {
  lose: 0,
  repeat: 0,
  refuse: 0,
  failFetch: 0,
  delayMs: 20,
  restartEveryMs: Number.POSITIVE_INFINITY,
};

/** Uniform in [0, 1). */
const uniform = (random: Prng): number => random.uint32() / 2 ** 32;

class Channel {
  readonly shipper: Shipper;
  receiver = new Receiver();
  /** What the primary's region has durable. */
  logEnd = 0;
  /** Where transactions end; null when every byte is one. Nothing between two is durable anywhere by itself. */
  commits: readonly number[] | null = null;
  /** What the secondary's nodes were handed, what of it they have stored, and what is durable there. */
  stored = 0;
  complete = 0;
  durable = 0;
  resent = 0;
  /** The most that was sent beyond what is stored there. */
  unstoredMost = 0;
  nowMs = 0;
  faults: Faults;
  private readonly random: Prng;
  private due: { readonly atMs: number; readonly act: () => void }[] = [];
  /** The receiver's life and its writer: what belongs to an earlier one comes to nothing. */
  private life = 0;
  private shippedTo = 0;

  constructor(seed: number, faults: Faults, bounds: ShippingBounds = shippingLimits) {
    this.shipper = new Shipper(head, lsn(0), null, bounds);
    this.random = Prng.fromSeed(seed).stream('channel');
    this.faults = faults;
    this.every(50, () => this.ship({ kind: 'tick' }));
    this.every(50, () => this.receive({ kind: 'tick' }));
  }

  runUntil(atMs: number): void {
    for (;;) {
      const next = this.due.at(-1);
      if (next === undefined || next.atMs > atMs) break;
      this.due.pop();
      this.nowMs = next.atMs;
      next.act();
    }
    this.nowMs = atMs;
  }

  every(ms: number, act: () => void): void {
    this.after(ms, () => {
      act();
      this.every(ms, act);
    });
  }

  /** The secondary's agent starts again; whatever was not durable is gone. */
  restart(): void {
    this.receiver = new Receiver();
    this.life += 1;
    this.stored = this.durable;
  }

  private after(ms: number, act: () => void): void {
    const atMs = this.nowMs + ms;
    // Latest first; of two at one time the one asked for first is nearer the end.
    const index = this.due.findLastIndex((other) => other.atMs > atMs);
    this.due.splice(index + 1, 0, { atMs, act });
  }

  private chance(of: number): boolean {
    return uniform(this.random) < of;
  }

  private send(arrive: () => void): void {
    const { lose, repeat, delayMs } = this.faults;
    const copies = this.chance(lose) ? 0 : this.chance(repeat) ? 2 : 1;
    for (let copy = 0; copy < copies; copy++) this.after(1 + uniform(this.random) * delayMs, arrive);
  }

  private ship(event: ShipperEvent): void {
    for (const effect of this.shipper.step(event, this.nowMs)) {
      if (effect.kind === 'fetch') this.after(effect.afterMs, () => this.fetch(effect.from, effect.known));
      else if (effect.kind === 'heartbeat')
        this.publish(effect.start, effect.start, effect.vdl, new Uint8Array(0));
      else if (effect.kind === 'look') this.look(effect.from);
      else if (effect.kind === 'ship') {
        this.unstoredMost = Math.max(this.unstoredMost, effect.next - this.complete);
        if (effect.start < this.shippedTo) this.resent += effect.next - effect.start;
        this.shippedTo = Math.max(this.shippedTo, effect.next);
        const outcome = this.chance(this.faults.refuse) ? 'refused' : 'sent';
        if (outcome === 'sent') this.publish(effect.start, effect.next, effect.vdl, effect.frames);
        this.after(1, () => this.ship({ kind: 'shipped', outcome }));
      }
    }
  }

  /** One commit at the end of the log, or nobody answers. */
  private look(from: Lsn): void {
    this.after(1 + uniform(this.random) * 5, () => {
      const next = this.chance(this.faults.failFetch) ? from : lsn(Math.max(from, this.logEnd));
      const commits = next > from ? [{ lsn: next, commitTimeUs: this.nowMs * 1_000, commits: 1 }] : [];
      this.ship({ kind: 'looked', from, next, commits });
    });
  }

  /** A byte of redo at LSN n is n mod 251: what arrives can be told from what should have. */
  private fetch(from: number, known: number, deadlineMs = this.nowMs + 1_000): void {
    this.after(1 + uniform(this.random) * 5, () => {
      if (this.chance(this.faults.failFetch)) return this.ship({ kind: 'fetchFailed' });
      const next = Math.min(this.logEnd, from + 1 + Math.floor(uniform(this.random) * 400));
      if (next <= from && this.logEnd <= known && this.nowMs < deadlineMs)
        return this.fetch(from, known, deadlineMs);
      const frames = Uint8Array.from(
        { length: Math.max(0, next - from) },
        (_, index) => (from + index) % 251,
      );
      const commits = next > from ? [{ lsn: lsn(next), commitTimeUs: this.nowMs * 1_000, commits: 1 }] : [];
      this.ship({
        kind: 'fetched',
        from: lsn(from),
        next: lsn(Math.max(next, from)),
        vdl: lsn(this.logEnd),
        frames,
        commits,
      });
    });
  }

  private publish(start: number, next: number, vdl: number, frames: Uint8Array): void {
    const message: Shipped = {
      from: primary,
      head,
      forks,
      start: lsn(start),
      next: lsn(next),
      vdl: lsn(vdl),
      sentAtUs: 0,
      echo: null,
      frames,
    };
    this.send(() => this.receive({ kind: 'shipped', message, transitMs: 0 }));
  }

  private receive(event: ReceiverEvent): void {
    const { life } = this;
    for (const effect of this.receiver.step(event, this.nowMs)) {
      if (effect.kind === 'join') {
        this.after(5 + uniform(this.random) * 30, () => {
          if (life !== this.life) return;
          if (this.chance(this.faults.failFetch)) return this.receive({ kind: 'joinFailed', head });
          this.stored = this.durable;
          this.complete = this.durable;
          this.receive({ kind: 'joined', outcome: { head, forks, vdl: lsn(this.durable), tree: forks } });
        });
      } else if (effect.kind === 'ack') {
        const ack: ShipAck = {
          region: secondary,
          ...this.receiver.position,
          gap: effect.gap,
          ackSentAtUs: 0,
        };
        this.send(() => this.ship({ kind: 'acked', ack }));
      } else this.store(effect.start, effect.next, effect.frames, life);
    }
  }

  private store(start: number, next: number, frames: Uint8Array, life: number): void {
    expect(start, 'nothing is skipped').toBeLessThanOrEqual(this.stored);
    expect(next, 'nothing is stored that is there').toBeGreaterThan(this.stored);
    const wanted = Uint8Array.from({ length: next - start }, (_, index) => (start + index) % 251);
    expect(Buffer.compare(frames, wanted)).toBe(0);
    this.stored = next;
    this.after(1 + uniform(this.random) * 10, () => {
      if (life !== this.life || next <= this.complete) return;
      this.complete = next;
      this.durable = this.commits === null ? next : Math.max(0, ...this.commits.filter((at) => at <= next));
      this.receive({ kind: 'durable', vcl: lsn(next), vdl: lsn(this.durable) });
    });
  }
}

function load(channel: Channel, seed: number, untilMs: number): void {
  const random = Prng.fromSeed(seed).stream('load');
  channel.every(10, () => {
    if (channel.nowMs < untilMs && uniform(random) < 0.6)
      channel.logEnd += 1 + Math.floor(uniform(random) * 300);
  });
}

describe('shipper and receiver over a bad channel', { retry: 0 }, () => {
  test('everything arrives exactly once and in order, and the ends are equal', () => {
    for (let seed = 1; seed <= 30; seed++) {
      const random = Prng.fromSeed(seed).stream('faults');
      const faults: Faults = {
        lose: uniform(random) * 0.4,
        repeat: uniform(random) * 0.4,
        refuse: uniform(random) * 0.1,
        failFetch: uniform(random) * 0.2,
        delayMs: 5 + uniform(random) * 150,
        restartEveryMs: 700 + uniform(random) * 3_000,
      };
      const channel = new Channel(seed, faults);
      load(channel, seed, 6_000);
      channel.every(faults.restartEveryMs, () => channel.nowMs < 6_000 && channel.restart());
      channel.runUntil(6_000);
      expect(channel.logEnd).toBeGreaterThan(10_000);
      channel.faults = calm;
      channel.runUntil(12_000);
      expect([seed, channel.durable, channel.receiver.position.vdl]).toEqual([
        seed,
        channel.logEnd,
        channel.logEnd,
      ]);
      expect([seed, channel.shipper.lag(channel.nowMs, channel.nowMs * 1_000)]).toEqual([
        seed,
        { lagBytes: 0, lagMs: 0, lagCommits: 0, lagCommitsExact: true, online: true, vdl: channel.logEnd },
      ]);
    }
  });

  test('without faults nothing is sent twice', () => {
    const channel = new Channel(5, { ...calm, delayMs: 0 });
    load(channel, 5, 3_000);
    channel.runUntil(6_000);
    expect(channel.durable).toBe(channel.logEnd);
    expect(channel.resent).toBe(0);
  });

  test('the loss of any one message is made good within two resend periods', () => {
    for (let nth = 0; nth < 40; nth++) {
      const channel = new Channel(9, calm);
      channel.logEnd = 4_000;
      channel.runUntil(nth * 10);
      channel.faults = { ...calm, lose: 1 };
      channel.runUntil(nth * 10 + 10);
      channel.faults = calm;
      channel.runUntil(nth * 10 + 1_000 + 2 * shippingLimits.resendAfterMs);
      expect([nth, channel.durable]).toEqual([nth, 4_000]);
    }
  });

  test('a secondary cut off for long is offline and its lag rises; back again, it catches up', () => {
    const channel = new Channel(3, calm);
    load(channel, 3, 20_000);
    channel.runUntil(1_000);
    channel.faults = { ...calm, lose: 1 };
    channel.runUntil(6_000);
    const first = channel.shipper.lag(6_000, 6_000_000);
    channel.runUntil(9_000);
    const second = channel.shipper.lag(9_000, 9_000_000);
    expect(first.online).toBe(false);
    expect(first.lagMs).toBeGreaterThan(4_500);
    expect(second.lagMs).toBe((first.lagMs ?? 0) + 3_000);
    channel.faults = calm;
    channel.runUntil(23_000);
    expect(channel.durable).toBe(channel.logEnd);
  });

  test('a transaction many times the window arrives, with the agent there killed in the middle, and R8 holds within it', () => {
    const bounds = { windowBytes: 2_000, messageBytes: 400, queueMs: 200 };
    for (let seed = 1; seed <= 3; seed++) {
      const channel = new Channel(seed, { ...calm, lose: 0.05, repeat: 0.05 }, bounds);
      channel.commits = [300, 30_300, 30_301, 50_000];
      channel.logEnd = 50_000;
      channel.runUntil(2_000);
      expect(channel.durable).toBe(300);
      expect(channel.complete).toBeGreaterThan(2 * bounds.windowBytes);
      channel.restart();
      channel.runUntil(60_000);
      expect([seed, channel.durable]).toEqual([seed, 50_000]);
      if (seed === 1) expect(channel.unstoredMost).toBeGreaterThan(bounds.windowBytes / 2);
    }
  });
});
