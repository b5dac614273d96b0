/**
 * What keeps a database fit and does nothing by itself here: checkpoints, so that a start has little to recover; vacuum and
 * analyze, so that dead rows are reused and plans fit; freezing, before transaction numbers run out. Pure: decides what is due.
 *
 * Stated by the number of commits and by bytes, never by time: a database that rests has nothing to do.
 */

export interface UpkeepLimits {
  readonly checkpointCommits: number;
  readonly checkpointBytes: number;
  readonly freezeAge: number;
}

/** Nobody has asked anything for so long: a good moment. */
export const idleMs = 300;
/** After so much an idle moment is used for a checkpoint: nobody waits for it then. */
const idleCheckpoint: Pick<UpkeepLimits, 'checkpointCommits' | 'checkpointBytes'> = {
  checkpointCommits: 200,
  checkpointBytes: 256 * 1024,
};
/** Commits after which it is worth looking for tables that need something, at an idle moment and at any. */
const lookCommits = { idle: 200, any: 5_000 } as const;
/** A task that has found no idle moment for so long runs all the same. */
const patienceMs = 10_000;
/** A task that failed is left alone for so long. */
const restMs = 600_000;

export type UpkeepStep =
  | { readonly kind: 'checkpoint' }
  /** Find out what is due, with `lookSql`, and tell `looked`. */
  | { readonly kind: 'look' }
  /** Run it outside a transaction, and tell `ran`. */
  | { readonly kind: 'task'; readonly sql: string };

export class Upkeep {
  private readonly limits: UpkeepLimits;
  private commits = 0;
  private bytes = 0;
  private commitsSinceLook = 0;
  private tasks: string[] = [];
  private taskSinceMs = 0;
  private readonly resting = new Map<string, number>();

  constructor(limits: UpkeepLimits) {
    this.limits = limits;
  }

  /** The backend has started: its recovery ended with a checkpoint. */
  started(): void {
    this.commits = 0;
    this.bytes = 0;
    this.tasks = [];
  }

  /** A set of redo was made. */
  committed(bytes: number): void {
    this.commits += 1;
    this.commitsSinceLook += 1;
    this.bytes += bytes;
  }

  /** Whether an idle moment would be of use. */
  get wantsIdle(): boolean {
    if (this.tasks.length > 0 || this.isCheckpointDue(idleCheckpoint)) return true;
    return this.commitsSinceLook >= lookCommits.idle;
  }

  /** What is to be done now. @param isIdle nobody has asked anything for `idleMs` */
  next(nowMs: number, isIdle: boolean): UpkeepStep | null {
    if (this.isCheckpointDue(this.limits) || (isIdle && this.isCheckpointDue(idleCheckpoint)))
      return { kind: 'checkpoint' };
    const [task] = this.tasks;
    if (task !== undefined)
      return isIdle || nowMs - this.taskSinceMs >= patienceMs ? { kind: 'task', sql: task } : null;
    return this.commitsSinceLook >= (isIdle ? lookCommits.idle : lookCommits.any) ? { kind: 'look' } : null;
  }

  private isCheckpointDue({ checkpointCommits, checkpointBytes }: typeof idleCheckpoint): boolean {
    return this.commits >= checkpointCommits || this.bytes >= checkpointBytes;
  }

  checkpointed(): void {
    this.commits = 0;
    this.bytes = 0;
  }

  /** @param tasks SQL texts, the most urgent first */
  looked(tasks: readonly string[], nowMs: number): void {
    this.commitsSinceLook = 0;
    this.taskSinceMs = nowMs;
    this.tasks = tasks.filter((sql) => (this.resting.get(sql) ?? 0) <= nowMs);
  }

  /** @param worked false when it failed: it is not tried again for a while. */
  ran(sql: string, worked: boolean, nowMs: number): void {
    this.tasks = this.tasks.filter((task) => task !== sql);
    this.taskSinceMs = nowMs;
    if (worked) this.resting.delete(sql);
    else this.resting.set(sql, nowMs + restMs);
  }

  /**
   * SQL that answers a text for each task. Rows are counted since the start of the backend; a table that was changed since and has
   * not been looked at is analyzed, which counts what was dead before. The template databases are connected to by nobody and
   * hold frozen rows only, so that their age may follow.
   */
  get lookSql(): string {
    const { freezeAge } = this.limits;
    return `
SELECT sql FROM (
  SELECT 1 AS rank, age(c.relfrozenxid)::bigint AS weight, format('VACUUM (FREEZE) %s', c.oid::regclass) AS sql
    FROM pg_class c WHERE c.relkind IN ('r', 'm', 't') AND age(c.relfrozenxid) > ${freezeAge}
  UNION ALL
  SELECT 2, 0, 'UPDATE pg_database t SET datfrozenxid = d.datfrozenxid, datminmxid = d.datminmxid FROM pg_database d
    WHERE d.datname = current_database() AND t.datname IN (''template0'', ''template1'')'
    WHERE EXISTS (SELECT FROM pg_database WHERE datname LIKE 'template_' AND age(datfrozenxid) > ${freezeAge})
      AND (SELECT age(datfrozenxid) <= ${freezeAge} FROM pg_database WHERE datname = current_database())
  UNION ALL
  SELECT 3, n_dead_tup, format('VACUUM (ANALYZE) %I.%I', schemaname, relname)
    FROM pg_stat_all_tables WHERE schemaname <> 'pg_toast' AND n_dead_tup > 50 + 0.2 * n_live_tup
  UNION ALL
  SELECT 4, n_mod_since_analyze, format('ANALYZE %I.%I', schemaname, relname)
    FROM pg_stat_all_tables WHERE schemaname <> 'pg_toast' AND n_dead_tup <= 50 + 0.2 * n_live_tup
      AND n_mod_since_analyze > 50 + CASE WHEN last_analyze IS NULL THEN 0 ELSE 0.1 * n_live_tup END
) AS due ORDER BY rank, weight DESC LIMIT 500`;
  }
}
