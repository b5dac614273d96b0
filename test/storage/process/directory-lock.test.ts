import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { heldMessage, lockDirectory, lockHolder } from '../../../storage/process/directory-lock.ts';
import { identify, writePidFile } from '../../../storage/process/process-identity.ts';

const script = (directory: string) => `
  import { lockDirectory } from ${JSON.stringify(resolve('storage/process/directory-lock.ts'))};
  const outcome = await lockDirectory(${JSON.stringify(directory)}, 'a child');
  console.log(JSON.stringify({ kind: outcome.kind, by: outcome.holder?.identity.pid ?? null }));
  if (outcome.kind === 'locked') setInterval(() => {}, 1000);`;

let directory: string;
const children: ChildProcess[] = [];

beforeEach(() => {
  directory = join(mkdtempSync(join(tmpdir(), 'sextant-lock-')), 'data');
});
afterEach(() => {
  for (const child of children.splice(0)) child.kill('SIGKILL');
  rmSync(join(directory, '..'), { recursive: true, force: true });
});

async function contender(): Promise<{ child: ChildProcess; said: { kind: string; by: number | null } }> {
  const child = spawn(process.execPath, ['--input-type=module', '-e', script(directory)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  children.push(child);
  const [line] = await once(child.stdout, 'data');
  return { child, said: JSON.parse(String(line)) };
}

describe('a locked directory', () => {
  it('goes to exactly one of several processes that start at the same moment, and the others learn whose it is', async () => {
    for (let round = 0; round < 3; round++) {
      const all = await Promise.all([contender(), contender(), contender()]);
      const winners = all.filter(({ said }) => said.kind === 'locked');
      expect(winners).toHaveLength(1);
      const pid = winners[0]?.child.pid;
      const losers = all.filter(({ said }) => said.kind !== 'locked').map(({ said }) => said);
      expect(losers).toEqual([
        { kind: 'held', by: pid },
        { kind: 'held', by: pid },
      ]);
      // Killed, not asked: the next round finds the directory free.
      winners[0]?.child.kill('SIGKILL');
      await once(winners[0]?.child ?? process, 'exit');
    }
  }, 30_000);

  it('is refused in its own process too, until it is given free, and is private', async () => {
    const first = await lockDirectory(directory, 'the first');
    if (first.kind !== 'locked') throw new Error(first.kind);
    expect(statSync(directory).mode & 0o777).toBe(0o700);
    expect(statSync(join(directory, 'pid')).mode & 0o777).toBe(0o600);
    const second = await lockDirectory(directory, 'the second');
    if (second.kind !== 'held') throw new Error(second.kind);
    expect(heldMessage(directory, second.holder)).toMatch(
      new RegExp(
        `^${directory} is in use by pid ${process.pid} \\(the first, since 20\\d\\d-.*Z\\): stop it first`,
      ),
    );
    first.lock.release();
    first.lock.release();
    expect(readdirSync(directory)).toEqual(['lock']);
    const third = await lockDirectory(directory, 'the third');
    expect(third.kind).toBe('locked');
    if (third.kind === 'locked') third.lock.release();
  });

  it('is free when what says whose it is names a process that ended, a stranger, or nobody', async () => {
    const first = await lockDirectory(directory, 'makes the directory');
    if (first.kind === 'locked') first.lock.release();
    const self = identify(process.pid);
    for (const note of [
      '',
      'not a pid\n',
      '1\n',
      '2147483647\nboot:1\nlong ago\nx\n',
      `${process.pid}\nboot:0\n`,
    ]) {
      writeFileSync(join(directory, 'pid'), note);
      expect(lockHolder(directory)).toBeUndefined();
      const outcome = await lockDirectory(directory, 'the next');
      expect([note, outcome.kind]).toEqual([note, 'locked']);
      if (outcome.kind === 'locked') outcome.lock.release();
    }
    // A note of a live process without its lock binds nobody either.
    if (self !== undefined) writePidFile(join(directory, 'pid'), self);
    const outcome = await lockDirectory(directory, 'the last');
    expect(outcome.kind).toBe('locked');
    if (outcome.kind === 'locked') outcome.lock.release();
  });

  it('that cannot be made is a failure with its reason', async () => {
    writeFileSync(directory, 'a file');
    expect(await lockDirectory(directory, 'x')).toMatchObject({
      kind: 'failed',
      reason: expect.stringMatching(/EEXIST|ENOTDIR/),
    });
  });
});
