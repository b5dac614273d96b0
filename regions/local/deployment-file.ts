/** What makes a data directory a deployment: its `deployment.json`, read and replaced whole. */
import { existsSync, renameSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { loadConfig } from '../../storage/index.ts';
import { type Deployment, deploymentFile, deploymentSchema } from './local-layout.ts';

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
