import { describe, expect, it } from 'vitest';
import type { Address } from '../deployment/topology.ts';
import { makeTopology, networkOptions } from '../testing.ts';
import { ControlBucket, type ControlEvent } from './control-bucket.ts';

const regions = ['us-east-1', 'eu-west-1', 'ap-northeast-1'];

const setUp = (seed: number) => {
  const topology = makeTopology(seed);
  const { world } = topology;
  const bucket = new ControlBucket<string>(topology, regions, {
    network: networkOptions,
    electionUs: { min: 4_000_000, max: 9_000_000 },
    reviewUs: 250_000,
  });
  const join = (address: Address) => {
    const events: ControlEvent<string>[] = [];
    const client = bucket.connect(address, 'control', {
      isFrozen: () => false,
      inProcess: (_what, run) => run(),
      onEvent: (event) => events.push(event),
    });
    return { client, events };
  };
  const left = join('us-east-1/agent');
  const right = join('eu-west-1/agent');
  world.runFor(1_000_000);
  return { topology, world, bucket, left, right };
};

const answer = (events: readonly ControlEvent<string>[], token: string) =>
  events.find((event) => 'token' in event && event.token === token);

describe('control bucket', () => {
  it('lets one of two rivals win, and tells the other the sequence', () => {
    for (let seed = 0; seed < 10; seed += 1) {
      const { world, bucket, left, right } = setUp(seed);
      left.client.update('control', 'left', 0, 'l');
      right.client.update('control', 'right', 0, 'r');
      world.runFor(2_000_000);
      const kinds = [answer(left.events, 'l')?.kind, answer(right.events, 'r')?.kind].sort();
      expect(kinds).toEqual(['updated', 'wrong-sequence']);
      expect(bucket.read('control')?.sequence).toBe(1);
    }
  });

  it('answers a repeated write as it did the first, so that a doubt can be settled', () => {
    const { world, bucket, left } = setUp(3);
    bucket.bootstrap('control', 'a');
    for (const token of ['first', 'again']) {
      left.client.update('control', 'b', 1, token);
      world.runFor(1_000_000);
    }
    left.client.update('control', 'c', 2, 'next');
    world.runFor(1_000_000);
    left.client.update('control', 'b', 1, 'much later');
    left.client.update('control', 'other', 1, 'refused');
    world.runFor(1_000_000);
    for (const token of ['first', 'again', 'much later']) {
      expect(answer(left.events, token)).toEqual({ kind: 'updated', token, sequence: 2 });
    }
    expect(answer(left.events, 'refused')).toEqual({ kind: 'wrong-sequence', token: 'refused', sequence: 3 });
  });

  it('shows changes to every region, newest last', () => {
    const { world, left, right } = setUp(1);
    left.client.update('control', 'a', 0, '1');
    world.runFor(1_000_000);
    left.client.update('control', 'b', 1, '2');
    world.runFor(1_000_000);
    const seen = right.events.flatMap((event) => (event.kind === 'changed' ? [event.entry.value] : []));
    expect(seen).toEqual(['a', 'b']);
    right.client.get('control', 'g');
    world.runFor(1_000_000);
    expect(answer(right.events, 'g')).toMatchObject({ entry: { value: 'b', sequence: 2 } });
  });

  it('writes nothing without a majority, elects another leader, and shows an isolated region the past', () => {
    const { topology, world, bucket, left, right } = setUp(2);
    left.client.update('control', 'a', 0, '1');
    world.runFor(1_000_000);
    topology.isolate('us-east-1');
    left.client.update('control', 'cut off', 1, '2');
    world.runFor(12_000_000);
    expect(answer(left.events, '2')?.kind).not.toBe('updated');
    expect(bucket.leaderRegion).not.toBe('us-east-1');
    right.client.update('control', 'b', bucket.read('control')?.sequence ?? 0, '3');
    world.runFor(1_000_000);
    expect(answer(right.events, '3')?.kind).toBe('updated');
    left.client.get('control', 'stale');
    world.runFor(1_000_000);
    expect(answer(left.events, 'stale')).toMatchObject({ entry: { value: 'a' } });
    topology.heal();
    world.runFor(3_000_000);
    left.client.get('control', 'fresh');
    world.runFor(1_000_000);
    expect(answer(left.events, 'fresh')).toMatchObject({ entry: { value: 'b' } });
  });

  it('leaves the outcome open when the leader dies under a write: done or not done, never answered', () => {
    const outcomes = new Set<string>();
    for (let seed = 0; seed < 40; seed += 1) {
      const { world, bucket, left } = setUp(seed);
      left.client.update('control', 'x', 0, 'open');
      world.runUntil(
        () => world.trace.tail().some((line) => line.includes('control us-east-1/agent#control>')),
        world.nowUs + 400,
      );
      world.runFor(5_000);
      bucket.crashServer('us-east-1');
      world.runFor(1_000_000);
      expect(answer(left.events, 'open')).toBeUndefined();
      outcomes.add(bucket.read('control') === undefined ? 'not done' : 'done');
    }
    expect(outcomes).toEqual(new Set(['done', 'not done']));
  });
});
