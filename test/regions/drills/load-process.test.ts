/** The process of a drill's load ends with its drill, and quietly: also when it has something to tell as the drill is killed. */
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { eventually } from '../../storage/region-harness.ts';

const loadFile = fileURLToPath(new URL('../../../regions/drills/load/load-process.ts', import.meta.url));
let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'sx-load-'));
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

/** Starts the load, gives it an order that it answers, and is killed before it can hear the answer. */
const killedDrill = `
  const { fork } = require('node:child_process');
  const { openSync } = require('node:fs');
  const [load, errors] = process.argv.slice(1);
  const child = fork(load, [], { stdio: ['ignore', 'ignore', openSync(errors, 'w'), 'ipc'], execArgv: [] });
  child.send({ kind: 'nothing that there is' }, () => {
    process.stdout.write(String(child.pid), () => process.kill(process.pid, 'SIGKILL'));
  });
`;

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

it('says nothing on a terminal when its drill was killed', async () => {
  const errors = join(dir, 'errors');
  const drill = spawn(process.execPath, ['-e', killedDrill, loadFile, errors], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let said = '';
  drill.stdout.on('data', (chunk: Buffer) => {
    said += chunk.toString();
  });
  await new Promise((resolve) => drill.once('close', resolve));
  const pid = Number(said);
  expect(pid).toBeGreaterThan(0);
  await eventually('the load has ended', () => !isRunning(pid), 60_000);
  expect(readFileSync(errors, 'utf8')).toBe('');
}, 90_000);
