import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { makeVersion } from './next-version.ts';

const dir = mkdtempSync(join(tmpdir(), 'sextant-next-'));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

test('the next minor version can be made of this code: all places where it says more are there', () => {
  const { tree, version } = makeVersion(dir, 1);
  expect(JSON.parse(readFileSync(join(tree, 'package.json'), 'utf8'))).toMatchObject({ version });
  expect(readFileSync(join(tree, 'regions/bus/core/messages.ts'), 'utf8')).toContain("ofNext: ['shipped']");
});
