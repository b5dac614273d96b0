/**
 * Runs the processes of a local deployment: starts them in order, keeps them running, breaks and repairs them on request, and
 * stops exactly them.
 */
import type { Server } from 'node:http';
import type { RouteProxies } from './cables/route-proxy.ts';
import {
  type Action,
  type ActionResult,
  type MoreRoutes,
  type RegionChange,
  type RegionChanged,
  type SupervisorStatus,
  serveControl,
} from './control-socket.ts';
import { stopGraceMs } from './core/stop-graces.ts';
import { directoryBytes } from './data/directory-bytes.ts';
import { telemetryGroup } from './layout/local-layout.ts';
import { type ProcessSpec, startOrder } from './layout/local-processes.ts';
import { ManagedProcess } from './managed-process.ts';
import { type NatsAccess, NatsCare } from './nats-care.ts';
import { ReloadWatch } from './secure/reload-watch.ts';
import { serveSupervisorMetrics } from './supervisor-metrics.ts';
import { type StartFailure, waitUntilUp } from './wait-until-up.ts';

export type SupervisorOptions = {
  readonly processes: readonly ProcessSpec[];
  /** Undefined when the deployment has no routes of its own to cut. */
  readonly proxies: RouteProxies | undefined;
  /** How the NATS servers are asked about the control record; undefined when they are somebody else's. */
  readonly nats?: NatsAccess;
  readonly controlSocket: string;
  /** Where it tells Prometheus what it knows. */
  readonly metricsPort: number;
  /** Lets a region come or go; left out, none does. */
  readonly changeRegions?: (change: RegionChange) => Promise<RegionChanged>;
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

const defaultDataLookMs = 10_000;
const renewEveryMs = 3_600_000;
const reloadLookMs = 1_000;
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
    this.#processes = options.processes.map((spec) => this.#managed(spec));
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

  #managed(spec: ProcessSpec): ManagedProcess {
    const { onProgress } = this.#options;
    return new ManagedProcess(spec, (reason) =>
      onProgress(`${spec.id} ended (${reason}): starting it again`),
    );
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
      changeRegions: (change) => this.#changeRegions(change),
      nodes: (request) => this.#changeNodes(request),
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
        for (const managed of chosen) if (managed.flushDelayMs > 0) managed.slowFlushes(0);
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

  async #changeRegions(change: RegionChange): Promise<RegionChanged> {
    const { changeRegions } = this.#options;
    if (this.#phase !== 'ready') return { error: `the deployment is ${this.#phase}` };
    return changeRegions?.(change) ?? { error: 'no region comes or goes here' };
  }

  async #changeNodes(request: unknown): Promise<object> {
    if (this.#phase !== 'ready') return { error: `the deployment is ${this.#phase}` };
    return this.#options.nodes?.(request) ?? { error: 'no storage node comes or goes here' };
  }

  /**
   * Runs more processes from now on: those of a region or a node that comes. Resolves when they listen, or with the first that does not;
   * then none of them is kept.
   */
  async extend(specs: readonly ProcessSpec[], timeoutMs: number): Promise<StartFailure | undefined> {
    const known = new Set(this.#processes.map(({ spec }) => spec.id));
    const added = specs.filter(({ id }) => !known.has(id)).map((spec) => this.#managed(spec));
    this.#changed([...this.#processes, ...added]);
    const wait = {
      deadline: performance.now() + timeoutMs,
      isWanted: () => this.#phase !== 'stopping',
      untilReady: false,
    };
    for (const role of startOrder) {
      const stage = added.filter(({ spec }) => spec.role === role);
      for (const managed of stage) managed.start();
      const failures = await Promise.all(stage.map((managed) => waitUntilUp(managed, wait)));
      const failure = failures.find((one) => one !== undefined);
      if (failure === undefined) continue;
      await this.dismiss(added.map(({ spec }) => spec.id));
      return failure;
    }
    return undefined;
  }

  /** Stops processes, in order, and forgets them: those of a region or a node that goes. @returns the ids of those that there were. */
  async dismiss(ids: readonly string[]): Promise<readonly string[]> {
    const leaving = this.#processes.filter(({ spec }) => ids.includes(spec.id));
    for (const role of startOrder.toReversed()) {
      const stage = leaving.filter(({ spec }) => spec.role === role);
      await Promise.all(stage.map((managed) => managed.retire(stopGraceMs[role])));
    }
    this.#changed(this.#processes.filter((managed) => !leaving.includes(managed)));
    return leaving.map(({ spec }) => spec.id);
  }

  /** Gives a process that runs another configuration, which it takes up as it runs. */
  reconfigure(spec: ProcessSpec): void {
    this.#processes.find((managed) => managed.spec.id === spec.id)?.reconfigure(spec);
  }

  /** Stops a process in order and starts it again from another configuration. */
  async replace(spec: ProcessSpec): Promise<void> {
    const old = this.#processes.find((managed) => managed.spec.id === spec.id);
    if (old === undefined) return;
    await old.retire(stopGraceMs[spec.role]);
    const next = this.#managed(spec);
    this.#changed(this.#processes.map((managed) => (managed === old ? next : managed)));
    if (this.#phase !== 'stopping') next.start();
  }

  /** Whoever watches over processes watches over these. */
  #changed(processes: readonly ManagedProcess[]): void {
    this.#processes = processes;
    const care = this.#care;
    this.#care = undefined;
    void care?.close();
    this.#careForNats();
    this.#watchReloads();
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
      await Promise.all(stage.map((managed) => managed.retire(stopGraceMs[role])));
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
    this.#watchReloads();
  }

  /** NATS servers read a new certificate when they are told. */
  #watchReloads(): void {
    clearInterval(this.#reloads);
    if (this.#options.renew === undefined || this.#phase === 'stopping') return;
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
      graceMs: stopGraceMs.nats,
      onProgress,
    });
  }

  /** What has outgrown its limit is started again empty: it is worth less than the space that storage nodes beside it need. */
  #watchData(): void {
    if (this.#phase === 'stopping') return;
    const bounded = this.#processes.filter(({ spec }) => spec.dataBytesMax !== undefined);
    const wiped = new Set<ManagedProcess>();
    this.#dataLooks = setInterval(() => {
      for (const managed of bounded) {
        // It may take longer to end than it is until the next look.
        if (wiped.has(managed)) continue;
        const { id, dataDir, dataBytesMax = Infinity } = managed.spec;
        const bytes = directoryBytes(dataDir);
        if (bytes <= dataBytesMax) continue;
        this.#options.onProgress(
          `${id}: its data takes ${bytes} B of ${dataBytesMax}: starting it again empty`,
        );
        wiped.add(managed);
        managed
          .wipe()
          .catch((error: unknown) => this.#options.onProgress(`${id}: not started again empty: ${error}`))
          .finally(() => wiped.delete(managed));
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
      const wait = { deadline, isWanted: () => this.#isStarting(), untilReady: true };
      const failures = await Promise.all(stage.map((managed) => waitUntilUp(managed, wait)));
      this.#failure ??= failures.find((failure) => failure !== undefined);
    }
    if (this.#isStarting() && mine.some(({ spec }) => spec.readyUrl !== undefined)) {
      this.#options.onProgress(`${region} is ready`);
    }
  }

  #isStarting(): boolean {
    return this.#phase === 'starting' && this.#failure === undefined;
  }
}
