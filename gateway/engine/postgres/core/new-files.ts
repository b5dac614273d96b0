/** A new database: the files of the base image, put into an empty volume. */
import type { FilePages } from './file-pages.ts';
import { fileKind, type Ino, rootIno } from './inode-table.ts';
import { VolumeFiles } from './volume-files.ts';

/** One entry of the base image; a directory comes before what is in it. */
export interface NewFile {
  /** From the data directory, with forward slashes. */
  readonly path: string;
  readonly kind: 'file' | 'directory';
  /** Permissions. */
  readonly mode: number;
  readonly bytes: Uint8Array;
}

/** Formats an empty volume and puts the files there. @throws VolumeFault when the volume is not empty */
export function makeFiles(pages: FilePages, image: readonly NewFile[]): VolumeFiles {
  const files = VolumeFiles.format(pages);
  const directories = new Map<string, Ino>([['', rootIno]]);
  for (const { path, kind, mode, bytes } of image) {
    const slash = path.lastIndexOf('/');
    const parent = directories.get(slash < 0 ? '' : path.slice(0, slash));
    if (parent === undefined) throw new Error(`${path} of the base image comes before its directory`);
    const ino = files.create(parent, path.slice(slash + 1), fileKind[kind] | mode);
    if (kind === 'directory') directories.set(path, ino);
    else files.write(ino, bytes, 0, bytes.length, 0);
  }
  return files;
}
