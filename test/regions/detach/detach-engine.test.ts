import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { planDetachment } from '../../../regions/detach/detach-local.ts';
import { prepareDeployment } from '../../../regions/local/data-directory.ts';

const dir = mkdtempSync(join(tmpdir(), 'sx-detach-'));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

test('a region that leaves keeps the engine of its databases', async () => {
  const dataDir = join(dir, 'from');
  const from = prepareDeployment({ dataDir, regions: ['a', 'b'], engine: 'postgres' });
  const alone = await planDetachment(from, {
    dataDir,
    region: 'b',
    to: join(dir, 'to'),
    cluster: undefined,
    basePort: undefined,
  });
  expect(alone.engine).toBe('postgres');
});
