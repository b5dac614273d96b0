/** Gathers what has become durable along the path and uploads it as log objects. */
import {
  type FetchSource,
  type Lsn,
  mainBranch,
  RegionFetch,
  type Runtime,
  splitFrames,
} from '../../storage/index.ts';
import type { Logger } from '../../telemetry/index.ts';
import { commitMarksIn } from '../replication/core/commit-marks.ts';
import type { BackupState } from './backup-state.ts';
import type { BackupLimits } from './core/backup-config.ts';
import { isCut } from './core/backup-rules.ts';
import type { ImageSet } from './core/manifest.ts';
import { logName } from './core/object-names.ts';
import { packObject } from './object-codec.ts';

interface Gathered {
  readonly head: number;
  readonly from: Lsn;
  readonly next: Lsn;
  readonly sinceMs: number;
  readonly frames: readonly Uint8Array[];
  readonly bytes: number;
  readonly minUs: number;
  readonly maxUs: number;
  /** Of the commit that comes last. */
  readonly lastUs: number | null;
}

/** Memory is bounded by one object: nothing more is read before it has left. */
export class LogUpload {
  private readonly state: BackupState;
  private readonly log: RegionFetch;
  private readonly runtime: Runtime;
  private readonly logger: Logger;
  private readonly limits: BackupLimits;
  private gathered: Gathered | null = null;
  private knownVdl: Lsn;

  constructor(
    state: BackupState,
    links: FetchSource,
    runtime: Runtime,
    logger: Logger,
    limits: BackupLimits,
  ) {
    this.state = state;
    this.log = new RegionFetch(links, 0);
    this.runtime = runtime;
    this.logger = logger;
    this.limits = limits;
    this.knownVdl = state.manifest.through;
  }

  /** Reads what is new, waiting for news if need be, and uploads when an object is full or old enough. @throws StoreError. */
  async step(): Promise<void> {
    this.forgetOtherPath();
    if (!this.isDue) await this.gather();
    if (this.isDue) await this.upload();
    else if (this.state.savedMsAgo >= this.limits.restateMs) await this.state.save();
  }

  private get isDue(): boolean {
    const { gathered } = this;
    return gathered !== null && isCut(gathered.bytes, this.runtime.nowMs() - gathered.sinceMs, this.limits);
  }

  /** What was gathered before the region turned to another path is read again from where the paths part. */
  private forgetOtherPath(): void {
    const { head, through } = this.state.manifest;
    if (this.gathered === null) return;
    if (this.gathered.head !== head || this.gathered.from !== through) this.gathered = null;
  }

  private async gather(): Promise<void> {
    const { head, through } = this.state.manifest;
    const from = this.gathered?.next ?? through;
    const reply = await this.log.fetch({
      kind: 'fetch',
      branch: mainBranch,
      head,
      from,
      bytesMax: this.limits.fetchBytes,
      waitMs: this.limits.fetchWaitMs,
      // R66: only what nobody can take back any more on this path.
      durableOnly: true,
      known: { head, vdl: this.knownVdl },
    });
    if (reply === null) return this.missed();
    const split = splitFrames(reply.frames);
    if (split.kind === 'bad') {
      this.logger.error({ reason: split.reason }, 'a storage node sent frames that do not check');
      return;
    }
    this.knownVdl = reply.vdl;
    if (reply.next <= from || split.frames.length === 0) return;
    const marks = commitMarksIn(split.frames, from, reply.next);
    const times = marks.map(({ commitTimeUs }) => commitTimeUs);
    const before = this.gathered;
    this.gathered = {
      head,
      from: before?.from ?? from,
      next: reply.next,
      sinceMs: before?.sinceMs ?? this.runtime.nowMs(),
      frames: [...(before?.frames ?? []), reply.frames],
      bytes: (before?.bytes ?? 0) + reply.frames.length,
      minUs: Math.min(before?.minUs ?? Number.POSITIVE_INFINITY, ...times),
      maxUs: Math.max(before?.maxUs ?? 0, ...times),
      lastUs: times.at(-1) ?? before?.lastUs ?? null,
    };
  }

  /** The log that the store lacks is no longer kept: the backup goes on above, and an image set closes the gap. */
  private async missed(): Promise<void> {
    const { below } = this.log;
    if (below === null || this.gathered !== null) return;
    const { through, gaps } = this.state.manifest;
    if (below.lsn <= through) return;
    const gap = { from: through, to: below.lsn };
    this.state.manifest = { ...this.state.manifest, through: below.lsn, gaps: [...gaps, gap] };
    this.logger.error(
      gap,
      'the backup lacks a stretch of the log that is no longer kept: an image set follows',
    );
    await this.state.save();
  }

  private async upload(): Promise<void> {
    const { gathered, state } = this;
    if (gathered === null) return;
    const packed = await packObject(Buffer.concat(gathered.frames));
    const { from, next: to, maxUs, lastUs } = gathered;
    const { head } = state.manifest;
    const minUs = maxUs === 0 ? 0 : gathered.minUs;
    await state.put(logName({ from, to, head, minUs, maxUs, crc: packed.crc }), packed.bytes);
    this.gathered = null;
    const { manifest } = state;
    // The region may have turned to another path meanwhile: then the object counts as far as that allows, and is not named.
    if (manifest.head !== head || manifest.through !== from) return;
    const throughUs = lastUs ?? manifest.throughUs;
    const dated = (set: ImageSet): ImageSet =>
      set.commitUs === null && set.to <= to ? { ...set, commitUs: throughUs } : set;
    state.manifest = { ...manifest, through: to, throughUs, sets: manifest.sets.map(dated) };
    await state.save();
  }
}
