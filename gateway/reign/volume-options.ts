/** What a volume is made of, whom it tells of commits, and how it decides about an answer. */
import type { AppendEnd, AppendFacts, Epoch, Lsn, NodeId, RegionClient } from '../../storage/index.ts';
import type { Logger } from '../../telemetry/index.ts';
import type { EngineCommitEvent } from '../engine/commit-events.ts';
import type { EngineNews } from '../engine/core/engine-protocol.ts';
import type { EngineReserve } from '../engine/engine-reserve.ts';
import type { MakeQuickReads } from '../engine/quick-reads.ts';
import type { ReaderPoolLimits } from '../engine/reader-pool.ts';
import type { Line } from './follower.ts';
import type { Reign } from './reign.ts';

export interface VolumeOptions {
  readonly region: RegionClient;
  /** What is read and written. */
  readonly line: Line;
  /** Of a branch: the volume whose reign its own reigns are part of. Left out for main. */
  readonly main?: { readonly standing: Reign | null };
  /** Where its engines get their threads. */
  readonly reserve: Pick<EngineReserve, 'start'>;
  /** Engines get their threads when they are needed, since one that nobody uses costs much. */
  readonly startsOnDemand: boolean;
  readonly log: Logger;
  readonly limits: ReaderPoolLimits;
  /** Durable pages the writing engine keeps, bytes. */
  readonly pageCacheBytes: number;
  /** As `pageCacheBytes`, of each reading thread. */
  readonly readerCacheBytes: number;
  /** What reads that are proven quick are answered with on the main thread; null: they go to the reading threads. */
  readonly quick: MakeQuickReads | null;
  readonly recordFacts: boolean;
  readonly onFatal: (error: Error) => void;
  readonly observer: CommitObserver;
}

/** Hears of the commits of every reign. */
export interface CommitObserver {
  committed(commit: EngineCommitEvent, epoch: Epoch): void;
  /** @param free commits beyond wait for another region. */
  durable(vdl: Lsn, facts: readonly AppendFacts[], free: Lsn): void;
  /** Answers that saw commits up to here may leave. */
  freed(free: Lsn): void;
  /** A reign is over: what is not durable by now is unknown. */
  reignEnded(): void;
  /** What became of redo that was sent to one node, and after how long. */
  appended(node: NodeId, how: AppendEnd, tookMs: number): void;
  /** A page has come from the storage nodes. */
  pageRead(tookMs: number): void;
  /** What an engine did besides its operations. */
  engineDid(engine: 'writer' | 'reader', news: EngineNews): void;
}

/** Whether an answer may leave as it is. */
export type Settled =
  | 'released'
  /** As `released`, but this gateway is not, or cannot prove to be, the writer any more: others may have written since. */
  | 'stale'
  /** What it saw is not known to be durable, and never will be; what it committed may or may not exist. */
  | 'lost'
  /** As `lost`, and it has certainly committed nothing. */
  | 'discarded'
  /** What it saw is durable in this region, and no other one has proved in time that it has it. */
  | 'held';
