/** Main as a database like the others: it is always awake, and the writer role of the gateway is its own. */
import { mainBranch } from '../../storage/core.ts';
import type { Database } from '../session/database.ts';
import type { LocalSessions } from '../session/local-session.ts';
import type { DatabaseCounts } from './database-counts.ts';

/** What is there before anything else of a gateway is. */
export type MainParts = Pick<Database, 'volume' | 'watch' | 'tracer'> & {
  readonly sessions: LocalSessions;
  readonly counts: DatabaseCounts;
};

export class MainDatabase implements Database {
  readonly branch = mainBranch;
  readonly volume: MainParts['volume'];
  readonly sessions: LocalSessions;
  readonly watch: MainParts['watch'];
  readonly tracer: MainParts['tracer'];
  readonly counts: DatabaseCounts;
  private used = false;

  constructor({ volume, sessions, watch, tracer, counts }: MainParts) {
    this.volume = volume;
    this.sessions = sessions;
    this.watch = watch;
    this.tracer = tracer;
    this.counts = counts;
  }

  /** Somebody has asked for something. */
  get isUsed(): boolean {
    return this.used;
  }

  begin(): null {
    this.used = true;
    this.counts.begun();
    return null;
  }

  ended(): void {
    this.counts.ended();
  }
}
