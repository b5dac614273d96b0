/** What the simulated processes say to one another, and what they tell the judges. */
import type { ControlRecord } from '../../../regions/control/core/control-record.ts';
import type { LossReport } from '../../../regions/moves/core/loss-report.ts';
import type { ShippingBounds } from '../../../regions/replication/core/shipping-limits.ts';
import type { RetentionConfig } from '../../../regions/retention/core/retention-limits.ts';
import type { Fork } from '../../../storage/history/epoch-tree.ts';
import type { MergeBounds } from '../../../storage/images/core/merge-policy.ts';
import type { HotLogBounds } from '../../../storage/log/hot-log.ts';
import type { sealerBounds } from '../../../storage/log/sealer.ts';
import type { pageFolderBounds } from '../../../storage/pages/page-folder.ts';
import type { LowWaterBounds } from '../../../storage/quorum/core/low-water.ts';
import {
  type Epoch,
  type Lsn,
  type NodeId,
  nodeId,
  type PageNo,
  type PgId,
} from '../../../storage/redo/ids.ts';
import type { QuorumBounds } from '../../../storage/redo/limits.ts';
import type { ScrubBounds } from '../../../storage/scrub/scrubber.ts';
import type { Committed } from '../judges/storage/pages.ts';
import type { Process, Runtime } from '../twins/process.ts';
import type { Fleet } from '../world/fleet.ts';
import type { Range } from '../world/prng.ts';
import type { WrittenParts } from './sim-workload.ts';
import type { Address } from './topology.ts';

/** How a write ended, as its client is told. `retry` is between gateways: nothing was done, ask the writer. */
export type WriteOutcome =
  | { readonly kind: 'committed'; readonly region: string; readonly epoch: Epoch; readonly lsn: Lsn }
  | { readonly kind: 'unknown' }
  | { readonly kind: 'refused' }
  | { readonly kind: 'retry' };

/** On links. Storage requests and replies are the bytes that travel on real links. */
export type LinkMessage =
  | { readonly kind: 'bytes'; readonly bytes: Uint8Array }
  /** A storage node has read its disk and serves; until then its links are open and mute. */
  | { readonly kind: 'ready' }
  | { readonly kind: 'write'; readonly write: WrittenParts }
  | { readonly kind: 'outcome'; readonly writeId: string; readonly outcome: WriteOutcome };

/** Over NATS go bytes only. */
export type BusPayload = Uint8Array;

export type SimRuntime = Runtime<LinkMessage, BusPayload, ControlRecord>;
export type SimProcess = Process<LinkMessage, BusPayload, ControlRecord>;
export type SimFleet = Fleet<LinkMessage, BusPayload, ControlRecord>;

/** Something broken on purpose, to show that a judge objects. */
export const defects = [
  'ack-before-sync',
  'state-forgotten',
  'images-forgotten',
  'answers-early',
  'ignore-seal',
  'ignore-lease',
  'gate-stays-open',
  'reopen-unproved',
  'hasty-failover',
  'ship-undurable',
  'skip-replication',
  'hide-losses',
  'apply-twice',
  'credit-by-vdl',
  'age-ends-reign',
  'ignores-rpo',
  'one-observer',
  'two-seals',
  'never-scrubs',
  'counts-without-floor',
  'collects-needed',
  'collects-readable',
  'drops-before-four',
  'stale-branch-list',
  'lets-go-unpromised',
  'seals-main',
  'forgets-calls',
  'joins-over-gaps',
  'fills-the-line',
] as const;
export type Defect = (typeof defects)[number];

/** What the judges hear of one line of history: of `main`, or of a branch. */
export interface LineWitness {
  /** A write's outcome leaves the writer for its client. */
  acknowledged(ack: {
    readonly writer: string;
    readonly region: string;
    readonly writeId: string;
    readonly epoch: Epoch;
    readonly lsn: Lsn;
  }): void;
  /** The writer of a reign has made a commit that ends here. */
  committed(commit: Committed): void;
  /** A writer's recovery holds everything durable on four nodes, and begins to fork `epoch`, the last of `forks`. */
  forking(region: string, epoch: Epoch, forks: readonly Fork[]): void;
  /** A writer's recovery has forked `epoch` on four nodes. */
  forked(region: string, epoch: Epoch, forks: readonly Fork[]): void;
  /** The writer of a region holds that this is durable. */
  primaryDurable(region: string, epoch: Epoch, vdl: Lsn): void;
  /** A message with this durable point leaves for a secondary. */
  shipped(to: string, epoch: Epoch, vdl: Lsn): void;
  /** A secondary holds that this is durable in it. */
  secondaryDurable(region: string, epoch: Epoch, vdl: Lsn): void;
  /** A node has answered the writer of a reign, and says how far it is in some groups. */
  appendAnswered(reign: Epoch, node: NodeId, scls: readonly (readonly [PgId, Lsn])[]): void;
  /** The writer of a region lost a node. */
  nodeLost(reign: Epoch, node: NodeId): void;
  /** The writer of a region gives its reign up for want of a quorum. */
  quorumLost(region: string, epoch: Epoch, reason: string): void;
}

/** What the judges hear of a branch beside that. */
export interface BranchWitness extends LineWitness {
  /** A gateway is about to write to it. */
  issued(writeId: string, parts: number): void;
}

