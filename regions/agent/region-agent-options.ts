/** What a region's agent is given. */
import type { RecoveryGoal, RecoveryResult, RegionClient, RegionId, Runtime } from '../../storage/index.ts';
import type { Logger, Telemetry } from '../../telemetry/index.ts';
import type { NatsConnection } from '../bus/nats-connection.ts';
import type { ControlReading, ControlStore } from '../control/core/control-port.ts';
import type { LeaseLimits } from '../control/core/lease.ts';
import type { ReplacementOptions } from '../members/replacement.ts';
import type { LossKeeper } from '../moves/loss-store.ts';
import type { OperationKeeper } from '../moves/operation-store.ts';
import type { LagKeeper } from '../replication/lag-store.ts';
import type { RetentionConfig } from '../retention/core/retention-limits.ts';
import type { ReplicationParts } from './replication-parts.ts';
import type { Addresses, BackupPart } from './standing.ts';

export interface RegionAgentOptions {
  readonly cluster: string;
  readonly region: RegionId;
  /** Every region by this process's own file; the control record counts once it names them (R54). */
  readonly regions: readonly RegionId[];
  readonly addresses: Addresses;
  readonly lease: LeaseLimits;
  readonly links: RegionClient;
  readonly store: ControlStore;
  readonly nats: Pick<NatsConnection, 'connected' | 'publish' | 'subscribe' | 'request'>;
  readonly replication: ReplicationParts;
  /** Why a node that is to join the region cannot be used; null when it can. */
  readonly probe: ReplacementOptions['probe'];
  /** Runs a recovery over the region's own nodes. */
  readonly recover: (goal: RecoveryGoal) => Promise<RecoveryResult>;
  /** Bytes of one read of the log in search of lost writes; the usual bound by default. */
  readonly fetchBytesMax?: number;
  readonly losses: LossKeeper;
  readonly operations: OperationKeeper;
  readonly lags: LagKeeper;
  /** How much of the log is kept. */
  readonly retention: RetentionConfig;
  /** See `RetentionOptions`. */
  readonly retentionEveryMs?: number;
  /** The region's backup, where it has one. */
  readonly backup?: BackupPart;
  /** A record was looked for; what it brought is known here by now. */
  readonly onReading: (reading: ControlReading) => void;
  readonly runtime: Runtime;
  /** What is wrong with the NATS servers that this agent answers for, in words; null while nothing is. */
  readonly natsTrouble?: () => string | null;
  readonly telemetry: Telemetry;
  readonly log: Logger;
}

export const agentTimes = {
  /** How often the nodes are asked how they stand, and the lags are written down. */
  nodesEveryMs: 500,
  lagSaveMs: 1_000,
  /** Within this time a look at the control record that failed is told: a poll and a read. */
  lookMs: 2_500,
} as const;
