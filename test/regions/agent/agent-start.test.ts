import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, expect, test } from 'vitest';
import { freePorts } from '../../free-ports.ts';

const mainPath = fileURLToPath(new URL('../../../regions/main.ts', import.meta.url));
const cleanups: (() => unknown)[] = [];
afterEach(() => {
  for (const cleanup of cleanups.splice(0).reverse()) cleanup();
});

test('a second agent is refused the data directory of one that runs, with its pid', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'sextant-agent-'));
  cleanups.push(() => rmSync(directory, { recursive: true, force: true }));
  const [one = 0, other = 0, nowhere = 0] = await freePorts(3);
  const configOf = (port: number): string => {
    const file = join(directory, `${port}.json`);
    writeFileSync(
      file,
      JSON.stringify({
        cluster: 'test',
        secret: 'agent-start-test-secret',
        region: 'us-east-1',
        listen: `127.0.0.1:${port}`,
        dataDir: join(directory, 'data'),
        gateways: [],
        nodes: [{ node: 'n1', az: 'a', address: `127.0.0.1:${nowhere}` }],
        nats: { servers: [`nats://127.0.0.1:${nowhere}`], token: 'agent-start-test-token' },
        regions: ['us-east-1'],
      }),
    );
    return file;
  };
  const first = spawn(process.execPath, [mainPath, '--config', configOf(one)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  cleanups.push(() => first.kill('SIGKILL'));
  await once(first.stdout, 'data');
  const second = spawnSync(process.execPath, [mainPath, '--config', configOf(other)], { timeout: 60_000 });
  expect(second.status).toBe(1);
  expect(second.stderr.toString()).toMatch(
    new RegExp(`^dataDir ${directory}/data is in use by pid ${first.pid} \\(agent of us-east-1, since 2`),
  );
}, 120_000);
