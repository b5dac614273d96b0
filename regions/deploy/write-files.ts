/** Writes the file of a region or a witness, and its secrets beside it. */
import { mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

/** The secrets of a deployment, as they stand in files of their own. */
export interface DeploymentSecrets {
  readonly cluster: string;
  readonly natsToken: string;
}

const privateMode = 0o600;
const privateDirectoryMode = 0o700;

/** Written aside and moved into place: a process that starts meanwhile reads the old file or the new one. */
function writeWhole(file: string, content: string): void {
  mkdirSync(dirname(file), { recursive: true, mode: privateDirectoryMode });
  writeFileSync(`${file}.new`, content, { mode: privateMode });
  renameSync(`${file}.new`, file);
}

/** Where the secrets of a machine's file lie: as `secretFiles` names them. */
export const secretPaths = (file: string): { readonly cluster: string; readonly natsToken: string } => ({
  cluster: join(dirname(file), secretFiles.clusterFile),
  natsToken: join(dirname(file), secretFiles.natsTokenFile),
});

/** Names of the secrets' files, relative to the file of their machine. */
export const secretFiles = { clusterFile: 'secrets/cluster', natsTokenFile: 'secrets/nats-token' } as const;

/** Writes `text` to `file`, and the secrets that it names beside it; all of it for its owner alone. */
export function writeMachineFile(file: string, text: string, secrets: DeploymentSecrets): void {
  const paths = secretPaths(file);
  writeWhole(paths.cluster, `${secrets.cluster}\n`);
  writeWhole(paths.natsToken, `${secrets.natsToken}\n`);
  writeWhole(file, text);
}
