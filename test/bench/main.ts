/** `npm run bench`: Sextant measured beside what people would use instead. See README.md. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { cpus, totalmem } from 'node:os';
import { join } from 'node:path';
import { brokenPipeExitCode, onBrokenPipe } from '../../telemetry/log/broken-pipe.ts';
import { beside } from './beside.ts';
import { check } from './check.ts';
import { bytes } from './measure/stats.ts';
import { type BenchOptions, parseOptions, usage } from './options.ts';
import {
  asJson,
  asMarkdown,
  asSvg,
  asText,
  type Goal,
  type Page,
  type Provenance,
  type Report,
  type Section,
} from './report/report.ts';
import { readPage } from './report/report-file.ts';
import { scenarios } from './scenarios/index.ts';
import { Workbench } from './workbench.ts';

const home = import.meta.dirname;
const chartFile = 'results.svg';

function commit(): string {
  try {
    const git = (...args: string[]): string =>
      execFileSync('git', args, { cwd: home, encoding: 'utf8' }).trim();
    return git('rev-parse', '--short', 'HEAD') + (git('status', '--porcelain') === '' ? '' : ' with changes');
  } catch {
    return 'unknown';
  }
}

function provenance(argv: readonly string[]): Provenance {
  const [cpu] = cpus();
  return {
    date: new Date().toISOString().slice(0, 16).replace('T', ' '),
    commit: commit(),
    command: `npm run bench${argv.length > 0 ? ` -- ${argv.join(' ')}` : ''}`,
    machine: `${cpus().length} cores (${cpu?.model.trim() ?? 'unknown'}), ${bytes(totalmem())} of memory, ${process.platform} ${process.arch}`,
    node: process.version,
  };
}

/** @returns the report, and whether a scenario failed; one whose systems are not installed has not. */
async function run(
  bench: Workbench,
  options: BenchOptions,
  argv: readonly string[],
): Promise<{ readonly report: Report; readonly hasFailed: boolean }> {
  let hasFailed = false;
  const sections: Section[] = [];
  const systems: Report['systems'][number][] = [];
  const missing: string[] = [];
  const goals: Goal[] = [];
  const ratios: Record<string, number> = {};
  const startMs = performance.now();
  for (const name of options.scenarios) {
    bench.say(`${name} (${Math.round((performance.now() - startMs) / 1_000)} s into the run)`);
    try {
      const outcome = await scenarios[name]({ bench, options });
      sections.push(...outcome.sections);
      for (const { title, version, durability } of outcome.systems ?? [])
        systems.push({ title, version, durability });
      missing.push(...outcome.missing.map((line) => `${name}: ${line}`));
      goals.push(...(outcome.goals ?? []));
      Object.assign(ratios, outcome.ratios);
    } catch (error) {
      // One scenario that fails must not cost the figures of the others.
      hasFailed = true;
      missing.push(`${name}: ${error instanceof Error ? error.message : String(error)}`);
      bench.say(`${name} failed: ${String(error)}`);
    }
  }
  const report = { provenance: provenance(argv), systems, missing, sections, ratios, goals };
  return { report, hasFailed };
}

/** RESULTS.md and its picture. */
function writePage(report: Page, directory: string): void {
  mkdirSync(directory, { recursive: true });
  writeFileSync(join(directory, 'RESULTS.md'), asMarkdown(report, chartFile));
  writeFileSync(join(directory, chartFile), asSvg(report));
}

function write(report: Report, directory: string): void {
  writePage(report, directory);
  if (directory !== home) writeFileSync(join(directory, 'results.json'), asJson(report));
}

/** Writes RESULTS.md and its picture of a run that was made before. @returns the exit code */
function rewrite(file: string, directory: string): number {
  try {
    writePage(readPage(file), directory);
    process.stdout.write(`${join(directory, 'RESULTS.md')} and ${chartFile} are written from ${file}\n`);
    return 0;
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
    return 1;
  }
}

/** @returns the exit code */
async function main(argv: readonly string[]): Promise<number> {
  const parsed = parseOptions(argv, home);
  if (parsed.kind !== 'run') {
    process.stderr.write(parsed.kind === 'help' ? usage : `${parsed.message}\n\n${usage}`);
    return parsed.kind === 'help' ? 0 : 2;
  }
  const { options } = parsed;
  if (options.from !== null) return rewrite(options.from, options.out ?? home);
  // On the same stream as the tables: who reads only the first lines (`| head -1`) ends the run with them.
  const progress = options.json ? process.stderr : process.stdout;
  const bench = new Workbench((line) => progress.write(`${line}\n`));
  onBrokenPipe(() => bench.end(brokenPipeExitCode));
  try {
    if (options.check) return (await check(bench)) ? 0 : 1;
    if (options.beside !== null) {
      await beside(bench, options.beside, options);
      return 0;
    }
    const { report, hasFailed } = await run(bench, options, argv);
    process.stdout.write(options.json ? asJson(report) : `\n${asText(report)}\n`);
    if (options.out !== null) write(report, options.out);
    return report.sections.length > 0 && !hasFailed ? 0 : 1;
  } finally {
    await bench.close();
  }
}

onBrokenPipe(() => process.exit(brokenPipeExitCode));
const exitCode = await main(process.argv.slice(2));
process.exit(process.exitCode ?? exitCode);
