/**
 * What of the log a region's nodes have to keep, and for whom: worked out anew every few seconds from what the agent knows, so that
 * nothing has to be remembered between two times, and two agents that disagree for a moment do no harm: a node takes the strictest
 * word it gets, and a floor never goes back.
 */
import {
  type Epoch,
  type Fork,
  type Lsn,
  maxLsn,
  minLsn,
  type NodeId,
  pgclOf,
  type QuorumSets,
  type RegionId,
  type RetainedReply,
  type RetainRequest,
  zeroLsn,
} from '../../../storage/core.ts';
import { type Held, positionOn } from '../../control/core/survivors.ts';
import { type RetentionConfig, retentionLimits } from './retention-limits.ts';

/** Another region, as the agent knows it. */
export interface Neighbour {
  readonly region: RegionId;
  /** How far it is known to hold the path of this region; null while nothing is known. */
  readonly at: Lsn | null;
  /** Age of the oldest commit that it may lack; 0 when it lacks none. Of one that was never heard, the time since the agent began. */
  readonly lacksForMs: number;
}

/** From where on somebody still needs the log, and for how long. */
export type Wanted = Pick<Neighbour, 'lacksForMs'> & { readonly at: Lsn };

/** What the branches of a region need of the log. */
export interface BranchNeeds {
  /** The newest epoch that was allotted when this was worked out. */
  readonly knownTo: Epoch;
  readonly live: readonly {
    readonly name: string;
    /** Its newest epoch here. */
    readonly head: Epoch;
    /** The path to `head`; empty while it is not known. */
    readonly forks: readonly Fork[];
    /** Where it left: a branch is read from the images and the log below that, and from its own log. */
    readonly keepFrom: Lsn;
  }[];
  /** Branches whose fork the nodes do not have yet, as far as was seen. It may be anywhere: nothing is let go meanwhile. */
  readonly awaited: readonly string[];
}

export interface RetentionQuestion {
  readonly config: RetentionConfig;
  /** What this region's nodes hold. */
  readonly me: Held;
  readonly neighbours: readonly Neighbour[];
  /** Writes that a failover left behind here are still being looked for. */
  readonly isSearching: boolean;
  /** What the region's backup lacks; null without a backup, or while that is not known. */
  readonly backup: Wanted | null;
  /** The branches that are here; left out or null while it is not known which there are. */
  readonly branches?: BranchNeeds | null;
  /** Up to where the control record lets go (R96); left out or null where it does not bind. */
  readonly bound?: Holder | null;
  /** The newest answer of each node that has one. */
  readonly answers: ReadonlyMap<NodeId, RetainedReply>;
  /** The nodes of the region: two sets while one is being replaced. */
  readonly sets: QuorumSets;
  /** By the agent's wall clock, Unix microseconds. */
  readonly nowUs: number;
}

/** A secondary that the log is kept for no longer, or the backup. */
export interface LetGo {
  /** A region, or `backup`. */
  readonly region: string;
  /** In words, with the limit. */
  readonly reason: string;
}

/** Who holds the log, from where on. */
export interface Holder {
  readonly reason: string;
  readonly at: Lsn;
}

/** Part of the log, in bytes of redo, and who holds it. */
export interface HeldBytes {
  /** `window`, `images`, `files`, `lost writes`, `backup`, `control record`, `primary <region>`, `secondary <region>`, or `branch <name>`. */
  readonly reason: string;
  readonly bytes: number;
}

export interface RetentionOrder {
  readonly request: RetainRequest;
  readonly letGo: readonly LetGo[];
  readonly held: readonly HeldBytes[];
  /** The lowest floor of the nodes that answered; zero while one has all of its log. */
  readonly floor: Lsn;
  /** Up to here log would go, but for `bound`: as far as a node's window lets it. */
  readonly wanted: Lsn;
}

