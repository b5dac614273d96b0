/** The production drivers of storage on a simulated process's links and time, and what a defect may do to them. */
import type { NodeAnswer, NodeLinks } from '../../../storage/client/node-links.ts';
import type { Fork } from '../../../storage/history/epoch-tree.ts';
import type { RecoveryGoal } from '../../../storage/quorum/core/recovery.ts';
import type { DriverPlace } from '../../../storage/quorum/quorum-driver.ts';
import { type RecoveryResult, runRecovery } from '../../../storage/quorum/recovery-driver.ts';
import { lsn } from '../../../storage/redo/ids.ts';
import type { StorageRequest } from '../../../storage/wire/core/messages.ts';
import type { SimContext } from '../deployment/sim-types.ts';
import type { RuntimeTwin } from '../twins/runtime.ts';

/** Where a driver runs: on this process's time, with the bounds of the run. */
export function placeOf(time: RuntimeTwin, { bounds }: SimContext): DriverPlace {
  return { runtime: time, bounds: bounds.quorum, lowWater: bounds.lowWater };
}

/** Links whose requests are seen as they leave, and whose answers may be believed to say something else. */
export function observed(
  links: NodeLinks,
  onRequest: (request: StorageRequest) => void,
  believed: (answer: NodeAnswer) => NodeAnswer,
): Pick<NodeLinks, 'nodes' | 'ask'> {
  return {
    nodes: links.nodes,
    ask: (node, request, timeoutMs, done) => {
      onRequest(request);
      links.ask(node, request, timeoutMs, (answer) => done(believed(answer)));
    },
  };
}

export type RecoveryRunOptions = {
  /** The defect makes every node look complete, so that nothing is copied; the chain still says what there is. */
  readonly skipsReplication: boolean;
  readonly fetchBytesMax: number;
  /** The first fork request is about to leave: everything the new reign builds on lies on four nodes (S7). */
  readonly onForking?: (forks: readonly Fork[]) => void;
};

const timeoutMs = 15_000;

/** One recovery, until it has answered once or is closed. */
export class RecoveryRun {
  private readonly abort = new AbortController();

  constructor(
    links: NodeLinks,
    time: RuntimeTwin,
    goal: RecoveryGoal,
    options: RecoveryRunOptions,
    done: (result: RecoveryResult) => void,
  ) {
    let forking = false;
    const seen = observed(
      links,
      (request) => {
        if (request.kind !== 'fork' || forking) return;
        forking = true;
        options.onForking?.(request.forks);
      },
      (answer) =>
        options.skipsReplication && answer.kind === 'surveyed'
          ? { ...answer, volumeEnd: lsn(Number.MAX_SAFE_INTEGER) }
          : answer,
    );
    const { fetchBytesMax } = options;
    const { signal } = this.abort;
    void runRecovery(seen, goal, { timeoutMs, signal, runtime: time, fetchBytesMax }).then((result) => {
      if (!signal.aborted) done(result);
    });
  }

  close(): void {
    this.abort.abort();
  }
}
