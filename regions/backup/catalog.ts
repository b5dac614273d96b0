/** What a store holds of one region's backup: its newest manifest, and the names of its objects. */
import { crc32 } from 'node:zlib';
import { decodeManifest, type Manifest } from './core/manifest.ts';
import { imagesPrefix, type LogObject, logPrefix, manifestNames, parseLogName } from './core/object-names.ts';
import type { Listed, ObjectStore } from './store-types.ts';

export type ManifestFound =
  | {
      readonly kind: 'manifest';
      readonly manifest: Manifest;
      /** Of the other one, when it is damaged. */
      readonly damaged: string | null;
    }
  | { readonly kind: 'absent' }
  | { readonly kind: 'damaged'; readonly reason: string };

/** The newer of the two manifests that is whole: a kill leaves at most one of them torn. @throws StoreError. */
export async function readManifest(store: ObjectStore): Promise<ManifestFound> {
  let newest: Manifest | null = null;
  let damaged: string | null = null;
  for (const name of manifestNames) {
    const bytes = await store.get(name);
    if (bytes === null) continue;
    const read = decodeManifest(bytes, crc32);
    if (read.kind === 'bad') damaged = `${name}: ${read.reason}`;
    else if (newest === null || read.manifest.generation > newest.generation) newest = read.manifest;
  }
  if (newest !== null) return { kind: 'manifest', manifest: newest, damaged };
  return damaged === null ? { kind: 'absent' } : { kind: 'damaged', reason: damaged };
}

export interface Catalog {
  readonly logs: readonly LogObject[];
  /** Names of parts of image sets. */
  readonly parts: readonly string[];
  readonly bytes: number;
  readonly objects: number;
}

/** Lists what is there. @throws StoreError. */
export async function readCatalog(store: ObjectStore): Promise<Catalog> {
  const listed: Listed[] = [...(await store.list(logPrefix)), ...(await store.list(imagesPrefix))];
  return {
    logs: listed.flatMap(({ name }) => parseLogName(name) ?? []).sort((a, b) => a.from - b.from),
    parts: listed.map(({ name }) => name).filter((name) => name.startsWith(imagesPrefix)),
    bytes: listed.reduce((sum, { bytes }) => sum + bytes, 0),
    objects: listed.length,
  };
}
