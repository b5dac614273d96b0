import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { Load } from '../load.ts';
import { makeVersion } from '../next-version.ts';
import { gatewayNames, type Shop, zones } from '../shop.ts';
import type { Procedure } from './procedure.ts';

const refusedWithinMs = 120_000;

/** Starts processes again from other code, together, under load. */
async function upgradeTo(shop: Shop, load: Load, tree: string, ...ids: readonly string[]): Promise<void> {
  for (const id of ids) shop.trees.set(id, tree);
  await shop.restartUnder(load, ...ids);
}

/** One region: its storage nodes zone by zone, then its agent, then its gateways one after another. */
async function upgradeRegion(shop: Shop, load: Load, tree: string, region: string): Promise<void> {
  for (const zone of zones) await upgradeTo(shop, load, tree, ...zone.map((node) => `${region}/${node}`));
  await upgradeTo(shop, load, tree, `${region}/agent`);
  for (const name of gatewayNames) await upgradeTo(shop, load, tree, `${region}/${name}`);
  await shop.well();
  await load.more(30);
}

export const upgrade: Procedure = {
  name: 'upgrade',
  what: 'every process is replaced by the next minor version, zone by zone, under load; two versions at once are refused (R59)',
  async run({ shop }) {
    const [first = '', second = '', ...rest] = shop.regions;
    const { dir } = shop.place;
    const next = makeVersion(dir, 1);
    const after = makeVersion(dir, 2);
    const doctor = (tree: string) => shop.askWith(tree, second, 'doctor', '--json');

    assert.match((await doctor(after.tree)).out, /2 minor versions ahead of/, 'it is said before it blocks');
    assert.doesNotMatch((await doctor(next.tree)).out, /minor version/);
    const stray = `${second}/n2`;
    await shop.stop(stray);
    shop.trees.set(stray, after.tree);
    shop.start(stray);
    // The region's agent and gateways ask it, and it refuses them; so do its peers when it asks.
    const words = /LINK_VERSION_MISMATCH.*2 minor versions behind: upgrade one minor/;
    const deadline = performance.now() + refusedWithinMs;
    while (!words.test(shop.logOf(stray))) {
      assert(performance.now() < deadline, `${stray} refuses nobody: ${shop.logOf(stray).slice(-2_000)}`);
      await sleep(500);
    }
    assert.match((await shop.mustAt(second, 'status')).replaceAll('\n', ' '), /n2 .*down/);
    shop.trees.delete(stray);
    await shop.restart(stray);
    await shop.settled();
    shop.say(`a node of ${after.version} is refused, in words on both sides, and nothing else is disturbed`);

    const load = new Load(shop);
    await load.start();
    for (const region of [second, ...rest]) {
      await upgradeRegion(shop, load, next.tree, region);
      shop.say(`${region} runs ${next.version}`);
      assert.match((await doctor(next.tree)).out, /an upgrade is under way, and they work together/);
    }
    await shop.switchover(second);
    await upgradeRegion(shop, load, next.tree, first);
    await shop.switchover(first);
    await load.more(50);
    await load.stop();
    const { regions } = await shop.settled();
    const running = new Set(regions.flatMap(({ versions }) => Object.values(versions)));
    assert.deepEqual([...running], [next.version], 'every process says that it runs the next version');
    assert.match((await doctor(next.tree)).out, new RegExp(`processes run ${next.version}`));

    // And back again, which a minor version allows as well.
    const back = new Load(shop);
    await back.start();
    for (const region of shop.regions.toReversed()) await upgradeRegion(shop, back, shop.place.tree, region);
    await back.stop();
    shop.trees.clear();
    shop.say('and back');
  },
};
