/** What the console's page decides without a browser: the feed, curves, and the words for both. */
import { describe, expect, it } from 'vitest';
import type { LiveEvent } from '../../../gateway/console/page/core/api-types.ts';
import { Curves } from '../../../gateway/console/page/core/curves.ts';
import { takeEvents } from '../../../gateway/console/page/core/event-stream.ts';
import {
  type Feed,
  nextFeed,
  noFeed,
  staleAfterMs,
  staleForMs,
} from '../../../gateway/console/page/core/feed.ts';
import {
  bytes,
  clock,
  day,
  duration,
  figure,
  loss,
  some,
} from '../../../gateway/console/page/core/format.ts';
import { happenings } from '../../../gateway/console/page/core/happenings.ts';
import { quantile, WriteWindow } from '../../../gateway/console/page/core/write-rates.ts';
import { latencyBoundsMs, WriteLoad } from '../../../gateway/observe/core/write-load.ts';
import { event, region } from './live-events.ts';

describe('the event stream', () => {
  it('gives each event once, however the bytes are cut', () => {
    const text = 'data: {"a":1}\n\n: a comment\n\ndata: {"b":\ndata: 2}\n\ndata: {"c"';
    for (let at = 0; at <= text.length; at += 1) {
      const first = takeEvents('', text.slice(0, at));
      const second = takeEvents(first.rest, text.slice(at));
      expect([...first.data, ...second.data]).toEqual(['{"a":1}', '{"b":\n2}']);
      expect(second.rest).toBe('data: {"c"');
    }
  });

  it('gives up a stream whose event has no end', () => {
    expect(() => takeEvents('', `data: ${'x'.repeat(5 * 1024 * 1024)}`)).toThrow('no end');
  });
});

describe('the feed', () => {
  const heard = (nowMs: number): Feed => nextFeed(noFeed, { kind: 'event', event: event(), nowMs });

  it('G46: says for how long nothing was heard, whether the link knows of it or not', () => {
    const feed = heard(1_000);
    expect(staleForMs(feed, 1_000 + staleAfterMs)).toBeNull();
    expect(staleForMs(feed, 1_001 + staleAfterMs)).toBe(staleAfterMs + 1);
    const lost = nextFeed(feed, { kind: 'lost', reason: 'The gateway does not answer.' });
    expect(lost).toMatchObject({ event: event(), link: { kind: 'lost' } });
    expect(staleForMs(lost, 9_000)).toBe(8_000);
    expect(nextFeed(lost, { kind: 'connecting' }).link.kind).toBe('lost');
    expect(staleForMs(nextFeed(lost, { kind: 'event', event: event(), nowMs: 9_000 }), 9_100)).toBeNull();
  });

  it('keeps nothing of what it was told before it was refused', () => {
    const refused = nextFeed(heard(0), { kind: 'refused', reason: 'No token was sent' });
    expect(refused).toMatchObject({ event: null, link: { kind: 'refused', reason: 'No token was sent' } });
    expect(staleForMs(refused, 99_000)).toBeNull();
  });
});

describe('rates of a writer', () => {
  const totals = (commits: number, latency: readonly number[], pid = 1): LiveEvent['writes'] => ({
    commits,
    unknown: 0,
    redoBytes: commits * 100,
    latency: [...latency],
    gateway: 'us-east-1/g1',
    pid,
    boundsMs: [1, 2, 4],
    ageMs: 50,
  });

  it('are differences of its totals over a second, and none after another process began', () => {
    const window = new WriteWindow();
    expect(window.add({ atMs: 1_000, writes: totals(500, [500, 0, 0, 0]) })).toBeNull();
    for (let at = 1; at <= 10; at += 1)
      window.add({ atMs: 1_000 + at * 200, writes: totals(500 + at * 20, [500, at * 20, 0, 0]) });
    const rates = window.add({ atMs: 3_200, writes: totals(720, [500, 220, 0, 0]) });
    expect(rates).toMatchObject({ commits: 100, redoBytes: 10_000, p50Ms: 1.5 });
    expect(rates?.p99Ms).toBeCloseTo(1.99);
    expect(window.add({ atMs: 3_400, writes: totals(3, [3, 0, 0, 0], 2) })).toBeNull();
  });

  it('are not known while nobody writes or the writer is silent', () => {
    const window = new WriteWindow();
    window.add({ atMs: 0, writes: totals(0, [0, 0, 0, 0]) });
    expect(window.add({ atMs: 1_000, writes: totals(9, [9, 0, 0, 0]) })?.commits).toBe(9);
    expect(
      window.add({
        atMs: 3_000,
        writes: { ...totals(9, [9, 0, 0, 0]), ageMs: 2_000 } as LiveEvent['writes'],
      }),
    ).toBeNull();
    expect(window.add({ atMs: 3_200, writes: null })).toBeNull();
  });

  it('a quantile lies within its bucket, and beyond the last bound at that bound', () => {
    expect(quantile([0, 0, 0], [1, 2], 0.5)).toBeNull();
    expect(quantile([10, 10, 0], [1, 2], 0.75)).toBe(1.5);
    expect(quantile([0, 0, 4], [1, 2], 0.99)).toBe(2);
  });

  it('the gateway counts each commit in the bucket of its time', () => {
    const load = new WriteLoad();
    for (const ms of [-3, 0.5, 0.6, 12, 1e9]) load.durable(ms);
    load.committed(70);
    load.unknown(2);
    const { latency, ...rest } = load.totals;
    expect(rest).toEqual({ commits: 5, unknown: 2, redoBytes: 70 });
    expect(latency).toHaveLength(latencyBoundsMs.length + 1);
    expect([latency[0], latency[1], latency.at(-1)]).toEqual([2, 1, 1]);
    const at = latencyBoundsMs.findIndex((bound) => bound >= 12);
    expect(latency[at]).toBe(1);
  });
});

