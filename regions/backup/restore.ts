/**
 * Makes a new deployment of a backup: the database as it was at one place, in the data directories of nodes that do not run yet.
 * The restored history is a new epoch, forked there; every node that is filled from the same backup at the same place gets the same.
 */
import { existsSync, mkdirSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { type FilledAt, fillNode, type NodePlace, PageFile, stageImages } from '../../storage/data.ts';
import { type Epoch, engineOf, epoch, type Lsn, mainBranch, type VolumeEngine } from '../../storage/index.ts';
import { type BackupReader, RestoreError, type RestoreProgress } from './backup-reader.ts';
import { type RestoredMarker, writeMarker } from './restored-marker.ts';

/**
 * R67: a restored deployment begins under an epoch so far above that at which it leaves the backup's history. Nodes of the two
 * never meet, since their deployments differ; a person who reads a log or a status still sees which one it is.
 */
const epochsAhead = 1_000;
const firstPage = 1;

/** The new epoch of a restore at `lsn`, and its path. The same for every node and region that is filled alike. */
export function restoredAt({ tree, manifest }: Pick<BackupReader, 'tree' | 'manifest'>, lsn: Lsn): FilledAt {
  const steps = tree.path(manifest.head);
  const parent: Epoch = steps.find(({ until }) => lsn <= until)?.epoch ?? manifest.head;
  const restored = epoch(parent + epochsAhead);
  const fork = { epoch: restored, branch: mainBranch, parent, forkLsn: lsn };
  return { epoch: restored, lsn, forks: [...tree.forksOf(parent), fork] };
}

export interface RestoreInto {
  readonly nodes: readonly NodePlace[];
  /** Directories of the agents of the regions that are filled. */
  readonly agents: readonly string[];
  /** For what is made on the way; deleted at the end. */
  readonly scratch: string;
}

export interface Restored extends FilledAt {
  readonly pages: number;
  readonly filled: number;
  /** Which engine keeps the database. */
  readonly engine: VolumeEngine;
}

/** Fills nodes with the database as it was at `lsn`. @throws StoreError, RestoreError, FillError. */
export async function restoreNodes(
  reader: BackupReader,
  { lsn, commitUs }: { readonly lsn: Lsn; readonly commitUs: number | null },
  { nodes, agents, scratch }: RestoreInto,
  onProgress: (done: RestoreProgress) => void,
): Promise<Restored> {
  const at = restoredAt(reader, lsn);
  mkdirSync(scratch, { recursive: true, mode: 0o700 });
  const file = new PageFile(join(scratch, 'database'));
  try {
    await reader.restore(lsn, file, onProgress);
    const staged = join(scratch, 'images');
    await stageImages(file, staged, at);
    for (const [index, place] of nodes.entries()) {
      mkdirSync(dirname(place.dataDir), { recursive: true, mode: 0o700 });
      await fillNode(place, at, staged);
      onProgress({ done: index + 1, total: nodes.length, what: `nodes: ${place.region}/${place.node}` });
    }
    const marker: RestoredMarker = {
      version: 1,
      epoch: at.epoch,
      lsn,
      commitUs,
      backup: reader.manifest.id,
    };
    for (const agent of agents) writeMarker(agent, marker);
    return { ...at, pages: file.pages, filled: nodes.length, engine: engineIn(file) };
  } finally {
    file.close();
    rmSync(scratch, { recursive: true, force: true });
  }
}

/** What a file is made from. */
export interface FileReader {
  restore(lsn: Lsn, into: PageFile, onProgress: (done: RestoreProgress) => void): Promise<unknown>;
}

/** Where nothing else is said it is SQLite's: a database without pages is one. */
const engineIn = (file: PageFile): VolumeEngine =>
  engineOf(file.read(firstPage)) === 'postgres' ? 'postgres' : 'sqlite';

/**
 * Writes the database as it was at `lsn` as a file of SQLite.
 * @throws StoreError; RestoreError, also where PostgreSQL keeps the database; and when the file is there.
 */
export async function restoreFile(
  reader: FileReader,
  lsn: Lsn,
  path: string,
  onProgress: (done: RestoreProgress) => void,
): Promise<{ readonly pages: number }> {
  const file = new PageFile(path);
  try {
    await reader.restore(lsn, file, onProgress);
    if (engineIn(file) === 'postgres')
      throw new RestoreError(
        '--file makes a file of SQLite, and this is a backup of a PostgreSQL database: restore it into a deployment (--data or --into), and take the data out with pg_dump',
      );
    return { pages: file.pages };
  } catch (error) {
    rmSync(path, { force: true });
    throw error;
  } finally {
    file.close();
  }
}

/** Whether anything is where a restore is to write. */
export const isTaken = (path: string): boolean => existsSync(path);
