import { describe, expect, test } from 'vitest';
import { VolumeFault } from '../../../../gateway/engine/postgres/core/file-error.ts';
import { rootIno } from '../../../../gateway/engine/postgres/core/inode-table.ts';
import { VolumeFiles } from '../../../../gateway/engine/postgres/core/volume-files.ts';
import { pageNo } from '../../../../storage/redo/ids.ts';
import { bytes, code, contentOf, directory, file, formatted } from './file-samples.ts';
import { FilesVolume, pageTroubles } from './files-volume.ts';

const page1 = pageNo(1);
const fault = (act: () => unknown): string => {
  try {
    act();
    return 'done';
  } catch (error) {
    if (error instanceof VolumeFault) return `${error.error.code}: ${error.message}`;
    throw error;
  }
};

describe('files in the pages of a volume', () => {
  test('keep their bytes, holes and names when they are opened again from what storage holds', () => {
    const { volume, files } = formatted();
    const base = files.create(rootIno, 'base', directory);
    const long = 'x'.repeat(255);
    const data = files.create(base, long, file);
    files.write(data, bytes(5_000, 7), 0, 5_000, 100);
    files.write(data, bytes(10, 9), 0, 10, 20_000_000);
    files.link(rootIno, 'pg_tblspc', '/somewhere/else');
    volume.publish();
    const again = new VolumeFiles(new FilesVolume(volume.image()).set);
    const content = contentOf(again, `base/${long}`);
    expect(content.length).toBe(20_000_010);
    expect([content[99], content[100], content[5_099], content[5_100]]).toEqual([0, 7, 7, 0]);
    expect([content[19_999_999], content[20_000_000]]).toEqual([0, 9]);
    expect(again.readLink(again.resolve('pg_tblspc'))).toBe('/somewhere/else');
    expect(again.stat(again.resolve('base')).mode).toBe(directory);
    // 20 MB of file: 3 pages of data, 2 of pointers to where they lie.
    expect(volume.pages).toBeLessThan(14);
  });

  test('errors say what PostgreSQL knows, and change nothing', () => {
    const { volume, files } = formatted();
    const base = files.create(rootIno, 'base', directory);
    const one = files.create(base, 'one', file);
    files.create(rootIno, 'empty', directory);
    volume.publish();
    const troubles = [
      code(() => files.lookup(base, 'two')),
      code(() => files.create(base, 'one', file)),
      code(() => files.lookup(one, 'x')),
      code(() => files.unlink(rootIno, 'base')),
      code(() => files.removeDirectory(rootIno, 'base')),
      code(() => files.removeDirectory(base, 'one')),
      code(() => files.create(base, 'x'.repeat(256), file)),
      code(() => files.create(base, 'a/b', file)),
      code(() => files.rename(rootIno, 'base', base, 'below')),
      code(() => files.rename(base, 'one', rootIno, 'base')),
      code(() => files.rename(rootIno, 'empty', rootIno, 'base')),
      code(() => files.rename(rootIno, 'empty', base, 'one')),
      code(() => files.write(one, bytes(1, 1), 0, 1, 0xffff_ffff)),
      code(() => files.truncate(base, 0)),
      code(() => files.readLink(one)),
    ];
    expect(troubles).toEqual([
      'ENOENT',
      'EEXIST',
      'ENOTDIR',
      'EISDIR',
      'ENOTEMPTY',
      'ENOTDIR',
      'ENAMETOOLONG',
      'EINVAL',
      'EINVAL',
      'EISDIR',
      'ENOTEMPTY',
      'ENOTDIR',
      'EFBIG',
      'EISDIR',
      'EINVAL',
    ]);
    expect(volume.set.size).toBe(0);
  });

  test('a file that is cut and grows again reads zero where it was cut (G82)', () => {
    const { volume, files } = formatted();
    const ino = files.create(rootIno, 'f', file);
    files.write(ino, bytes(60_000, 5), 0, 60_000, 0);
    files.truncate(ino, 41_000);
    files.truncate(ino, 60_000);
    const content = contentOf(files, 'f');
    expect(content.subarray(0, 41_000).every((byte) => byte === 5)).toBe(true);
    expect(content.subarray(41_000).every((byte) => byte === 0)).toBe(true);
    volume.publish();
    expect(pageTroubles(volume.set)).toEqual([]);
  });

  test('a file that was unlinked while it is open lives until it is closed, and no longer than the engine (G84)', () => {
    const { volume, files } = formatted();
    const before = volume.pages;
    const ino = files.create(rootIno, 'f', file);
    files.hold(ino);
    files.hold(ino);
    files.write(ino, bytes(50_000, 3), 0, 50_000, 0);
    files.unlink(rootIno, 'f');
    volume.publish();
    const crashed = volume.image();
    expect(files.read(ino, new Uint8Array(10), 0, 10, 49_995)).toBe(5);
    files.release(ino);
    expect(files.stat(ino).size).toBe(50_000);
    files.release(ino);
    volume.publish();
    expect(volume.pages).toBe(before);
    expect(pageTroubles(volume.set)).toEqual([]);

    const reopened = new FilesVolume(crashed);
    expect(reopened.pages).toBeGreaterThan(before);
    expect(new VolumeFiles(reopened.set).list(rootIno)).toEqual([]);
    reopened.publish();
    expect(reopened.pages).toBe(before);
    expect(pageTroubles(reopened.set)).toEqual([]);
  });

  test('of several files that are unlinked and open each goes when it is closed, in any order (G84)', () => {
    const { volume, files } = formatted();
    const before = volume.pages;
    const inodes = ['a', 'b', 'c', 'd'].map((name) => {
      const ino = files.create(rootIno, name, file);
      files.write(ino, bytes(5_000, 1), 0, 5_000, 0);
      files.hold(ino);
      files.unlink(rootIno, name);
      return ino;
    });
    for (const index of [1, 3, 0, 2]) {
      files.release(inodes[index] ?? 0);
      volume.publish();
      expect(pageTroubles(volume.set)).toEqual([]);
    }
    expect(volume.pages).toBe(before);
  });

  test('a directory in which names come and go stays as long as it is', () => {
    const { files } = formatted();
    for (let at = 0; at < 400; at++) {
      files.create(rootIno, `${at}`, file);
      if (at >= 100) files.unlink(rootIno, `${at - 100}`);
    }
    expect(files.list(rootIno)).toHaveLength(100);
    expect(files.stat(rootIno).size).toBe(4_096);
  });

  test('the volume ends at its last page in use, and what lay beyond is gone from storage', () => {
    const { volume, files } = formatted();
    const first = files.create(rootIno, 'first', file);
    files.write(first, bytes(3 << 20, 1), 0, 3 << 20, 0);
    const small = files.create(rootIno, 'small', file);
    files.write(small, bytes(10, 2), 0, 10, 0);
    volume.publish();
    const { pages } = volume;
    files.truncate(first, 1 << 20);
    volume.publish();
    expect(volume.pages).toBe(pages);
    files.unlink(rootIno, 'small');
    volume.publish();
    expect(volume.pages).toBeLessThan(270);
    expect(volume.stored.size).toBe(volume.pages);
    expect(pageTroubles(volume.set)).toEqual([]);
  });

  test('the last bytes of the longest file are written and read, and take three pages', () => {
    const { volume, files } = formatted();
    const ino = files.create(rootIno, 'f', file);
    volume.publish();
    const { pages } = volume;
    files.write(ino, bytes(2, 8), 0, 2, 0xffff_fffd);
    const into = new Uint8Array(4);
    expect(files.read(ino, into, 0, 4, 0xffff_fffc)).toBe(3);
    expect([...into]).toEqual([0, 8, 8, 0]);
    volume.publish();
    expect(volume.pages).toBe(pages + 3);
  });

  test('the lowest free page is taken first (G81), and pages of pointers to holes alone are given back', () => {
    const { volume, files } = formatted();
    const [low, high] = ['low', 'high'].map((name) => files.create(rootIno, name, file)) as [number, number];
    files.write(low, bytes(20_480, 1), 0, 20_480, 0);
    files.write(high, bytes(20_480, 1), 0, 20_480, 0);
    volume.publish();
    const { pages } = volume;
    files.truncate(low, 8_192);
    files.write(high, bytes(8_192, 2), 0, 8_192, 20_480);
    volume.publish();
    expect(volume.pages).toBe(pages);
    files.write(high, bytes(4_096, 2), 0, 4_096, 28_672);
    volume.publish();
    expect(volume.pages).toBe(pages);
    for (const at of [60_000, 10_000_000]) {
      files.write(high, bytes(1, 3), 0, 1, at);
      files.truncate(high, at - 5_000);
      volume.publish();
      expect(volume.pages).toBe(pages);
      expect(pageTroubles(volume.set)).toEqual([]);
    }
  });

  test('pages that are made anew are not asked for, neither at the end nor in between', () => {
    const { volume, files } = formatted();
    const a = files.create(rootIno, 'a', file);
    const b = files.create(rootIno, 'b', file);
    files.write(a, bytes(1 << 20, 1), 0, 1 << 20, 0);
    files.write(b, bytes(10, 1), 0, 10, 0);
    files.truncate(a, 0);
    volume.publish();
    const asked = new Set<number>();
    const { cache } = volume;
    const get = cache.get.bind(cache);
    cache.get = (page) => {
      asked.add(page);
      return get(page);
    };
    files.write(b, bytes(2 << 20, 2), 0, 2 << 20, 0);
    expect(volume.set.size).toBeGreaterThan(500);
    expect(asked.size).toBeLessThan(6);
  });

  test('a volume of anything else, of another format, or with a torn first page is refused and not touched (G85)', () => {
    const { volume } = formatted();
    const withPage1 = (change: (page: Uint8Array) => void): FilesVolume => {
      const image = volume.image();
      const page = image.get(page1)?.slice() ?? new Uint8Array(0);
      change(page);
      image.set(page1, page);
      return new FilesVolume(image);
    };
    const opened = (changed: FilesVolume): string => fault(() => new VolumeFiles(changed.set));
    const sqlite = new TextEncoder().encode('SQLite format 3\0');
    expect(opened(withPage1((page) => page.set(sqlite)))).toMatch(
      /SEXTANT_VOLUME_UNREADABLE: A PostgreSQL database was expected in this volume, and it holds an SQLite database/,
    );
    expect(opened(withPage1((page) => page.fill(3, 0, 16)))).toMatch(/holds neither/);
    expect(opened(withPage1((page) => page.set([9], 19)))).toMatch(/in format 9, and .* reads format 1/);
    for (const at of [29, 35, 41, 90])
      expect(opened(withPage1((page) => page.set([200], at)))).toMatch(/Page 1 .* checksum/);
    expect(opened(new FilesVolume())).toMatch(/it is empty/);
    expect(fault(() => VolumeFiles.format(new FilesVolume(volume.image()).set))).toMatch(
      /needs an empty volume/,
    );
  });

  test('a volume that is full says which limit it has reached, and is as it was before', () => {
    const { volume, files } = formatted(50);
    const ino = files.create(rootIno, 'f', file);
    volume.publish();
    expect(fault(() => files.write(ino, bytes(1 << 20, 1), 0, 1 << 20, 0))).toMatch(
      /SEXTANT_LIMIT: .*volumePages = 50/,
    );
    const reopened = new FilesVolume(volume.image());
    expect(new VolumeFiles(reopened.set).stat(ino).size).toBe(0);
    expect(pageTroubles(reopened.set)).toEqual([]);
  });
});

