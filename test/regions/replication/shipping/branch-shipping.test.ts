import { expect, test } from 'vitest';
import { encodeAck } from '../../../../regions/bus/core/messages.ts';
import { BranchReceiving, branchReceivingLimits } from '../../../../regions/replication/branch-receiving.ts';
import { BranchShipping, type ShippedBranch } from '../../../../regions/replication/branch-shipping.ts';
import { type BranchPlace, branchLaneLimits } from '../../../../regions/replication/core/branch-lanes.ts';
import type { ShippingBounds } from '../../../../regions/replication/core/shipping-limits.ts';
import type { Receiving } from '../../../../regions/replication/receiving.ts';
import { SharedOutlets } from '../../../../regions/replication/shared-outlets.ts';
import type { Shipping } from '../../../../regions/replication/shipping.ts';
import { machine } from '../../../../storage/process/runtime.ts';
import { branchName, epoch, lsn, type RegionId, regionId } from '../../../../storage/redo/ids.ts';
import { silent } from '../../../storage/region-harness.ts';

const [eu, ap] = [regionId('eu-west-1'), regionId('ap-northeast-1')];
const [dev, stage] = [branchName('dev'), branchName('stage')];

/** A branch with a reign; `there` is up to where each region has it, null where one does not have the fork. */
function branch(
  name: typeof dev,
  head: number,
  vdl: number,
  there: Readonly<Record<string, number | null>>,
): ShippedBranch {
  const others = Object.entries(there).map(([region, at]): [RegionId, BranchPlace | null] => [
    regionId(region),
    at === null ? null : { head: epoch(head), vdl: lsn(at) },
  ]);
  const reign = { head: epoch(head), forks: [], vdl: lsn(vdl) };
  return { name, origin: epoch(1), reign, others: new Map(others) };
}

/** Branches shipped by lanes that only note what they are told. */
function shipping() {
  const notes: string[] = [];
  const bounds = new Map<string, ShippingBounds>();
  let nowMs = 0;
  const run = new BranchShipping({
    connect: () => ({ maxPayloadBytes: 1_048_576, publish: () => 'sent', close: async () => undefined }),
    bounds: { windowBytes: 8_000, messageBytes: 1_000, queueMs: 200 },
    ship: (lanes, reign) => {
      const id = `${lanes.branch}@${reign.head}`;
      notes.push(`${id} ships to ${lanes.secondaries.join(' ')}`);
      if (lanes.bounds !== undefined) bounds.set(id, lanes.bounds);
      const fake: Pick<Shipping, 'shipTo' | 'durable' | 'acked' | 'lag' | 'close'> = {
        shipTo: (to) => void notes.push(`${id} goes on to ${to.join(' ')}`),
        durable: () => undefined,
        acked: () => void notes.push(`${id} hears`),
        lag: () => [],
        close: async () => void notes.push(`${id} ends`),
      };
      return fake as Shipping;
    },
    runtime: { ...machine, nowMs: () => nowMs },
    log: silent,
  });
  const told = (): string[] => notes.splice(0);
  const later = (ms: number): void => {
    nowMs += ms;
  };
  return { run, told, bounds, later };
}

test('a branch is shipped while something of it is missing or written, by its newest reign, until it is deleted', () => {
  const { run, told, later } = shipping();
  run.look([branch(dev, 3, 100, { [eu]: 50, [ap]: null })]);
  expect(told()).toEqual(['dev@3 ships to eu-west-1']);
  run.look([branch(dev, 3, 100, { [eu]: 100, [ap]: 0 })]);
  expect(told()).toEqual(['dev@3 goes on to eu-west-1 ap-northeast-1']);
  run.look([branch(dev, 4, 100, { [eu]: 100, [ap]: 100 })]);
  expect(told()).toEqual(['dev@3 ends', 'dev@4 ships to eu-west-1 ap-northeast-1']);
  later(branchLaneLimits.idleMs);
  run.look([branch(dev, 4, 100, { [eu]: 100, [ap]: 100 })]);
  expect(told()).toEqual(['dev@4 ends']);
  run.look([branch(dev, 4, 120, { [eu]: 100, [ap]: 100 })]);
  expect(told()).toEqual(['dev@4 ships to eu-west-1 ap-northeast-1']);
  run.look([]);
  expect(told()).toEqual(['dev@4 ends']);
});

