import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { type Disk, nodeDisk } from '../../../storage/log/disk.ts';
import { StateFile, type StateLoaded } from '../../../storage/log/state-file.ts';
import { MemoryDisk } from './hot-log-memory-disk.ts';

const schema = z.strictObject({ sealed: z.number() });
type State = z.infer<typeof schema>;
const path = '/data/seals.json';

function stateFile(
  disk: Disk,
  options: { fallback?: 'never' | 'previous'; version?: number; at?: string } = {},
) {
  return new StateFile<State>({
    disk,
    path: options.at ?? path,
    version: options.version ?? 1,
    fallback: options.fallback ?? 'never',
    parse: (body) => {
      const parsed = schema.safeParse(body);
      return parsed.success
        ? { kind: 'ok', value: parsed.data }
        : { kind: 'bad', reason: parsed.error.message };
    },
  });
}

async function saved(
  disk: MemoryDisk,
  fallback: 'never' | 'previous',
  values: readonly number[],
): Promise<void> {
  const file = stateFile(disk, { fallback });
  await file.load();
  for (const sealed of values) expect((await file.save({ sealed })).kind).toBe('saved');
}

const load = (disk: Disk, fallback: 'never' | 'previous' = 'never'): Promise<StateLoaded<State>> =>
  stateFile(disk, { fallback }).load();

describe('state file', () => {
  it('is absent at first and then holds what was saved last, across restarts', async () => {
    const disk = new MemoryDisk();
    const file = stateFile(disk);
    expect(await file.load()).toEqual({ kind: 'absent' });
    expect(await file.save({ sealed: 1 })).toEqual({ kind: 'saved', generation: 1 });
    expect(await file.save({ sealed: 2 })).toEqual({ kind: 'saved', generation: 2 });
    disk.crash();
    expect(await load(disk)).toEqual({ kind: 'value', value: { sealed: 2 }, generation: 2 });
    expect(disk.paths()).toEqual([path]);
  });

  it('holds the old value or the new one after a crash at any operation, and the new one once saved', async () => {
    for (const fallback of ['never', 'previous'] as const) {
      for (let crashAt = 0; crashAt < 12; crashAt += 1) {
        for (const torn of [0, 0.5, 1]) {
          const disk = new MemoryDisk();
          await saved(disk, fallback, [1, 2]);
          const file = stateFile(disk, { fallback });
          await file.load();
          let operations = 0;
          disk.fault = () => {
            operations += 1;
            return operations > crashAt ? 'EIO' : undefined;
          };
          const result = await file.save({ sealed: 3 });
          disk.fault = () => undefined;
          disk.crash((_path, unflushed) => Math.floor(unflushed * torn));
          const loaded = await load(disk, fallback);
          expect(loaded.kind).toBe('value');
          if (loaded.kind === 'value')
            expect(loaded.value.sealed).toSatisfy((n) => n === 3 || (n === 2 && result.kind === 'failed'));
        }
      }
    }
  });

  it('reports every flipped bit and every cut as damage, never an older or another value', async () => {
    const disk = new MemoryDisk();
    await saved(disk, 'never', [1, 2]);
    const good = disk.contents(path);
    for (let bit = 0; bit < good.length * 8; bit += 1) {
      const rotten = Buffer.from(good);
      rotten.writeUInt8(rotten.readUInt8(bit >> 3) ^ (1 << (bit & 7)), bit >> 3);
      disk.put(path, rotten);
      expect((await load(disk)).kind).toBe('damaged');
    }
    for (const foreign of [' 0\n', '{} 2745614147\n', '\n\n', 'null']) {
      disk.put(path, Buffer.from(foreign));
      expect((await load(disk)).kind).toBe('damaged');
    }
    for (let cut = 0; cut < good.length; cut += 1) {
      disk.put(path, good.subarray(0, cut));
      expect((await load(disk)).kind).toBe('damaged');
    }
  });

  it('falls back to the generation before a damaged one only where it was allowed', async () => {
    for (const fallback of ['never', 'previous'] as const) {
      const disk = new MemoryDisk();
      await saved(disk, fallback, [1, 2]);
      disk.put(path, Buffer.from('rot'));
      const loaded = await load(disk, fallback);
      expect(loaded).toMatchObject(
        fallback === 'never'
          ? { kind: 'damaged', reason: 'seals.json: no envelope', isRotten: true }
          : { kind: 'previous', value: { sealed: 1 }, generation: 1, reason: 'seals.json: no envelope' },
      );
    }
  });

  it('names the versions when the file is of another one, and the field when the body does not fit', async () => {
    const disk = new MemoryDisk();
    await saved(disk, 'never', [1]);
    expect(await stateFile(disk, { version: 2 }).load()).toEqual({
      kind: 'damaged',
      reason: 'seals.json: version 1, this process reads 2',
      isRotten: false,
    });
    const other = new StateFile<unknown>({
      disk,
      path,
      version: 1,
      fallback: 'never',
      parse: (value) => ({ kind: 'ok', value }),
    });
    await other.load();
    await other.save({ seal: 1 });
    const loaded = await load(disk);
    expect(loaded.kind === 'damaged' && loaded.reason).toContain('sealed');
  });

  it('answers saves that arrive together with one write of the newest', async () => {
    const disk = new MemoryDisk();
    const file = stateFile(disk);
    await file.load();
    const results = await Promise.all([1, 2, 3, 4].map((sealed) => file.save({ sealed })));
    expect(results.map((result) => result.kind === 'saved' && result.generation)).toEqual([1, 2, 2, 2]);
    expect(await load(disk)).toMatchObject({ value: { sealed: 4 } });
  });

  it('answers disk-full and keeps the old value, then saves once there is space', async () => {
    const disk = new MemoryDisk();
    await saved(disk, 'never', [1]);
    const file = stateFile(disk);
    await file.load();
    disk.capacityBytes = disk.contents(path).length + 10;
    expect(await file.save({ sealed: 2 })).toMatchObject({ kind: 'failed', reason: 'disk-full' });
    expect(disk.paths()).toEqual([path]);
    expect(await load(disk)).toMatchObject({ value: { sealed: 1 } });
    disk.capacityBytes = 10_000;
    expect((await file.save({ sealed: 2 })).kind).toBe('saved');
  });

  it('saves nothing more after the flush of the directory has failed', async () => {
    const disk = new MemoryDisk();
    const file = stateFile(disk);
    await file.load();
    disk.fault = (operation) => (operation === 'syncDirectory' ? 'EIO' : undefined);
    expect(await file.save({ sealed: 1 })).toMatchObject({ kind: 'failed', reason: 'io-error' });
    disk.fault = () => undefined;
    expect(await file.save({ sealed: 2 })).toMatchObject({ kind: 'failed', reason: 'io-error' });
  });

  it('works on a real disk', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'sextant-state-'));
    try {
      const at = join(directory, 'checkpoint.json');
      const file = stateFile(nodeDisk, { at, fallback: 'previous' });
      expect(await file.load()).toEqual({ kind: 'absent' });
      await file.save({ sealed: 1 });
      await file.save({ sealed: 2 });
      expect(await stateFile(nodeDisk, { at }).load()).toMatchObject({ value: { sealed: 2 }, generation: 2 });
      expect(readdirSync(directory).sort()).toEqual(['checkpoint.json', 'checkpoint.json.previous']);
    } finally {
      rmSync(directory, { recursive: true, force: true });
    }
  });
});
