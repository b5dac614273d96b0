/** What a failover leaves behind of a branch: it comes back, or it is named; and two regions end with the same. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { LossReport } from '../../../regions/moves/core/loss-report.ts';
import type { RegionId } from '../../../storage/redo/ids.ts';
import { eventually } from '../../storage/region-harness.ts';
import { eu, type LineWriter, TwoRegions, us } from './two-regions.ts';

describe('a failover to a region that has not got all of a branch', { timeout: 60_000 }, () => {
  const two = new TwoRegions();
  let main: LineWriter;
  let dev: LineWriter;

  const lostOn = (region: RegionId, branch: string): readonly LossReport[] =>
    two.lossesOf(region).all.filter((report) => report.branch === branch);

  /** Of which branches a region says that it may know of more. */
  const toLook = async (region: RegionId): Promise<readonly string[]> => {
    const reply = await two.agent(region).serve({ kind: 'losses' });
    return reply.kind === 'losses' ? (reply.branchesToLook ?? []) : ['no answer'];
  };

  const looked = (region: RegionId): Promise<void> =>
    eventually(`${region} has looked at every branch`, async () => (await toLook(region)).length === 0);

  /** Both regions show the same page of a branch, as of its writer's durable point. */
  const expectSame = async ({ epoch, driver }: LineWriter, page = 2): Promise<void> =>
    expect(await two.page(us, epoch, driver.vdl, page)).toBe(await two.page(eu, epoch, driver.vdl, page));

  beforeAll(async () => {
    await two.start();
    main = await two.openMain();
    await two.whole(us);
    await main.write(10);
    await two.create('dev');
    await eventually('eu has the fork', () => two.reported(eu, 'dev') !== undefined);
    dev = await two.reign('dev');
    await dev.write(20, 2);
    await two.level(eu, dev);
  }, 60_000);
  afterAll(() => two.close());

  test('loses nothing of it while nobody writes it: the old region sends the rest when it is back', async () => {
    two.bus.isCut = true;
    await Promise.all([dev.write(50, 2), main.write(5)]);
    main = await two.failover(eu);
    expect(two.reported(eu, 'dev')?.vdl).toBeLessThan(dev.driver.vdl);
    two.bus.isCut = false;
    await two.level(eu, dev);
    await expectSame(dev);
    await looked(us);
    expect(lostOn(us, 'dev')).toEqual([]);
    await eventually('main is named', () => two.lossesOf(us).all.length === 1);
    expect(two.lossesOf(us).all).toMatchObject([{ count: 5, epoch: main.epoch }]);
    expect(two.lossesOf(us).all[0]).not.toHaveProperty('branch');
  });

  test('loses nothing either of a reign that the new primary has never heard of', async () => {
    await two.level(us, main);
    two.bus.isCut = true;
    dev = await two.reign('dev', eu);
    await dev.write(7, 2);
    main = await two.failover(us);
    expect(two.reported(us, 'dev')?.epoch).toBeLessThan(dev.epoch);
    two.bus.isCut = false;
    await two.level(us, dev);
    await expectSame(dev);
    await looked(eu);
    expect(lostOn(eu, 'dev')).toEqual([]);
  });

  test('loses what somebody wrote over, and the old region names every write of it', async () => {
    await two.level(eu, main);
    dev = await two.reign('dev');
    await dev.write(3, 2);
    await two.level(eu, dev);
    two.bus.isCut = true;
    const shared = dev.driver.vdl;
    const old = dev;
    await dev.write(11, 2);
    const end = dev.driver.vdl;
    main = await two.failover(eu);
    dev = await two.reign('dev', eu);
    expect(dev.begunAt).toBe(shared);
    await dev.write(2, 2);
    expect(lostOn(us, 'dev')).toEqual([]);
    two.bus.isCut = false;
    await eventually('us names it', () => lostOn(us, 'dev').length > 0);
    expect(lostOn(us, 'dev')).toMatchObject([
      { count: 11, orphanEpoch: old.epoch, epoch: dev.epoch, fromLsn: shared, toLsn: end, truncated: false },
    ]);
    await two.level(us, dev);
    await expectSame(dev);
    await looked(us);
    await expect(old.write(1)).rejects.toThrow('fenced');
  });

  test('names it also when the agent died before it had looked, and names it once', async () => {
    const before = [...two.lossesOf(us).all];
    two.lossesOf(us).all = before.filter(({ branch }) => branch === undefined);
    await two.stopAgent(us);
    two.startAgent(us);
    await eventually('us names it again', () => lostOn(us, 'dev').length > 0);
    await looked(us);
    await two.stopAgent(us);
    two.startAgent(us);
    await looked(us);
    expect(lostOn(us, 'dev')).toMatchObject(before.filter(({ branch }) => branch === 'dev').map(named));
  });

  test('says of which branches it has not looked, as long as it does not follow their newest reign', async () => {
    const old = dev;
    two.bus.isCut = true;
    dev = await two.reign('dev', eu);
    await dev.write(1, 2);
    expect(dev.epoch).toBeGreaterThan(old.epoch);
    // What us last heard of the primary is older than the reign: it is told with the next report.
    await looked(us);
    two.bus.isCut = false;
    await two.level(us, dev);
    await looked(us);
  });

  test('ends with the newer of two reigns that parted, and the primary names what it held of the older', async () => {
    const shared = dev.driver.vdl;
    two.bus.isCut = true;
    await dev.write(8, 2);
    const older = dev;
    await two.failover(us);
    dev = await two.reign('dev');
    expect(dev.begunAt).toBe(shared);
    await dev.write(3, 2);
    // Back to the region that never heard of that reign, as an operator may have it who gives up what the other one holds.
    main = await two.failover(eu);
    two.bus.isCut = false;
    await two.level(eu, dev);
    await expectSame(dev);
    await eventually('eu names it', () => lostOn(eu, 'dev').length > 0);
    expect(lostOn(eu, 'dev')).toMatchObject([
      { count: 8, orphanEpoch: older.epoch, epoch: dev.epoch, fromLsn: shared, toLsn: older.driver.vdl },
    ]);
    await two.level(us, main);
    await looked(eu);
  });

  test('leaves a branch that left in lost redo where it is: it is written again when that region is the primary', async () => {
    main = await two.failover(us);
    await two.level(eu, main);
    two.bus.isCut = true;
    await main.write(6);
    expect(await two.create('late')).toMatchObject({ kind: 'branch' });
    const late = await two.reign('late');
    await late.write(9, 4);
    const page = await two.page(us, late.epoch, late.driver.vdl, 4);
    main = await two.failover(eu);
    two.bus.isCut = false;
    await two.level(us, main);
    await looked(us);
    expect(two.reported(eu, 'late')).toBeUndefined();
    expect(lostOn(us, 'late')).toEqual([]);
    main = await two.failover(us);
    const again = await two.reign('late');
    expect(again.begunAt).toBe(late.driver.vdl);
    expect(await two.page(us, again.epoch, again.begunAt, 4)).toBe(page);
    await again.write(1, 4);
    main = await two.failover(eu);
    await two.level(us, main);
  });

  test('names nothing of a branch that was deleted, under its name or under another one', async () => {
    two.bus.isCut = true;
    const gone = dev;
    await gone.write(4, 2);
    main = await two.failover(us);
    const named = lostOn(eu, 'dev').length;
    expect(await two.agent(us).serve({ kind: 'delete-branch', name: 'dev' })).toMatchObject({
      kind: 'branch',
    });
    expect(await two.create('dev')).toMatchObject({ kind: 'branch' });
    dev = await two.reign('dev');
    await dev.write(5, 3);
    two.bus.isCut = false;
    await two.level(eu, dev);
    await looked(eu);
    expect(lostOn(eu, 'dev').length).toBe(named);
  });
});

/** What stays the same when a report is made anew. */
function named({ count, orphanEpoch, fromLsn, toLsn, commits }: LossReport) {
  return { count, orphanEpoch, fromLsn, toLsn, commits };
}