test('an acknowledgement goes to the branch whose path it names, and to none for any other path', () => {
  const { run, told } = shipping();
  const ack = (head: number) =>
    run.acked(
      encodeAck({
        region: eu,
        head: epoch(head),
        received: lsn(1),
        vcl: lsn(1),
        vdl: lsn(1),
        gap: false,
        ackSentAtUs: 1,
      }),
    );
  expect(ack(3)).toBe(false);
  run.look([branch(dev, 3, 100, { [eu]: 50 }), branch(stage, 6, 100, { [eu]: 50 })]);
  told();
  expect([ack(6), ack(3), ack(2)]).toEqual([true, true, false]);
  expect(told()).toEqual(['stage@6 hears', 'dev@3 hears']);
});

test('branches to one region share its window, and one that is away takes no part of it', () => {
  const { run, bounds } = shipping();
  run.look([branch(dev, 3, 100, { [eu]: 50 })]);
  expect(bounds.get('dev@3')?.windowBytes).toBe(8_000);
  run.look([branch(dev, 3, 100, { [eu]: 50 }), branch(stage, 6, 100, { [eu]: 50 })]);
  expect(bounds.get('dev@3')?.windowBytes).toBe(4_000);
  expect(bounds.get('stage@6')?.windowBytes).toBe(4_000);
  run.look([branch(dev, 3, 100, { [eu]: 50 })]);
  expect(bounds.get('dev@3')?.windowBytes).toBe(8_000);
});

test('the lag of a branch without a lane is what its region last said', () => {
  const { run } = shipping();
  const one = branch(dev, 3, 100, { [eu]: 100, [ap]: 40, sa: null });
  expect(run.lag(one)).toEqual([
    { region: eu, lagBytes: 0, lagMs: 0 },
    { region: ap, lagBytes: 60, lagMs: null },
  ]);
});

test('lanes share one connection; one that begins anew gets another, and the old one is closed by its last user', async () => {
  const events: string[] = [];
  let opened = 0;
  const outlets = new SharedOutlets((purpose) => {
    const id = `${purpose}#${++opened}`;
    events.push(`open ${id}`);
    return {
      maxPayloadBytes: 1_048_576,
      publish: () => 'sent',
      close: async () => void events.push(`close ${id}`),
    };
  });
  const [first, second] = [outlets.take('eu'), outlets.take('eu')];
  expect(events).toEqual(['open eu#1']);
  await first.close();
  await first.close();
  const anew = outlets.take('eu');
  expect(events).toEqual(['open eu#1', 'open eu#2']);
  await second.close();
  expect(events).toEqual(['open eu#1', 'open eu#2', 'close eu#1']);
  await anew.close();
  expect(events.at(-1)).toBe('close eu#2');
});

test('a receiver begins with the first message of a branch that there is, and ends with it or after a silence', () => {
  const notes: string[] = [];
  let nowMs = 0;
  const receiving = new BranchReceiving({
    publish: () => 'sent',
    receive: ({ branch: name, connection }) => {
      notes.push(`${name} begins`);
      connection.subscribe('any', ({ data }) => void notes.push(`${name} hears ${data.length}`));
      const fake: Pick<Receiving, 'following' | 'position' | 'close'> = {
        following: true,
        position: { head: epoch(3), received: lsn(9), vcl: lsn(9), vdl: lsn(9) },
        close: () => void notes.push(`${name} ends`),
      };
      return fake as Receiving;
    },
    runtime: { ...machine, nowMs: () => nowMs },
  });
  receiving.arrived(dev, new Uint8Array(1));
  expect(notes.splice(0)).toEqual([]);
  receiving.keep(new Set([dev, stage]));
  receiving.arrived(dev, new Uint8Array(2));
  receiving.arrived(dev, new Uint8Array(3));
  expect(receiving.position(dev)).toMatchObject({ head: 3, vdl: 9 });
  expect(receiving.position(stage)).toBeNull();
  nowMs = branchReceivingLimits.silentMs;
  receiving.arrived(stage, new Uint8Array(4));
  receiving.keep(new Set([dev, stage]));
  nowMs += 1;
  receiving.keep(new Set([dev, stage]));
  receiving.keep(new Set());
  expect(notes).toEqual([
    'dev begins',
    'dev hears 2',
    'dev hears 3',
    'stage begins',
    'stage hears 4',
    'dev ends',
    'stage ends',
  ]);
});