describe('curves', () => {
  const lags = (curves: Curves) => curves.lag.get('eu-west-1');

  it('have a column for every region, and no line for the one that is primary', () => {
    const curves = new Curves();
    curves.add(event({ atMs: 1_000 }));
    curves.add(event({ atMs: 1_200, status: { primary: 'eu-west-1' } }));
    expect(lags(curves)).toEqual([12, null]);
    expect(curves.lag.get('us-east-1')).toEqual([null, 0]);
  });

  it('G46: are broken where nothing was heard, and begin anew when the clock was set back', () => {
    const curves = new Curves();
    for (const atMs of [10_000, 10_200, 14_000]) curves.add(event({ atMs }));
    expect(curves.seconds.map((at) => Math.round(at * 1_000))).toEqual([10_000, 10_200, 10_201, 14_000]);
    expect(lags(curves)).toEqual([12, 12, null, 12]);
    curves.add(event({ atMs: 2_000 }));
    expect(curves.seconds).toEqual([2]);
    expect(lags(curves)).toEqual([12]);
  });

  it('keep five minutes', () => {
    const curves = new Curves();
    for (let atMs = 0; atMs <= 400_000; atMs += 1_000) curves.add(event({ atMs }));
    expect(curves.seconds[0]).toBe(100);
    expect(lags(curves)).toHaveLength(curves.seconds.length);
    expect(curves.commits).toHaveLength(curves.seconds.length);
  });
});

describe('what has happened', () => {
  it('is told of a primary that moves, a region that falls silent and a node that dies', () => {
    const before = event();
    expect(happenings(null, before)).toEqual([]);
    expect(happenings(before, before)).toEqual([]);
    const [us, eu] = [region('us-east-1'), region('eu-west-1')];
    const [dead, ...others] = us.nodes;
    if (dead === undefined) throw new Error('a region has nodes');
    const after = event({
      status: {
        primary: 'eu-west-1',
        epoch: 4,
        regions: [
          { ...us, nodes: [{ ...dead, state: 'down' }, ...others] },
          { ...eu, role: 'offline' },
        ],
      },
      lossEpochs: [3],
    });
    expect(happenings(before, after).map(({ words }) => words)).toEqual([
      'eu-west-1 is primary in epoch 4',
      'us-east-1/n1 is down',
      'eu-west-1 is not heard any more',
      'writes of epoch 3 are known to be lost',
    ]);
  });

  it('says nothing of the nodes of a region that is not heard', () => {
    const us = region('us-east-1');
    const silent = {
      ...us,
      role: 'offline' as const,
      nodes: us.nodes.map((node) => ({ ...node, state: 'down' as const })),
    };
    const after = event({ status: { regions: [silent, region('eu-west-1')] } });
    expect(happenings(event(), after).map(({ words }) => words)).toEqual(['us-east-1 is not heard any more']);
  });
});

describe('numbers as people read them', () => {
  it.each([
    [null, '–'],
    [0, '0 ms'],
    [0.42, '0.4 ms'],
    [9.96, '10 ms'],
    [12.4, '12 ms'],
    [999.4, '999 ms'],
    [1_250, '1.25 s'],
    [59_960, '60 s'],
    [61_000, '1 min 1 s'],
    [7_500_000, '2 h 5 min'],
  ])('%s ms is %s', (ms, words) => expect(duration(ms)).toBe(words));

  it('bytes, rates, counts, losses and times', () => {
    expect([bytes(0), bytes(1_536), bytes(200 * 1_024 ** 2), bytes(null)]).toEqual([
      '0 B',
      '1.5 KiB',
      '200 MiB',
      '–',
    ]);
    expect([figure(1_234.5), figure(12.34), figure(0.123), figure(null)]).toEqual([
      '1,235',
      '12.3',
      '0.12',
      '–',
    ]);
    expect([some(1, 'commit'), some(2, 'commit')]).toEqual(['1 commit', '2 commits']);
    expect(loss({ commits: 0, commitsExact: false, bytes: 0, ms: 0 })).toBe('0 commits');
    expect(loss({ commits: 4, commitsExact: false, bytes: 2_048, ms: 30 })).toBe(
      'at least 4 commits (2 KiB, 30 ms)',
    );
    expect(loss({ commits: null, commitsExact: false, bytes: null, ms: null })).toBe('not known');
    expect([clock(0, 'UTC'), day(0, 'UTC')]).toEqual(['00:00:00', '1970-01-01 00:00:00']);
  });
});
