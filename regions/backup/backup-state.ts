/**
 * The manifest of a running backup in memory and in the store. What is uploaded goes first, then the manifest that names it: a
 * kill in between leaves objects that nobody misses.
 */
import { createHmac, randomBytes } from 'node:crypto';
import { crc32 } from 'node:zlib';
import type { RegionId, Runtime } from '../../storage/index.ts';
import type { Held } from '../control/core/survivors.ts';
import { readCatalog, readManifest } from './catalog.ts';
import { turnTo } from './core/backup-rules.ts';
import { encodeManifest, type Manifest } from './core/manifest.ts';
import { manifestName } from './core/object-names.ts';
import type { ObjectStore } from './store-types.ts';

export interface BackupIdentity {
  readonly cluster: string;
  readonly region: RegionId;
  readonly regions: readonly RegionId[];
  readonly secret: string;
  /** The backup that this deployment was restored from: never its own. */
  readonly restoredFrom: string | null;
}

/** Why a backup cannot go on in this store, in words with the way out. */
export class BackupRefused extends Error {
  override readonly name = 'BackupRefused';
}

/** Tells deployments of one name apart: a new one has another secret. */
const ownerOf = ({ secret, cluster }: BackupIdentity): string =>
  createHmac('sha256', secret).update(`sextant backup of ${cluster}`).digest('hex').slice(0, 16);

export class BackupState {
  manifest: Manifest;
  /** As it is in the store; null before the first was written. Only what it says is safe. */
  saved: Manifest | null;
  /** Of all objects in the store; manifests are not counted. */
  bytes: number;
  objects: number;
  /** When the newest set was finished, by the runtime's clock; that of one from before this process is not known. */
  setDoneAtMs: number;
  private readonly store: ObjectStore;
  private readonly runtime: Runtime;
  private saving: Promise<unknown> = Promise.resolve();
  private savedAtMs = Number.NEGATIVE_INFINITY;

  private constructor(
    store: ObjectStore,
    runtime: Runtime,
    manifest: Manifest,
    { bytes, objects }: { readonly bytes: number; readonly objects: number },
  ) {
    this.store = store;
    this.runtime = runtime;
    this.manifest = manifest;
    this.saved = manifest.generation === 0 ? null : manifest;
    this.bytes = bytes;
    this.objects = objects;
    this.setDoneAtMs = runtime.nowMs();
  }

  /**
   * Goes on with the backup that is in the store, or begins one at what is durable now.
   * @throws StoreError, and BackupRefused when what is there is another deployment's or is damaged.
   */
  static async open(
    store: ObjectStore,
    identity: BackupIdentity,
    me: Held,
    runtime: Runtime,
  ): Promise<BackupState> {
    const { cluster, region, regions, restoredFrom } = identity;
    const owner = ownerOf(identity);
    const found = await readManifest(store);
    if (found.kind === 'damaged')
      throw new BackupRefused(
        `the manifest in ${store.describe} is damaged (${found.reason}): put it back, or begin anew under another prefix or directory`,
      );
    const catalog = await readCatalog(store);
    if (found.kind === 'manifest') {
      const { manifest } = found;
      if (manifest.id === restoredFrom)
        throw new BackupRefused(
          `${store.describe} holds the backup that this deployment was restored from: give it a prefix or directory of its own`,
        );
      if (manifest.owner !== owner)
        throw new BackupRefused(
          `${store.describe} holds the backup of another deployment that is called ${cluster} too, or was made under another cluster secret: use another prefix or directory`,
        );
      return new BackupState(store, runtime, manifest, catalog);
    }
    const manifest: Manifest = {
      id: randomBytes(8).toString('hex'),
      owner,
      cluster,
      region,
      regions: [...regions],
      generation: 0,
      writtenUs: 0,
      head: me.epoch,
      forks: [...me.forks],
      through: me.vdl,
      throughUs: null,
      gaps: [],
      sets: [],
      filling: null,
    };
    return new BackupState(store, runtime, manifest, catalog);
  }

  /** How long ago the manifest was written last. */
  get savedMsAgo(): number {
    return this.runtime.nowMs() - this.savedAtMs;
  }

  /**
   * R66: follows the path of the region. A region that knows an older head than the backup is behind, and nothing is done.
   * @returns whether the backup is on the path of `me`. @throws BackupRefused when the histories contradict each other.
   */
  follow(me: Held): boolean {
    const { head, forks } = this.manifest;
    if (me.epoch < head || me.forks.length === 0) return false;
    if (me.epoch === head) return true;
    const turned = turnTo(this.manifest, { head: me.epoch, forks: me.forks });
    if (turned === null)
      throw new BackupRefused(
        `${this.store.describe} holds another history: one epoch of it begins elsewhere than here. Use another prefix or directory`,
      );
    if (turned.forks.length === forks.length && turned.through === this.manifest.through) return false;
    this.manifest = { ...this.manifest, ...turned, head: me.epoch };
    return true;
  }

  /** Puts an object into the store and counts it. @throws StoreError. */
  async put(name: string, bytes: Uint8Array): Promise<void> {
    await this.store.put(name, bytes);
    this.bytes += bytes.length;
    this.objects += 1;
  }

  /** Writes the manifest as it is by then. @throws StoreError; what it would have said is said by the next. */
  save(): Promise<void> {
    const saved = this.saving.then(() => this.write());
    this.saving = saved.catch(() => undefined);
    return saved;
  }

  private async write(): Promise<void> {
    const generation = this.manifest.generation + 1;
    const manifest = { ...this.manifest, generation, writtenUs: Math.round(this.runtime.wallUs()) };
    // One that may be torn is in the place of the older one, and the next is written over it.
    await this.store.put(manifestName(generation), encodeManifest(manifest, crc32));
    this.manifest = { ...this.manifest, generation };
    this.saved = manifest;
    this.savedAtMs = this.runtime.nowMs();
  }
}