describe('as redo', () => {
  test('a write within a file is one page, and one that changes nothing is none (G83)', () => {
    const { volume, files } = formatted();
    const ino = files.create(rootIno, 'wal', file);
    const wal = bytes(1 << 20, 0);
    files.truncate(ino, wal.length);
    wal.fill(1, 0, 8_000);
    files.write(ino, wal, 0, 8_192, 0);
    volume.publish();
    files.write(ino, wal, 0, 8_192, 0);
    expect(volume.set.size).toBe(0);
    wal.fill(2, 8_000, 8_130);
    files.write(ino, wal, 0, 8_192, 0);
    expect(volume.set.size).toBe(1);
    expect(volume.publish().bytes).toBe(138);
  });

  test('a file that grows by zeros costs its size, and one that grows by data little beyond it', () => {
    const { volume, files } = formatted();
    const ino = files.create(rootIno, 'relation', file);
    files.write(ino, bytes(8_192, 0), 0, 8_192, 0);
    volume.publish();
    files.write(ino, bytes(8_192, 0), 0, 8_192, 8_192);
    expect(volume.publish().bytes).toBeLessThan(12);
    files.write(ino, bytes(8_192, 1), 0, 8_192, 16_384);
    const { bytes: grown, changes } = volume.publish();
    expect(changes.filter(({ kind }) => kind === 'pageImage').length).toBe(2);
    expect(grown - 2 * 4_096).toBeLessThan(60);
  });

  test('names are made, changed and removed within a hundred bytes', () => {
    const { volume, files } = formatted();
    files.create(rootIno, 'first', file);
    volume.publish();
    const costs = [
      () => files.create(rootIno, '16384', file),
      () => files.rename(rootIno, '16384', rootIno, '16385'),
      () => files.rename(rootIno, '16385', rootIno, 'first'),
      () => files.unlink(rootIno, 'first'),
    ].map((act) => {
      act();
      return volume.publish().bytes;
    });
    expect(Math.max(...costs)).toBeLessThan(100);
  });
});
