/**
 * Makes the forks of branches on this region's storage nodes, each as soon as the region has durable what lies below it.
 *
 * R72 A region has a branch's fork once four of its nodes have it, and then everything below the fork is durable there: whoever
 *     reads the branch in that region finds all that it shares with its parent.
 */
import {
  type Epoch,
  type FetchSource,
  type Fork,
  genesisEpoch,
  isWriteQuorum,
  type Lsn,
  type Membership,
  mainBranch,
  type NodeId,
  nodesIn,
  pathRequest,
  RegionFetch,
  setsOf,
  zeroLsn,
} from '../../storage/index.ts';
import type { Logger } from '../../telemetry/index.ts';
import type { Branch } from '../control/core/branch-list.ts';

const answerMs = 1_500;

export interface BranchForksOptions {
  readonly links: FetchSource & { readonly membership: Membership };
  readonly log: Pick<Logger, 'info' | 'warn'>;
}

export type ForkOutcome =
  | { readonly kind: 'made' }
  /** Not yet: what lies below it is not durable here, or too few nodes have answered. */
  | { readonly kind: 'waiting'; readonly reason: string }
  /** Never: the log of this region no longer reaches down to it. */
  | { readonly kind: 'below'; readonly reason: string };

/** What is durable along the path to an epoch. */
interface Reach {
  readonly forks: readonly Fork[];
  readonly vdl: Lsn;
}

export class BranchForks {
  private readonly options: BranchForksOptions;
  /** By origin. */
  private readonly underWay = new Map<Epoch, Promise<ForkOutcome>>();
  /** What was logged of a branch, by origin. */
  private readonly told = new Map<Epoch, 'made' | 'below'>();

  constructor(options: BranchForksOptions) {
    this.options = options;
  }

  /**
   * Makes the forks that nodes lack; one try for each branch, which does not wait for the last.
   * @param known the nodes that have a branch.
   */
  look(branches: readonly Branch[], known: (branch: Branch) => readonly NodeId[]): void {
    for (const origin of this.told.keys())
      if (!branches.some((branch) => branch.origin === origin)) this.told.delete(origin);
    for (const branch of branches) void this.make(branch, known(branch));
  }

  /** Whether the log of this region no longer reaches down to where a branch leaves, as its nodes last said. */
  cannotBegin({ origin }: Branch): boolean {
    return this.told.get(origin) === 'below';
  }

  /** Makes the fork of one branch on all nodes but those that have it. */
  make(branch: Branch, known: readonly NodeId[]): Promise<ForkOutcome> {
    const { origin } = branch;
    const running = this.underWay.get(origin) ?? this.carryOut(branch, known);
    this.underWay.set(origin, running);
    return running.finally(() => this.underWay.delete(origin));
  }

  private async carryOut(branch: Branch, known: readonly NodeId[]): Promise<ForkOutcome> {
    const { links } = this.options;
    const sets = setsOf(links.membership);
    const lacking = nodesIn(sets).filter((node) => !known.includes(node));
    if (lacking.length === 0) return { kind: 'made' };
    const reach = await this.reach(branch);
    if (reach === null || reach.vdl < branch.forkLsn) {
      const has =
        reach === null ? 'nothing of its path is known here' : `LSN ${reach.vdl} of it is durable here`;
      return {
        kind: 'waiting',
        reason: `it leaves LSN ${branch.forkLsn} of epoch ${branch.parent}, and ${has}`,
      };
    }
    const whole = await this.whole(nodesIn(sets));
    if (!isWriteQuorum(sets, (node) => whole.has(node)))
      return {
        kind: 'waiting',
        reason:
          'storage nodes that are new or came back empty do not hold yet what is durable, or have not heard which branches there are',
      };
    return this.ask(branch, reach.forks, lacking, known);
  }

  /** Only nodes that count as witnesses of a branch when they hear of it can ever vouch for it (S34): too few would leave it without a writer for good. */
  private whole(nodes: readonly NodeId[]): Promise<ReadonlySet<NodeId>> {
    return this.gather(nodes, new Set(), async (node) => {
      const reply = await this.options.links.request(node, { kind: 'status', known: true }, answerMs);
      if (reply.kind !== 'status') return false;
      const { known } = reply;
      return known === undefined || (known.mayWitness ?? known.isWhole);
    });
  }

  /**
   * Asks nodes at once. @returns those of `known` and of the nodes that said yes, as soon as they are a write quorum, or all have
   * answered: a node that is frozen holds nobody up.
   */
  private gather(
    nodes: readonly NodeId[],
    known: ReadonlySet<NodeId>,
    says: (node: NodeId) => Promise<boolean>,
  ): Promise<ReadonlySet<NodeId>> {
    const has = new Set(known);
    const sets = setsOf(this.options.links.membership);
    return new Promise((resolve) => {
      const asked = nodes.map(async (node) => {
        if (await says(node)) has.add(node);
        if (isWriteQuorum(sets, (one) => has.has(one))) resolve(new Set(has));
      });
      void Promise.all(asked).then(() => resolve(new Set(has)));
    });
  }

  private async ask(
    branch: Branch,
    path: readonly Fork[],
    lacking: readonly NodeId[],
    known: readonly NodeId[],
  ): Promise<ForkOutcome> {
    const { links, log } = this.options;
    const { name, origin, parent, forkLsn } = branch;
    const forks = [...path, { epoch: origin, branch: name, parent, forkLsn }];
    let below: string | null = null;
    const has = await this.gather(lacking, new Set(known), async (node) => {
      const reply = await links.request(node, { kind: 'fork', authority: origin, forks }, answerMs);
      if (reply.kind === 'refused' && reply.code === 'BELOW_FLOOR') below = `${node}: ${reply.reason}`;
      return reply.kind === 'forked';
    });
    if (isWriteQuorum(setsOf(links.membership), (node) => has.has(node))) {
      if (this.told.get(origin) !== 'made')
        log.info({ branch: name, epoch: origin, forkLsn }, 'the branch is here');
      this.told.set(origin, 'made');
      return { kind: 'made' };
    }
    if (below !== null) {
      if (this.told.get(origin) !== 'below')
        log.warn({ branch: name, reason: below }, 'the branch cannot begin here');
      this.told.set(origin, 'below');
      return { kind: 'below', reason: below };
    }
    return { kind: 'waiting', reason: `${has.size} nodes have its fork, and four have to` };
  }

  /** Asks one node after another for the path that a branch leaves, until one knows enough of it to be durable. */
  private async reach({ parent, forkLsn }: Branch): Promise<Reach | null> {
    if (parent === genesisEpoch) return { forks: [], vdl: zeroLsn };
    const { links } = this.options;
    const log = new RegionFetch(links, parent);
    let best: Reach | null = null;
    for (const _ of links.nodes) {
      const reply = await log.fetch(pathRequest(mainBranch, parent));
      if (reply !== null && (best === null || reply.vdl > best.vdl))
        best = { forks: reply.forks, vdl: reply.vdl };
      if (best !== null && best.vdl >= forkLsn) break;
    }
    return best;
  }
}
