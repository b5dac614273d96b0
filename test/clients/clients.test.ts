import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { clients, folderOf, manifests, pinnedVersion, stepsOf } from './catalogue.ts';
import { versionsOf } from './install.ts';
import { parseOptions } from './options.ts';
import type { SmokeClient } from './smoke-client.ts';
import { anyFailed, asText, type Ending, judge, type Outcome, type Verdict } from './verdict.ts';

const home = import.meta.dirname;
const ended: Ending = { code: 0, overTimeMs: null, stderr: '' };
const ok = (...steps: readonly string[]): string =>
  steps.map((step) => JSON.stringify({ step, ok: true })).join('\n');
const failing = (step: string, error: string): string => `\n${JSON.stringify({ step, ok: false, error })}\n`;

function clientNamed(name: string): SmokeClient {
  const client = clients.find((one) => one.name === name);
  if (client === undefined) throw new Error(`no client ${name}`);
  return client;
}

describe('the catalogue and its folders', () => {
  const foldersIn = (path: string): readonly string[] =>
    readdirSync(path, { withFileTypes: true })
      .filter((entry) => entry.isDirectory() && entry.name !== 'shared' && entry.name !== 'postgres')
      .map((entry) => entry.name);
  const folders = [...foldersIn(home), ...foldersIn(join(home, 'postgres'))];

  it('lists every folder once', () => {
    expect(clients.map((client) => client.name).sort()).toEqual(folders.sort());
  });

  it.each(clients)('$name pins each of its packages to one exact version', (client) => {
    const { toolchain, packages } = client;
    const manifest = readFileSync(join(home, folderOf(client), manifests[toolchain]), 'utf8');
    for (const one of packages) expect(pinnedVersion(toolchain, manifest, one)).toMatch(/^v?\d+\.\d+/);
  });

  it('has no version of an npm package that may move', () => {
    for (const client of clients.filter(({ toolchain }) => toolchain === 'npm')) {
      const manifest: unknown = JSON.parse(
        readFileSync(join(home, folderOf(client), 'package.json'), 'utf8'),
      );
      const versions = Object.values((manifest as { dependencies: Record<string, string> }).dependencies);
      expect(versions.filter((version) => !/^\d+\.\d+\.\d+$/.test(version))).toEqual([]);
    }
  });

  it.each(clients)('the README of gateways tells in what version $name was tried', (client) => {
    const readme = readFileSync(join(home, '../../gateway/README.md'), 'utf8');
    const rows = readme.split('\n').filter((line) => line.startsWith('| '));
    const versions = versionsOf(client);
    const told =
      client.engine === 'postgres'
        ? rows.filter((row) => row.startsWith(`| \`${client.name}\` | ${versions.join(', ')} |`))
        : rows.filter((row) => row.includes(` ${versions[0]?.replace(/^.* /, '')}`));
    expect(told, versions.join(', ')).not.toEqual([]);
  });

  it('refuses a range, a missing package, and one whose name only begins alike', () => {
    expect(() => pinnedVersion('npm', '{"kysely": "^0.29.9"}', 'kysely')).toThrow('does not pin kysely');
    expect(() => pinnedVersion('python', 'libsql-client==0.3.1\n', 'libsql')).toThrow('requirements.txt');
    expect(() => pinnedVersion('rust', 'libsql = "0.9"', 'libsql')).toThrow('Cargo.toml');
    expect(pinnedVersion('python', 'psycopg[binary]==3.3.9\n', 'psycopg')).toBe('3.3.9');
    expect(pinnedVersion('rust', 'libsql = { version = "=0.9.30", features = [] }', 'libsql')).toBe('0.9.30');
  });

  it('leaves out only what a client lacks, over the transport that lacks it', () => {
    const python = clientNamed('python-libsql-client');
    expect(stepsOf(python, 'http')).not.toContain('commit');
    expect(stepsOf(python, 'ws')).toContain('commit');
    expect(stepsOf(clientNamed('rust-libsql'), 'http').slice(-3)).toEqual([
      'read-only',
      'infinity',
      'own-writes',
    ]);
  });
});

describe('what a program showed', () => {
  const expected = ['connect', 'schema', 'insert'] as const;

  it('passes when every step is reported, whatever else is printed', () => {
    const stdout = `warning: old\n${ok(...expected)}\n{"level": "info"}\nnull\n`;
    expect(judge(expected, stdout, ended)).toEqual({ kind: 'passed', steps: 3 });
  });

  it('names the steps that failed, with their errors', () => {
    const stdout = ok('connect', 'schema') + failing('insert', 'no such table');
    expect(judge(expected, stdout, { ...ended, code: 1 })).toEqual({
      kind: 'failed',
      failures: [{ step: 'insert', why: 'no such table' }],
    });
  });

  it('does not blame the steps behind one that all of them need', () => {
    const verdict = judge(expected, failing('connect', 'refused'), { ...ended, code: 1 });
    expect(verdict).toEqual({ kind: 'failed', failures: [{ step: 'connect', why: 'refused' }] });
  });

  it('takes a step that was never reported for a failure, with the end of stderr', () => {
    const verdict = judge(expected, ok('connect'), {
      code: null,
      overTimeMs: null,
      stderr: 'panic: nil map',
    });
    expect(verdict).toMatchObject({ kind: 'failed', failures: [{ step: 'schema' }] });
    expect(JSON.stringify(verdict)).toContain('without reporting schema, insert: panic: nil map');
  });

  it('names the step that gave no answer in time', () => {
    const verdict = judge(expected, ok('connect'), { code: null, overTimeMs: 90_000, stderr: '' });
    expect(verdict).toEqual({
      kind: 'failed',
      failures: [{ step: 'schema', why: 'no answer, killed after 90 s' }],
    });
  });

  it('does not pass a program that ends badly, or reports what the catalogue does not list', () => {
    expect(judge(expected, ok(...expected), { ...ended, code: 3 })).toMatchObject({
      failures: [{ step: 'end' }],
    });
    expect(judge(expected, ok(...expected, 'push'), ended)).toMatchObject({ failures: [{ step: 'push' }] });
  });
});

