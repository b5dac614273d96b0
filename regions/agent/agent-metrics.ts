/** The agent's metrics: how far behind each secondary is, what is sent to it, moves, lost writes, and NATS as it sees it. */
import { type Counter, follow, type MetricRegistry, metrics } from '../../telemetry/index.ts';
import { branchesOf } from '../control/core/branch-list.ts';
import type { Operation } from '../moves/core/operations.ts';
import { watchReadiness } from '../readiness/readiness-metrics.ts';
import type { Agent, AgentFigures } from './agent.ts';

/**
 * Keeps them; they are read from the agent at each scrape. Lag is the primary's to tell: elsewhere there is none. Age is what a
 * secondary knows by itself.
 */
export function watchAgent(registry: MetricRegistry, agent: Agent): void {
  watchReadiness(registry, () => agent.readiness);
  watchMoves(registry, agent);
  const epoch = registry.gauge(metrics.epoch).with({});
  const vdl = registry.gauge(metrics.volumeDurableLsn).with({});
  const age = registry.gauge(metrics.replicaAge);
  const readers = [
    watchLag(registry, agent),
    watchBranches(registry, agent),
    watchRetention(registry, agent),
    watchBackup(registry, agent),
    watchShipping(registry, agent),
    watchControl(registry),
  ];
  registry.onScrape(() => {
    const { standing, figures } = agent;
    epoch.set(standing.epoch);
    if (standing.vdl !== null) vdl.set(standing.vdl);
    age.clear();
    if (agent.replicaAgeMs !== null) age.with({}).set(agent.replicaAgeMs / 1_000);
    for (const read of readers) read(figures);
  });
}

type Read = (figures: AgentFigures) => void;

/** What is unknown has no sample: a number would be taken for the truth. */
function watchLag(registry: MetricRegistry, agent: Agent): Read {
  const gauges = {
    seconds: registry.gauge(metrics.replicationLagSeconds),
    bytes: registry.gauge(metrics.replicationLagBytes),
    commits: registry.gauge(metrics.lagCommits),
    online: registry.gauge(metrics.replicationOnline),
    stalled: registry.gauge(metrics.replicationStalledSeconds),
  };
  return ({ windows }) => {
    for (const gauge of Object.values(gauges)) gauge.clear();
    const unknown = new Set(windows.flatMap(({ region, isKnown }) => (isKnown ? [] : [String(region)])));
    for (const { region: target, lagMs, lagBytes, lagCommits, online, stalledMs } of agent.standing.lag) {
      gauges.stalled.with({ target }).set((stalledMs ?? 0) / 1_000);
      gauges.online.with({ target }).set(online ? 1 : 0);
      if (lagMs !== null) gauges.seconds.with({ target }).set(lagMs / 1_000);
      if (!unknown.has(target)) gauges.bytes.with({ target }).set(lagBytes);
      if (typeof lagCommits === 'number') gauges.commits.with({ target }).set(lagCommits);
    }
  };
}

/** The primary's to tell, as the lag of `main`. */
function watchBranches(registry: MetricRegistry, agent: Agent): Read {
  const count = registry.gauge(metrics.branches).with({});
  const seconds = registry.gauge(metrics.branchLagSeconds);
  const bytes = registry.gauge(metrics.branchLagBytes);
  return () => {
    count.set(branchesOf(agent.view.record).length);
    seconds.clear();
    bytes.clear();
    for (const { name, lag } of agent.standing.branches ?? []) {
      for (const { region: target, lagMs, lagBytes } of lag) {
        const labels = { db_namespace: name, target };
        bytes.with(labels).set(lagBytes);
        if (lagMs !== null) seconds.with(labels).set(lagMs / 1_000);
      }
    }
  };
}

function watchRetention(registry: MetricRegistry, agent: Agent): Read {
  const held = registry.gauge(metrics.retentionHeld);
  const letGo = registry.gauge(metrics.retentionLetGo);
  const floor = registry.gauge(metrics.retentionFloor).with({});
  return () => {
    const { retention } = agent.standing;
    held.clear();
    letGo.clear();
    for (const { reason, bytes } of retention?.held ?? []) held.with({ reason }).set(bytes);
    for (const { region: target } of retention?.letGo ?? []) letGo.with({ target }).set(1);
    floor.set(retention?.floor ?? 0);
  };
}

