/**
 * The code of the next minor version, for rehearsals of an upgrade: a copy of this one with another number that says more on every
 * wire than this one knows, as a minor version may.
 */
import { cpSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const root = join(import.meta.dirname, '../..');
const copied = ['telemetry', 'storage', 'regions', 'gateway'] as const;

/** What the next version adds: a field that nobody reads, in every kind of message that has a header. */
const additions: readonly (readonly [file: string, from: string, to: string])[] = [
  [
    'storage/wire/core/message-codec.ts',
    'Buffer.from(JSON.stringify(header))',
    'Buffer.from(JSON.stringify({ ...header, ofNext: { since: 1 } }))',
  ],
  [
    'regions/bus/core/messages.ts',
    'withHeader({ v: 1, ...header, compressed: body.compressed }, body.bytes)',
    "withHeader({ v: 1, ...header, compressed: body.compressed, ...{ ofNext: ['shipped'] } }, body.bytes)",
  ],
  [
    'regions/bus/core/messages.ts',
    'JSON.stringify({ v: 1, ...ack })',
    "JSON.stringify({ v: 1, ...ack, ofNext: 'ack' })",
  ],
  ['regions/agent/standing.ts', '    v: 1,\n', "    v: 1,\n    ...{ ofNext: { region: 'report' } },\n"],
  [
    'gateway/process/gateway-status.ts',
    '      v: 1,\n',
    "      v: 1,\n      ...{ ofNext: 'gateway report' },\n",
  ],
];

/** `0.1.0` and 1 give `0.2.0`. */
export function laterVersion(version: string, minors: number): string {
  const [major = '0', minor = '0'] = version.split('.');
  return `${major}.${Number(minor) + minors}.0`;
}

/** Writes the code of a version `minors` minor versions later. @returns its folder. */
export function makeVersion(
  dir: string,
  minors: number,
): { readonly tree: string; readonly version: string } {
  const manifest: { version: string } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  const version = laterVersion(manifest.version, minors);
  const tree = join(dir, `sextant-${version}`);
  mkdirSync(tree);
  for (const folder of copied) cpSync(join(root, folder), join(tree, folder), { recursive: true });
  symlinkSync(join(root, 'node_modules'), join(tree, 'node_modules'));
  writeFileSync(join(tree, 'package.json'), JSON.stringify({ ...manifest, version }, null, 2));
  for (const [file, from, to] of additions) {
    const text = readFileSync(join(tree, file), 'utf8');
    if (text.split(from).length !== 2) throw new Error(`${file} does not hold \`${from}\` once`);
    writeFileSync(join(tree, file), text.replace(from, to));
  }
  return { tree, version };
}
