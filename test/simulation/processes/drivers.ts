/** The production drivers of storage on a simulated process's links and time, and what a defect may do to them. */
import type { NodeAnswer, NodeLinks } from '../../../storage/client/node-links.ts';
import type { Fork } from '../../../storage/history/epoch-tree.ts';
import type { RecoveryGoal } from '../../../storage/quorum/core/recovery.ts';
import type { DriverPlace } from '../../../storage/quorum/quorum-driver.ts';
import { type RecoveryResult, runRecovery } from '../../../storage/quorum/recovery-driver.ts';
import { lsn } from '../../../storage/redo/ids.ts';
import type { StorageRequest } from '../../../storage/wire/core/messages.ts';
import type { SimContext } from '../deployment/sim-types.ts';
import type { RuntimeTwin } from '../ports/runtime.ts';

/** Where a driver runs: on this process's time, with the bounds of the run. */
export function placeOf(time: RuntimeTwin, { bounds }: SimContext): DriverPlace {
  return { runtime: time, bounds: bounds.quorum, lowWater: bounds.lowWater };
}

/**
 * Links whose requests are seen as they leave, and whose answers may be believed to say something else.
 * @param onRequest says whether the request leaves; otherwise nobody answers it.
 */
function observed(
  links: NodeLinks,
  time: RuntimeTwin,
  onRequest: (request: StorageRequest) => boolean,
  believed: (answer: NodeAnswer) => NodeAnswer,
): Pick<NodeLinks, 'nodes' | 'ask'> {
  return {
    nodes: links.nodes,
    ask: (node, request, timeoutMs, done) => {
      if (!onRequest(request)) {
        time.after(timeoutMs, () => done({ kind: 'unanswered' }));
        return;
      }
      links.ask(node, request, timeoutMs, (answer) => done(believed(answer)));
    },
  };
}

export type RecoveryRunOptions = {
  /** The defect makes every node look complete, so that nothing is copied; the chain still says what there is. */
  readonly skipsReplication: boolean;
  readonly fetchBytesMax: number;
  /** Given up when nothing has got on for so long; 15 s by default. */
  readonly timeoutMs?: number;
  /** The first fork request is about to leave: everything the new reign builds on lies on four nodes (S7). */
  readonly onForking?: (forks: readonly Fork[]) => void;
  /** Whether a request to fork gets lost; asked for each. */
  readonly losesFork?: () => boolean;
};

const timeoutMsUsual = 15_000;

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
      time,
      (request) => {
        if (request.kind !== 'fork') return true;
        if (!forking) options.onForking?.(request.forks);
        forking = true;
        return options.losesFork?.() !== true;
      },
      (answer) =>
        options.skipsReplication && answer.kind === 'surveyed'
          ? { ...answer, volumeEnd: lsn(Number.MAX_SAFE_INTEGER) }
          : answer,
    );
    const { fetchBytesMax, timeoutMs = timeoutMsUsual } = options;
    const { signal } = this.abort;
    void runRecovery(seen, goal, { timeoutMs, signal, runtime: time, fetchBytesMax }).then((result) => {
      if (!signal.aborted) done(result);
    });
  }

  close(): void {
    this.abort.abort();
  }
}
