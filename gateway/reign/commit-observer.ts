/** Who hears of what a gateway's volume does. */
import type { AppendEnd, AppendFacts, Epoch, Lsn, NodeId } from '../../storage/index.ts';
import type { EngineCommitEvent } from '../engine/engine.ts';

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
}
