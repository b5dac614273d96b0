/** Writes the file of a region or of a witness: YAML with a comment on every key. */
import type { BackupConfig } from '../../backup/core/backup-config.ts';
import type { RetentionConfig } from '../../retention/core/retention-limits.ts';
import { meaningOf } from './region-keys.ts';
import type { EndpointPart, NatsPart } from './region-rules.ts';

/** Files with secrets, as they are named in the file. */
export interface SecretNames {
  readonly clusterFile: string;
  readonly natsTokenFile?: string | undefined;
  readonly natsRouteFile?: string | undefined;
}

/** What is written. Paths are as they shall stand in the file. */
export interface RegionPlan {
  readonly cluster: string;
  readonly region: string;
  readonly regions: readonly string[];
  readonly voters?: readonly string[] | undefined;
  readonly dataDir: string;
  readonly secrets: SecretNames;
  /** Where processes find their certificates; left out on loopback. */
  readonly certificatesDir?: string | undefined;
  readonly nodes: readonly { readonly node: string; readonly az: string; readonly address: string }[];
  readonly retention?: RetentionConfig | undefined;
  readonly backup?: BackupConfig | undefined;
  readonly agent: { readonly address: string };
  /** Beside name and address, whatever else a gateway is told. */
  readonly gateways: readonly {
    readonly gateway: string;
    readonly address: string;
    readonly [key: string]: unknown;
  }[];
  /** Where its endpoints listen; left out where there are none. */
  readonly endpoint?: EndpointPart | undefined;
  readonly nats: NatsPart;
}

/** A server that only votes, under its name. */
export type WitnessPlan = Pick<
  RegionPlan,
  'cluster' | 'regions' | 'voters' | 'dataDir' | 'secrets' | 'certificatesDir' | 'nats'
> & { readonly witness: string };

const widthMax = 118;

/** `text` as comment lines. */
function comment(text: string, indent: string): readonly string[] {
  const lines: string[] = [];
  let line = `${indent}#`;
  for (const word of text.split(' ')) {
    if (line.length + word.length + 1 > widthMax) {
      lines.push(line);
      line = `${indent}#`;
    }
    line += ` ${word}`;
  }
  return [...lines, line];
}

/** Text that YAML reads as the same text without quotes. */
const isPlain = (text: string): boolean =>
  /^[A-Za-z/.][A-Za-z0-9_./-]*(:[A-Za-z0-9_./-]+)*$|^\d+\.\d+\.\d+\.\d+:\d+$/.test(text) &&
  !/^(true|false|null|yes|no|on|off|y|n)$/i.test(text);

function scalar(value: unknown): string {
  return typeof value === 'string' && isPlain(value) ? value : JSON.stringify(value);
}

/** A value in one line. Whatever JSON is, YAML reads. */
function flow(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(flow).join(', ')}]`;
  if (typeof value !== 'object' || value === null) return scalar(value);
  const entries = Object.entries(value).filter(([, inside]) => inside !== undefined);
  return `{ ${entries.map(([key, inside]) => `${key}: ${flow(inside)}`).join(', ')} }`;
}

const isMap = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
const isListOfMaps = (value: unknown): value is readonly Record<string, unknown>[] =>
  Array.isArray(value) && value.length > 0 && value.every(isMap);

/** What a key means, as comment lines at the margin. */
export const regionKeyComment = (key: string): string => comment(meaningOf(key) ?? '', '').join('\n');

function explained(path: string, indent: string): readonly string[] {
  const meaning = meaningOf(path);
  return meaning === undefined ? [] : comment(meaning, indent);
}

/** One key with its comment, its value below it. Entries of a list are one line each, explained once above them. */
function entry(key: string, value: unknown, path: string, indent: string): readonly string[] {
  const head = explained(path, indent);
  const inner = `${indent}  `;
  if (isListOfMaps(value)) {
    const keys = [...new Set(value.flatMap((item) => Object.keys(item)))];
    const meanings = keys.flatMap((name) => {
      const meaning = meaningOf(`${path}[].${name}`);
      return meaning === undefined ? [] : comment(`${name}: ${meaning}`, inner);
    });
    return [...head, `${indent}${key}:`, ...meanings, ...value.map((item) => `${inner}- ${flow(item)}`)];
  }
  if (isMap(value)) {
    const entries = Object.entries(value).filter(([, inside]) => inside !== undefined);
    const lines = entries.flatMap(([name, inside]) => entry(name, inside, `${path}.${name}`, inner));
    return [...head, `${indent}${key}:`, ...lines];
  }
  return [...head, `${indent}${key}: ${flow(value)}`];
}

const sections = (top: Readonly<Record<string, unknown>>): string =>
  Object.entries(top)
    .filter(([, value]) => value !== undefined)
    .map(([key, value]) => entry(key, value, key, '').join('\n'))
    .join('\n\n');

/** The file of a region. `title` is its first comment. */
export function regionText(plan: RegionPlan, title: string): string {
  const { cluster, region, regions, voters, dataDir, secrets, certificatesDir } = plan;
  const { nodes, retention, backup, agent, gateways, endpoint, nats } = plan;
  const head = { version: 1, cluster, region, regions, voters, dataDir, secrets, certificatesDir };
  const parts = { nodes, retention, backup, agent, gateways, endpoint, nats };
  return `${comment(title, '').join('\n')}\n${sections({ ...head, ...parts })}\n`;
}

/** The file of a witness. */
export function witnessText(plan: WitnessPlan, title: string): string {
  const { cluster, witness, regions, voters, dataDir, secrets, certificatesDir, nats } = plan;
  const top = { version: 1, cluster, witness, regions, voters, dataDir, secrets, certificatesDir, nats };
  return `${comment(title, '').join('\n')}\n${sections(top)}\n`;
}
