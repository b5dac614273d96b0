/** Writes the file of a region or a witness, and its secrets beside it. */
import { mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { SecretFiles } from '../../storage/index.ts';

/** The secrets of a deployment, by the keys under which a region's file names theirs. */
export type DeploymentSecrets = { readonly [Key in keyof SecretFiles]: string | undefined };

/** Names of the secrets' files, relative to the file of their machine. */
const names = {
  clusterFile: 'secrets/cluster',
  natsTokenFile: 'secrets/nats-token',
  natsRouteFile: 'secrets/nats-route',
} as const satisfies Record<keyof SecretFiles, string>;

const privateMode = 0o600;
const privateDirectoryMode = 0o700;

/** Written aside and moved into place: a process that starts meanwhile reads the old file or the new one. */
export function writeWhole(file: string, content: string): void {
  mkdirSync(dirname(file), { recursive: true, mode: privateDirectoryMode });
  writeFileSync(`${file}.new`, content, { mode: privateMode });
  renameSync(`${file}.new`, file);
}

/** What a machine's file says about its secrets. With certificates nobody needs the token of NATS. */
export const secretNames = (hasCertificates: boolean) => ({
  clusterFile: names.clusterFile,
  ...(!hasCertificates && { natsTokenFile: names.natsTokenFile }),
  natsRouteFile: names.natsRouteFile,
});

/** Writes `text` to `file`, and the secrets that are given beside it; all of it for its owner alone. */
export function writeMachineFile(file: string, text: string, secrets: DeploymentSecrets): void {
  for (const key of ['clusterFile', 'natsTokenFile', 'natsRouteFile'] as const) {
    const secret = secrets[key];
    if (secret !== undefined) writeWhole(join(dirname(file), names[key]), `${secret}\n`);
  }
  writeWhole(file, text);
}
