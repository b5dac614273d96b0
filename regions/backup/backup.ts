/**
 * A region's backup as it runs in its agent: the log as it becomes durable, and image sets now and then, into a store of objects.
 * It reads from the region's own nodes, whatever the region's role is. A store that is away costs nothing but age: nothing more
 * is read than one object holds, and no write and no other work of the agent waits.
 */
import { type Lsn, pause, type RegionClient, type Runtime } from '../../storage/index.ts';
import type { Logger } from '../../telemetry/index.ts';
import type { Held } from '../control/core/survivors.ts';
import type { BackupReport } from '../status/core/backup-report.ts';
import { type BackupIdentity, BackupRefused, BackupState } from './backup-state.ts';
import { type BackupConfig, type BackupLimits, backupLimits } from './core/backup-config.ts';
import { ImageUpload } from './image-upload.ts';
import { LogUpload } from './log-upload.ts';
import { type ObjectStore, StoreError } from './store-types.ts';

const pageBytes = 4096;

export interface BackupOptions {
  readonly config: Pick<BackupConfig, 'keepDays'>;
  /** The folder of this cluster and region in the store. */
  readonly store: ObjectStore;
  readonly identity: BackupIdentity;
  readonly links: Pick<RegionClient, 'nodes' | 'request' | 'readPages'>;
  /** What the region's nodes hold; null while that is not known. */
  readonly me: () => Held | null;
  readonly runtime: Runtime;
  readonly log: Logger;
  /** The usual ones by default. */
  readonly limits?: BackupLimits;
}

interface Running {
  readonly state: BackupState;
  readonly logUpload: LogUpload;
  readonly images: ImageUpload;
}

export class Backup {
  private readonly options: BackupOptions;
  private readonly store: ObjectStore;
  private readonly limits: BackupLimits;
  private running: Running | null = null;
  /** Why the log, or an image set, does not get on. */
  private readonly troubles = new Map<'log' | 'images', string>();
  private failures = 0;
  private uploadedBytes = 0;
  /** When the store was last seen to have everything that was durable, by the runtime's clock. */
  private levelAtMs: number;
  private closed = false;

  constructor(options: BackupOptions) {
    this.options = options;
    this.limits = options.limits ?? backupLimits;
    this.levelAtMs = options.runtime.nowMs();
    const { store } = options;
    this.store = {
      describe: store.describe,
      get: (name) => store.get(name),
      list: (prefix) => store.list(prefix),
      remove: (name) => store.remove(name),
      put: async (name, bytes) => {
        await store.put(name, bytes);
        this.uploadedBytes += bytes.length;
      },
    };
  }

  /** Begins; `close` ends it. */
  start(): void {
    void this.repeat('log', () => this.logStep());
    void this.repeat('images', () => this.imageStep());
  }

  close(): void {
    this.closed = true;
  }

  /** From where on the store lacks the log, and for how long it has lacked it; null while that is not known. */
  get needs(): { readonly at: Lsn; readonly lacksForMs: number } | null {
    const saved = this.running?.state.saved ?? null;
    return saved === null ? null : { at: saved.through, lacksForMs: this.ageMs };
  }

  get report(): BackupReport {
    const { store, config } = this.options;
    const state = this.running?.state;
    const manifest = state?.saved ?? undefined;
    const through = manifest?.through ?? 0;
    const last = manifest?.sets.at(-1);
    const filling = manifest?.filling ?? null;
    const vdl = this.options.me()?.vdl ?? through;
    return {
      store: store.describe,
      keepDays: config.keepDays,
      through,
      throughUs: manifest?.throughUs ?? null,
      ageMs: Math.round(this.ageMs),
      lagBytes: Math.max(0, vdl - through),
      bytes: state?.bytes ?? 0,
      objects: state?.objects ?? 0,
      uploadedBytes: this.uploadedBytes,
      failures: this.failures,
      sets: manifest?.sets.length ?? 0,
      setLsn: last?.to ?? null,
      oldestUs: manifest?.sets[0]?.commitUs ?? null,
      nextSet: {
        reason: filling === null ? (this.running?.images.due ?? null) : null,
        percent: filling === null ? null : Math.floor((100 * (filling.nextPage - 1)) / filling.lastPage),
        afterBytes:
          last === undefined
            ? null
            : Math.max(0, Math.max(last.pages * pageBytes, this.limits.setLogBytesMin) - (through - last.to)),
      },
      gaps: manifest?.gaps.length ?? 0,
      trouble: this.trouble,
    };
  }

