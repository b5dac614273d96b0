/** What the storage nodes of this region say about themselves, asked twice a second. */

import {
  areWitnesses,
  type Epoch,
  epoch,
  type FetchSource,
  type Fork,
  genesisEpoch,
  type Joining,
  type Lsn,
  lsn,
  type Member,
  type Membership,
  mainBranch,
  type NodeId,
  nodesOf,
  pathRequest,
  RegionFetch,
  type RepairReport,
  type StatusReply,
  setsOf,
} from '../../storage/index.ts';
import type { NodeBranch } from '../branches/core/branch-sight.ts';
import type { Held } from '../control/core/survivors.ts';
import type { NodeReport } from './core/report.ts';

const statusTimeoutMs = 400;

/** The region's nodes, and which they are. */
export interface StatusSource extends FetchSource {
  readonly membership: Membership;
}

export class RegionNodes {
  private readonly region: StatusSource;
  private behindNow: readonly NodeId[] = [];
  private reportsNow: readonly NodeReport[] = [];
  private heldNow: { readonly epoch: Epoch; readonly vdl: Lsn } | null = null;
  private highestNow: Epoch = genesisEpoch;
  private path: { readonly head: Epoch; readonly forks: readonly Fork[] } = { head: genesisEpoch, forks: [] };
  private learning = false;
  /** When the last repair that each node tells of began; null while it tells of none. What it told first is an old story. */
  private readonly repairedAtUs = new Map<NodeId, number | null>();
  private branchesNow: ReadonlyMap<NodeId, readonly NodeBranch[]> = new Map();
  private readonly onRepaired: (node: Member, report: RepairReport) => void;

  /** @param onRepaired hears of each repair of a node that ends from now on. */
  constructor(
    region: StatusSource,
    onRepaired: (node: Member, report: RepairReport) => void = () => undefined,
  ) {
    this.region = region;
    this.onRepaired = onRepaired;
  }

  /** Nodes that answer and have missed the newest membership. */
  get behind(): readonly NodeId[] {
    return this.behindNow;
  }

  /** What each node that answered the last poll said of branches besides `main`. */
  get branches(): ReadonlyMap<NodeId, readonly NodeBranch[]> {
    return this.branchesNow;
  }

  /** The membership that this process believes in. */
  get membership(): Membership {
    return this.region.membership;
  }

  /** The nodes as the last poll found them; empty before the first. */
  get reports(): readonly NodeReport[] {
    return this.reportsNow;
  }

  /**
   * What they hold along the newest path they know; null before three have answered, since fewer may all have missed what
   * four made durable. More may be durable than any of them was told.
   */
  get held(): Held | null {
    if (this.heldNow === null) return null;
    return { ...this.heldNow, forks: this.forksTo(this.heldNow.epoch) };
  }

  /** The highest epoch that any of them has forked, followed or sealed for, as far as was ever heard. */
  get highestEpoch(): Epoch {
    return this.highestNow;
  }

  /** The path to `head`, oldest first; empty while it is not known. */
  forksTo(head: Epoch): readonly Fork[] {
    return this.path.head === head ? this.path.forks : [];
  }

  /** The region's nodes follow this path by now. */
  follows(head: Epoch, forks: readonly Fork[]): void {
    if (head >= this.path.head) this.path = { head, forks };
  }

  /** Asks all of them once. @returns the newest head among them and the highest VDL known along it. */
  async poll(): Promise<{ readonly head: Epoch; readonly vdl: Lsn }> {
    const { membership } = this.region;
    const answers = await Promise.all(
      nodesOf(membership).map(async (node) => {
        const reply = await this.region.request(node.node, { kind: 'status' }, statusTimeoutMs);
        return { node, status: reply.kind === 'status' ? reply : null };
      }),
    );
    for (const { node, status } of answers) if (status !== null) this.noteRepair(node, status.repaired);
    const known = answers.flatMap(({ status }) => (status === null ? [] : [status]));
    // A node that missed a reign may know of redo of an older one, far above where that was left.
    const head = epoch(known.reduce((newest, status) => Math.max(newest, status.head), 0));
    const vdl = lsn(
      known.reduce((highest, status) => (status.head === head ? Math.max(highest, status.vdl) : highest), 0),
    );
    // R70: the epochs of branches are allotted as well.
    const told = known.flatMap((status) => [status, ...(status.branches ?? [])]);
    this.highestNow = epoch(Math.max(this.highestNow, ...told.flatMap((line) => [line.head, line.sealed])));
    this.branchesNow = new Map(
      answers.flatMap(({ node, status }) => (status === null ? [] : [[node.node, status.branches ?? []]])),
    );
    const hasSpoken = new Set(answers.flatMap(({ node, status }) => (status === null ? [] : [node.node])));
    // Of the set with the old node, while one is replaced: a new one may know nothing yet.
    const isKnown = areWitnesses(setsOf(membership), (node) => hasSpoken.has(node));
    this.heldNow = isKnown ? { epoch: head, vdl } : null;
    this.behindNow = answers.flatMap(({ node, status }) =>
      status !== null && (status.membership?.epoch ?? 0) < membership.epoch ? [node.node] : [],
    );
    this.reportsNow = answers.map(({ node, status }) => nodeReport(node, status, vdl, membership.joining));
    if (this.path.head !== head && head !== genesisEpoch) void this.learnPath(head);
    return { head, vdl };
  }

  private noteRepair(node: Member, report: RepairReport | undefined): void {
    const before = this.repairedAtUs.get(node.node);
    this.repairedAtUs.set(node.node, report?.beganAtUs ?? before ?? null);
    if (before !== undefined && report !== undefined && report.beganAtUs !== before)
      this.onRepaired(node, report);
  }

  /** Reads the path from whichever node has it; one try for each poll. */
  private async learnPath(head: Epoch): Promise<void> {
    if (this.learning) return;
    this.learning = true;
    const reply = await new RegionFetch(this.region, head).fetch(pathRequest(mainBranch, head));
    this.learning = false;
    if (reply !== null && reply.head === head) this.follows(head, reply.forks);
  }
}

function nodeReport(
  node: Member,
  status: StatusReply | null,
  vdl: number,
  joining: Joining | null,
): NodeReport {
  const state = status === null ? 'down' : status.scl < vdl ? 'behind' : 'up';
  return {
    id: node.node,
    az: node.az,
    state,
    scl: status?.scl ?? null,
    pid: status?.pid ?? null,
    address: node.address,
    ...(status?.version !== undefined && { version: status.version }),
    ...(node.node === joining?.out && { role: 'leaving' as const }),
    ...(node.node === joining?.in.node && { role: 'joining' as const }),
    ...(status?.trouble !== undefined && { trouble: status.trouble }),
    ...(status !== null && { logBytes: status.logBytes, floor: status.floor?.lsn ?? 0 }),
    ...(status?.imageBytes !== undefined && { imageBytes: status.imageBytes }),
    ...(status?.needsImages !== undefined && { needsImages: status.needsImages }),
  };
}
