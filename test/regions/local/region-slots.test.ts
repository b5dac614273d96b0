import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { natsTopology } from '../../../regions/deploy/core/nats-topology.ts';
import {
  gatewayDirectories,
  gatewayNamesIn,
  gatewayOffsets,
  localGatewaysMax,
  processOf,
} from '../../../regions/local/layout/core/gateway-places.ts';
import {
  type Placed,
  slotOf,
  withGateway,
  withoutRegion,
  withRegion,
} from '../../../regions/local/layout/core/region-slots.ts';

const own = { ownServers: true };
const added = (placed: Placed, region: string, headless = false): Placed => {
  const placing = withRegion(placed, region, { ...own, headless });
  if (placing.kind === 'refused') throw new Error(placing.reason);
  return placing.placed;
};
const withOneMore = (placed: Placed, region: string): Placed => {
  const placing = withGateway(placed, region);
  if (placing.kind === 'refused') throw new Error(placing.reason);
  return placing.placed;
};
const slotsOf = (placed: Placed) =>
  Object.fromEntries(placed.regions.map((region) => [region, slotOf(placed, region)]));

describe('slots of a local deployment', () => {
  test('a third region takes the next slot, and the witness of two goes on voting (R57)', () => {
    const three = added({ regions: ['a', 'b'] }, 'c');
    expect(three).toMatchObject({ regions: ['a', 'b', 'c'], voters: ['a', 'b', 'witness'] });
    expect(slotsOf(three)).toEqual({ a: 0, b: 1, c: 2 });
    expect(slotOf(three, 'witness')).toBe(6);
  });

  test('a fourth region names no voters: they are those that any four have', () => {
    expect(added({ regions: ['a', 'b', 'c'] }, 'd').voters).toBeUndefined();
  });

  test('a region that voted leaves its slot to the server of its name, and gets it back', () => {
    const two = withoutRegion<Placed>({ regions: ['a', 'b', 'c'] }, 'b', own);
    expect(two).toMatchObject({ regions: ['a', 'c'], voters: ['a', 'b', 'c'] });
    expect([slotOf(two, 'b'), ...Object.values(slotsOf(two))]).toEqual([1, 0, 2]);
    expect(slotOf(added(two, 'd'), 'd')).toBe(3);
    const back = added(two, 'b');
    expect(slotsOf(back)).toEqual({ a: 0, c: 2, b: 1 });
    expect(natsTopology(back.regions, back.voters).servers).toHaveLength(3);
  });

  test('a region that did not vote frees its slot', () => {
    const four = added({ regions: ['a', 'b', 'c'] }, 'd');
    const three = withoutRegion(four, 'd', own);
    expect(natsTopology(three.regions, three.voters).servers).toEqual(['a', 'b', 'c']);
    expect(slotOf(added(three, 'e'), 'e')).toBe(3);
  });

  test('nobody votes here where the servers are somebody else’s', () => {
    const two = withoutRegion<Placed>({ regions: ['a', 'b', 'c'] }, 'b', { ownServers: false });
    expect(two.voters).toBeUndefined();
    const one = withRegion<Placed>({ regions: ['a'] }, 'b', { ownServers: false, headless: false });
    expect(one.kind).toBe('placed');
  });

  test('a region without a gateway is remembered as such until it gets one, or goes', () => {
    const three = added({ regions: ['a', 'b'] }, 'c', true);
    expect(gatewayNamesIn(three, 'c')).toEqual([]);
    expect(gatewayNamesIn(withOneMore(three, 'c'), 'c')).toEqual(['g1']);
    expect(gatewayNamesIn(withoutRegion(three, 'c', own), 'c')).toEqual(['g1']);
  });

  test('a region gets gateways until its ports are all taken, and the others keep theirs', () => {
    let placed: Placed = { regions: ['a', 'b'], gateways: { a: 2 } };
    expect(gatewayNamesIn(placed, 'a')).toEqual(['g1', 'g2']);
    for (let count = 2; count < localGatewaysMax; count++) placed = withOneMore(placed, 'a');
    expect(gatewayNamesIn(placed, 'a')).toHaveLength(localGatewaysMax);
    expect(gatewayNamesIn(placed, 'b')).toEqual(['g1']);
    expect(withGateway(placed, 'a')).toMatchObject({
      kind: 'refused',
      reason: expect.stringContaining('a has 5 gateways already'),
    });
  });

  test('a region that was headless for an older version is, until it gets a gateway', () => {
    const old: Placed = { regions: ['a', 'b'], headless: ['b'] };
    expect(gatewayNamesIn(old, 'b')).toEqual([]);
    const now = withOneMore(old, 'b');
    expect(gatewayNamesIn(now, 'b')).toEqual(['g1']);
    expect(now.headless).toEqual([]);
  });

  test('no two gateways share a port, and none has that of anything else', () => {
    expect(gatewayOffsets).toEqual([11, 14, 15, 16, 17]);
    expect(new Set(gatewayDirectories).size).toBe(localGatewaysMax);
  });

  test.each([
    ['us-east-1/g1', 'us-east-1/gateway'],
    ['us-east-1/g2', 'us-east-1/g2'],
    ['us-east-1/n1', 'us-east-1/n1'],
    ['us-east-1', 'us-east-1'],
  ])('%s is the process %s', (said, process) => expect(processOf(said)).toBe(process));

  test.each([
    ['a seventh', { regions: ['a', 'b', 'c', 'd', 'e', 'f'] }, 'g', /6 regions already/],
    ['one beside a server that stands alone', { regions: ['a'] }, 'b', /lies on the one NATS server of a/],
    ['one of the name of the third vote', { regions: ['a', 'b'] }, 'witness', /the third vote/],
  ] as const)('%s is refused with the reason', (_, placed, region, reason) => {
    expect(withRegion<Placed>(placed, region, { ...own, headless: false })).toMatchObject({
      kind: 'refused',
      reason: expect.stringMatching(reason),
    });
  });

  test('whatever comes and goes, the voters stay, no two servers share a slot, and nobody moves', () => {
    const names = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'];
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.boolean(), fc.constantFrom(...names)), { maxLength: 40 }), (steps) => {
        let placed: Placed = { regions: ['a', 'b', 'c'] };
        for (const [comes, region] of steps) {
          const before = placed;
          if (comes) {
            const placing = withRegion(placed, region, { ...own, headless: false });
            if (placing.kind === 'placed') placed = placing.placed;
          } else if (placed.regions.includes(region) && placed.regions.length > 1)
            placed = withoutRegion(placed, region, own);
          const { servers, voters } = natsTopology(placed.regions, placed.voters);
          expect(voters).toEqual(['a', 'b', 'c']);
          const slots = servers.map((server) => slotOf(placed, server));
          expect(new Set(slots).size).toBe(servers.length);
          expect(slots.every((slot) => slot >= 0 && slot < 6)).toBe(true);
          for (const server of natsTopology(before.regions, before.voters).servers)
            if (servers.includes(server)) expect(slotOf(placed, server)).toBe(slotOf(before, server));
        }
      }),
      { numRuns: 200 },
    );
  });
});
