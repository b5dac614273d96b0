import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { BackupReader } from '../../../regions/backup/backup-reader.ts';
import { DirectoryStore } from '../../../regions/backup/directory-store.ts';
import { type ObjectStore, StoreError } from '../../../regions/backup/store-types.ts';
import { eventually } from '../../storage/region-harness.ts';
import { BackupWorld, testLimits } from './backup-world.ts';

let world: BackupWorld;
afterEach(() => world.close());

/** A directory in which the n-th write, and all after it, come to nothing, with or without having taken place. */
function dyingStore(directory: string, writes: number, takesPlace: boolean): ObjectStore {
  const store = new DirectoryStore(directory);
  let left = writes;
  return {
    describe: directory,
    get: (name) => store.get(name),
    list: (prefix) => store.list(prefix),
    remove: (name) => store.remove(name),
    put: async (name, bytes) => {
      left -= 1;
      if (left >= 0) return store.put(name, bytes);
      if (left === -1 && takesPlace) await store.put(name, bytes);
      return new Promise<void>(() => undefined);
    },
  };
}

const filesBelow = (directory: string): readonly string[] =>
  readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));

describe('a backup', () => {
  it('R65: killed at any upload, goes on, and every transaction since its first image set can be restored', async () => {
    world = await BackupWorld.open();
    await world.write(20, 1);
    for (let round = 0; round < 14; round += 1) {
      const store = dyingStore(world.directory, round, round % 2 === 0);
      world.startBackup(store);
      for (let at = 0; at < 6; at += 1) await world.write(20 + round, 1_000 * round + at + 2);
      await new Promise((resolve) => setTimeout(resolve, 80));
      world.stopBackup();
    }
    const backup = world.startBackup();
    await world.write(40, 1e6);
    await world.level(backup);
    const reader = await BackupReader.open(world.store);
    expect(await reader.verify(() => undefined)).toEqual([]);
    const [reach] = reader.reaches;
    expect(reader.reaches).toHaveLength(1);
    expect(reach?.to).toBeGreaterThanOrEqual(world.newest.lsn);
    const inReach = world.versions.filter(({ lsn }) => lsn >= (reach?.from ?? 0));
    expect(inReach.length).toBeGreaterThan(20);
    for (const { lsn, pages } of inReach) expect(await world.restored(lsn)).toEqual(pages);
  }, 60_000);

  it('R66: follows its region to another epoch, and finds the transaction that an LSN or a time means', async () => {
    world = await BackupWorld.open();
    await world.write(10, 100);
    const backup = world.startBackup();
    await world.level(backup);
    const one = await world.write(10, 200);
    await world.level(backup);
    await world.takeOver(5);
    const two = await world.write(12, 300);
    const three = await world.write(12, 400);
    await world.level(backup);
    const reader = await BackupReader.open(world.store);
    expect(await reader.verify(() => undefined)).toEqual([]);
    const lsnOf = async (us: number) => (await reader.resolve({ kind: 'time', us })).lsn;
    expect([await lsnOf(200), await lsnOf(299), await lsnOf(300), await lsnOf(1e9)]).toEqual([
      one.lsn,
      one.lsn,
      two.lsn,
      three.lsn,
    ]);
    expect(await reader.resolve({ kind: 'lsn', lsn: (three.lsn - 1) as never })).toEqual({
      lsn: two.lsn,
      commitUs: 300,
    });
    expect(await world.restored(two.lsn)).toEqual(two.pages);
    expect(await world.restored(three.lsn)).toEqual(three.pages);
  }, 30_000);

  it('R66: a time that a skewed clock makes mean two places is refused with both', async () => {
    world = await BackupWorld.open();
    await world.write(10, 100);
    const backup = world.startBackup();
    await world.level(backup);
    const early = await world.write(10, 1_000);
    await world.write(10, 90_000);
    const late = await world.write(10, 2_000);
    await world.level(backup);
    const reader = await BackupReader.open(world.store);
    await expect(reader.resolve({ kind: 'time', us: 5_000 })).rejects.toThrow(
      `at LSN ${early.lsn} and again at LSN ${late.lsn}`,
    );
    expect((await reader.resolve({ kind: 'time', us: 1_500 })).lsn).toBe(early.lsn);
    expect((await reader.resolve({ kind: 'time', us: 90_000 })).lsn).toBe(late.lsn);
  }, 30_000);

  it('R67: a store that is away costs age and nothing else, and gets everything when it is back', async () => {
    world = await BackupWorld.open();
    await world.write(10, 100);
    let isAway = false;
    let puts = 0;
    const store = world.store;
    const put = store.put.bind(store);
    store.put = async (name, bytes) => {
      puts += 1;
      if (isAway) throw new StoreError('the store is away');
      return put(name, bytes);
    };
    const backup = world.startBackup(store);
    await world.level(backup);
    isAway = true;
    const putsBefore = puts;
    for (let at = 0; at < 60; at += 1) await world.write(10, 200 + at);
    await eventually('it says so', () => backup.report.trouble === 'the store is away');
    expect(backup.report.lagBytes).toBeGreaterThan(2 * testLimits.objectBytes);
    expect(backup.report.ageMs).toBeGreaterThan(0);
    expect(backup.needs?.at).toBe(backup.report.through);
    expect(puts - putsBefore).toBeLessThan(1_000);
    isAway = false;
    await world.level(backup);
    await eventually('all is well again', () => backup.report.trouble === null && backup.report.ageMs === 0);
    expect(await world.restored(world.newest.lsn)).toEqual(world.newest.pages);
  }, 30_000);

  it('R67: log that was collected while the store was away leaves a gap with its bounds, closed by an image set', async () => {
    world = await BackupWorld.open();
    await world.write(20, 100);
    const backup = world.startBackup();
    await world.level(backup);
    const before = world.newest;
    world.stopBackup();
    const lost = await world.write(20, 200);
    const after = await world.write(20, 300);
    world.floor = after.lsn;
    const again = world.startBackup();
    await world.write(20, 400);
    await eventually('a new image set', () => again.report.sets === 2);
    await world.level(again);
    const reader = await BackupReader.open(world.store);
    expect(reader.manifest.gaps).toEqual([{ from: before.lsn, to: after.lsn }]);
    expect(await reader.verify(() => undefined)).toEqual([]);
    expect(reader.reaches).toHaveLength(2);
    expect(await world.restored(before.lsn)).toEqual(before.pages);
    expect(await world.restored(world.newest.lsn)).toEqual(world.newest.pages);
    await expect(world.restored(lost.lsn)).rejects.toThrow(
      `the log from LSN ${before.lsn} to ${lost.lsn} is not in the store`,
    );
  }, 30_000);

  it('an image set whose parts are of different places is one image with the log above', async () => {
    world = await BackupWorld.open();
    for (let at = 0; at < 30; at += 1) await world.write(40, 100 + at);
    world.afterRead = async () => {
      world.imageFloor = (await world.write(40, 1_000 + world.versions.length)).lsn;
    };
    const backup = world.startBackup();
    await eventually('a whole image set', () => backup.report.sets > 0);
    world.afterRead = async () => undefined;
    const { lsn, pages } = await world.write(40, 9_000);
    await world.level(backup);
    const reader = await BackupReader.open(world.store);
    const [set] = reader.manifest.sets;
    expect(set?.to).toBeGreaterThan(set?.from ?? 0);
    expect(await world.restored(lsn)).toEqual(pages);
    for (const version of world.versions.filter((one) => one.lsn >= (set?.to ?? 0)))
      expect(await world.restored(version.lsn)).toEqual(version.pages);
  }, 30_000);

  it('a missing, a torn and a changed object are named, and so is what they were for', async () => {
    world = await BackupWorld.open();
    await world.write(30, 100);
    const backup = world.startBackup();
    for (let at = 0; at < 40; at += 1) await world.write(30, 200 + at);
    await world.level(backup);
    world.stopBackup();
    const reader = await BackupReader.open(world.store);
    expect(await reader.verify(() => undefined)).toEqual([]);
    const of = (part: string) => filesBelow(world.directory).filter((name) => name.includes(part));
    const [log] = of('/log/').slice(1);
    const [image] = of('/images/');
    const problemsWith = async (path: string | undefined, damage: (bytes: Buffer) => Buffer | null) => {
      const bytes = readFileSync(path ?? '');
      const damaged = damage(Buffer.from(bytes));
      if (damaged === null) rmSync(path ?? '');
      else writeFileSync(path ?? '', damaged);
      const found = await (await BackupReader.open(world.store)).verify(() => undefined);
      writeFileSync(path ?? '', bytes);
      return found;
    };
    const flip = (bytes: Buffer) => {
      bytes[bytes.length >> 1] = (bytes[bytes.length >> 1] ?? 0) ^ 1;
      return bytes;
    };
    const nameOf = (path: string | undefined) => (path ?? '').slice(world.directory.length + 1);
    expect(await problemsWith(log, flip)).toEqual([expect.stringContaining(`${nameOf(log)} is damaged`)]);
    expect(await problemsWith(image, flip)).toEqual([expect.stringContaining(`${nameOf(image)} is damaged`)]);
    expect(await problemsWith(image, (bytes) => bytes.subarray(0, 9))).toHaveLength(1);
    expect(await problemsWith(image, () => null)).toEqual([
      expect.stringMatching(/part 0 of \d+ of image set/),
    ]);
    const gone = await problemsWith(log, () => null);
    expect(gone).toEqual([expect.stringMatching(/the log from LSN \d+ to \d+ is missing/)]);
    const manifests = of('manifest-');
    for (const path of manifests) {
      const bytes = readFileSync(path);
      writeFileSync(path, flip(Buffer.from(bytes)));
      expect((await BackupReader.open(world.store)).damaged).toMatch(/manifest-[01].json/);
      writeFileSync(path, bytes);
    }
  }, 30_000);

  it('another deployment of the same name is kept out of it', async () => {
    world = await BackupWorld.open();
    await world.write(10, 100);
    await world.level(world.startBackup());
    world.stopBackup();
    const before = readFileSync(join(world.directory, 'manifest-1.json'), 'utf8');
    const other = world.startBackup(world.store, { secret: 'the secret of another deployment' });
    await eventually('it is refused', () => other.report.trouble !== null);
    expect(other.report.trouble).toMatch(/another deployment that is called test too.*another prefix/);
    await world.write(10, 200);
    expect(readFileSync(join(world.directory, 'manifest-1.json'), 'utf8')).toBe(before);
    expect(before).not.toContain('a secret for tests');
  }, 30_000);
});
