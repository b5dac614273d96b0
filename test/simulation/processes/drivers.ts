/** The production drivers of storage on a simulated process's links and time, and what a defect may do to them. */
import type { NodeAnswer, NodeLinks } from '../../../storage/client/node-links.ts';
import type { RecoveryGoal } from '../../../storage/quorum/core/recovery.ts';
import type { DriverPlace } from '../../../storage/quorum/quorum-driver.ts';
import { type RecoveryResult, runRecovery } from '../../../storage/quorum/recovery-driver.ts';
import { type Epoch, genesisEpoch, lsn } from '../../../storage/redo/ids.ts';
import type { StorageRequest } from '../../../storage/wire/core/messages.ts';
import type { SimContext } from '../deployment/sim-types.ts';
import type { RuntimeTwin } from '../ports/runtime.ts';
import type { Prng } from '../world/prng.ts';
import type { RegionLinks } from './region-links.ts';

/** Where a driver runs: on this process's time, with the bounds of the run. */
export function placeOf(time: RuntimeTwin, { bounds, defects }: SimContext): DriverPlace {
  // The defect: nobody reads what is older than this moment.
  const lowWater = defects.has('collects-readable')
    ? { ...bounds.lowWater, readPointAgeMs: 0 }
    : bounds.lowWater;
  return { runtime: time, bounds: bounds.quorum, lowWater };
}

/**
 * Links whose requests are seen as they leave.
 * @param onRequest says whether the request leaves; otherwise nobody answers it.
 * @param looksComplete the defect: every node looks complete, so that nothing is copied; the chain still says what there is.
 */
export function observed(
  links: NodeLinks,
  time: RuntimeTwin,
  onRequest: (request: StorageRequest) => boolean,
  looksComplete: boolean,
): Pick<NodeLinks, 'membership' | 'ask'> {
  const believed = (answer: NodeAnswer): NodeAnswer =>
    looksComplete && answer.kind === 'surveyed'
      ? { ...answer, volumeEnd: lsn(Number.MAX_SAFE_INTEGER) }
      : answer;
  return {
    get membership() {
      return links.membership;
    },
    ask: (node, request, timeoutMs, done) => {
      if (onRequest(request)) links.ask(node, request, timeoutMs, (answer) => done(believed(answer)));
      else time.after(timeoutMs, () => done({ kind: 'unanswered' }));
    },
  };
}

/** A run whose recoveries are given up sooner than this is about that: requests to fork get lost in it. */
const hastyMs = 1_000;

/** This region's nodes for a gateway's recoveries. The judges see what is about to be forked; defects and lost requests are put in here. */
export function recoveryNodes(
  links: RegionLinks,
  time: RuntimeTwin,
  context: SimContext,
  region: string,
  chance: Prng,
): Pick<NodeLinks, 'membership' | 'ask'> {
  const isHasty = context.recoveryMs.max < hastyMs;
  let forking: Epoch = genesisEpoch;
  return observed(
    links,
    time,
    (request) => {
      if (request.kind !== 'fork') return true;
      const { authority, forks } = request;
      if (authority > forking) context.witness.line(forks).forking(region, authority, forks);
      forking = authority;
      return !isHasty || !chance.perMille(400);
    },
    context.defects.has('skip-replication'),
  );
}

/** Links of whose seals the witness hears. The defect: two nodes are asked, and the others pass for sealed. */
export function sealing(
  links: RegionLinks,
  time: RuntimeTwin,
  { defects, witness }: SimContext,
  region: string,
): RegionLinks {
  const ask: NodeLinks['ask'] = (node, request, timeoutMs, done) => {
    if (request.kind === 'seal' && defects.has('two-seals') && links.nodes.indexOf(node) >= 2) {
      time.after(0, () => done({ kind: 'sealed', forks: [], fresh: false, empty: false }));
      return;
    }
    if (request.kind === 'seal') witness.sealing(request.epoch);
    links.ask(node, request, timeoutMs, (answer) => {
      if (request.kind === 'seal' && answer.kind === 'sealed') witness.sealed(region, node, request.epoch);
      done(answer);
    });
  };
  return Object.assign(Object.create(links) as RegionLinks, { ask });
}

export type RecoveryRunOptions = {
  /** See `observed`. */
  readonly skipsReplication: boolean;
  readonly fetchBytesMax: number;
};

const timeoutMs = 15_000;

/** One recovery, until it has answered once or is closed. */
export class RecoveryRun {
  private readonly abort = new AbortController();

  constructor(
    links: NodeLinks,
    time: RuntimeTwin,
    goal: RecoveryGoal,
    { skipsReplication, fetchBytesMax }: RecoveryRunOptions,
    done: (result: RecoveryResult) => void,
  ) {
    const seen = observed(links, time, () => true, skipsReplication);
    const { signal } = this.abort;
    void runRecovery(seen, goal, { timeoutMs, signal, runtime: time, fetchBytesMax }).then((result) => {
      if (!signal.aborted) done(result);
    });
  }

  close(): void {
    this.abort.abort();
  }
}
