/** PGlite's public class on a volume in memory: the real engine, without what drives it in a gateway. */
import { join } from 'node:path';
import { PGlite, type PGliteOptions } from '@electric-sql/pglite';
import { baseImage, writeBaseImage } from '../../../../gateway/engine/postgres/base-image.ts';
import { VolumeFiles } from '../../../../gateway/engine/postgres/core/volume-files.ts';
import {
  type EmscriptenFs,
  type MountedFiles,
  mountFiles,
} from '../../../../gateway/engine/postgres/mount-files.ts';
import { FilesVolume } from './files-volume.ts';

const cache = join(import.meta.dirname, '../../../../node_modules/.cache/sextant');

export interface OpenDatabase {
  readonly db: PGlite;
  readonly volume: FilesVolume;
  readonly mounted: MountedFiles;
}

/** A volume with the files of a new database, published. */
export async function newDatabase(): Promise<FilesVolume> {
  const volume = new FilesVolume();
  writeBaseImage(VolumeFiles.format(volume.set), await baseImage({ directory: cache }));
  volume.publish();
  return volume;
}

/** Starts an engine on what the volume holds; recovers what is to be recovered. */
export async function openDatabase(
  volume: FilesVolume,
  settings: readonly string[] = [],
): Promise<OpenDatabase> {
  const files = new VolumeFiles(volume.set);
  let mounted: MountedFiles | undefined;
  const options: PGliteOptions = {
    startParams: [...PGlite.defaultStartParams, ...settings.flatMap((setting) => ['-c', setting])],
    fs: {
      init: async (_engine, given) => ({
        emscriptenOpts: {
          ...given,
          preRun: [
            ...(given.preRun ?? []),
            ({ FS }) => {
              FS.mkdirTree(PGlite.paths.PGDATA);
              mounted = mountFiles(FS as unknown as EmscriptenFs, () => files, PGlite.paths.PGDATA);
            },
          ],
        },
      }),
      syncToFs: async () => undefined,
      initialSyncFs: async () => undefined,
      closeFs: async () => undefined,
      dumpTar: () => Promise.reject(new Error('a volume is not dumped')),
    },
  };
  const db = await PGlite.create(options);
  if (mounted === undefined) throw new Error('PGlite did not ask for its file system');
  return { db, volume, mounted };
}
