/**
 * Runs the processes of a local deployment: starts them in order, keeps them running, breaks and repairs them on request, and
 * stops exactly them.
 */
import type { Server } from 'node:http';
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { directoryBytes } from '../../storage/index.ts';
import type { RouteProxies } from './cables/route-proxy.ts';
import {
  type Action,
  type ActionResult,
  type MoreRoutes,
  type SupervisorStatus,
  serveControl,
} from './control-socket.ts';
import { logFile, type ProcessRole, type ProcessSpec, startOrder, telemetryGroup } from './local-layout.ts';
import { lastLines, ManagedProcess } from './managed-process.ts';
import { type NatsAccess, NatsCare } from './nats-care.ts';
import { ReloadWatch } from './secure/reload-watch.ts';
import { serveSupervisorMetrics } from './supervisor-metrics.ts';

/** Why a deployment did not become ready. `logTail` are the last lines of the process's log. */
export type StartFailure = {
  readonly process: string;
  readonly reason: string;
  readonly log: string;
  readonly logTail: readonly string[];
};

export type SupervisorOptions = {
  readonly processes: readonly ProcessSpec[];
  /** Undefined when the deployment has no routes of its own to cut. */
  readonly proxies: RouteProxies | undefined;
  /** How the NATS servers are asked about the control record; undefined when they are somebody else's. */
  readonly nats?: NatsAccess;
  readonly controlSocket: string;
  /** Where it tells Prometheus what it knows. */
  readonly metricsPort: number;
  /** Makes and takes away storage nodes on request; see `LocalMembers`. */
  readonly nodes?: (request: unknown) => Promise<object>;
  /** Served at the control socket as well. */
  readonly more?: MoreRoutes;
  /** Renews the certificates that are due, where the deployment has any; processes take them up while they run. */
  readonly renew?: () => Promise<void>;
  /** Told about every step; for people. */
  readonly onProgress: (line: string) => void;
  /** How often data that has a limit is looked at. */
  readonly dataLookMs?: number;
};

const pollMs = 50;
const probeTimeoutMs = 1_000;
const restartPatience = 3;
const defaultDataLookMs = 10_000;
const renewEveryMs = 3_600_000;
const reloadLookMs = 1_000;
const logTailLines = 12;
/** How long each role may take to stop in order before it is killed. */
const graceMs: Readonly<Record<ProcessRole, number>> = {
  gateway: 8_000,
  agent: 5_000,
  storage: 8_000,
  nats: 5_000,
  jaeger: 8_000,
  window: 2_000,
  prometheus: 8_000,
};

/** True when something accepts connections on the loopback port. */
function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: '127.0.0.1', port, timeout: probeTimeoutMs });
    const finish = (accepted: boolean) => {
      socket.destroy();
      resolve(accepted);
    };
    socket.once('connect', () => finish(true));
    socket.once('error', () => finish(false));
    socket.once('timeout', () => finish(false));
  });
}

/** Undefined when `url` answers 2xx; else why not. */
async function unreadiness(url: string): Promise<string | undefined> {
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(probeTimeoutMs) });
    const text = (await response.text()).trim().slice(0, 300);
    return response.ok ? undefined : `${url} answers ${response.status} ${text}`;
  } catch {
    return `${url} does not answer`;
  }
}

export class Supervisor {
  readonly #options: SupervisorOptions;
  #processes: readonly ManagedProcess[];
  #control: Server | undefined;
  #phase: SupervisorStatus['phase'] = 'starting';
  #failure: StartFailure | undefined;
  #stopped: Promise<void> | undefined;
  #care: NatsCare | undefined;
  #metrics: { close(): void } | undefined;
  #dataLooks: NodeJS.Timeout | undefined;
  #renewals: NodeJS.Timeout | undefined;
  #reloads: NodeJS.Timeout | undefined;

  constructor(options: SupervisorOptions) {
    this.#options = options;
    this.#processes = options.processes.map((spec) => this.#manage(spec));
  }

