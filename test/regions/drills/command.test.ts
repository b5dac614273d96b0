/** `sextant drill` as it is typed: what it refuses, and what it prints. */
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { reportOf } from '../../../regions/drills/core/report-of.ts';
import { saveReport } from '../../../regions/drills/run/drill-history.ts';
import { prepareDeployment } from '../../../regions/local/data-directory.ts';
import { drill, facts, iso } from './samples.ts';

const cli = fileURLToPath(new URL('../../../regions/cli/sextant.ts', import.meta.url));
let dataDir: string;
let empty: string;
beforeAll(() => {
  dataDir = mkdtempSync(join(tmpdir(), 'sx-drill-'));
  empty = mkdtempSync(join(tmpdir(), 'sx-none-'));
  prepareDeployment({ dataDir, regions: ['a', 'b'] });
});
afterAll(() => {
  for (const dir of [dataDir, empty]) rmSync(dir, { recursive: true, force: true });
});

function sextant(...args: readonly string[]): Promise<{ code: number | null; out: string; err: string }> {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, [cli, 'drill', ...args], { stdio: 'pipe' });
    let [out, err] = ['', ''];
    child.stdout.on('data', (chunk) => {
      out += chunk;
    });
    child.stderr.on('data', (chunk) => {
      err += chunk;
    });
    child.once('close', (code) => resolve({ code, out, err }));
  });
}

const on = (text: string): string => {
  const file = join(empty, 'on.yaml');
  writeFileSync(file, text);
  return file;
};

describe('sextant drill refuses, with exit code 1 and the way out,', () => {
  it.each([
    ['a kind there is none of', ['earthquake'], /unknown command 'earthquake'/],
    ['a directory without a deployment', ['node-loss'], /there is no deployment in .*sextant up/],
    ['a load that is none', ['node-loss', '--load', 'much'], /--load: /],
    ['an objective below 0', ['node-loss', '--rto-ms', '-1'], /--rto-ms: /],
    ['a drill it does not know', ['show', drill], /there is no drill .*sextant drill list/],
  ] as const)('%s', async (_what, args, words) => {
    const { code, out, err } = await sextant(...args, '--data', empty);
    expect({ code, out }).toEqual({ code: 1, out: '' });
    expect(err).toMatch(words);
  });

  it('a deployment that does not run', async () => {
    const { code, err } = await sextant('node-loss', '--data', dataDir, '--json');
    expect(code).toBe(1);
    expect(JSON.parse(err)).toEqual({
      error: { code: 'NOT_RUNNING', message: expect.stringContaining('sextant up --detach') },
    });
  });

  it('a file of --on that is none, and to break what is named by one', async () => {
    const bad = await sextant(
      'switchover',
      '--data',
      empty,
      '--on',
      on('regions: { a: { gateway: nowhere } }'),
    );
    expect(bad.err).toContain("a gateway's address, such as https://eu.db.example.com");
    const file = on('token: t\nregions: { a: { gateway: "http://127.0.0.1:1" } }');
    const unsafe = await sextant('region-loss', '--data', empty, '--on', file);
    expect(unsafe).toMatchObject({ code: 1, err: expect.stringMatching(/LOCAL_ONLY: .*local deployment/) });
    const away = await sextant('switchover', '--data', empty, '--on', file);
    expect(away).toMatchObject({ code: 1, err: expect.stringContaining('NOT_RUNNING: no gateway answers') });
  });
});

describe('the history', () => {
  it('is listed and shown, for people and as JSON', async () => {
    expect(await sextant('list', '--data', dataDir)).toMatchObject({ out: 'no drill has been run here\n' });
    const report = reportOf(facts(), iso);
    saveReport(dataDir, report);
    const list = await sextant('list', '--data', dataDir);
    expect(list.out).toMatch(new RegExp(`DRILL .*\n${drill} +region-loss +passed +4\\.00 s +1 `));
    const shown = await sextant('show', drill, '--data', dataDir);
    expect(shown.out).toMatch(/✓ the fault is seen from outside: [\s\S]*RTO 4\.00 s[\s\S]*PASSED/);
    const json = await sextant('show', drill, '--data', dataDir, '--json');
    expect(JSON.parse(json.out)).toMatchObject({ id: drill, state: 'passed', report: { passed: true } });
  });
});