  private get trouble(): string | null {
    const told = this.troubles.get('log') ?? this.troubles.get('images');
    if (told !== undefined) return told;
    if (this.ageMs < this.limits.lateMs) return null;
    return `the backup is ${Math.round(this.ageMs / 1_000)} s behind`;
  }

  /** How long the store has lacked something. A region that is silent about itself counts as one that has more. */
  private get ageMs(): number {
    const { me, runtime } = this.options;
    const held = me();
    const manifest = this.running?.state.saved ?? undefined;
    if (
      held !== null &&
      manifest !== undefined &&
      held.epoch === manifest.head &&
      manifest.through >= held.vdl
    )
      this.levelAtMs = runtime.nowMs();
    return runtime.nowMs() - this.levelAtMs;
  }

  /** One of the two loops. What a store refuses is tried again, after ever longer, and said once until it succeeds. */
  private async repeat(what: 'log' | 'images', step: () => Promise<void>): Promise<void> {
    const { runtime, log } = this.options;
    let waitMs: number = this.limits.retryMs;
    while (!this.closed) {
      try {
        await step();
        if (this.troubles.delete(what)) log.info({ what }, 'the backup gets on again');
        waitMs = this.limits.retryMs;
      } catch (error) {
        const isExpected = error instanceof StoreError || error instanceof BackupRefused;
        const reason = error instanceof Error ? error.message : String(error);
        this.failures += 1;
        if (this.troubles.get(what) !== reason)
          log.error(
            { what, reason, ...(!isExpected && { stack: (error as Error).stack }) },
            'the backup does not get on',
          );
        this.troubles.set(what, reason);
        await pause(runtime, waitMs);
        waitMs = Math.min(2 * waitMs, this.limits.retryMsMax);
      }
    }
  }

  private async logStep(): Promise<void> {
    const { me, runtime, links, log } = this.options;
    const held = me();
    if (held === null || held.epoch === 0 || held.forks.length === 0)
      return pause(runtime, this.limits.idleMs);
    this.running ??= await this.open(held);
    const { state, logUpload } = this.running;
    const before = state.manifest.head;
    if (!state.follow(held)) return pause(runtime, this.limits.idleMs);
    if (state.manifest.head !== before) {
      const { head, through } = state.manifest;
      log.info({ head, through, nodes: links.nodes.length }, 'the backup follows another epoch');
      await state.save();
    }
    await logUpload.step();
  }

  private async imageStep(): Promise<void> {
    const { me, runtime } = this.options;
    const { running } = this;
    const held = me();
    const isOnPath = running !== null && held !== null && held.epoch === running.state.manifest.head;
    if (!isOnPath || !(await running.images.step(held))) await pause(runtime, this.limits.idleMs);
  }

  private async open(held: Held): Promise<Running> {
    const { identity, runtime, links, log, config } = this.options;
    const state = await BackupState.open(this.store, identity, held, runtime);
    const { id, through } = state.manifest;
    log.info({ store: this.store.describe, id, through }, 'the backup begins where the store ends');
    return {
      state,
      logUpload: new LogUpload(state, links, runtime, log, this.limits),
      images: new ImageUpload({
        state,
        store: this.store,
        links,
        keepDays: config.keepDays,
        limits: this.limits,
        runtime,
        log,
      }),
    };
  }
}
