import { expect, test } from 'vitest';
import { compareVersions, skewOf, versionRefusal } from '../../../storage/process/core/version-skew.ts';

test.each([
  ['0.1.0', '0.1.0', 'same', undefined],
  ['0.1.9', '0.1.0', 'same', undefined],
  ['0.2.0', '0.1.7', 'near', '1 minor version ahead'],
  ['0.1.7', '0.2.0', 'near', '1 minor version behind'],
  ['0.3.0', '0.1.0', 'far', '2 minor versions ahead'],
  ['0.1.0', '0.4.0', 'far', '3 minor versions behind'],
  ['1.0.0', '0.9.0', 'far', '1 major version ahead'],
  ['1.4.0-rc.1+build', '1.3.2', 'near', '1 minor version ahead'],
  ['0.10.0', '0.9.0', 'near', '1 minor version ahead'],
  [undefined, '0.1.0', 'unknown', undefined],
  [null, '0.1.0', 'unknown', undefined],
  ['next', '0.1.0', 'unknown', undefined],
  ['0.1', '0.1.0', 'unknown', undefined],
  ['9.0.0 of somebody', '0.1.0', 'unknown', undefined],
] as const)('%s beside %s is %s', (version, own, kind, words) => {
  expect(skewOf(version, own)).toEqual(words === undefined ? { kind } : { kind, words });
});

test('one minor version works together, more is refused in a sentence that names both; who says none is let in (S63)', () => {
  expect(versionRefusal('0.2.0', '0.1.0')).toBeNull();
  expect(versionRefusal(undefined, '0.1.0')).toBeNull();
  expect(versionRefusal('0.3.0', '0.1.0')).toBe(
    'this process runs Sextant 0.1.0, and the caller 0.3.0, 2 minor versions ahead: upgrade one minor version at a time, every process before the next',
  );
});

test('versions are put in order as numbers, and what is none comes first', () => {
  expect(['0.10.0', '1.0.0', 'none', '0.9.3'].toSorted(compareVersions)).toEqual([
    'none',
    '0.9.3',
    '0.10.0',
    '1.0.0',
  ]);
});