/** R60: what a region that is away lacks is kept until it lacks it for longer than the window, or `awayFactor` times `bytes` of it. */
export function orderRetention(question: RetentionQuestion): RetentionOrder {
  const { config, me, neighbours, isSearching, backup, branches = null, bound = null, nowUs } = question;
  const onPath = new Map([...question.answers].filter(([, { head }]) => head === me.epoch));
  const answers = [...onPath.values()];
  const letGo: LetGo[] = [];
  const holders: Holder[] = isSearching ? [{ reason: 'lost writes', at: zeroLsn }] : [];
  const longest = Math.max(0, ...answers.map(({ logBytes }) => logBytes));
  for (const neighbour of neighbours) {
    const { region, at } = neighbour;
    const reason = tooFar(neighbour.lacksForMs, at === null ? longest : Math.max(0, me.vdl - at), config);
    if (reason !== null) letGo.push({ region, reason });
    else holders.push({ reason: `secondary ${region}`, at: at ?? zeroLsn });
  }
  if (backup !== null) {
    // R67: a store that is away holds the log up no longer than a region that is.
    const reason = tooFar(backup.lacksForMs, Math.max(0, me.vdl - backup.at), config);
    if (reason !== null) letGo.push({ region: 'backup', reason });
    else holders.push({ reason: 'backup', at: backup.at });
  }
  // R73: as long as there is a branch, the log above where it left is there.
  for (const { name, head, forks, keepFrom } of branches?.live ?? []) {
    const at = positionOn({ epoch: head, vdl: keepFrom, forks }, me) ?? zeroLsn;
    holders.push({ reason: `branch ${name}`, at });
  }
  for (const name of branches?.awaited ?? []) holders.push({ reason: `branch ${name}`, at: zeroLsn });
  // S19: on four nodes of every set (S27).
  const copies = pgclOf(question.sets, (node) => onPath.get(node)?.images ?? zeroLsn);
  const needed = holders.reduce((lowest, { at }) => minLsn(lowest, at), me.vdl);
  const window = answers.reduce((highest, answer) => maxLsn(highest, answer.window), zeroLsn);
  if (bound !== null) holders.push(bound);
  const keepFrom = bound === null ? needed : minLsn(needed, bound.at);
  const floor = lowestFloor(answers, me);
  return {
    request: {
      kind: 'retain',
      head: me.epoch,
      keepFrom,
      sinceUs: Math.floor(nowUs - config.hours * 3_600e6),
      bytesMax: config.bytes ?? null,
      copies,
      ...(branches !== null && {
        branches: {
          knownTo: branches.knownTo,
          live: branches.live.map(({ head, keepFrom: from }) => ({ head, keepFrom: from })),
        },
      }),
    },
    letGo,
    held: heldBytes({ answers, floor, vdl: me.vdl, holders: [...holders, { reason: 'images', at: copies }] }),
    floor,
    wanted: minLsn(minLsn(needed, window), copies),
  };
}

/**
 * Whether a promise that is at `promised` is worth a write to the control record: what is kept above it would shrink by a sixteenth.
 * A window of a day costs one in an hour and a half.
 */
export const isWorthPromising = (promised: Lsn, wanted: Lsn, vdl: Lsn): boolean =>
  wanted > promised && 16 * (wanted - promised) >= vdl - promised;

/** Why a region is let go; null while the log is kept for it. */
function tooFar(lacksForMs: number, lacksBytes: number, { hours, bytes }: RetentionConfig): string | null {
  if (lacksBytes === 0) return null;
  if (lacksForMs > hours * 3_600_000)
    return `it has lacked redo for longer than the window of ${hours} h (retention.hours)`;
  const most = bytes === undefined ? Number.POSITIVE_INFINITY : bytes * retentionLimits.awayFactor;
  if (lacksBytes <= most) return null;
  return `it lacks ${lacksBytes} bytes, more than ${most}: ${retentionLimits.awayFactor} times retention.bytes`;
}

function lowestFloor(answers: readonly RetainedReply[], { vdl }: Held): Lsn {
  if (answers.length === 0) return zeroLsn;
  return answers.reduce((lowest, { floor }) => minLsn(lowest, floor.lsn), vdl);
}

/**
 * The log from the lowest floor to `vdl`, byte by byte for whom it is kept: what is in the window; below that, for the one that
 * has to go first before any of it may; and below everybody, for whole files and the next place that has images.
 */
function heldBytes({
  answers,
  floor,
  vdl,
  holders,
}: {
  readonly answers: readonly RetainedReply[];
  readonly floor: Lsn;
  readonly vdl: Lsn;
  readonly holders: readonly Holder[];
}): readonly HeldBytes[] {
  if (answers.length === 0) return [];
  const windowAt = Math.min(vdl, Math.max(floor, ...answers.map(({ window }) => window)));
  const found: HeldBytes[] = [{ reason: 'window', bytes: vdl - windowAt }];
  const order = holders.filter(({ at }) => at < windowAt).sort((a, b) => a.at - b.at);
  const first = order[0];
  found.push({ reason: 'files', bytes: Math.max(0, Math.min(first?.at ?? windowAt, windowAt) - floor) });
  for (const [index, { reason, at }] of order.entries()) {
    const from = Math.max(at, floor);
    const to = Math.max(from, order[index + 1]?.at ?? windowAt);
    found.push({ reason, bytes: to - from });
  }
  return found.filter(({ bytes }) => bytes > 0);
}
