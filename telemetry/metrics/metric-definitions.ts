/**
 * Every metric: name, kind, unit, meaning and labels in one table. A process registers the ones it keeps; the README
 * says when to worry. Labels are bounded: regions, nodes and fixed words, never statements, ids or addresses.
 */
import type { MetricDefinition } from './metrics.ts';

/** Seconds. From one sync of a local disk to a region that has stalled for minutes. */
const latencyBuckets = [
  0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300,
] as const;

const define = <const D extends MetricDefinition>(definition: D): D => definition;

export const metrics = {
  // Gateway: what clients feel.
  sqlRequests: define({
    kind: 'counter',
    name: 'sextant_sql_requests_total',
    unit: '1',
    description: 'Statements answered, by SQL verb and outcome (ok or an error code)',
    labels: ['operation', 'outcome'],
  }),
  sqlDuration: define({
    kind: 'histogram',
    name: 'sextant_sql_duration_seconds',
    unit: 'seconds',
    description: 'Time from a statement received to its response sent',
    labels: ['operation'],
    buckets: latencyBuckets,
  }),
  sqlSessions: define({
    kind: 'gauge',
    name: 'sextant_sql_sessions',
    unit: '1',
    description: 'Open client sessions (HTTP batons and WebSocket streams)',
    labels: [],
  }),
  answerBytesWaiting: define({
    kind: 'gauge',
    name: 'sextant_answer_waiting_bytes',
    unit: 'bytes',
    description: 'Answers that their clients have not taken yet, and what cursors hold',
    labels: [],
  }),
  slowReadersEnded: define({
    kind: 'counter',
    name: 'sextant_slow_readers_ended_total',
    unit: '1',
    description: 'Clients cut off because too much of their answers was waiting for them',
    labels: [],
  }),
  readWaitDuration: define({
    kind: 'histogram',
    name: 'sextant_read_wait_duration_seconds',
    unit: 'seconds',
    description: 'Time a read waited for its consistency to be met',
    labels: ['consistency'],
    buckets: latencyBuckets,
  }),
  forwardedWrites: define({
    kind: 'counter',
    name: 'sextant_forwarded_writes_total',
    unit: '1',
    description: 'Statements forwarded to the writer in another gateway, by outcome',
    labels: ['outcome'],
  }),
  forwardDuration: define({
    kind: 'histogram',
    name: 'sextant_forward_duration_seconds',
    unit: 'seconds',
    description: 'Time from forwarding a statement to its answer',
    labels: [],
    buckets: latencyBuckets,
  }),

  // Writer: commits and the write quorum.
  commits: define({
    kind: 'counter',
    name: 'sextant_commits_total',
    unit: '1',
    description: 'Commits resolved, by outcome: durable, unknown or refused',
    labels: ['outcome'],
  }),
  commitDuration: define({
    kind: 'histogram',
    name: 'sextant_commit_duration_seconds',
    unit: 'seconds',
    description: 'Time from the engine commit to the volume durable at its LSN',
    labels: [],
    buckets: latencyBuckets,
  }),
  commitsPending: define({
    kind: 'gauge',
    name: 'sextant_commits_pending',
    unit: '1',
    description: 'Commits made by the engine and not yet durable',
    labels: [],
  }),
  rpoHeldAnswers: define({
    kind: 'gauge',
    name: 'sextant_rpo_held_answers',
    unit: '1',
    description: 'Answers that are durable in this region and wait for another one, as the policy asks',
    labels: [],
  }),
  rpoHoldDuration: define({
    kind: 'histogram',
    name: 'sextant_rpo_hold_duration_seconds',
    unit: 'seconds',
    description: 'Time from a commit durable in this region to within the RPO of the policy',
    labels: [],
    buckets: latencyBuckets,
  }),
  redoBytes: define({
    kind: 'counter',
    name: 'sextant_redo_bytes_total',
    unit: 'bytes',
    description: 'Redo produced by the writer',
    labels: [],
  }),
  quorumNodes: define({
    kind: 'gauge',
    name: 'sextant_quorum_nodes',
    unit: '1',
    description: 'Storage nodes of this region that answer; four of six are needed to write',
    labels: [],
  }),

  // Storage: one node.
  storageAppendedBytes: define({
    kind: 'counter',
    name: 'sextant_storage_appended_bytes_total',
    unit: 'bytes',
    description: 'Frame bytes made durable by this node',
    labels: [],
  }),
  storageSyncDuration: define({
    kind: 'histogram',
    name: 'sextant_storage_sync_duration_seconds',
    unit: 'seconds',
    description: 'Time of one write and flush of the log',
    labels: [],
    buckets: latencyBuckets,
  }),
  segmentCompleteLsn: define({
    kind: 'gauge',
    name: 'sextant_segment_complete_lsn',
    unit: 'lsn',
    description: 'SCL: up to here this node has every record of the protection group',
    labels: ['pg'],
  }),
  storagePageReads: define({
    kind: 'counter',
    name: 'sextant_storage_page_reads_total',
    unit: '1',
    description: 'Pages served by this node',
    labels: [],
  }),
  storagePagesBuilt: define({
    kind: 'counter',
    name: 'sextant_storage_pages_built_total',
    unit: '1',
    description: 'Changes of pages folded into images, behind the log',
    labels: [],
  }),
  storageRepairedBytes: define({
    kind: 'counter',
    name: 'sextant_storage_repaired_bytes_total',
    unit: 'bytes',
    description: 'Frame bytes this node fetched from its peers to fill gaps',
    labels: [],
  }),
  storageDiskFull: define({
    kind: 'gauge',
    name: 'sextant_storage_disk_full',
    unit: '1',
    description: '1 while the disk of this node takes no writes for want of space or file handles',
    labels: [],
  }),
  storageDiskFailures: define({
    kind: 'counter',
    name: 'sextant_storage_disk_failures_total',
    unit: '1',
    description: 'Writes of this node that failed for want of space or file handles',
    labels: [],
  }),

  // Regions: who reigns, and lag.
  volumeDurableLsn: define({
    kind: 'gauge',
    name: 'sextant_volume_durable_lsn',
    unit: 'lsn',
    description: 'VDL of this region',
    labels: [],
  }),
  epoch: define({
    kind: 'gauge',
    name: 'sextant_epoch',
    unit: '1',
    description: 'Epoch this process believes to reign',
    labels: [],
  }),
  isPrimary: define({
    kind: 'gauge',
    name: 'sextant_is_primary',
    unit: '1',
    description: '1 when this region is the primary, else 0',
    labels: [],
  }),
  replicationLagSeconds: define({
    kind: 'gauge',
    name: 'sextant_replication_lag_seconds',
    unit: 'seconds',
    description:
      'Age of the oldest commit not yet durable in the region, on the clock of the primary; 0 when caught up',
    labels: ['target'],
  }),
  replicationLagBytes: define({
    kind: 'gauge',
    name: 'sextant_replication_lag_bytes',
    unit: 'bytes',
    description: 'Redo durable in the primary and not yet durable in the region',
    labels: ['target'],
  }),
  replicationStalledSeconds: define({
    kind: 'gauge',
    name: 'sextant_replication_stalled_seconds',
    unit: 'seconds',
    description: 'How long the region has stood still while this primary has more for it; 0 while it gets on',
    labels: ['target'],
  }),
  replicationStalls: define({
    kind: 'counter',
    name: 'sextant_replication_stalls_total',
    unit: '1',
    description: 'Times the lane to the region stood still and was begun anew',
    labels: ['target'],
  }),
  takeoverReady: define({
    kind: 'gauge',
    name: 'sextant_takeover_ready',
    unit: '1',
    description: '1 while the region could take over now, by a switchover or a failover, else 0',
    labels: ['target'],
  }),
  takeoverSeconds: define({
    kind: 'gauge',
    name: 'sextant_takeover_seconds',
    unit: 'seconds',
    description: 'About how long writes would wait if the region took over now; no sample while it could not',
    labels: ['target', 'move'],
  }),
  takeoverLossCommits: define({
    kind: 'gauge',
    name: 'sextant_takeover_loss_commits',
    unit: '1',
    description:
      'Commits that would be lost, at least, if the primary were lost now and the region took over',
    labels: ['target'],
  }),
  takeoverLossBytes: define({
    kind: 'gauge',
    name: 'sextant_takeover_loss_bytes',
    unit: 'bytes',
    description: 'Redo that would be lost if the primary were lost now and the region took over',
    labels: ['target'],
  }),
  takeoverLossSeconds: define({
    kind: 'gauge',
    name: 'sextant_takeover_loss_seconds',
    unit: 'seconds',
    description: 'Time of commits that would be lost if the primary were lost now and the region took over',
    labels: ['target'],
  }),
  leaseRemainingSeconds: define({
    kind: 'gauge',
    name: 'sextant_lease_remaining_seconds',
    unit: 'seconds',
    description: 'Time left in which this holder may acknowledge writes; 0 while the lease is suspended',
    labels: [],
  }),
  leaseSuspensions: define({
    kind: 'counter',
    name: 'sextant_lease_suspensions_total',
    unit: '1',
    description: 'Times the lease lapsed without a renewal, so that answers waited',
    labels: [],
  }),
  controlUpdates: define({
    kind: 'counter',
    name: 'sextant_control_updates_total',
    unit: '1',
    description: 'Compare-and-set attempts on the control record, by outcome: won, lost or unanswered',
    labels: ['outcome'],
  }),
  writeStallDuration: define({
    kind: 'histogram',
    name: 'sextant_write_stall_duration_seconds',
    unit: 'seconds',
    description: 'Time in which no write was acknowledged because of a recovery or a suspended lease',
    labels: ['cause'],
    buckets: latencyBuckets,
  }),

  // Every process.
  spansExported: define({
    kind: 'counter',
    name: 'sextant_telemetry_spans_exported_total',
    unit: '1',
    description: 'Spans a collector accepted',
    labels: [],
  }),
  spansDropped: define({
    kind: 'counter',
    name: 'sextant_telemetry_spans_dropped_total',
    unit: '1',
    description: 'Spans given up because the collector was away or slow',
    labels: [],
  }),
  eventLoopDelay: define({
    kind: 'gauge',
    name: 'sextant_event_loop_delay_seconds',
    unit: 'seconds',
    description:
      'How late the event loop ran its timers since the previous scrape, by quantile (0.5, 0.99, 1)',
    labels: ['quantile'],
  }),
  residentMemory: define({
    kind: 'gauge',
    name: 'process_resident_memory_bytes',
    unit: 'bytes',
    description: 'Resident memory of the process',
    labels: [],
  }),
  cpuSeconds: define({
    kind: 'counter',
    name: 'process_cpu_seconds_total',
    unit: 'seconds',
    description: 'User and system CPU time of the process, its worker threads included',
    labels: [],
  }),
  certificateExpiry: define({
    kind: 'gauge',
    name: 'sextant_certificate_expiry_timestamp_seconds',
    unit: 'seconds',
    description:
      'When the certificate of this process, or the first of its authorities, expires, as Unix time',
    labels: ['certificate'],
  }),
  certificateRefused: define({
    kind: 'gauge',
    name: 'sextant_certificate_files_refused',
    unit: '1',
    description:
      '1 while the certificate files cannot be used and the process goes on with those it read before',
    labels: [],
  }),
  startTime: define({
    kind: 'gauge',
    name: 'process_start_time_seconds',
    unit: 'seconds',
    description: 'Start of the process, seconds since the Unix epoch',
    labels: [],
  }),
  droppedSeries: define({
    kind: 'counter',
    name: 'sextant_metrics_series_refused_total',
    unit: '1',
    description: 'Label combinations beyond the bound of a metric, counted under the label value other',
    labels: ['metric'],
  }),
} as const;
