import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeEach, describe, expect, test } from 'vitest';
import { baseImage, writeBaseImage } from '../../../../gateway/engine/postgres/base-image.ts';
import type { BaseImage } from '../../../../gateway/engine/postgres/core/base-archive.ts';
import { controlWith, crc32c, walWith } from '../../../../gateway/engine/postgres/core/system-identifier.ts';
import { VolumeFiles } from '../../../../gateway/engine/postgres/core/volume-files.ts';
import { FilesVolume } from './files-volume.ts';

const walPath = 'pg_wal/000000010000000000000005';

/** As PostgreSQL lays them out, with a checksum after 300 bytes. */
function database(): BaseImage {
  const control = new Uint8Array(8_192).fill(7, 0, 300);
  const view = new DataView(control.buffer);
  view.setBigUint64(0, 1234n, true);
  view.setUint32(300, crc32c(control.subarray(0, 300)), true);
  const wal = new Uint8Array(8_192).fill(3, 0, 100);
  new DataView(wal.buffer).setBigUint64(24, 1234n, true);
  const directory = (path: string) =>
    ({ path, kind: 'directory', mode: 0o700, bytes: new Uint8Array(0) }) as const;
  return [
    directory('global'),
    { path: 'global/pg_control', kind: 'file', mode: 0o640, bytes: control },
    directory('pg_wal'),
    { path: walPath, kind: 'file', mode: 0o600, bytes: wal },
  ];
}

let directory: string;
let made: number;
const make = async (): Promise<BaseImage> => {
  made++;
  return database();
};
const image = () => baseImage({ directory, make });
const cached = async (): Promise<string> => join(directory, (await readdir(directory))[0] ?? 'none');

beforeEach(async () => {
  made = 0;
  const scratch = await mkdtemp(join(tmpdir(), 'base-image-'));
  directory = join(scratch, 'not', 'there');
  return () => rm(scratch, { recursive: true });
});

describe('the files of a new database', () => {
  test('are made once and come from the cache from then on, byte for byte', async () => {
    const first = await image();
    expect(await image()).toEqual(first);
    expect(made).toBe(1);
    expect(await readdir(directory)).toEqual([expect.stringMatching(/^postgres-\d+\.\d+\.\d+-\d+\.bin$/)]);
  });

  test('are made anew when the cache is torn anywhere, empty or something else, and then they are kept', async () => {
    await image();
    const path = await cached();
    const whole = await readFile(path);
    const flipped = (at: number): Buffer => {
      const changed = Buffer.from(whole);
      changed[at] = (changed[at] ?? 0) ^ 1;
      return changed;
    };
    const broken = [
      whole.subarray(0, 20),
      whole.subarray(0, whole.length - 1),
      Buffer.alloc(0),
      Buffer.from('?'),
      ...[0, 9, 30, whole.length - 1].map(flipped),
    ];
    for (const bytes of broken) {
      made = 0;
      await writeFile(path, bytes);
      expect(await image()).toEqual(database());
      expect(await image()).toEqual(database());
      expect(made).toBe(1);
    }
  });

  test('are made each time where they cannot be kept', async () => {
    directory = '/dev/null/nowhere';
    const onMake: string[] = [];
    for (const round of ['first', 'second']) {
      expect(await baseImage({ directory, make, onMake: () => onMake.push(round) })).toEqual(database());
    }
    expect(onMake).toEqual(['first', 'second']);
  });

  test('are whole for each of several that make them at a time', async () => {
    const images = await Promise.all([image(), image(), image(), image()]);
    for (const each of images) expect(each).toEqual(database());
    expect(await readdir(directory)).toHaveLength(1);
  });
});

describe('a database of its own', () => {
  const identifierOf = (files: VolumeFiles, path: string, at: number): bigint => {
    const bytes = new Uint8Array(8);
    files.read(files.resolve(path), bytes, 0, 8, at);
    return new DataView(bytes.buffer).getBigUint64(0, true);
  };
  const written = (identifier?: bigint): VolumeFiles => {
    const files = VolumeFiles.format(new FilesVolume().set);
    writeBaseImage(files, database(), identifier);
    return files;
  };

  test('has the same system identifier in pg_control, under its checksum, and in its WAL', () => {
    const files = written(99n);
    expect(identifierOf(files, 'global/pg_control', 0)).toBe(99n);
    expect(identifierOf(files, walPath, 24)).toBe(99n);
    const control = new Uint8Array(304);
    files.read(files.resolve('global/pg_control'), control, 0, 304, 0);
    expect(new DataView(control.buffer).getUint32(300, true)).toBe(crc32c(control.subarray(0, 300)));
    expect(files.stat(files.resolve('global/pg_control')).mode & 0o777).toBe(0o640);
  });

  test('has another one than any made of the same image', () => {
    const [one, other] = [written(), written()].map((files) => identifierOf(files, 'global/pg_control', 0));
    expect(one).not.toBe(other);
    expect(one).not.toBe(1234n);
  });

  test('is not made of files that are no database’s', () => {
    const control = database()[1]?.bytes ?? new Uint8Array(0);
    expect(() => controlWith(new Uint8Array(8_192).fill(1), 9n)).toThrow(/no checksum/);
    expect(() => walWith(new Uint8Array(100), control, 9n)).toThrow(/not of its database/);
    const files = VolumeFiles.format(new FilesVolume().set);
    expect(() => writeBaseImage(files, database().slice(1))).toThrow(/before its directory/);
  });

  test('the checksum is CRC-32C', () => {
    expect(crc32c(new TextEncoder().encode('123456789'))).toBe(0xe306_9283);
  });
});
