/**
 * Writes the data directories of storage nodes that do not run: page images as of one place, no log, and a state that says so. The
 * nodes then stand as nodes do whose log below that place was collected. A directory appears as a whole, by a rename, so a fill
 * that was cut off is done again, and one that is done is left alone.
 */
import { cpSync, existsSync, mkdirSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import type { Fork } from '../history/epoch-tree.ts';
import { type Manifest, manifestVersion, parseManifest } from '../images/core/manifest.ts';
import { writeRun } from '../images/run-writer.ts';
import { Turnstile } from '../images/turnstile.ts';
import { nodeDisk, onDisk } from '../log/disk.ts';
import { StateFile } from '../log/state-file.ts';
import type { NodeState } from '../node/core/node-events.ts';
import { nodeStateFile } from '../node/node-data.ts';
import type { Epoch, Lsn } from '../redo/ids.ts';
import type { PageFile } from './page-file.ts';

/** A node cannot be filled; the message says what to do. */
export class FillError extends Error {
  override readonly name = 'FillError';
}

/** Where a restored history begins: a new epoch, forked at `lsn` from the last of `forks` but itself. */
export interface FilledAt {
  readonly epoch: Epoch;
  /** The path to `epoch`, it included. */
  readonly forks: readonly Fork[];
  readonly lsn: Lsn;
}

export interface NodePlace {
  readonly cluster: string;
  readonly region: string;
  readonly node: string;
  readonly dataDir: string;
}

const runFile = 1;

/** Writes the images that all nodes get into `directory`, from the pages of `file`. @throws FillError. */
export async function stageImages(
  file: PageFile,
  directory: string,
  { epoch, lsn }: FilledAt,
): Promise<void> {
  const { pages } = file;
  if (pages === 0) throw new FillError('there is no page to restore');
  rmSync(directory, { recursive: true, force: true });
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  let at = 0;
  const written = await writeRun(
    { disk: nodeDisk, directory, reads: new Turnstile(1), onRot: () => undefined },
    {
      file: runFile,
      facts: { epoch, from: 0 as Lsn, to: lsn, isConsistent: true, endsAt: null },
      pagesMax: pages,
      next: async (count) => {
        const some: number[] = [];
        while (some.length < count && at < file.lastPage) {
          at += 1;
          if (file.has(at)) some.push(at);
        }
        if (some.length === 0) return { kind: 'end' };
        return { kind: 'part', part: { pages: some, images: some.map((page) => file.read(page)) } };
      },
      pace: async () => undefined,
    },
  );
  if (written.kind === 'failed') throw new FillError(`page images cannot be written: ${written.reason}`);
  await written.run.retire('closed');
  const manifest = new StateFile<Manifest>({
    disk: nodeDisk,
    path: join(directory, 'manifest'),
    version: manifestVersion,
    parse: parseManifest,
    fallback: 'never',
  });
  await manifest.load();
  const saved = await manifest.save({ runs: [written.run.entry] });
  if (saved.kind === 'failed') throw new FillError(`page images cannot be written: ${saved.message}`);
}

/**
 * Makes the data directory of a node that begins with the images in `staged`.
 * @returns `filled`, or `there` when it was filled so before. @throws FillError when something else is there.
 */
export async function fillNode(place: NodePlace, at: FilledAt, staged: string): Promise<'filled' | 'there'> {
  const { cluster, region, node, dataDir } = place;
  const state = stateAt(at);
  if (existsSync(dataDir) && readdirSync(dataDir).length > 0) {
    const found = await nodeStateFile(nodeDisk, dataDir).load();
    const record = { cluster, region, node, state };
    if (found.kind === 'value' && isDeepStrictEqual(found.value, record)) return 'there';
    throw new FillError(`${dataDir} holds something already: a restore goes into directories that are empty`);
  }
  const beside = `${dataDir}.restoring`;
  rmSync(beside, { recursive: true, force: true });
  mkdirSync(beside, { recursive: true, mode: 0o700 });
  cpSync(staged, join(beside, 'images'), { recursive: true });
  for (const name of readdirSync(join(beside, 'images'))) await flush(join(beside, 'images', name));
  const file = nodeStateFile(nodeDisk, beside);
  await file.load();
  const saved = await file.save({ cluster, region, node, state });
  if (saved.kind === 'failed') throw new FillError(`${beside} cannot be written: ${saved.message}`);
  rmSync(dataDir, { recursive: true, force: true });
  renameSync(beside, dataDir);
  const synced = await onDisk<void>((done) => nodeDisk.syncDirectory(dirname(dataDir), done));
  if (synced.kind === 'failed')
    throw new FillError(`${dirname(dataDir)} cannot be flushed: ${synced.message}`);
  return 'filled';
}

/** Sealed for the new epoch, so that no writer of the old history is believed; a witness, for it holds all there is. */
const stateAt = ({ epoch, forks, lsn }: FilledAt): NodeState => ({
  sealed: epoch,
  forks,
  hydrated: true,
  durable: { head: epoch, vdl: lsn },
  floor: { epoch, lsn },
});

async function flush(path: string): Promise<void> {
  const opened = await onDisk((done: Parameters<typeof nodeDisk.open>[2]) =>
    nodeDisk.open(path, 'existing', done),
  );
  if (opened.kind === 'failed') throw new FillError(`${path} cannot be flushed: ${opened.message}`);
  const synced = await onDisk<void>((done) => opened.value.fdatasync(done));
  await onDisk<void>((done) => opened.value.close(done));
  if (synced.kind === 'failed') throw new FillError(`${path} cannot be flushed: ${synced.message}`);
}
