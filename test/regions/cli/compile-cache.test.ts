import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, expect, test } from 'vitest';

const command = fileURLToPath(new URL('../../../regions/cli/sextant.mjs', import.meta.url));
const cleanups: (() => void)[] = [];
afterEach(() => {
  for (const cleanup of cleanups.splice(0)) cleanup();
});

function newHome(): string {
  const home = mkdtempSync(join(tmpdir(), 'sextant-cache-'));
  cleanups.push(() => rmSync(home, { recursive: true, force: true }));
  return home;
}

/** What the processes that a command starts inherit. */
function handedOn(home: string): string {
  const { NODE_COMPILE_CACHE: _cache, ...env } = process.env;
  const tell = "process.on('exit', () => process.stderr.write('cache=' + process.env.NODE_COMPILE_CACHE))";
  const preload = `--import=data:text/javascript,${encodeURIComponent(tell)}`;
  const { stderr } = spawnSync(process.execPath, [preload, command, '--version'], {
    env: { ...env, XDG_CACHE_HOME: home },
    encoding: 'utf8',
  });
  return stderr;
}

test('processes that a command starts use its compile cache', () => {
  const home = newHome();
  expect(handedOn(home)).toBe(`cache=${join(home, 'sextant', 'compiled')}`);
});

test('a place that cannot be a cache is not handed on', () => {
  const home = newHome();
  mkdirSync(join(home, 'sextant'));
  writeFileSync(join(home, 'sextant', 'compiled'), '');
  expect(handedOn(home)).toBe('cache=undefined');
});
