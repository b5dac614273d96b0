/** What the writer role needs of the volume under it. `GatewayVolume` has SQL engines on it; the simulator has none. */
import type { EndReason } from '../../regions/core.ts';
import type { Epoch, Lsn } from '../../storage/core.ts';
import type { Reign, ReignStart } from './reign.ts';

/** What the role of a branch needs of the volume under it. */
export interface BranchVolume {
  /** The reign whose engine takes writes; null while reading. */
  readonly reign: Reign | null;
  /** A reign is about to begin: its engine is started meanwhile. */
  warmWriter(): void;
  /** Opens the writing engine of a reign that has outlived a rest. @param opened called then, and only then. */
  wakeWriter(opened: () => void): void;
  /** Begins a reign. It may be over already when it was closed meanwhile. */
  openWriter(start: ReignStart): Reign;
  /** Ends a reign: nothing is acknowledged from this moment on. */
  closeWriter(reign: Reign): void;
  /** Resolves when everything that was asked for so far has been carried out. */
  settledChanges(): Promise<void>;
}

/** What is durable in this region along the newest path has moved. */
export type RegionVdlWatcher = (head: Epoch, vdl: Lsn) => void;

export interface RoleVolume {
  watchRegionVdl(watcher: RegionVdlWatcher): void;
  /** Begins a reign. It may be over already when it was closed meanwhile. */
  openWriter(start: ReignStart): Reign;
  /** Ends a reign: nothing is acknowledged from this moment on. */
  closeWriter(reign: Reign, reason: EndReason): void;
  /** Resolves when everything that was asked for so far has been carried out. */
  settledChanges(): Promise<void>;
  /** The thread that writes. */
  readonly writer: {
    /** How long it has given no sign of life although it has something to do, and did not wait for a CPU. */
    readonly stuckMs: number;
    /** Gives it up: what it was doing is answered as lost. */
    abandon(reason: string): void;
  };
}
