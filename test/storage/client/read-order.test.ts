import { describe, expect, it } from 'vitest';
import { ReadOrder, readOrderLimits } from '../../../storage/client/core/read-order.ts';
import { lsn, nodeId } from '../../../storage/redo/ids.ts';

const [n1, n2, n3] = [nodeId('n1'), nodeId('n2'), nodeId('n3')];
const nodes = [
  { node: n1, az: 'az1' },
  { node: n2, az: 'az2' },
  { node: n3, az: 'az2' },
];

describe('the order in which nodes are asked for pages', () => {
  it('begins with the zone of the reader', () => {
    expect(new ReadOrder(nodes, 'az2').ranked(lsn(9), 0)).toEqual([n2, n3, n1]);
    expect(new ReadOrder(nodes, null).ranked(lsn(9), 0)).toEqual([n1, n2, n3]);
  });

  it('puts a node last that was behind the read point, for such reads and for a while', () => {
    const order = new ReadOrder(nodes, null);
    order.refused(n1, lsn(9), 0);
    expect(order.ranked(lsn(9), 10)).toEqual([n2, n3, n1]);
    expect(order.ranked(lsn(8), 10)).toEqual([n1, n2, n3]);
    expect(order.ranked(lsn(9), readOrderLimits.behindMs)).toEqual([n1, n2, n3]);
  });

  it('puts those first that answered fast, and forgets slowly who was slow', () => {
    const order = new ReadOrder(nodes, null);
    order.overtaken(n1, 20);
    order.silent(n2);
    expect(order.ranked(lsn(9), 0)).toEqual([n3, n2, n1]);
    for (let reads = 0; reads < 1_000; reads += 1) order.served(n3, 2, 1);
    expect(order.ranked(lsn(9), 0)).toEqual([n1, n2, n3]);
  });

  it('asks a second node when nearly all reads are over, within bounds', () => {
    const order = new ReadOrder(nodes, null);
    expect(order.hedgeMs(1)).toBe(readOrderLimits.hedgeMinMs);
    for (let read = 0; read < readOrderLimits.samples; read += 1) order.served(n1, read < 64 ? 1 : 30, 1);
    expect(order.hedgeMs(1)).toBe(30);
    for (let read = 0; read < readOrderLimits.samples; read += 1) order.served(n1, 9_000, 1);
    expect(order.hedgeMs(1)).toBe(readOrderLimits.hedgeMaxMs);
  });

  it('gives a read of many pages more time, and does not think less of who served it', () => {
    const order = new ReadOrder(nodes, null);
    expect(order.hedgeMs(16)).toBe(readOrderLimits.hedgeMinMs);
    const untried = order.hedgeMs(256);
    expect(untried).toBeGreaterThan(20 * readOrderLimits.hedgeMinMs);
    for (let read = 0; read < readOrderLimits.samples; read += 1) order.served(n1, 16, 256);
    expect(order.hedgeMs(256)).toBe(untried);
    expect(order.ranked(lsn(9), 0)).toEqual([n1, n2, n3]);
    for (let read = 0; read < readOrderLimits.samples; read += 1) order.served(n1, 200, 256);
    expect(order.hedgeMs(256)).toBe(200);
    expect(order.hedgeMs(1)).toBe(readOrderLimits.hedgeMinMs);
  });

  it('has large reads begin with one node after another, and never with one that is slow or behind', () => {
    const order = new ReadOrder(nodes, null);
    const first = (turn: number) => order.ranked(lsn(9), 0, turn)[0];
    expect([0, 1, 2, 3].map(first)).toEqual([n1, n2, n3, n1]);
    order.overtaken(n2, 500);
    expect([0, 1, 2, 3].map(first)).toEqual([n1, n3, n1, n3]);
    order.refused(n1, lsn(9), 0);
    expect([0, 1, 2, 3].map(first)).toEqual([n3, n3, n3, n3]);
    expect(order.ranked(lsn(9), 0, 1)).toEqual([n3, n2, n1]);
  });
});
