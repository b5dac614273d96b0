/** Where the objects of a backup lie: a directory or an S3 bucket, by the same five verbs. */
import type { BackupConfig } from './core/backup-config.ts';
import { describePlace } from './core/backup-config.ts';
import { DirectoryStore } from './directory-store.ts';
import { S3Store } from './s3-store.ts';
import type { ObjectStore } from './store-types.ts';

/** Opens what an operator named. Nothing is asked of the store yet. */
export function openStore(place: Pick<BackupConfig, 'directory' | 's3'>): ObjectStore {
  const { directory, s3 } = place;
  if (s3 !== undefined) return new S3Store(s3, describePlace(place));
  return new DirectoryStore(directory ?? '');
}

/** The part of a store that lies below a folder. */
export function storeBelow(store: ObjectStore, folder: string): ObjectStore {
  return {
    describe: `${store.describe}/${folder}`,
    put: (name, bytes) => store.put(`${folder}/${name}`, bytes),
    get: (name) => store.get(`${folder}/${name}`),
    remove: (name) => store.remove(`${folder}/${name}`),
    list: async (prefix) =>
      (await store.list(`${folder}/${prefix}`)).map(({ name, bytes }) => ({
        name: name.slice(folder.length + 1),
        bytes,
      })),
  };
}
