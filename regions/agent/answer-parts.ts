/** What a region's agent answers requests with, put together from what it is made of. */
import { type BranchName, locate, mainBranch, maxLsn } from '../../storage/index.ts';
import type { BranchesOptions } from '../branches/branches.ts';
import { branchFloor, type Source, sourceOfMain } from '../branches/core/branch-place.ts';
import type { ControlReading } from '../control/core/control-port.ts';
import type { ControlSight } from '../control/core/control-sight.ts';
import { branchesFrom } from '../control/core/promised-record.ts';
import type { Survivor } from '../control/core/survivors.ts';
import type { ClusterView } from '../status/core/cluster-view.ts';
import { pollSettled } from '../status/poll-settled.ts';
import type { RegionNodes } from '../status/region-nodes.ts';
import type { AnswerParts } from './answer-request.ts';
import type { RegionAgentOptions } from './region-agent-options.ts';
import type { RegionBranches } from './region-branches.ts';

export interface AgentParts extends Pick<AnswerParts, 'moves' | 'lookedFor' | 'replacement' | 'rewinds'> {
  readonly options: RegionAgentOptions;
  readonly view: ClusterView;
  readonly sight: ControlSight;
  readonly nodes: RegionNodes;
  readonly branches: RegionBranches;
  readonly me: () => Survivor;
  /** Asks the nodes now. */
  readonly poll: () => Promise<void>;
  readonly looked: (reading: ControlReading) => void;
  /** Says that the control record cannot be read or changed, and what to do. */
  readonly noRecord: (reason: string) => string;
}

/** What changes of the control record that no move makes are made with, and the rest. */
export function answerParts(parts: AgentParts): Omit<AnswerParts, 'region' | 'losses'> {
  const { moves, lookedFor, replacement, rewinds, options, view, sight, branches, looked, noRecord } = parts;
  const { links } = options;
  const membership = {
    ...options,
    configured: options.regions,
    view,
    looked,
    noRecord,
  };
  const making: BranchesOptions = {
    ...membership,
    record: () => sight.view?.record ?? null,
    source: (name) => sourceOf(name, parts),
    locate: async (wish) => {
      const found = await locate(links, wish);
      return found.kind === 'located' || found.kind === 'unavailable'
        ? found
        : {
            kind: 'unavailable',
            reason: found.kind === 'belowFloor' ? 'it lies below the floor' : 'no node knows that path',
          };
    },
    make: (branch) => branches.make(branch),
  };
  return {
    moves,
    lookedFor,
    replacement,
    rewinds,
    policy: { ...membership, regions: view.regions },
    membership,
    branches: making,
  };
}

/** What the nodes hold of a line of history, with all that was acknowledged before. */
async function sourceOf(
  name: BranchName,
  { options, nodes, branches, sight, me, poll }: AgentParts,
): Promise<Source | null> {
  await pollSettled(poll, options.runtime);
  const floor = branchFloor(nodes.reports.flatMap((node) => node.floor ?? []));
  const source = name === mainBranch ? sourceOfMain(me().held, floor) : branches.source(name, floor);
  if (source === null) return null;
  const { head, vdl, forks } = source;
  // R96: other regions may have let go what was promised not to be needed.
  const promised = branchesFrom(sight.view?.record ?? {}, { epoch: head, vdl, forks });
  return { ...source, floor: maxLsn(floor, promised) };
}
