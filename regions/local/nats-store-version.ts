/**
 * Which nats-server last wrote the stores of a deployment. A replicated store of 2.10 or newer under an older server looks
 * well from outside (the server is ready, the cluster has a leader), and its stream never gets one: nothing starts, and nothing says why.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { isAtLeast, type NatsServer } from '../nats/nats-server.ts';
import { logFile, supervisorDir } from './layout/local-layout.ts';
import type { ProcessSpec } from './layout/local-processes.ts';

const versionFile = (dataDir: string): string => join(supervisorDir(dataDir), 'nats-version');
const versionPattern = /^\d+\.\d+\.\d+$/;
/** Servers before it cannot read what it and later ones write into a replicated store. */
const formatChange = '2.10.0';

const newest = (versions: readonly string[]): string | undefined =>
  versions.reduce<string | undefined>(
    (best, version) => (best !== undefined && isAtLeast(best, version) ? best : version),
    undefined,
  );

function readText(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}

/** The newest server that has written here: as remembered, or, in data of before that was, as the servers' logs say. */
export function storeVersion(dataDir: string, servers: readonly ProcessSpec[]): string | undefined {
  const remembered = readText(versionFile(dataDir)).trim();
  if (versionPattern.test(remembered)) return remembered;
  return newest(
    servers.flatMap(({ dir }) =>
      [...readText(logFile(dir)).matchAll(/ Version: +v?(\d+\.\d+\.\d+)/g)].map((match) => match[1] ?? ''),
    ),
  );
}

/** Remembers that `version` writes from now on, unless a newer one has. */
export function rememberStoreVersion(dataDir: string, wrote: string | undefined, version: string): void {
  const file = versionFile(dataDir);
  mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
  writeFileSync(file, `${newest([version, ...(wrote === undefined ? [] : [wrote])])}\n`, { mode: 0o600 });
}

/** Why `server` cannot run on stores that `wrote` has written, and the ways out; undefined when it can. */
export function storeProblem(
  wrote: string | undefined,
  server: NatsServer,
  isReplicated: boolean,
): string | undefined {
  if (wrote === undefined || !isReplicated) return undefined;
  if (!isAtLeast(wrote, formatChange) || isAtLeast(server.version, formatChange)) return undefined;
  return (
    `the NATS data here was written by nats-server ${wrote}, and ${server.path} is ${server.version}, which cannot read it: ` +
    `set $NATS_SERVER to a nats-server of ${formatChange} or newer (best ${wrote} or newer), or give the data up with --fresh`
  );
}

/** What to say with a start that failed while an older server ran than once before; undefined when none did. */
export function downgradeHint(wrote: string | undefined, server: NatsServer): string | undefined {
  if (wrote === undefined || isAtLeast(server.version, wrote)) return undefined;
  return (
    `nats-server is ${server.version} here, and ${wrote} has written its data before: an older server may not read it. ` +
    `If that is the cause, set $NATS_SERVER to ${wrote} or newer`
  );
}
