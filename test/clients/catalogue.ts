/** The clients that are tried, where their folders are, and what they pin. */
import { join } from 'node:path';
import { libsqlClients } from './libsql-clients.ts';
import { postgresClients } from './postgres-clients.ts';
import {
  commonSteps,
  type SmokeClient,
  type Step,
  steps,
  type Toolchain,
  type Transport,
} from './smoke-client.ts';

export const clients: readonly SmokeClient[] = [...libsqlClients, ...postgresClients];

export const manifests: Readonly<Record<Toolchain, string>> = {
  npm: 'package.json',
  python: 'requirements.txt',
  go: 'go.mod',
  rust: 'Cargo.toml',
  java: 'pom.xml',
};

/** Relative to this folder. */
export const folderOf = ({ name, engine }: SmokeClient): string =>
  engine === 'sqlite' ? name : join('postgres', name);

/** The steps a program of `client` has to report over `transport`. */
export function stepsOf(client: SmokeClient, transport: Transport): readonly Step[] {
  if (client.tool !== undefined) return client.tool;
  const left = client.without
    .filter((entry) => entry.transport === undefined || entry.transport === transport)
    .flatMap((entry) => entry.steps);
  const taken = new Set([...commonSteps[client.engine], ...client.extra]);
  for (const step of left) taken.delete(step);
  return steps.filter((step) => taken.has(step));
}

const escaped = (text: string): string => text.replace(/[.*+?^${}()|[\]\\/]/g, '\\$&');

/**
 * The version of `name` that a manifest pins.
 *
 * @throws when it does not name it, or not with one exact version
 */
export function pinnedVersion(toolchain: Toolchain, manifest: string, name: string): string {
  const exact = String.raw`v?\d[\w.+-]*`;
  const patterns: Readonly<Record<Toolchain, string>> = {
    npm: `"${escaped(name)}": "(${exact})"`,
    python: String.raw`^${escaped(name)}(?:\[\w+\])?==(${exact})$`,
    go: `^(?:require\\s+|\\s+)${escaped(name)} (${exact})$`,
    rust: `^${escaped(name)} = (?:\\{ version = )?"=(${exact})"`,
    java: `<artifactId>${escaped(name)}</artifactId>\\s*<version>(${exact})</version>`,
  };
  const version = new RegExp(patterns[toolchain], 'm').exec(manifest)?.[1];
  if (version === undefined)
    throw new Error(`${manifests[toolchain]} does not pin ${name} to one exact version`);
  return version;
}
