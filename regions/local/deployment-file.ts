/** What makes a data directory a deployment: its `deployment.json`, read and replaced whole. */
import { existsSync, renameSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { loadConfig } from '../../storage/index.ts';
import { addressesOf } from './jaeger-processes.ts';
import { type Deployment, deploymentFile, deploymentSchema } from './layout/local-layout.ts';
import type { DialledRoute } from './layout/region-plans.ts';
import type { JaegerPrograms } from './programs/jaeger-programs.ts';
import { writeRegionFiles } from './region-files.ts';

/** Something the user can put right; `message` says what and how. Anything else that is thrown is a bug. */
export class DeploymentError extends Error {
  override readonly name = 'DeploymentError';
}

const privateMode = 0o600;

/** The deployment in `dataDir`, or undefined when there is none. @throws DeploymentError when its file is damaged. */
export function readDeployment(dataDir: string): Deployment | undefined {
  const file = deploymentFile(dataDir);
  if (!existsSync(file)) return undefined;
  const loaded = loadConfig(file, deploymentSchema, {});
  if (loaded.kind === 'ok') return loaded.value;
  throw new DeploymentError(
    `${loaded.message}\n` +
      'The file holds what makes the deployment this one, so nothing is started without it. `sextant down` stops what still runs; ' +
      "put the file back from a copy (its cluster also stands in each region's file and its secrets beside that, such as " +
      `${join(dataDir, '<region>', 'region.yaml')}), or give the data up with \`sextant up --fresh\`.`,
  );
}

/** The deployment in `dataDir`. @throws DeploymentError when there is none. */
export function requireDeployment(dataDir: string): Deployment {
  const deployment = readDeployment(dataDir);
  if (deployment === undefined) {
    throw new DeploymentError(
      `there is no deployment in ${resolve(dataDir)}: start one with \`sextant up\`, or name its --data`,
    );
  }
  return deployment;
}

/** Replaces what the directory says about its deployment, whole. */
export function writeDeployment(dataDir: string, deployment: Deployment): void {
  const file = deploymentFile(dataDir);
  // A torn file would lose the secrets, and with them the data: written aside, then moved into place.
  writeFileSync(`${file}.new`, `${JSON.stringify(deployment, null, 2)}\n`, { mode: privateMode });
  renameSync(`${file}.new`, file);
}

export interface KeptDeploymentOptions {
  readonly dataDir: string;
  readonly deployment: Deployment;
  /** Programs of Jaeger, when it runs beside the deployment. */
  readonly jaeger: JaegerPrograms | undefined;
  /** Routes as they are dialled now. */
  readonly dialled: () => readonly DialledRoute[];
}

/**
 * The deployment of a supervisor that runs, as it is now. Regions and nodes come and go one at a time: two changes that begin with
 * the same `deployment.json` would each undo the other's.
 */
export class KeptDeployment {
  private readonly options: KeptDeploymentOptions;
  private deploymentNow: Deployment;
  private isChanging = false;

  constructor(options: KeptDeploymentOptions) {
    this.options = options;
    this.deploymentNow = options.deployment;
  }

  get now(): Deployment {
    return this.deploymentNow;
  }

  /** Writes it down, and the files of its regions. */
  keep(deployment: Deployment): void {
    const { dataDir, dialled, jaeger } = this.options;
    writeDeployment(dataDir, deployment);
    writeRegionFiles(deployment, dataDir, dialled(), jaeger && addressesOf(deployment).ui);
    this.deploymentNow = deployment;
  }

  /** One change at a time. While another is under way it answers that, and has changed nothing. */
  async alone<R>(change: () => Promise<R>): Promise<R | { readonly error: string }> {
    if (this.isChanging)
      return { error: 'another region or storage node is coming or going: wait until that is done' };
    this.isChanging = true;
    try {
      return await change();
    } finally {
      this.isChanging = false;
    }
  }
}