describe('the table', () => {
  const passed: Verdict = { kind: 'passed', steps: 13 };
  const failed: Verdict = { kind: 'failed', failures: [{ step: 'cascade', why: 'two\n  rows left' }] };
  const skipped: Verdict = { kind: 'skipped', why: 'cargo is not on the PATH' };
  const outcome = (client: string, primary: Verdict, secondary: Verdict): Outcome => ({
    client,
    versions: ['libsql 1.2.3'],
    transport: 'http',
    primary,
    secondary,
  });

  it('names the failing steps in their cells, and why below', () => {
    const text = asText(clients, [
      outcome('kysely', passed, failed),
      outcome('rust-libsql', skipped, skipped),
    ]);
    const lines = text.split('\n');
    expect(lines[1]).toBe('kysely       libsql 1.2.3  http       ok (13)  FAILED: cascade');
    expect(lines).toContain('kysely, http, secondary, cascade: two rows left');
    expect(lines).toContain('kysely has no batch: Kysely has no batches');
    expect(lines.filter((line) => line === 'skipped rust-libsql: cargo is not on the PATH')).toHaveLength(1);
  });

  it('fails for a failure in either region, and not for what was skipped', () => {
    expect(anyFailed([outcome('a', passed, passed), outcome('b', skipped, skipped)])).toBe(false);
    expect(anyFailed([outcome('a', passed, failed)])).toBe(true);
    expect(anyFailed([outcome('a', failed, passed)])).toBe(true);
  });
});

describe('the command line', () => {
  const message = (argv: readonly string[], env: NodeJS.ProcessEnv = {}): string => {
    const parsed = parseOptions(argv, env);
    return parsed.kind === 'invalid' ? parsed.message : parsed.kind;
  };

  it('tries every client on a deployment of its own, unless told', () => {
    const parsed = parseOptions([], {});
    expect(parsed).toMatchObject({ kind: 'run', options: { clients, gateways: null, keep: false } });
  });

  it('takes two gateways from the environment, and only both', () => {
    const env = { SEXTANT_PRIMARY: 'http://127.0.0.1:7011/', SEXTANT_SECONDARY: 'https://eu.example' };
    expect(parseOptions(['--only', 'knex'], env)).toMatchObject({
      options: { gateways: { primary: 'http://127.0.0.1:7011', secondary: 'https://eu.example' } },
    });
    expect(message([], { SEXTANT_PRIMARY: 'http://127.0.0.1:7011' })).toContain('set together');
    expect(message([], { ...env, SEXTANT_SECONDARY: 'ws://eu.example' })).toContain('http://host:port');
    expect(message([], { ...env, SEXTANT_SECONDARY: 'postgres://eu.example/main' })).toContain(
      'set together',
    );
  });

  it('tries only clients of the engine that is there, or that is asked for', () => {
    const there = {
      SEXTANT_PRIMARY: 'postgres://a@127.0.0.1/main',
      SEXTANT_SECONDARY: 'postgresql://b/main',
    };
    const chosen = (argv: readonly string[], env: NodeJS.ProcessEnv): readonly string[] => {
      const parsed = parseOptions(argv, env);
      return parsed.kind === 'run' ? parsed.options.clients.map(({ name }) => name) : [];
    };
    expect(chosen([], there)).toContain('pgbench');
    expect(chosen([], there)).not.toContain('knex');
    expect(chosen(['--engine', 'sqlite'], {})).not.toContain('pgbench');
    expect(message(['--only', 'knex'], there)).toContain('knex is none of node-postgres');
    expect(message(['--engine', 'mysql'])).toContain('mysql is neither');
    expect(message(['--keep'])).toContain('--keep leaves one deployment');
    expect(message(['--keep', '--engine', 'postgres'])).toBe('run');
  });

  it('refuses a client nobody knows, a port out of range and a limit of nothing', () => {
    expect(message(['--only', 'knex,sequelize'])).toContain('sequelize is none of');
    expect(message(['--base-port', '80'])).toContain('--base-port');
    expect(message(['--timeout', '0'])).toContain('--timeout');
    expect(message(['--fast'])).toContain('--fast');
    expect(message(['--help'])).toBe('help');
  });
});
