/** Files to try things on, and what comes of it. */
import { expect } from 'vitest';
import { FileError } from '../../../../gateway/engine/postgres/core/file-error.ts';
import { fileKind } from '../../../../gateway/engine/postgres/core/inode-table.ts';
import { VolumeFiles } from '../../../../gateway/engine/postgres/core/volume-files.ts';
import { FilesVolume } from './files-volume.ts';

export const file = fileKind.file | 0o600;
export const directory = fileKind.directory | 0o700;

export const bytes = (length: number, value: number): Uint8Array => new Uint8Array(length).fill(value);
export const code = (act: () => unknown): string => {
  try {
    act();
    return 'done';
  } catch (error) {
    if (error instanceof FileError) return error.code;
    throw error;
  }
};
/** A volume with an empty file system. */
export function formatted(pagesMax?: number): { volume: FilesVolume; files: VolumeFiles } {
  const volume = new FilesVolume();
  const files = VolumeFiles.format(volume.set, pagesMax === undefined ? {} : { pagesMax });
  volume.publish();
  return { volume, files };
}

export function contentOf(files: VolumeFiles, path: string): Uint8Array {
  const ino = files.resolve(path);
  const content = new Uint8Array(files.stat(ino).size);
  expect(files.read(ino, content, 0, content.length, 0)).toBe(content.length);
  return content;
}
