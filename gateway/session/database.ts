/** One line of history as the streams of a gateway use it: main, or a branch. No stream knows which of them there are. */
import type { BranchName } from '../../storage/core.ts';
import type { RequestTracer } from '../observe/request-tracer.ts';
import type { GatewayVolume } from '../reign/gateway-volume.ts';
import type { SqlError } from '../sql/sql.ts';
import type { LocalSessions } from './local-session.ts';
import type { WriterWatch } from './writer-watch.ts';

export interface Database {
  readonly branch: BranchName;
  readonly volume: GatewayVolume;
  /** Its streams on this gateway's engines. */
  readonly sessions: LocalSessions;
  readonly watch: WriterWatch;
  readonly tracer: RequestTracer;
  /**
   * An operation comes: the engines are woken if they rest. @returns why it cannot be run, now or ever; null when it can, and
   * then `ended` follows once it has been answered.
   */
  begin(): SqlError | null;
  ended(): void;
}

/** The databases of a gateway by name. */
export interface DatabaseDirectory {
  /** Whether there is one of that name, as far as is known here. */
  has(branch: BranchName): boolean;
  /** Null when there is none; opens it when nobody has asked for it before. */
  find(branch: BranchName): Database | null;
  /** Says that there is no such branch, and which there are. */
  whyUnknown(branch: BranchName): string;
}