/** Without a backup there is no sample. */
function watchBackup(registry: MetricRegistry, agent: Agent): Read {
  const age = registry.gauge(metrics.backupAge);
  const lag = registry.gauge(metrics.backupLag);
  const bytes = registry.gauge(metrics.backupBytes);
  const uploaded = follow(registry.counter(metrics.backupUploaded).with({}));
  const failures = follow(registry.counter(metrics.backupFailures).with({}));
  return () => {
    const { backup } = agent.standing;
    if (backup === undefined) return;
    age.with({}).set(backup.ageMs / 1_000);
    lag.with({}).set(backup.lagBytes);
    bytes.with({}).set(backup.bytes);
    uploaded(backup.uploadedBytes);
    failures(backup.failures);
  };
}

function watchShipping(registry: MetricRegistry, agent: Agent): Read {
  const duration = registry.histogram(metrics.replicationDuration);
  agent.watchReplicated((target, afterMs) => {
    const series = duration.with({ target });
    for (const ms of afterMs) series.observe(ms / 1_000);
  });
  const stalls = perTarget((target) => registry.counter(metrics.replicationStalls).with({ target }));
  const shipped = perTarget((target) => registry.counter(metrics.shippedBytes).with({ target }));
  const resent = perTarget((target) => registry.counter(metrics.resentBytes).with({ target }));
  const used = registry.gauge(metrics.windowUsed);
  const size = registry.gauge(metrics.windowSize);
  return (figures) => {
    used.clear();
    size.clear();
    for (const { region: target, usedBytes, sizeBytes } of figures.windows) {
      used.with({ target }).set(usedBytes);
      size.with({ target }).set(sizeBytes);
      // A lane that is there has all its counters, at 0 if need be (T14).
      stalls(target, figures.stalls.get(target) ?? 0);
      shipped(target, figures.shipped.get(target)?.bytes ?? 0);
      resent(target, figures.shipped.get(target)?.again ?? 0);
      duration.with({ target });
    }
  };
}

/** Totals that only rise, by target. */
function perTarget(counterOf: (target: string) => Counter): (target: string, total: number) => void {
  const counters = new Map<string, (total: number) => void>();
  return (target, total) => {
    const known = counters.get(target) ?? follow(counterOf(target));
    counters.set(target, known);
    known(total);
  };
}

function watchMoves(registry: MetricRegistry, agent: Agent): void {
  const moves = registry.counter(metrics.moves);
  const stall = registry.histogram(metrics.writeStallDuration);
  agent.watchMoves((operation) => {
    const { kind, state } = operation;
    if (state === 'running') return;
    moves.with({ kind, result: state }).add();
    const pausedMs = pauseOf(operation);
    if (pausedMs !== null) stall.with({ cause: kind }).observe(pausedMs / 1_000);
  });
}

/**
 * How long a move kept clients from writing. A failover counts from the last write that is part of history, not from the
 * moment somebody ordered it: writes had been refused for long by then. Null when the move failed.
 */
export function pauseOf({ result }: Operation): number | null {
  return result?.rtoFromLastWriteMs ?? result?.rtoMs ?? result?.pauseMs ?? null;
}

function watchControl(registry: MetricRegistry): Read {
  const lost = follow(registry.counter(metrics.lostWrites).with({}));
  const heard = registry.gauge(metrics.regionsHeard).with({});
  const connected = registry.gauge(metrics.natsConnected).with({});
  const jetStream = registry.gauge(metrics.jetStreamUp).with({});
  const current = registry.gauge(metrics.controlCopyCurrent);
  const leader = registry.gauge(metrics.controlLeader);
  const age = registry.gauge(metrics.controlRecordAge);
  const maxLoss = registry.gauge(metrics.policyMaxLoss);
  const rpo = registry.gauge(metrics.policyRpo);
  return ({ lostWrites, regionsHeard, natsConnected, copies, controlReadMsAgo, policy }) => {
    lost(lostWrites);
    heard.set(regionsHeard);
    connected.set(natsConnected ? 1 : 0);
    jetStream.set(copies.isUp ? 1 : 0);
    for (const gauge of [current, leader, maxLoss, rpo]) gauge.clear();
    // What was said last is no news while nobody answers.
    for (const { server, isCurrent, isLeader } of copies.isUp ? copies.copies : []) {
      current.with({ server }).set(isCurrent ? 1 : 0);
      leader.with({ server }).set(isLeader ? 1 : 0);
    }
    if (controlReadMsAgo !== null) age.with({}).set(controlReadMsAgo / 1_000);
    if (policy !== null && policy.maxLossMs !== null) maxLoss.with({}).set(policy.maxLossMs / 1_000);
    if (policy !== null && policy.rpoMs !== null) rpo.with({}).set(policy.rpoMs / 1_000);
  };
}
