import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';

/** Processes whose command line names a directory. */
function processesIn(directory: string): readonly string[] {
  return readdirSync('/proc').filter((pid) => {
    if (!/^\d+$/.test(pid)) return false;
    try {
      return readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(directory);
    } catch {
      return false;
    }
  });
}

it.runIf(process.platform === 'linux')(
  'a run whose output nobody reads any more stops what it started, and ends',
  async () => {
    const directory = mkdtempSync(join(tmpdir(), 'sextant-closed-pipe-'));
    const main = join(import.meta.dirname, 'main.ts');
    const args = [main, '--quick', '--only', 'storage', '--seconds', '0.2'];
    const env = { ...process.env, TMPDIR: directory };
    const bench = spawn(process.execPath, args, { env, stdio: ['ignore', 'pipe', 'pipe'] });
    try {
      let said = '';
      bench.stderr.on('data', (text: Buffer) => {
        said += text.toString();
      });
      await once(bench.stdout, 'readable');
      // The nodes are up, and a generator is at work.
      for (const until = Date.now() + 30_000; processesIn(directory).length < 6 && Date.now() < until; )
        await new Promise((resolve) => setTimeout(resolve, 50));
      expect(processesIn(directory).length).toBeGreaterThanOrEqual(6);
      bench.stdout.destroy();
      const [code] = await once(bench, 'exit');
      expect({ code, said }).toEqual({ code: 141, said: '' });
      expect(processesIn(directory)).toEqual([]);
      expect(readdirSync(directory)).toEqual([]);
    } finally {
      bench.kill('SIGKILL');
      rmSync(directory, { recursive: true, force: true });
    }
  },
  90_000,
);
