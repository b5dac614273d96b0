/**
 * Runs the system tests with the newest nats-server that Sextant brings by itself, in place of the one that is installed:
 * `npm run test:nats [-- what vitest takes]`. Not part of `npm test`, whose system tests run with what is on the PATH.
 */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { cachedServer, fetchServer, wantedHere } from '../../regions/nats/fetch-server.ts';
import { thisMachine } from '../../regions/nats/nats-server.ts';

async function newest(): Promise<string> {
  const cached = cachedServer(thisMachine, wantedHere);
  if (cached !== undefined) return cached;
  const brought = await fetchServer(thisMachine, (line) => console.log(line), wantedHere);
  if (brought.kind === 'here') return brought.path;
  throw new Error(`nats-server ${wantedHere.version} cannot be brought: ${brought.reasons.join('; ')}`);
}

const server = await newest();
console.log(`nats-server ${wantedHere.version} (${server})`);
const given = process.argv.slice(2);
const root = join(import.meta.dirname, '../..');
const { status } = spawnSync(
  process.execPath,
  [
    join(root, 'node_modules/vitest/vitest.mjs'),
    'run',
    ...['--config', 'test/vitest.config.ts', '--no-file-parallelism'],
    ...(given.length > 0 ? given : ['test/system']),
  ],
  { cwd: root, stdio: 'inherit', env: { ...process.env, NATS_SERVER: server } },
);
process.exitCode = status ?? 1;
