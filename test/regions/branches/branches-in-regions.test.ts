/** Branches of two regions on real storage nodes: made, written, shipped, moved and deleted. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { changeControl } from '../../../regions/control/control-link.ts';
import { allottedIn, branchNamed } from '../../../regions/control/core/branch-list.ts';
import { beginSwitchover, completeMove, release } from '../../../regions/control/core/control-record.ts';
import { type Epoch, epoch, type Lsn, lsn } from '../../../storage/redo/ids.ts';
import { eventually } from '../../storage/region-harness.ts';
import { eu, holder, type LineWriter, TwoRegions, us } from './two-regions.ts';

describe('branches of two regions', { timeout: 60_000 }, () => {
  const two = new TwoRegions();
  let main: LineWriter;
  let dev: LineWriter;
  let forked: { readonly at: Lsn; readonly page: string; readonly origin: Epoch };

  beforeAll(async () => {
    await two.start();
    main = await two.openMain();
    await two.whole(us);
  }, 60_000);
  afterAll(() => two.close());

  test('a branch has all that was acknowledged, is answered when its nodes have it, and main goes on', async () => {
    const at = await main.write(50);
    const reply = await two.create('dev');
    expect(reply).toMatchObject({ kind: 'branch', branch: { name: 'dev', parent: 1, forkLsn: at } });
    const branch = branchNamed(two.store.record, 'dev');
    if (branch === undefined) throw new Error('the record names it');
    forked = { at, page: await two.page(us, main.epoch, at), origin: branch.origin };
    expect(await two.page(us, branch.origin, at)).toBe(forked.page);
    await main.write(50);
    expect(await two.page(us, branch.origin, at)).toBe(forked.page);
    expect(await two.page(us, main.epoch, main.driver.vdl)).not.toBe(forked.page);
  });

  test('every region makes the fork by itself, and a reader there finds what the branch shares', async () => {
    await eventually('eu has the fork', () => two.reported(eu, 'dev')?.vdl === forked.at);
    expect(await two.page(eu, forked.origin, forked.at)).toBe(forked.page);
    // Nobody has written to it: there is nothing to ship.
    expect([...two.bus.shipped.keys()].filter((name) => name.includes('branches'))).toEqual([]);
  });

  test('what is written to a branch arrives in the other region beside what is written to main', async () => {
    dev = await two.reign('dev');
    expect(dev.begunAt).toBe(forked.at);
    await Promise.all([main.write(200), dev.write(200, 2)]);
    await two.level(eu, dev);
    await two.level(eu, main);
    expect(await two.page(eu, dev.epoch, dev.driver.vdl, 2)).toBe(
      await two.page(us, dev.epoch, dev.driver.vdl, 2),
    );
    expect(await two.page(eu, main.epoch, main.driver.vdl, 2)).toBe('none');
    expect(two.bus.shipped.get('ship-branches-eu-west-1')).toBeGreaterThan(0);
    await eventually('the primary knows that eu is level', () => {
      const status = two
        .agent(us)
        .view.branches(performance.now())
        .find(({ name }) => name === 'dev');
      const there = status?.regions.find(({ region }) => region === eu);
      return status?.lsn === dev.driver.vdl && there?.lagBytes === 0 && there.lagMs === 0;
    });
  });

  test('sealing a branch for a new reign fences the old one, and neither main nor another branch', async () => {
    const old = dev;
    const other = await two.create('other', { from: 'dev' });
    expect(other).toMatchObject({ kind: 'branch', branch: { parent: old.epoch, forkLsn: old.driver.vdl } });
    const second = await two.reign('other');
    dev = await two.reign('dev');
    await expect(old.write(1)).rejects.toThrow('fenced');
    await Promise.all([main.write(20), dev.write(20, 2), second.write(20, 3)]);
    await Promise.all([two.level(eu, dev), two.level(eu, second), two.level(eu, main)]);
    expect(await two.page(eu, second.epoch, second.driver.vdl, 2)).not.toBe(
      await two.page(eu, dev.epoch, dev.driver.vdl, 2),
    );
  });

  test('a link that was cut and an agent that was started again cost time and nothing else', async () => {
    two.bus.isCut = true;
    await dev.write(30, 2);
    await two.stopAgent(eu);
    two.startAgent(eu);
    await dev.write(30, 2);
    two.bus.isCut = false;
    await two.level(eu, dev);
    await two.stopAgent(us);
    two.startAgent(us);
    await dev.write(30, 2);
    await two.level(eu, dev);
    expect(await two.page(eu, dev.epoch, dev.driver.vdl, 2)).toBe(
      await two.page(us, dev.epoch, dev.driver.vdl, 2),
    );
  });

  test('a place between two commits is the one before it, and one that cannot be is refused with the limit', async () => {
    await eventually('the agent ships again', () => two.agent(us).survivor().held?.epoch === main.epoch);
    const end = await main.write(1, 5);
    const before = await two.page(us, main.epoch, end, 5);
    const after = await main.write(1, 5);
    expect(await two.create('between', { at: after - 1 })).toMatchObject({ branch: { forkLsn: end } });
    const origin = branchNamed(two.store.record, 'between')?.origin ?? epoch(0);
    expect(await two.page(us, origin, end, 5)).toBe(before);
    expect(await two.create('later', { at: String(after + 1) })).toMatchObject({
      code: 'BEYOND_DURABLE',
      message: expect.stringContaining(`durable up to LSN ${after}`),
    });
    expect(await two.create('dev')).toMatchObject({ code: 'BRANCH_EXISTS' });
    expect(await two.create('x', { from: 'nobody' })).toMatchObject({
      code: 'NO_BRANCH',
      message: 'there is no branch nobody; there are main, dev, other, between',
    });
    expect(await two.create('x', { at: 'yesterday' })).toMatchObject({ code: 'BAD_REQUEST' });
    const elsewhere = { kind: 'create-branch', branch: { name: 'x', from: 'main' } } as const;
    expect(await two.agent(eu).serve(elsewhere)).toMatchObject({ code: 'OTHER_REGION' });
  });

  test('nodes are told which branches there are and from where on each needs the log', async () => {
    const branches = ['dev', 'other', 'between'].map((name) => {
      const branch = branchNamed(two.store.record, name);
      return { head: branch?.epoch, keepFrom: branch?.forkLsn };
    });
    for (const region of [us, eu]) {
      await eventually(`${region} was told`, () => {
        const live = two.retained.get(region)?.branches?.live ?? [];
        return branches.every(({ head }) => live.some((one) => one.head === head));
      });
      const told = two.retained.get(region);
      expect(told?.branches).toEqual({ knownTo: allottedIn(two.store.record), live: branches });
      expect(told?.keepFrom).toBeLessThanOrEqual(forked.at);
    }
  });

  test('one that has come to the nodes since they were asked is told to none of them as deleted', async () => {
    two.outdated.add(eu);
    expect(await two.create('fresh')).toMatchObject({ kind: 'branch' });
    const ofBranch = async (): Promise<number> => {
      const origin = branchNamed(two.store.record, 'fresh')?.origin ?? epoch(0);
      const replies = await two.known(eu);
      return replies.filter(({ forks }) => forks.some(({ epoch: of }) => of === origin)).length;
    };
    await eventually('the nodes of eu have it', async () => (await ofBranch()) === 6);
    await two.toldAnew(eu);
    two.outdated.clear();
    await eventually('eu says that it has it', () => two.reported(eu, 'fresh') !== undefined);
    await two.agent(us).serve({ kind: 'delete-branch', name: 'fresh' });
  });

  test('a branch is made while two nodes are down, and they have it once they are back', async () => {
    const nodes = two.nodes.get(us);
    const down = ['n5', 'n6'].map((id) => nodes?.node(id));
    for (const node of down) await node?.kill();
    expect(await two.create('short')).toMatchObject({ kind: 'branch', branch: { name: 'short' } });
    for (const node of down) await node?.start();
    await eventually('all six have it', () => {
      const told = [...two.agent(us).nodes.branches.values()];
      return told.length === 6 && told.every((list) => list.some(({ branch }) => branch === 'short'));
    });
    await two.agent(us).serve({ kind: 'delete-branch', name: 'short' });
  });

  test('a region without a write quorum makes no branch, and leaves none in the record', async () => {
    const nodes = two.nodes.get(us);
    const down = ['n4', 'n5', 'n6'].map((id) => nodes?.node(id));
    for (const node of down) await node?.kill();
    expect(await two.create('never')).toMatchObject({
      code: 'BRANCH_NOT_MADE',
      message: expect.stringMatching(/four have to|came back empty/),
    });
    expect(branchNamed(two.store.record, 'never')).toBeUndefined();
    for (const node of down) await node?.start();
    await eventually('six nodes answer', () => two.agent(us).nodes.branches.size === 6);
  });

  test('after a move the new primary writes the branch on and ships it back', async () => {
    await two.level(eu, dev);
    const { driver } = dev;
    const moved = await changeControl(two.store, ({ record }) =>
      beginSwitchover(record, { id: 's1', to: eu, startedAtMs: 1 }),
    );
    expect(moved.kind).toBe('changed');
    expect(await two.create('during')).toMatchObject({ code: 'MOVE_IN_PROGRESS' });
    await two.level(eu, main);
    await changeControl(two.store, ({ record }) =>
      release(record, { holder, drainedTo: lsn(main.driver.vdl) }),
    );
    const theirs = { gateway: 'g1', incarnation: 'eu' };
    await changeControl(two.store, ({ record }) =>
      completeMove(record, { id: 's1', region: eu, holder: theirs }),
    );
    const reign = await two.open(main.name, two.store.record.epoch, eu);
    await eventually('eu ships', () => two.agent(eu).isPrimary);
    const again = await two.reign('dev', eu);
    expect(again.begunAt).toBe(driver.vdl);
    await Promise.all([reign.write(10), again.write(10, 2)]);
    await two.level(us, again);
    expect(await two.page(us, again.epoch, again.driver.vdl, 2)).toBe(
      await two.page(eu, again.epoch, again.driver.vdl, 2),
    );
    await expect(dev.write(1)).rejects.toThrow();
    dev = again;
  });

  test('a branch that is deleted is shipped, reported and kept no longer, and its name begins anew', async () => {
    expect(await two.agent(us).serve({ kind: 'delete-branch', name: 'dev' })).toMatchObject({
      code: 'HAS_BRANCHES',
      message: expect.stringContaining('other leaves dev'),
    });
    await two.agent(us).serve({ kind: 'delete-branch', name: 'other' });
    expect(await two.agent(us).serve({ kind: 'delete-branch', name: 'dev' })).toMatchObject({
      kind: 'branch',
      branch: { name: 'dev' },
    });
    expect(await two.agent(us).serve({ kind: 'delete-branch', name: 'dev' })).toMatchObject({
      code: 'NO_BRANCH',
    });
    expect(await two.agent(us).serve({ kind: 'delete-branch', name: 'main' })).toMatchObject({
      code: 'MAIN_BRANCH',
    });
    await eventually('nobody reports it', () =>
      [us, eu].every((region) => two.reported(region, 'dev') === undefined),
    );
    const made = await two.agent(eu).serve({ kind: 'create-branch', branch: { name: 'dev', from: 'main' } });
    expect(made).toMatchObject({ kind: 'branch' });
    const anew = await two.reign('dev', eu);
    expect(await two.page(eu, anew.epoch, anew.begunAt, 2)).toBe('none');
    await anew.write(5, 2);
    await two.level(us, anew);
    expect(await two.page(us, anew.epoch, anew.driver.vdl, 2)).toBe(
      await two.page(eu, anew.epoch, anew.driver.vdl, 2),
    );
  });
});