  #manage(spec: ProcessSpec): ManagedProcess {
    return new ManagedProcess(spec, (reason) =>
      this.#options.onProgress(`${spec.id} ended (${reason}): starting it again`),
    );
  }

  /** Runs one process more from now on. */
  adopt(spec: ProcessSpec): void {
    if (this.#phase === 'stopping' || this.#processes.some((managed) => managed.spec.id === spec.id)) return;
    const managed = this.#manage(spec);
    this.#processes = [...this.#processes, managed];
    managed.start();
  }

  /** Stops a process in order, and runs it no more. */
  async release(id: string): Promise<void> {
    const gone = this.#processes.filter(({ spec }) => spec.id === id);
    this.#processes = this.#processes.filter(({ spec }) => spec.id !== id);
    await Promise.all(gone.map((managed) => managed.retire(graceMs[managed.spec.role])));
  }

  /** Whether a process accepts connections. */
  async isUp(id: string): Promise<boolean> {
    const managed = this.#processes.find(({ spec }) => spec.id === id);
    return managed !== undefined && (await Promise.all(managed.spec.ports.map(accepts))).every(Boolean);
  }

  get status(): SupervisorStatus {
    return {
      pid: process.pid,
      phase: this.#phase,
      isolated: [...(this.#options.proxies?.isolated ?? [])],
      wan: [...(this.#options.proxies?.pairs ?? [])],
      slowed: [
        ...(this.#options.proxies?.slowed ?? []),
        ...this.#processes.filter(({ flushDelayMs }) => flushDelayMs > 0).map(({ spec }) => spec.id),
      ],
      processes: this.#processes.map((managed) => ({ ...managed.status, ports: [...managed.status.ports] })),
    };
  }

  /**
   * Starts everything, regions in parallel, and waits until every process with a readiness URL is ready.
   * Answers with the first process that failed, if any; then what did start still runs, until `stop`.
   */
  async start(timeoutMs: number): Promise<StartFailure | undefined> {
    if (!this.#isStarting()) return this.#failure;
    const deadline = performance.now() + timeoutMs;
    this.#control = await serveControl(this.#options.controlSocket, {
      status: () => this.status,
      act: (action) => this.act(action),
      ...(this.#options.nodes !== undefined && { nodes: this.#options.nodes }),
      ...(this.#options.more !== undefined && { more: this.#options.more }),
    });
    this.#metrics = await serveSupervisorMetrics(this.#options.metricsPort, () => ({
      status: this.status,
      natsFreeBytes: this.#care?.freeBytes ?? new Map(),
      drills: this.#options.more?.endedDrills() ?? [],
    }));
    // Stopped while the sockets were being made: then nobody else closes them.
    if (this.#phase === 'stopping') this.#closeControl();
    this.#careForNats();
    this.#watchData();
    this.#renew();
    const regions = [...new Set(this.#processes.map(({ spec }) => spec.region))];
    await Promise.all(regions.map((region) => this.#startRegion(region, deadline)));
    if (this.#failure === undefined && this.#phase === 'starting') this.#phase = 'ready';
    return this.#failure;
  }

  /** Breaks or mends a region or a process (`Action`). An unknown target is an error that lists those known. */
  async act({ action, target, delayMs = 0 }: Action): Promise<ActionResult> {
    if (this.#phase === 'stopping') return { error: 'the deployment is stopping' };
    if (action === 'isolate' || action === 'heal' || action === 'slow-link')
      return this.#actOnRoutes(action, target, delayMs);
    const chosen = this.#processes.filter(({ spec }) => spec.region === target || spec.id === target);
    if (chosen.length === 0) return { error: this.#unknown(target) };
    const changed = chosen.map(({ spec }) => spec.id);
    switch (action) {
      case 'kill':
        await Promise.all(chosen.map((managed) => managed.kill()));
        return { changed };
      case 'wipe':
        await Promise.all(chosen.map((managed) => managed.wipe()));
        return { changed };
      case 'start':
        for (const role of startOrder) {
          for (const managed of chosen.filter(({ spec }) => spec.role === role)) managed.start();
        }
        return { changed };
      case 'freeze':
        return { changed: chosen.filter((managed) => managed.freeze()).map(({ spec }) => spec.id) };
      case 'thaw':
        return { changed: chosen.filter((managed) => managed.thaw()).map(({ spec }) => spec.id) };
      case 'crash':
        return { changed: chosen.filter((managed) => managed.crash()).map(({ spec }) => spec.id) };
      case 'slow-disk': {
        const slowed = chosen.filter((managed) => managed.slowFlushes(delayMs)).map(({ spec }) => spec.id);
        return slowed.length > 0
          ? { changed: slowed }
          : { error: `only a storage node that runs has flushes to slow down, not ${target}` };
      }
    }
  }

  /** Stops everything this supervisor started: gateways first, NATS last. Safe to call more than once. */
  stop(): Promise<void> {
    this.#stopped ??= this.#stopAll();
    return this.#stopped;
  }

  async #stopAll(): Promise<void> {
    this.#phase = 'stopping';
    this.#options.more?.close();
    await this.#care?.close();
    clearInterval(this.#dataLooks);
    clearInterval(this.#renewals);
    clearInterval(this.#reloads);
    for (const role of startOrder.toReversed()) {
      const stage = this.#processes.filter(({ spec }) => spec.role === role);
      await Promise.all(stage.map((managed) => managed.retire(graceMs[role])));
    }
    await this.#options.proxies?.close();
    this.#closeControl();
  }

  #renew(): void {
    const { renew, onProgress } = this.#options;
    if (renew === undefined || this.#phase === 'stopping') return;
    this.#renewals = setInterval(() => {
      renew().catch((error: unknown) =>
        onProgress(
          `certificates cannot be renewed: ${error instanceof Error ? error.message : String(error)}`,
        ),
      );
    }, renewEveryMs);
    this.#renewals.unref();
    const watches = this.#processes
      .filter(({ spec }) => spec.reloads !== undefined)
      .map(
        (managed) => new ReloadWatch({ files: managed.spec.reloads ?? [], reload: () => managed.reload() }),
      );
    this.#reloads = setInterval(() => {
      for (const watch of watches) watch.look();
    }, reloadLookMs);
    this.#reloads.unref();
  }

  /** The NATS servers do not get well by themselves. */
  #careForNats(): void {
    const { nats, proxies, onProgress } = this.#options;
    if (this.#phase === 'stopping' || nats === undefined) return;
    this.#care = new NatsCare({
      ...nats,
      servers: this.#processes.filter(({ spec }) => spec.role === 'nats'),
      isIsolated: (region) => proxies?.isolated.includes(region) ?? false,
      graceMs: graceMs.nats,
      onProgress,
    });
  }

  /** What has outgrown its limit is started again empty: it is worth less than the space that storage nodes beside it need. */
  #watchData(): void {
    if (this.#phase === 'stopping') return;
    const bounded = this.#processes.filter(({ spec }) => spec.dataBytesMax !== undefined);
    this.#dataLooks = setInterval(() => {
      for (const managed of bounded) {
        const { id, dataDir, dataBytesMax = Infinity } = managed.spec;
        const bytes = directoryBytes(dataDir);
        if (bytes <= dataBytesMax) continue;
        this.#options.onProgress(
          `${id}: its data takes ${bytes} B of ${dataBytesMax}: starting it again empty`,
        );
        void managed.wipe();
      }
    }, this.#options.dataLookMs ?? defaultDataLookMs);
    this.#dataLooks.unref();
  }

  #closeControl(): void {
    this.#metrics?.close();
    this.#control?.close();
    this.#control?.closeAllConnections();
  }

  #unknown(target: string): string {
    const regions = [...new Set(this.#processes.map(({ spec }) => spec.region))];
    const [region = ''] = target.split('/');
    if (!regions.includes(region)) return `no region ${region}; there are ${regions.join(', ')}`;
    const ids = this.#processes.filter(({ spec }) => spec.region === region).map(({ spec }) => spec.id);
    return `no process ${target}; there are ${ids.join(', ')}`;
  }

  #actOnRoutes(action: 'isolate' | 'heal' | 'slow-link', target: string, delayMs: number): ActionResult {
    const { proxies } = this.#options;
    if (proxies === undefined) {
      return {
        error:
          'the network between regions is not ours to touch: the deployment uses NATS servers given with --nats',
      };
    }
    if (!this.#processes.some(({ spec }) => spec.region === target)) return { error: this.#unknown(target) };
    if (target === telemetryGroup) return { error: `${target} is no region and has no links to cut` };
    if (action === 'isolate') proxies.isolate(target);
    else if (action === 'heal') proxies.heal(target);
    else proxies.slow(target, delayMs);
    return { changed: [target] };
  }

  async #startRegion(region: string, deadline: number): Promise<void> {
    const mine = this.#processes.filter(({ spec }) => spec.region === region);
    for (const role of startOrder) {
      if (!this.#isStarting()) return;
      const stage = mine.filter(({ spec }) => spec.role === role);
      for (const managed of stage) managed.start();
      await Promise.all(stage.map((managed) => this.#waitUntilUp(managed, deadline)));
    }
    if (this.#isStarting() && mine.some(({ spec }) => spec.readyUrl !== undefined)) {
      this.#options.onProgress(`${region} is ready`);
    }
  }

  #isStarting(): boolean {
    return this.#phase === 'starting' && this.#failure === undefined;
  }

  /** Waits until the process accepts connections and, if it has a readiness URL, is ready; else records the failure. */
  async #waitUntilUp(managed: ManagedProcess, deadline: number): Promise<void> {
    const { ports, readyUrl } = managed.spec;
    let reason = `does not listen on port ${ports.join(' and ')}`;
    while (this.#isStarting()) {
      const { state, restarts, lastExit } = managed.status;
      if (restarts >= restartPatience && state !== 'running') {
        this.#failure ??= failureOf(managed, `keeps ending (${lastExit})`);
        return;
      }
      const listening = (await Promise.all(ports.map(accepts))).every(Boolean);
      if (listening) {
        const problem = readyUrl === undefined ? undefined : await unreadiness(readyUrl);
        if (problem === undefined) return;
        reason = problem;
      }
      if (performance.now() >= deadline) {
        this.#failure ??= failureOf(managed, `was not ready in time: ${reason}`);
        return;
      }
      await sleep(pollMs);
    }
  }
}

function failureOf(managed: ManagedProcess, reason: string): StartFailure {
  const log = logFile(managed.spec.dir);
  return { process: managed.spec.id, reason, log, logTail: lastLines(log, logTailLines) };
}
