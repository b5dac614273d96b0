import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import {
  appendSpanName,
  attributes,
  drillPhaseSpanName,
  lagSpanName,
  movePhaseSpanName,
  recoveryPhaseSpanName,
  replicateSpanName,
  spanNames,
} from '../../telemetry/index.ts';
import { rowOf, tableAttributes, tableSpans } from './span-tables.ts';

const root = new URL('../..', import.meta.url);
const namesFile = 'telemetry/trace/names.ts';
/** Production code but for the file that defines the names. */
const code = execFileSync(
  'git',
  ['ls-files', '-co', '--exclude-standard', 'telemetry', 'storage', 'regions', 'gateway'],
  {
    cwd: root,
    encoding: 'utf8',
  },
)
  .split('\n')
  .filter((path) => path.endsWith('.ts') && path !== namesFile && !/^[a-z]+\/(index|core)\.ts$/.test(path))
  .map((path) => ({
    path,
    text: readFileSync(new URL(path, root), 'utf8').replace(/\/\*[\s\S]*?\*\//g, ''),
  }));

test('the table of spans names every span there may be, and no other (T10)', () => {
  const known = [
    ...Object.values(spanNames),
    'INSERT',
    replicateSpanName('<from>', '<to>'),
    appendSpanName('<node>'),
    lagSpanName('<from>', '<to>'),
    drillPhaseSpanName('<phase>'),
    movePhaseSpanName('switchover', '<phase>'),
    movePhaseSpanName('failover', '<phase>'),
    recoveryPhaseSpanName('<phase>'),
  ];
  expect([...tableSpans].sort()).toEqual(known.sort());
});

test('the table of attributes names every key there may be, and no other (T10)', () => {
  // What stands in the line on the resource.
  const resource = ['cloud.region', 'host.name', 'service.name', 'service.namespace', 'service.instance.id'];
  const known = Object.values(attributes).filter((key) => !resource.includes(key));
  expect([...new Set(tableAttributes)].sort()).toEqual([...known].sort());
});

test('every name is recorded by something outside the file that defines it (T10)', () => {
  const unused = (names: object, prefix: string): readonly string[] =>
    Object.keys(names).filter(
      (key) => !code.some(({ text }) => new RegExp(`\\b${prefix}\\.${key}\\b`).test(text)),
    );
  expect(unused(attributes, 'attributes')).toEqual([]);
  // A move's own name is chosen by its kind, and a statement's by `serverSpanName`.
  expect(unused(spanNames, 'spanNames')).toEqual(['switchover', 'sqlExecute']);
  expect(code.some(({ text }) => text.includes('spanNames[kind]'))).toBe(true);
});

test('nothing writes a key or a name by hand (T10)', () => {
  const keys: readonly string[] = Object.values(attributes);
  const byHand = code.flatMap(({ path, text }) =>
    [...text.matchAll(/['"`](sextant\.[a-z_.]+)['"`]/g)].flatMap(([, key = '']) =>
      keys.includes(key) ? [`${path}: ${key}`] : [],
    ),
  );
  expect(byHand).toEqual([]);
});

test('a span is found in its row, whatever varies in its name', () => {
  const rows = [
    ['DELETE', 'sextant-a', 'INSERT'],
    ['sql.execute', 'sextant-a', 'sql.execute'],
    ['replicate a→b', 'sextant-b', 'replicate <from>→<to>'],
    ['a→b', 'sextant-lag', '<from>→<to>'],
    ['failover', 'sextant-a', 'failover'],
    ['failover promoting', 'sextant-a', 'failover <phase>'],
    ['commit', 'sextant-lag', null],
    ['a→b', 'sextant-a', null],
    ['probe', 'sextant-a', null],
    ['probe two', 'sextant-a', null],
  ] as const;
  expect(rows.map(([name, service]) => rowOf({ name, service }))).toEqual(rows.map(([, , row]) => row));
});
