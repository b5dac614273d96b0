/** Databases of a gateway: main and the branches. `db_namespace` is what spans call `db.namespace`. */
import { latencyBuckets } from './buckets.ts';
import type { MetricDefinition } from './definition.ts';

export const databaseMetrics = {
  databaseAwake: {
    kind: 'gauge',
    name: 'sextant_database_awake',
    unit: '1',
    description: '1 while the database has engines in this gateway, 0 while it rests',
    worry: 'the sum without main stays at the limit openBranches',
    labels: ['db_namespace'],
  },
  databaseOperations: {
    kind: 'counter',
    name: 'sextant_database_operations_total',
    unit: '1',
    description: 'Operations that streams asked of the database in this gateway, forwarded ones included',
    worry: 'stands still while clients are there',
    labels: ['db_namespace'],
  },
  databaseCommits: {
    kind: 'counter',
    name: 'sextant_database_commits_total',
    unit: '1',
    description: 'Commits that this gateway has made in the database, as its writer',
    worry: 'nothing by itself',
    labels: ['db_namespace'],
  },
  databaseDurableLsn: {
    kind: 'gauge',
    name: 'sextant_database_durable_lsn',
    unit: 'lsn',
    description: 'Up to where the database is durable in this region, as this gateway last knew',
    worry: 'a branch that is awake in two regions differs between them, and goes on differing',
    labels: ['db_namespace'],
  },
  readerThreads: {
    kind: 'gauge',
    name: 'sextant_reader_threads',
    unit: '1',
    description:
      'Threads that read the database in this gateway: those there are or that are being started, those that run a statement now, and as many as there may be',
    worry: 'busy stays at most: reads wait for slow ones',
    labels: ['db_namespace', 'state'],
    words: { state: ['running', 'busy', 'most'] },
  },
  quickReads: {
    kind: 'counter',
    name: 'sextant_quick_reads_total',
    unit: '1',
    description:
      'Reads by key that the main thread of this gateway has answered itself, since they are proven to be quick',
    worry:
      'nothing by itself; 0 beside many reads: they fit no such bound, or a crowd reads, which threads serve',
    labels: ['db_namespace'],
  },
  engineMemory: {
    kind: 'gauge',
    name: 'sextant_engine_memory_bytes',
    unit: 'bytes',
    description:
      'Memory that SQLite has taken in the threads of the database in this gateway, as of their last statements',
    worry: 'stays high: transactions or temporary tables that stay open keep what a large statement took',
    labels: ['db_namespace', 'engine'],
    words: { engine: ['writer', 'reader'] },
  },
  scratch: {
    kind: 'gauge',
    name: 'sextant_scratch_bytes',
    unit: 'bytes',
    description:
      'What large transactions, sorts and VACUUM of the database keep in files of temporaryFolder now; the files have no names',
    worry:
      'nears scratchBytes or the room that temporaryFolder has: statements fail with SEXTANT_SCRATCH_FULL',
    labels: ['db_namespace', 'engine'],
    words: { engine: ['writer', 'reader'] },
  },
  databaseRests: {
    kind: 'counter',
    name: 'sextant_database_rests_total',
    unit: '1',
    description: 'Times a database gave its engines back because it had nothing to do, or to make room',
    worry: 'rises as fast as operations: more branches are in use than openBranches lets be awake',
    labels: [],
  },
  databaseWakeDuration: {
    kind: 'histogram',
    name: 'sextant_database_wake_duration_seconds',
    unit: 'seconds',
    description: 'Time from the operation that woke a database to its answer',
    worry: 'p99 above 300 ms',
    labels: [],
    buckets: latencyBuckets,
  },
} as const satisfies Record<string, MetricDefinition>;