/**
 * The eyes of the judges. A process tells what it did at the moment it did it, and gets nothing back. What concerns a line of history
 * is told of `main` here, and of a branch to its own witness.
 */
export interface Witness extends LineWitness {
  /** By the path to one of its reigns. */
  line(forks: readonly Fork[]): LineWitness;
  branch(origin: Epoch): BranchWitness;
  /** The nodes have told a writer that they are sealed for a newer reign. */
  reignFenced(reign: Epoch, by: Epoch): void;
  /** Nodes are asked to seal `main` for that epoch, by somebody who does not recover it. */
  sealing(epoch: Epoch): void;
  /** An attempt at a recovery took too long. Its epoch is spent when it may have been forked, else it is tried again. */
  recoveryTimedOut(mayHaveForked: boolean): void;
  /** The lease of a writer has lapsed, and its gate is closed. */
  leaseSuspended(): void;
  /** A gateway begins to run a write that another one has sent it. */
  ranForward(): void;
  /** A gateway asks about a write that it has sent to another one: what became of it, or for more of its answer. */
  askedAgain(): void;
  /** A sign of life of one region has arrived at the agent of another. */
  sawLife(at: string, of: string, isRenewal: boolean): void;
  /** One region has heard the agent of another say that too few of its nodes take writes. */
  heardShort(at: string, of: string): void;
  /** The agent of a region begins a failover away from another one by the policy. */
  beganFailover(by: string, primary: string): void;
  /** A node has told its region's agent that a seal for `epoch` is on its disk. */
  sealed(region: string, node: NodeId, epoch: Epoch): void;
  /** The agent of a region tells a challenger that nothing becomes durable there under `reign` any more. */
  fenced(region: string, reign: Epoch): void;
  /** A region has stood still for the limit while its primary had more for it. */
  stalled(from: string, to: string): void;
  lossReported(report: LossReport): void;
  /** A process saw the control record. */
  controlRecord(observer: string, sequence: number, epoch: Epoch): void;
  pageRead(at: string, head: Epoch, readPoint: Lsn, page: PageNo, content: Uint8Array | null): void;
  /** How far a node is along the path its writer leads, and whether it counts as a witness. */
  nodeLevel(address: Address, head: Epoch, end: Lsn, hydrated: boolean): void;
  /** What a node has done to its log since it said so last. */
  logKept(done: LogKept): void;
  /** A node is about to remove a log file. */
  logDrops(address: Address, file: string): void;
  /** So many nodes of a region refused a young snapshot for their floor. */
  snapshotRefused(region: string, head: Epoch, readPoint: Lsn, nodes: number): void;
  /** Images leave for a secondary. */
  filling(to: string): void;
  /** A node found its state unreadable, and its operator wiped it. */
  nodeWiped(address: Address): void;
}

/** Log files sealed, and dropped; stretches of log that had rotted, found, and held again; and refills from images. */
export type LogKept = {
  readonly sealed: number;
  readonly dropped: number;
  readonly found: number;
  readonly healed: number;
  readonly refilled: number;
};

/** The windows and buffers between a transaction and the regions it has to reach. */
export type SimBounds = {
  readonly quorum: QuorumBounds;
  readonly shipping: ShippingBounds;
  readonly fetchBytesMax: number;
  readonly log: Partial<HotLogBounds>;
  readonly pages: Partial<typeof pageFolderBounds>;
  readonly sealer: Partial<typeof sealerBounds>;
  readonly scrub: Partial<ScrubBounds>;
  readonly images: Partial<MergeBounds>;
  /** How long snapshots are kept, which says what may be folded. */
  readonly lowWater: LowWaterBounds;
  /** How much of the log is kept. */
  readonly retention: RetentionConfig;
  /** How often that is looked at. */
  readonly retentionEveryMs: number;
};

export interface BranchWork {
  /** False once nobody writes any more. */
  readonly goesOn: () => boolean;
  /** Whether a branch is written at all; others are only read. */
  readonly isWritten: (origin: Epoch) => boolean;
}

/** What the processes of a run have in common. */
export type SimContext = {
  readonly cluster: string;
  readonly regions: readonly string[];
  readonly witness: Witness;
  readonly bounds: SimBounds;
  /** How long one attempt at a recovery may last. */
  readonly recoveryMs: Range;
  /** What gateways do with branches; null in a run that has none. */
  readonly branches: BranchWork | null;
  /** What is broken on purpose; empty but in tests of the judges. */
  readonly defects: ReadonlySet<Defect>;
};

export const nodeIds: readonly NodeId[] = ['n1', 'n2', 'n3', 'n4', 'n5', 'n6'].map(nodeId);
/** Two nodes in each of three zones. */
export const azOf = (node: NodeId): string => `az${1 + Math.floor(nodeIds.indexOf(node) / 2)}`;
export const pgBytes = 1024 * 1024;

export const nodeAddress = (region: string, node: NodeId): Address => `${region}/${node}`;
export const gatewayAddress = (region: string, gateway: string): Address => `${region}/${gateway}`;
export const agentAddress = (region: string): Address => `${region}/agent`;
export const clientAddress = (region: string): Address => `${region}/client`;
