/** PostgreSQL databases: their clients and their engines. A gateway of SQLite databases has none of these. */
import { latencyBuckets } from './buckets.ts';
import type { MetricDefinition } from './definition.ts';

/** A start with its recovery takes from tens of milliseconds to seconds. */
const startBuckets = [0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 30] as const;

export const postgresMetrics = {
  postgresConnections: {
    kind: 'gauge',
    name: 'sextant_postgres_connections',
    unit: '1',
    description:
      'Connections of PostgreSQL clients, each counted once: logging in, idle, with an operation under way, or in a transaction with nothing under way',
    worry:
      'the sum is near the limit connections; idle_in_transaction stays above 0: others wait for that client',
    labels: ['state'],
    words: { state: ['login', 'idle', 'active', 'idle_in_transaction'] },
  },
  postgresLogins: {
    kind: 'counter',
    name: 'sextant_postgres_logins_total',
    unit: '1',
    description: 'Logins of PostgreSQL clients that ended, by outcome',
    worry: 'refused rises: wrong passwords, or a name that nobody has',
    labels: ['outcome'],
    words: { outcome: ['ok', 'refused'] },
  },
  postgresCancels: {
    kind: 'counter',
    name: 'sextant_postgres_cancel_requests_total',
    unit: '1',
    description:
      'Requests of PostgreSQL clients to cancel a statement, by what they met: one that ran, or nothing here (it had ended, the key was wrong, or another gateway has the client, which is asked)',
    worry: 'rises: applications give up waiting',
    labels: ['met'],
    words: { met: ['statement', 'nothing'] },
  },
  postgresStopped: {
    kind: 'counter',
    name: 'sextant_postgres_statements_stopped_total',
    unit: '1',
    description:
      'Statements that PostgreSQL stopped here: it was asked to by a cancel request or because the client had gone, or the limit of the gateway or statement_timeout was reached',
    worry: 'timeout rises: statements are too slow',
    labels: ['why'],
    words: { why: ['asked', 'timeout'] },
  },
  postgresIdleEnded: {
    kind: 'counter',
    name: 'sextant_postgres_idle_transactions_ended_total',
    unit: '1',
    description:
      'Transactions rolled back because they did nothing for idleTransactionMs while others waited',
    worry: 'rises: an application waits for something else inside a transaction',
    labels: [],
  },
  postgresStarts: {
    kind: 'counter',
    name: 'sextant_postgres_engine_starts_total',
    unit: '1',
    description:
      'Starts of a PostgreSQL engine, by why: it was opened (a new thread, a new writer), newer pages were to be shown, or it began again after a fault',
    worry: 'fault rises: each one has lost the transactions that were open',
    labels: ['engine', 'why'],
    words: { engine: ['writer', 'reader'], why: ['opened', 'refresh', 'fault'] },
  },
  postgresStartFailures: {
    kind: 'counter',
    name: 'sextant_postgres_engine_start_failures_total',
    unit: '1',
    description: 'Starts of a PostgreSQL engine that failed: it could not read its pages, or recover',
    worry: 'any: nothing is served until one works',
    labels: ['engine'],
    words: { engine: ['writer', 'reader'] },
  },
  postgresStartDuration: {
    kind: 'histogram',
    name: 'sextant_postgres_engine_start_duration_seconds',
    unit: 'seconds',
    description: "Time that a start of a PostgreSQL engine took, PostgreSQL's recovery included",
    worry: 'p99 of the writer above 1 s: checkpoints are too rare, or pages come slowly',
    labels: ['engine'],
    words: { engine: ['writer', 'reader'] },
    buckets: startBuckets,
  },
  postgresCheckpointDuration: {
    kind: 'histogram',
    name: 'sextant_postgres_checkpoint_duration_seconds',
    unit: 'seconds',
    description:
      'Time that a checkpoint of PostgreSQL took, while nobody was served; its count is the number of checkpoints',
    worry: 'p99 above 0.5 s: clients feel it',
    labels: [],
    buckets: latencyBuckets,
  },
  postgresCheckpointBytes: {
    kind: 'counter',
    name: 'sextant_postgres_checkpoint_redo_bytes_total',
    unit: 'bytes',
    description: 'Redo that checkpoints of PostgreSQL made',
    worry: 'more than half of sextant_redo_bytes_total: checkpoints come too often',
    labels: [],
  },
} as const satisfies Record<string, MetricDefinition>;
