/** One drill from its request to its report on disk, with its load and its trace. */
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { cpus, hostname, release, totalmem, type } from 'node:os';
import { z } from 'zod';
import { sextantVersion } from '../../../telemetry/core.ts';
import { newSpanId, newTraceId, serviceName, startTelemetry } from '../../../telemetry/index.ts';
import { findNatsServer } from '../../nats/nats-server.ts';
import type { DrillRequest } from '../core/drill-kinds.ts';
import type { DrillReport } from '../core/drill-report.ts';
import { LoadLink } from '../load/load-link.ts';
import { drillClock, isoOf } from '../load/machine-clock.ts';
import { drillId, lockDrills, saveBegun, saveReport } from './drill-history.ts';
import { DrillLog } from './drill-log.ts';
import { DrillRun, type Patience } from './drill-run.ts';
import type { DrillTarget } from './drill-target.ts';
import { drillSpans } from './drill-trace.ts';
import { DrillRefused, prepare } from './preflight.ts';

export interface Execution {
  readonly request: DrillRequest;
  readonly target: DrillTarget;
  /** Where the history of the deployment's drills is kept. */
  readonly dataDir: string;
  /** Where its spans go unless the environment says it: the OTLP endpoint of the deployment's own Jaeger. */
  readonly collector?: string;
  /** Where the report is written as well. */
  readonly reportDir?: string;
  /** Told about every step; for people. */
  readonly onProgress: (line: string) => void;
  /** Aborted when the drill shall stop and heal. */
  readonly signal: AbortSignal;
  /** How long is waited for what may not come; by default as long as a busy machine needs. */
  readonly patience?: Partial<Patience>;
}

export interface Executed {
  readonly report: DrillReport;
  /** The directories that hold it. */
  readonly dirs: readonly string[];
}

/** Runs the drill. @throws DrillRefused, before anything is broken, with the way out. */
export async function executeDrill(given: Execution): Promise<Executed> {
  const { request, target, dataDir, signal } = given;
  const lock = await lockDrills(dataDir);
  try {
    const log = new DrillLog(given.onProgress);
    const id = drillId(request.kind, drillClock.wallOf(log.beganAtMs), randomBytes(2).toString('hex'));
    const prepared = await prepare(id, request, target);
    const { primary, regions, plan, clients, table } = prepared;
    log.say(`${regions.length} regions, all level; ${primary} writes, epoch ${prepared.epoch}`);
    const load = await LoadLink.open({
      drill: id,
      table,
      clients,
      perSecond: request.load,
      authority: target.authority,
    }).catch((error: unknown) => {
      throw loadRefused(error);
    });
    try {
      saveBegun(dataDir, {
        id,
        kind: request.kind,
        startedAt: isoOf(log.beganAtMs),
        pid: process.pid,
      });
      log.ended({
        name: 'preflight',
        startedAtMs: log.beganAtMs,
        endedAtMs: drillClock.now(),
        outcome: 'passed',
      });
      const telemetry = startTelemetry({
        serviceName: serviceName('drill'),
        region: plan.region,
        instanceId: `drill/${id}`,
        role: 'drill',
        env: { OTEL_EXPORTER_OTLP_ENDPOINT: given.collector, ...process.env },
      });
      const context = telemetry.begin(null) ?? { traceId: newTraceId(), spanId: newSpanId(), sampled: false };
      const run = new DrillRun({
        id,
        request,
        target,
        prepared,
        load,
        log,
        signal,
        ...(given.patience !== undefined && { patience: given.patience }),
        traceId: context.traceId,
        versions: await versions(clients.some(({ transport }) => transport === 'postgres')),
        machine: machine(),
      });
      const report = await run.run();
      telemetry.recordMany(drillSpans(report, context, drillClock.wallOf(log.beganAtMs)));
      await telemetry.flush();
      await telemetry.shutdown();
      return { report, dirs: saveReport(dataDir, report, given.reportDir) };
    } finally {
      load.kill();
    }
  } finally {
    lock.release();
  }
}

/** Why nothing can be written under the drill: a database that takes no such client, or one that takes no writes. */
function loadRefused(error: unknown): DrillRefused {
  const why = error instanceof Error ? error.message : String(error);
  const message = `the load cannot begin, and nothing was broken: ${why}`;
  return new DrillRefused({ code: 'LOAD_FAILED', message });
}

/** What the client and the engine are, beside the product. */
const packages = {
  sqlite: ['@libsql/client', '@sqlite.org/sqlite-wasm'],
  postgres: ['pg', '@electric-sql/pglite'],
} as const;

async function versions(isPostgres: boolean): Promise<Readonly<Record<string, string>>> {
  const packageSchema = z.object({ dependencies: z.record(z.string(), z.string()) });
  const text = readFileSync(new URL('../../../package.json', import.meta.url), 'utf8');
  const { dependencies } = packageSchema.parse(JSON.parse(text));
  const nats = await findNatsServer();
  return {
    sextant: sextantVersion,
    node: process.versions.node,
    ...Object.fromEntries(
      packages[isPostgres ? 'postgres' : 'sqlite'].map((name) => [name, dependencies[name] ?? '?']),
    ),
    ...('version' in nats && { 'nats-server': nats.version }),
  };
}

function machine(): Readonly<Record<string, string>> {
  const cores = cpus();
  return {
    host: hostname(),
    system: `${type()} ${release()}`,
    cpu: `${cores.length} × ${cores[0]?.model.trim() ?? 'unknown'}`,
    memory: `${Math.round(totalmem() / 2 ** 30)} GiB`,
  };
}
