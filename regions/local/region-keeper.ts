/**
 * Lets regions come and go on a local deployment that runs: their processes, routes, certificates and files, and what
 * `deployment.json` says. Which regions there are for agents and gateways stands in the control record, and is the command's to
 * change; a step that was cut short is done by asking again.
 */
import { existsSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { clusterOfData } from '../../storage/data.ts';
import { CertificateError } from '../certs/certificate-store.ts';
import type { NatsServer } from '../nats/nats-server.ts';
import { busyPorts } from './busy-port.ts';
import { type Distances, type PairRoundTrip, wideAreaOf } from './cables/core/wide-area.ts';
import { type RouteProxies, RouteProxy } from './cables/route-proxy.ts';
import type { RegionChange, RegionChanged } from './control-socket.ts';
import type { KeptDeployment } from './deployment-file.ts';
import { processesWith } from './jaeger-processes.ts';
import { withGateway, withoutRegion, withRegion } from './layout/core/region-slots.ts';
import {
  type Deployment,
  namesIn,
  routePortOf,
  routesOfNew,
  runningNodes,
  telemetryGroup,
  topologyOf,
  voterFileOf,
} from './layout/local-layout.ts';
import { natsProcesses, type ProcessSpec, type Programs } from './layout/local-processes.ts';
import type { JaegerPrograms } from './programs/jaeger-programs.ts';
import { foreignData } from './region-files.ts';
import { secureDeployment } from './secure/make-certificates.ts';
import type { Supervisor } from './supervisor.ts';
import { failureText } from './wait-until-up.ts';

export interface RegionKeeperOptions {
  readonly dataDir: string;
  readonly kept: KeptDeployment;
  readonly programs: Programs;
  readonly server: NatsServer;
  readonly jaeger: JaegerPrograms | undefined;
  readonly supervisor: Supervisor;
  /** Undefined where the NATS servers are somebody else's. */
  readonly proxies: RouteProxies | undefined;
  readonly distances: Distances | undefined;
  readonly onProgress: (line: string) => void;
}

const startTimeoutMs = 60_000;
/** What a server that goes on voting needs of its region's directory. */
const votersOwn: readonly string[] = ['nats', 'witness.yaml', 'secrets'];

export class RegionKeeper {
  private readonly options: RegionKeeperOptions;

  constructor(options: RegionKeeperOptions) {
    this.options = options;
  }

  /** Whatever is refused has changed nothing. */
  change(change: RegionChange): Promise<RegionChanged> {
    return this.options.kept.alone(() => this.carryOut(change));
  }

  private async carryOut(change: RegionChange): Promise<RegionChanged> {
    try {
      switch (change.act) {
        case 'add':
          return await this.add(change.region, change.headless ?? false);
        case 'remove':
          return await this.remove(change.region, change.deleteData ?? false);
        case 'add-gateway':
          return await this.addGateway(change.region);
      }
    } catch (error) {
      if (error instanceof CertificateError) return { error: error.message };
      throw error;
    }
  }

  private get deploymentNow(): Deployment {
    return this.options.kept.now;
  }

  private get ownServers(): boolean {
    return this.deploymentNow.nats === null;
  }

  private async add(region: string, headless: boolean): Promise<RegionChanged> {
    const { dataDir, supervisor, proxies, onProgress } = this.options;
    const before = this.deploymentNow;
    const placing = withRegion(before, region, { headless, ownServers: this.ownServers });
    if (placing.kind === 'refused') return { error: placing.reason };
    const after = placing.placed;
    if (after === before) return { changed: [], keepsVote: false };
    const foreign =
      region === telemetryGroup ? `${region} is no name for a region` : foreignData(dataDir, after);
    if (foreign !== undefined) return { error: foreign };
    const strange = await this.strangeData(after, region);
    if (strange !== null) return { error: strange };
    const pairs = this.pairsOf(after);
    if ('error' in pairs) return pairs;
    const votes = this.runs(`${region}/nats`);
    const wanted = (specs: readonly ProcessSpec[]) => specs.filter((spec) => spec.region === region);
    const sextant = wanted(this.processesOf(after));
    const servers = (): readonly ProcessSpec[] =>
      this.ownServers
        ? wanted(natsProcesses(after, dataDir, this.options.server, proxies?.dialled ?? []))
        : [];
    const taken = await busyPorts([...(votes ? [] : servers()), ...sextant]);
    if (taken !== undefined) return { error: taken };
    if (after.secure === true) await this.secure(after);
    // A server that has voted here all the while has its routes already.
    const ends = votes ? [] : routesOfNew(after, region);
    proxies?.add(
      await Promise.all(ends.map((end) => RouteProxy.open(end, routePortOf(after, end.to)))),
      pairs.pairs,
    );
    onProgress(`${region}: starting its processes`);
    this.keep(after);
    // The server that has voted here takes in the processes of its region without an end to its vote.
    if (votes) for (const spec of servers()) supervisor.reconfigure(spec);
    const started = [...(votes ? [] : servers()), ...sextant];
    const failure = await supervisor.extend(started, startTimeoutMs);
    if (failure !== undefined) {
      if (!votes) await proxies?.remove(region, this.pairsNow(before));
      this.keep(before);
      return { error: failureText(failure) };
    }
    if (votes) rmSync(voterFileOf(dataDir, region), { force: true });
    await this.scrape();
    return { changed: started.map(({ id }) => id), keepsVote: votes };
  }

  /** A region comes back with its own data or with none: what another cluster has stamped, it cannot use (R56). */
  private async strangeData(after: Deployment, region: string): Promise<string | null> {
    const { cluster } = after;
    const dir = join(this.options.dataDir, region);
    const dirs = runningNodes(after, region).map((name) => join(dir, name, 'data'));
    const owners = await Promise.all(dirs.map(clusterOfData));
    const other = owners.find((owner) => owner !== null && owner !== cluster);
    return other === undefined
      ? null
      : `${dir} holds data of cluster ${other}, and ${region} comes back with data of ${cluster} or with none: move it away, or delete it`;
  }

  private async remove(region: string, deleteData: boolean): Promise<RegionChanged> {
    const { dataDir, supervisor, proxies, onProgress } = this.options;
    const before = this.deploymentNow;
    if (!before.regions.some((name) => name === region))
      return { error: `no region ${region}; there are ${before.regions.join(', ')}` };
    const after = withoutRegion(before, region, { ownServers: this.ownServers });
    const keepsVote = this.ownServers && topologyOf(after).servers.includes(region);
    const leaving = supervisor.status.processes.filter(
      (process) => process.region === region && !(keepsVote && process.role === 'nats'),
    );
    onProgress(`${region}: stopping its processes`);
    const changed = await supervisor.dismiss(leaving.map(({ id }) => id));
    if (keepsVote) proxies?.add([], this.pairsNow(after));
    else await proxies?.remove(region, this.pairsNow(after));
    // One that was killed with its region is needed now more than before.
    if (keepsVote) await supervisor.act({ action: 'start', target: `${region}/nats` });
    // The command line shows the certificate of the first region, which may be another one by now.
    if (after.secure === true) await this.secure(after);
    this.keep(after);
    if (deleteData) deleteRegion(join(dataDir, region), keepsVote);
    await this.scrape();
    return { changed, keepsVote };
  }

  private async addGateway(region: string): Promise<RegionChanged> {
    const { supervisor } = this.options;
    const before = this.deploymentNow;
    if (!before.regions.some((name) => name === region))
      return { error: `no region ${region}; there are ${before.regions.join(', ')}` };
    const placing = withGateway(before, region);
    if (placing.kind === 'refused') return { error: placing.reason };
    const after = placing.placed;
    const specs = this.processesOf(after).filter((spec) => spec.region === region);
    const added = specs.filter(({ id }) => !this.runs(id));
    const taken = await busyPorts(added);
    if (taken !== undefined) return { error: taken };
    if (after.secure === true) await this.secure(after);
    this.keep(after);
    const failure = await supervisor.extend(added, startTimeoutMs);
    if (failure !== undefined) {
      this.keep(before);
      return { error: failureText(failure) };
    }
    // The agent tells where gateways are that have not spoken yet, and the endpoint begins with those of its file.
    const told = specs.filter(({ role, id }) => role === 'agent' || (role === 'endpoint' && this.runs(id)));
    const again = told.filter((spec) => !added.includes(spec));
    for (const spec of again) await supervisor.replace(spec);
    await this.scrape();
    return { changed: [...added, ...again].map(({ id }) => id), keepsVote: false };
  }

  private secure(after: Deployment): Promise<void> {
    const { dataDir, onProgress } = this.options;
    return secureDeployment(dataDir, after, namesIn(after), onProgress);
  }

  private runs(id: string): boolean {
    return this.options.supervisor.status.processes.some((process) => process.id === id);
  }

  private processesOf(deployment: Deployment): readonly ProcessSpec[] {
    const { jaeger, dataDir, programs } = this.options;
    return processesWith(jaeger, deployment, dataDir, programs);
  }

  /** Prometheus asks the processes that there are. */
  private async scrape(): Promise<void> {
    const spec = this.processesOf(this.deploymentNow).find(({ role }) => role === 'prometheus');
    if (spec !== undefined) await this.options.supervisor.replace(spec);
  }

  private keep(deployment: Deployment): void {
    this.options.kept.keep(deployment);
  }

  private pairsOf(
    deployment: Deployment,
  ): { readonly pairs: readonly PairRoundTrip[] } | { readonly error: string } {
    const { regions } = deployment;
    const area =
      regions.length < 2
        ? ({ kind: 'known', pairs: [] } as const)
        : wideAreaOf(regions, this.options.distances, this.ownServers);
    return area.kind === 'known' ? area : { error: area.reason };
  }

  /** Of regions that were there before: they have places. */
  private pairsNow(deployment: Deployment): readonly PairRoundTrip[] {
    const found = this.pairsOf(deployment);
    return 'pairs' in found ? found.pairs : [];
  }
}

/** Deletes what a region keeps; a server of its name that goes on voting keeps its own. */
export function deleteRegion(dir: string, keepsVote: boolean): void {
  if (!existsSync(dir)) return;
  const own = readdirSync(dir).filter((name) => !keepsVote || !votersOwn.includes(name));
  for (const name of own) rmSync(join(dir, name), { recursive: true, force: true });
  if (!keepsVote) rmSync(dir, { recursive: true, force: true });
}
