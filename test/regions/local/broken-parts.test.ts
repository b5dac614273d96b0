import { describe, expect, test } from 'vitest';
import { brokenParts, type Parts } from '../../../regions/local/core/broken-parts.ts';

const names = ['nats', 'n1', 'n2', 'agent', 'gateway'];
const [us, eu] = ['us-east-1', 'eu-west-1'];
/** Everything runs, but for what `states` says of a region or a process. */
const parts = (states: Readonly<Record<string, string>>, more: Partial<Parts> = {}): Parts => ({
  isolated: [],
  slowed: [],
  processes: [us, eu].flatMap((region) =>
    names.map((name) => {
      const id = `${region}/${name}`;
      return { id, region, state: states[id] ?? states[region] ?? 'running' };
    }),
  ),
  ...more,
});
const told = (given: Parts): readonly string[] =>
  brokenParts(given).map(({ what, command }) => `${what}: ${command}`);

describe('of a local deployment', () => {
  test('nothing is broken while everything runs', () => {
    expect(told(parts({}))).toEqual([]);
  });

  test('a region that was lost or frozen is one line with one command', () => {
    expect(told(parts({ [us]: 'stopped' }))).toEqual([
      'every process of us-east-1 is stopped: sextant region start us-east-1',
    ]);
    expect(told(parts({ [us]: 'frozen', [`${eu}/n1`]: 'stopped' }))).toEqual([
      'every process of us-east-1 is frozen: sextant region thaw us-east-1',
      'eu-west-1/n1 is stopped: sextant node start eu-west-1/n1',
    ]);
  });

  test('a region of which some processes run is told process by process, each by its own state', () => {
    expect(told(parts({ [us]: 'stopped', [`${us}/nats`]: 'running', [`${us}/n1`]: 'frozen' }))).toEqual([
      'us-east-1/n1 is frozen: sextant node thaw us-east-1/n1',
      'us-east-1/n2 is stopped: sextant node start us-east-1/n2',
      'us-east-1/agent is stopped: sextant node start us-east-1/agent',
      'us-east-1/gateway is stopped: sextant node start us-east-1/gateway',
    ]);
  });

  test('what is cut off, and links and disks that are slow, are told with what ends that', () => {
    expect(told(parts({}, { isolated: [eu], slowed: [eu, `${us}/n1`] }))).toEqual([
      'eu-west-1 is cut off: sextant region heal eu-west-1',
      'the link of eu-west-1 is slowed down: sextant region heal eu-west-1',
      'flushes of us-east-1/n1 are slowed down: sextant node thaw us-east-1/n1',
    ]);
  });
});
