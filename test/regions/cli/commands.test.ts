import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Command } from 'commander';
import { afterAll, describe, expect, test } from 'vitest';
import { buildProgram } from '../../../regions/cli/main.ts';
import { cli } from './asked-gateway.ts';

describe('every command', () => {
  const visible = (command: Command): Command[] =>
    command.commands.flatMap((sub) => [...(sub.commands.length > 0 ? visible(sub) : []), sub]);
  const commands = visible(buildProgram()).filter(
    (command) =>
      command.name() !== 'supervise' && !(command.commands.length > 0 && command.options.length === 0),
  );

  test.each(commands.map((command) => [`${command.parent?.name()} ${command.name()}`, command] as const))(
    '%s has --json and an example in its help',
    (_name, command) => {
      // What completion prints is a script for a shell.
      if (command.name() !== 'completion')
        expect(command.options.map(({ long }) => long)).toContain('--json');
      let help = '';
      command.configureOutput({ writeOut: (text) => (help += text) }).outputHelp();
      expect(help).toMatch(/\nExample:\n {2}sextant /);
    },
  );
});

describe('the launcher', () => {
  const launcher = cli.replace(/\.ts$/, '.mjs');
  const versionBy = (nodeArguments: readonly string[]) => {
    const { status, stdout, stderr } = spawnSync(
      process.execPath,
      [...nodeArguments, launcher, '--version'],
      {
        encoding: 'utf8',
      },
    );
    return { status, stdout, stderr };
  };
  /** Makes the launcher believe that it runs on Node.js 20, as a system may have. */
  const asNode20 = `data:text/javascript,Object.defineProperty(process,'versions',{value:{...process.versions,node:'20.20.2'}})`;

  test('runs the command itself, or hands over to the Node.js that came with the dependencies', () => {
    const own = versionBy([]);
    expect(own).toMatchObject({ status: 0, stdout: expect.stringMatching(/^\d+\.\d+\.\d+\n$/) });
    expect(versionBy(['--import', asNode20])).toEqual(own);
  });
});

describe('before anything is deployed', () => {
  const dir = mkdtempSync(join(tmpdir(), 'sextant-before-'));
  afterAll(() => rmSync(dir, { recursive: true, force: true }));
  const { SEXTANT_URL: _unset, ...env } = process.env;
  const ask = (...args: readonly string[]) =>
    spawnSync(process.execPath, [cli, ...args], { encoding: 'utf8', cwd: dir, env });

  test.each([
    ['statsu', 'sextant'],
    ['status --wach', 'sextant status'],
    ['drill --data x', 'sextant drill'],
  ])('%s is answered with where to look', (line, command) => {
    const { status, stderr } = ask(...line.split(' '));
    expect(status).toBe(1);
    expect(stderr).toMatch(/^error: unknown /);
    expect(stderr.trim().split('\n').at(-1)).toBe(`\`${command} --help\` says what it takes`);
  });

  test('doctor looks at the machine alone, and says how to begin', () => {
    const { stdout, stderr } = ask('doctor', '--json');
    expect(stderr).toBe('');
    const { checks } = JSON.parse(stdout);
    expect(checks.map(({ subject }: { subject: string }) => subject)).toEqual(
      expect.arrayContaining(['node', 'disk', 'memory', 'deployment']),
    );
    expect(checks.at(-1)).toMatchObject({
      level: 'ok',
      text: `there is none in ${join(dir, '.sextant')}`,
      advice: expect.stringContaining('sextant up'),
    });
  });

  test('the files of several regions, all of one name, are told apart by their folders', () => {
    const hosts = ['a', 'b', 'c'].flatMap((region, at) => ['--host', `${region}=127.1.0.${at + 1}`]);
    expect(ask('init', '--cluster', 'shop', '--regions', 'a,b,c', ...hosts)).toMatchObject({ status: 0 });
    const files = ['a', 'b', 'c'].map((region) => `sextant-shop/${region}/region.yaml`);
    const { status, stdout } = ask('config', 'check', ...files);
    expect({ status, stdout }).toEqual({ status: 0, stdout: `${files.join(', ')}: ok\n` });
  });
});
