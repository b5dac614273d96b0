/** What `GET /v1/status` answers. */
import type { BranchStatus } from '../../branches/core/branch-request.ts';
import type { Policy } from '../../control/core/policy.ts';
import type { Rewind } from '../../control/core/rewind-record.ts';
import type { RetentionReport } from '../../retention/core/retention-report.ts';
import type { BackupReport } from './backup-report.ts';
import type { OpenBranch } from './database-report.ts';
import type { GatewayNews } from './gateway-news.ts';
import type { NodeReport } from './report.ts';
import type { Versions } from './versions.ts';

export interface RegionStatus {
  readonly name: string;
  readonly role: 'primary' | 'secondary' | 'offline';
  readonly epoch: number;
  /** Null while the region does not know what its nodes hold. */
  readonly vdl: number | null;
  /** Null while unknown. */
  readonly lagBytes: number | null;
  readonly lagMs: number | null;
  /** What would be lost, in milliseconds of commits, if the primary were lost now and this region took over. */
  readonly rpoMs: number | null;
  /** How long a secondary has stood still while its primary has more; 0 while it gets on, whatever its lag. */
  readonly stalledMs: number;
  /** For a secondary: how long answers at the primary have been waiting for what it lacks; 0 while none does. */
  readonly holdsMs: number;
  /** How old the region's own word is; null when it was never heard. */
  readonly ageMs: number | null;
  readonly ready: boolean;
  /** True for a region without a gateway: it keeps a copy of the data, and nobody can ask it or move the primary to it. */
  readonly headless: boolean;
  /** Where one of its gateways is found: the writer, or else one that is ready, or the last that was. */
  readonly gateway: string | null;
  /** Where that gateway takes PostgreSQL clients; left out where SQLite keeps the databases. */
  readonly postgres?: string;
  /** Every gateway that is heard, by name. */
  readonly gateways: readonly GatewayNews[];
  readonly agent: string | null;
  readonly writer: string | null;
  /** What is wrong with NATS as the region's agent or its writer sees it, in words; left out while nothing is. */
  readonly trouble?: string;
  /** The branches that its gateways have opened; left out while there is none. */
  readonly openBranches?: readonly OpenBranch[];
  /** Of Sextant, by process; null where that is not known. */
  readonly versions: Versions;
  /** What its nodes keep their log for; left out while it is not known. */
  readonly retention?: RetentionReport;
  /** Its backup, where it has one. */
  readonly backup?: BackupReport;
  /** Of a secondary: why the log of its primary does not bring it up any more, in words; left out while it can. */
  readonly needsImages?: string;
  /** Epoch of the membership of its storage nodes; left out when not known. */
  readonly membershipEpoch?: number;
  readonly nodes: readonly NodeReport[];
}

export interface HoldStatus {
  /** The policy that the writer has in force, in milliseconds. */
  readonly rpoMs: number;
  readonly answers: number;
  /** How long the oldest of that redo has been durable in the primary region alone, in milliseconds. */
  readonly forMs: number;
  /** Any one of these would let them go. */
  readonly waitsFor: readonly string[];
}

/** Whether a failover begins by itself. */
export interface FailoverStatus {
  readonly automatic: boolean;
  /** Why none does, or why none does now although the primary is held for lost; null when nothing is in the way. */
  readonly reason: string | null;
  /** Regions whose agents hold the primary for lost. */
  readonly suspectedBy: readonly string[];
}

/** What `GET /v1/status` answers. */
export interface ClusterStatus {
  readonly cluster: string;
  /** What keeps the databases, in every region alike; null until a gateway was heard. */
  readonly engine: 'sqlite' | 'postgres' | null;
  readonly epoch: number;
  readonly primary: string | null;
  readonly state: 'stable' | 'switching' | 'failing-over' | 'degraded';
  readonly holder: string | null;
  /** Null while no control record has been seen. */
  readonly policy: Policy | null;
  readonly failover: FailoverStatus;
  /** Redo of the primary that is not within the RPO, and the answers that wait for it; null while there is none. */
  readonly hold: HoldStatus | null;
  /** Beside `main`. */
  readonly branches: readonly BranchStatus[];
  /** Under way; left out while none is. */
  readonly rewind?: Omit<Rewind, 'branch'>;
  readonly regions: readonly RegionStatus[];
}
