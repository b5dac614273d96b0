import { expect, test } from 'vitest';
import { joinRefusal, type RegionVersions, versionMix } from '../../../regions/status/core/versions.ts';

const names = ['storage/n1', 'storage/n2', 'storage/n3', 'agent', 'gateway/g1'];
const region = (
  name: string,
  version: string | null,
  others: Record<string, string> = {},
): RegionVersions => ({
  name,
  versions: { ...Object.fromEntries(names.map((process) => [process, version])), ...others },
});

test.each([
  ['nobody says', [region('us', null)], { kind: 'unknown' }],
  [
    'all run one',
    [region('us', '0.1.0'), region('eu', '0.1.0')],
    { kind: 'one', version: '0.1.0', processes: 10 },
  ],
  [
    'an upgrade is under way',
    [region('us', '0.1.0'), region('eu', '0.1.0', { 'storage/n2': '0.2.0' })],
    { kind: 'mixed', text: '0.1.0 (9 processes), 0.2.0 (storage/n2 of eu)' },
  ],
  [
    'it is far',
    [region('us', '0.1.0', { agent: '0.2.0' }), region('eu', '0.2.0')],
    {
      kind: 'mixed',
      text: '0.1.0 (storage/n1 of us, storage/n2 of us, storage/n3 of us, gateway/g1 of us), 0.2.0 (6 processes)',
    },
  ],
  [
    'one is two versions ahead',
    [region('us', '0.1.0'), region('eu', '0.1.0', { 'storage/n2': '0.3.0' })],
    {
      kind: 'apart',
      text: 'storage/n2 of eu runs 0.3.0, 2 minor versions ahead of 0.1.0, which storage/n1 of us, storage/n2 of us, storage/n3 of us, agent of us and 5 more run',
    },
  ],
] as const)('when %s', (_name, regions, mix) => {
  expect(versionMix(regions)).toEqual(mix);
});

test('what would be started is judged before it is: it may be one minor version from everybody', () => {
  expect(joinRefusal('0.2.0', [region('us', '0.1.0')])).toBeNull();
  expect(joinRefusal('0.2.0', [region('us', null)])).toBeNull();
  expect(joinRefusal('0.3.0', [region('us', '0.2.0', { agent: '0.1.0' })])).toBe(
    '0.3.0 is 2 minor versions ahead of 0.1.0, which agent of us runs',
  );
});
