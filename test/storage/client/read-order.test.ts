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
    for (let reads = 0; reads < 1_000; reads += 1) order.served(n3, 2);
    expect(order.ranked(lsn(9), 0)).toEqual([n1, n2, n3]);
  });

  it('asks a second node when nearly all reads are over, within bounds', () => {
    const order = new ReadOrder(nodes, null);
    expect(order.hedgeMs).toBe(readOrderLimits.hedgeMinMs);
    for (let read = 0; read < readOrderLimits.samples; read += 1) order.served(n1, read < 64 ? 1 : 30);
    expect(order.hedgeMs).toBe(30);
    for (let read = 0; read < readOrderLimits.samples; read += 1) order.served(n1, 9_000);
    expect(order.hedgeMs).toBe(readOrderLimits.hedgeMaxMs);
  });
});
