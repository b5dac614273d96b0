/** The feed of consoles: one event for all, at once and then in time, bounded in every direction. */
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { LiveStream } from '../../../gateway/console/live-stream.ts';
import type { EventSink } from '../../../regions/core.ts';

class Sink implements EventSink {
  writableLength = 0;
  status = 0;
  ended = false;
  destroyed = false;
  readonly events: string[] = [];
  private close: () => void = () => undefined;
  writeHead(status: number): void {
    this.status = status;
  }
  write(bytes: Uint8Array): void {
    this.events.push(Buffer.from(bytes).toString());
  }
  end(): void {
    this.ended = true;
    this.close();
  }
  destroy(): void {
    this.destroyed = true;
    this.close();
  }
  on(_: 'close', listener: () => void): void {
    this.close = listener;
  }
}

const never = (): boolean => false;
const gapMs = 50;
const limits = { consoles: 3, consoleEveryMs: 200, consoleGapMs: gapMs, consoleBufferedBytes: 1_000 };

function stream() {
  let made = 0;
  const live = new LiveStream({
    limits,
    event: () => {
      made += 1;
      return `{"n":${made}}`;
    },
  });
  return { live, made: () => made };
}

describe('/v1/live', () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());

  it('tells each reader at once, and then makes one event for all of them', () => {
    const { live, made } = stream();
    const sinks = [new Sink(), new Sink(), new Sink()];
    for (const sink of sinks) live.feed(sink, never);
    expect(sinks.map(({ events }) => events)).toEqual([
      ['data: {"n":1}\n\n'],
      ['data: {"n":2}\n\n'],
      ['data: {"n":3}\n\n'],
    ]);
    vi.advanceTimersByTime(400);
    expect(made()).toBe(5);
    for (const { events, status } of sinks)
      expect([status, events.length, events.at(-1)]).toEqual([200, 3, 'data: {"n":5}\n\n']);
  });

  it('tells at once what pages wait for, or a moment after the last event, and then in time again', () => {
    const { live, made } = stream();
    live.nudge();
    expect(made()).toBe(0);
    const sink = new Sink();
    live.feed(sink, never);
    vi.advanceTimersByTime(100);
    live.nudge();
    live.nudge();
    expect(sink.events).toHaveLength(2);
    vi.advanceTimersByTime(gapMs - 1);
    live.nudge();
    expect(sink.events).toHaveLength(2);
    vi.advanceTimersByTime(1);
    expect(sink.events).toHaveLength(3);
    vi.advanceTimersByTime(199);
    expect(sink.events).toHaveLength(3);
    vi.advanceTimersByTime(1);
    expect(sink.events).toHaveLength(4);
  });

  it('makes none while nobody reads', () => {
    const { live, made } = stream();
    const sink = new Sink();
    live.feed(sink, never);
    sink.destroy();
    vi.advanceTimersByTime(10_000);
    expect([made(), live.size, vi.getTimerCount()]).toEqual([1, 0, 0]);
  });

  it('keeps nobody who has gone before it could begin', () => {
    const { live, made } = stream();
    const gone = new Sink();
    gone.destroyed = true;
    live.feed(gone, never);
    expect([live.size, made(), vi.getTimerCount()]).toEqual([0, 0, 0]);
  });

  it('cuts a reader that takes nothing, and no other', () => {
    const { live } = stream();
    const [slow, quick] = [new Sink(), new Sink()];
    live.feed(slow, never);
    live.feed(quick, never);
    slow.writableLength = limits.consoleBufferedBytes + 1;
    vi.advanceTimersByTime(200);
    expect([slow.destroyed, slow.events.length, quick.destroyed, quick.events.length, live.size]).toEqual([
      true,
      1,
      false,
      2,
      1,
    ]);
  });

  it('ends with the token that it was opened with', () => {
    const { live } = stream();
    const [short, long] = [new Sink(), new Sink()];
    let isOver = false;
    live.feed(short, () => isOver);
    live.feed(long, never);
    vi.advanceTimersByTime(200);
    isOver = true;
    vi.advanceTimersByTime(200);
    expect([short.ended, short.events.length, long.ended, long.events.length, live.size]).toEqual([
      true,
      2,
      false,
      3,
      1,
    ]);
  });

  it('names the limit to the one too many, and ends all when the gateway stops', () => {
    const { live } = stream();
    const sinks = [new Sink(), new Sink(), new Sink()];
    for (const sink of sinks) {
      expect(live.problem()).toBeNull();
      live.feed(sink, never);
    }
    expect(live.problem()).toMatchObject({
      code: 'SEXTANT_LIMIT',
      message: expect.stringContaining('consoles = 3'),
    });
    live.close();
    expect(sinks.every(({ ended }) => ended)).toBe(true);
    expect(live.problem()).toMatchObject({ code: 'SEXTANT_SHUTTING_DOWN' });
    expect(vi.getTimerCount()).toBe(0);
  });
});
