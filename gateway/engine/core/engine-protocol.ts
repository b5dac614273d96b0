/** What the main thread and the engine's worker say to each other. One message carries many of these. */
import type { Lsn, PageNo, PgId } from '../../../storage/redo.ts';
import type { AnyOperationValue, SqlOperation } from '../../sql/operation.ts';
import type { SqlOutcome } from '../../sql/sql.ts';
import type { StreamState } from '../../sql/stream-state.ts';
import type { RedoPlace } from '../scratch/core/redo-place.ts';
import type { EngineLimits } from './engine-limits.ts';
import type { InterruptFlags } from './interrupt-cell.ts';
import type { WasmCode } from './wasm.ts';

/** Whose pages the engine serves: a reader follows redo, a writer makes it. */
export type EngineMode =
  | { readonly kind: 'reader'; readonly readPoint: Lsn }
  /** @param pgBytes span of a protection group of the volume. */
  | { readonly kind: 'writer'; readonly lsn: Lsn; readonly pgBytes: number };

/** What an engine may take of its thread; any thread serves any engine. */
export interface EngineBounds {
  /** Bound on cached pages that are durable, bytes. */
  readonly pageCacheBytes: number;
  /** It waits so long for a page from storage. */
  readonly pageReadMs: number;
  /** Where it keeps what does not fit memory. */
  readonly scratchFolder: string;
}

/** The W3C trace a request belongs to. */
export interface EngineTrace {
  /** 32 hex digits. */
  readonly traceId: string;
  readonly flags: number;
}

export interface EngineCommit {
  readonly lsn: Lsn;
  readonly commitTimeUs: number;
}

/** How one operation ended, and what its response must wait for. */
export interface EngineAnswer<T> {
  readonly outcome: SqlOutcome<T>;
  /** The response may leave once the volume is durable here: the newest snapshot or commit the operation saw; 0 when it saw none. */
  readonly seenLsn: Lsn;
  readonly commits: readonly EngineCommit[];
  /** True when the session has no transaction open afterwards. */
  readonly autocommit: boolean;
  readonly wrote: boolean;
  /** What the stream's state is afterwards; null when it is what the operation came with. */
  readonly state: StreamState | null;
  /** True when the session has temporary objects or attached databases: it must go on here. */
  readonly holds: boolean;
  /** True when the engine was replaced before the operation did anything: it may simply be run again. */
  readonly aborted: boolean;
  /** Time spent running, waits for the writer before it excluded. */
  readonly engineUs: number;
}

export type ToWorker =
  | {
      readonly kind: 'open';
      readonly mode: EngineMode;
      readonly generation: number;
      readonly bounds: EngineBounds;
    }
  | {
      readonly kind: 'operation';
      readonly id: number;
      readonly session: number;
      readonly trace: EngineTrace | null;
      /** The stream's state; null: what the last answer to this session left behind. */
      readonly state: StreamState | null;
      readonly operation: SqlOperation;
    }
  | { readonly kind: 'closeSession'; readonly session: number }
  /** When what follows was sent, by `sharedClockMs`: the worker was busy, and may take it late. */
  | { readonly kind: 'sent'; readonly atMs: number }
  /** A reign is about to begin: what takes a while and needs no page may be done. */
  | { readonly kind: 'warm' }
  | { readonly kind: 'redo'; readonly frames: Uint8Array; readonly vdl: Lsn }
  | { readonly kind: 'durable'; readonly lsn: Lsn }
  /** Has the writer's cache a page as it was at a read point? */
  | { readonly kind: 'peek'; readonly id: number; readonly page: PageNo; readonly readPoint: Lsn };

/** The answer to a `peek`: the page, null when the volume has none there, undefined when the cache cannot say. */
export interface Peeked {
  readonly id: number;
  readonly bytes: Uint8Array | null | undefined;
}

/** A commit and whose it is. */
export interface SessionCommit extends EngineCommit {
  readonly session: number;
  /** 16 hex digits, drawn for this commit; null when the request was untraced. */
  readonly spanId: string | null;
  readonly trace: EngineTrace | null;
}

/** The redo of a transaction, or of a group of them; `runs` lie back to back in the message's `redo` buffer, unless it is `stored`. */
export interface WorkerCommit {
  /** Where the redo ends. */
  readonly lsn: Lsn;
  readonly runs: readonly { readonly pg: PgId; readonly length: number }[];
  /** Null when the redo is in the message. */
  readonly stored: RedoPlace | null;
  /** In LSN order, the last one's at `lsn`. */
  readonly commits: readonly SessionCommit[];
}

export interface WorkerAnswer {
  readonly id: number;
  readonly answer: EngineAnswer<AnyOperationValue>;
  /** The state is what `countedState` makes of the result: it stands for `answer.state`, which is null then. */
  readonly counted: boolean;
  /** The session had no transaction and no settings of its own when the operation began. */
  readonly rerunnable: boolean;
}

export interface FromWorker {
  /** In LSN order; to be handed on before the answers are. */
  readonly commits: readonly WorkerCommit[];
  readonly redo: Uint8Array<ArrayBuffer> | null;
  readonly answers: readonly WorkerAnswer[];
  readonly peeked: readonly Peeked[];
  readonly news: readonly EngineNews[];
  readonly readPoint: Lsn;
  /** The newest `open` that has been carried out. */
  readonly generation: number;
  /** Set when redo could not be followed: the engine must be opened again. */
  readonly diverged: string | null;
}

/** Why PostgreSQL was started: its engine is new or begins anew, pages that are newer were asked for, or it had failed. */
export const engineStartReasons = ['opened', 'refresh', 'fault'] as const;
export type EngineStartReason = (typeof engineStartReasons)[number];

/** What an engine did besides its operations, for those who count. SQLite's has nothing to tell. */
export type EngineNews =
  /** With its recovery. */
  | { readonly kind: 'started'; readonly why: EngineStartReason; readonly tookMs: number }
  | { readonly kind: 'notStarted'; readonly reason: string }
  /** @param bytes of redo */
  | { readonly kind: 'checkpoint'; readonly tookMs: number; readonly bytes: number }
  /** A statement was stopped: it was asked to, or had run into the limit or its own `statement_timeout`. */
  | { readonly kind: 'stopped'; readonly why: 'asked' | 'timeout' }
  /** A transaction was rolled back that did nothing while others waited. */
  | { readonly kind: 'idleEnded' };

export interface PageRequest {
  readonly kind: 'read';
  readonly id: number;
  readonly pages: readonly PageNo[];
  /** What the worker knows to be durable, or below that. */
  readonly readPoint: Lsn;
  /** The pages are the same up to here: what was written since the read point would be in the worker's cache (G1). */
  readonly through: Lsn;
}

/** What runs in the worker can be stopped from another thread from now on. */
export interface Interruptible {
  readonly kind: 'interruptible';
  readonly flags: InterruptFlags;
  /** Of an `InterruptCell`. */
  readonly cell: SharedArrayBuffer;
}

export type PageReply =
  | { readonly kind: 'pages'; readonly id: number; readonly pages: readonly (Uint8Array | null)[] }
  | { readonly kind: 'failed'; readonly id: number; readonly reason: string };

/** What the worker is started with. */
export interface EngineWorkerData {
  readonly limits: EngineLimits;
  readonly shared: SharedArrayBuffer;
  /** SQLite, compiled once for all threads of the process. */
  readonly sqlite: WasmCode | null;
  /** It prepares itself at once, as after `warm`. */
  readonly warm: boolean;
}
