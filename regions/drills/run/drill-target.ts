/** The deployment as a drill acts on it. A local one can be broken and healed; one elsewhere can only be asked. */
import type { Operation } from '../../moves/core/operations.ts';
import type { Deed, Refusal } from '../core/drill-plan.ts';
import type { LossLook } from '../core/losses-since.ts';
import type { OutsideSight, StatusSight } from '../core/status-sight.ts';

/** Where a region's clients connect, and with what. */
export interface RegionAddress {
  readonly region: string;
  readonly gateway: string;
  /** Null when the agent cannot be reached from here. */
  readonly agent: string | null;
  /** What its SQL clients send as bearer token; null where none is needed. */
  readonly token: string | null;
  /** Where its PostgreSQL clients connect, and with which password; left out where SQLite keeps the databases. */
  readonly postgres?: { readonly url: string; readonly password: string | null };
}

/** What became of the beginning of a move. */
export type Begun =
  | { readonly kind: 'begun'; readonly operation: Operation }
  | ({ readonly kind: 'refused' } & Refusal)
  | { readonly kind: 'unheard'; readonly message: string };

export interface DrillTarget {
  /** A supervisor is there that can break processes and heal them. */
  readonly canBreak: boolean;
  readonly regions: readonly RegionAddress[];
  /** Authority that its clients have to trust, in PEM; null when it is one that everybody trusts, or nothing is encrypted. */
  readonly authority: string | null;
  /** The deployment as any gateway tells, one of `avoided` last; null when none answers. */
  status(avoided?: string): Promise<StatusSight | null>;
  /** Which addresses answer, and how often processes were started again. */
  outside(): Promise<OutsideSight>;
  /** Processes that do not run as they should, in words; empty when all do, or when nobody can tell. */
  disorder(): Promise<readonly string[]>;
  /** @throws Error with the reason when it cannot be done. */
  perform(deed: Deed): Promise<void>;
  begin(kind: 'switchover' | 'failover', to: string): Promise<Begun>;
  /** A move that was begun, as its agent tells now; null when nobody answers. */
  operation(id: string): Promise<Operation | null>;
  /** Whether a policy fails over by itself. */
  failsOverByItself(): Promise<boolean>;
  /** Null when no gateway answers. */
  losses(avoided?: string): Promise<LossLook | null>;
}
