/**
 * Cares for the NATS servers of a local deployment, which do not get well by themselves: looks at the disk under each, at what
 * it logs, at whether its store is still there, and at what the leader of the copies of the control record says of it; says
 * what is wrong, and starts a server again when that helps.
 */
import { existsSync } from 'node:fs';
import {
  type Credentials,
  everyBeside,
  type IdentityFiles,
  openCredentials,
  type RegionId,
} from '../../storage/index.ts';
import { type NatsConnection, openNatsConnection } from '../bus/nats-connection.ts';
import { natsSecurity } from '../bus/nats-security.ts';
import { ControlCopiesWatch } from '../control/copies/control-copies-watch.ts';
import { CopyJudge } from '../nats/core/nats-copy-judge.ts';
import { StoreJudge, StoreWatch } from '../nats/nats-store-watch.ts';
import { type Deployment, logFile } from './layout/local-layout.ts';
import type { ManagedProcess } from './managed-process.ts';
import { identityFilesOf, operatorOf } from './secure/local-certificates.ts';

/** How the servers are asked about the control record. */
export interface NatsAccess {
  readonly cluster: string;
  readonly token: string;
  /** What they are shown instead of the token, where the deployment is encrypted. */
  readonly certificate?: { readonly files: IdentityFiles; readonly region: RegionId };
}

export interface NatsCareOptions extends NatsAccess {
  /** The servers. */
  readonly servers: readonly ManagedProcess[];
  readonly isIsolated: (region: string) => boolean;
  /** How long a server may take to stop. */
  readonly graceMs: number;
  readonly onProgress: (line: string) => void;
}

interface Cared {
  readonly managed: ManagedProcess;
  readonly watch: StoreWatch;
  readonly storeJudge: StoreJudge;
  readonly copyJudge: CopyJudge;
  /** Its store was seen: it is one of those that keep copies. */
  hasStored: boolean;
  freeBytes: number | null;
}

const lookEveryMs = 1_000;

export class NatsCare {
  private readonly options: NatsCareOptions;
  private readonly cared: readonly Cared[];
  private readonly credentials: Credentials | undefined;
  private readonly connection: NatsConnection;
  private readonly copies: ControlCopiesWatch;
  private readonly stopLooking: () => void;

  constructor(options: NatsCareOptions) {
    this.options = options;
    this.cared = options.servers.map((managed) => ({
      managed,
      watch: new StoreWatch(managed.spec.dataDir, logFile(managed.spec.dir)),
      storeJudge: new StoreJudge(),
      copyJudge: new CopyJudge(),
      hasStored: false,
      freeBytes: null,
    }));
    this.credentials = credentialsOf(options);
    this.connection = openNatsConnection({
      servers: options.servers.map(({ spec }) => `nats://127.0.0.1:${spec.ports[0] ?? 0}`),
      ...(this.credentials === undefined && { token: options.token }),
      ...(options.certificate !== undefined &&
        natsSecurity(this.credentials, {
          ...options.certificate,
          cluster: options.cluster,
          role: 'operator',
        })),
      name: 'supervisor',
    });
    this.copies = new ControlCopiesWatch({ connection: this.connection, cluster: options.cluster });
    this.stopLooking = everyBeside(lookEveryMs, () => this.look());
  }

  /** Bytes left where each server stores, by its name; of those that keep copies. */
  get freeBytes(): ReadonlyMap<string, number> {
    return new Map(
      this.cared.flatMap(({ managed, freeBytes }) =>
        freeBytes === null ? [] : [[managed.spec.id, freeBytes] as const],
      ),
    );
  }

  async close(): Promise<void> {
    this.stopLooking();
    this.copies.close();
    await this.connection.close();
    this.credentials?.close();
  }

  private look(): void {
    const nowMs = performance.now();
    for (const one of this.cared) {
      const restarts = [this.lookAtDisk(one, nowMs), this.lookAtCopy(one, nowMs)];
      const why = restarts.find((reason) => reason !== null);
      this.tellTrouble(one);
      if (why !== undefined && why !== null) void one.managed.restart(this.options.graceMs, why);
    }
  }

  /** @returns why it has to be started again now; null when it has not. */
  private lookAtDisk(one: Cared, nowMs: number): string | null {
    const look = one.watch.look();
    if (look === undefined) return null;
    one.freeBytes = look.freeBytes ?? null;
    return one.storeJudge.judge(look, nowMs) ? 'started again, its disk had been full' : null;
  }

  private lookAtCopy(one: Cared, nowMs: number): string | null {
    const { managed, copyJudge } = one;
    one.hasStored ||= existsSync(managed.spec.dataDir);
    if (!one.hasStored) return null;
    const voters = this.cared.filter(({ hasStored }) => hasStored);
    const look = {
      isReachable: managed.status.state === 'running' && !this.options.isIsolated(managed.spec.region),
      isStoreGone: !existsSync(managed.spec.dataDir),
      isCurrent: this.isCurrent(managed),
      othersCurrent: voters.filter(
        (other) =>
          other !== one && existsSync(other.managed.spec.dataDir) && this.isCurrent(other.managed) === true,
      ).length,
      voters: voters.length,
    };
    return copyJudge.judge(look, nowMs)
      ? `started again: ${look.isStoreGone ? 'its store was deleted' : 'it had no vote'}`
      : null;
  }

  private isCurrent({ spec }: ManagedProcess): boolean | null {
    const { seen } = this.copies;
    if (!seen.isUp) return null;
    const name = `${this.options.cluster}-${spec.region}`;
    return seen.copies.find(({ server }) => server === name)?.isCurrent ?? null;
  }

  private tellTrouble({ managed, storeJudge, copyJudge }: Cared): void {
    const was = managed.trouble;
    const trouble = storeJudge.trouble ?? copyJudge.trouble;
    managed.trouble = trouble;
    const { id } = managed.spec;
    if (was === null && trouble !== null) this.options.onProgress(`${id}: ${trouble}`);
    if (was !== null && trouble === null) this.options.onProgress(`${id}: what was wrong is over`);
  }
}

/** Its own words go to whoever reads those of the supervisor. */
function credentialsOf({ certificate, cluster, onProgress }: NatsCareOptions): Credentials | undefined {
  const say = (_fields: unknown, message?: string): void =>
    onProgress(`certificate of the supervisor: ${message}`);
  const log = { info: () => undefined, warn: say, error: say };
  return openCredentials(certificate?.files, { cluster, role: 'operator' }, log);
}

/** How the supervisor asks the NATS servers about the control record. */
export function natsAccess(dataDir: string, { cluster, natsToken, secure, regions }: Deployment): NatsAccess {
  const [region] = regions;
  const access = { cluster, token: natsToken };
  if (secure !== true || region === undefined) return access;
  return { ...access, certificate: { files: identityFilesOf(dataDir, operatorOf(region)), region } };
}
