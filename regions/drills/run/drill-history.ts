/**
 * The drills of a deployment, on disk: a directory each below `drills/` in its data directory, with `begun.json` from the
 * moment something is broken, and the report in its three forms at the end. One drill runs at a time; its lock ends with it.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import type { z } from 'zod';
import { type DirectoryLock, lockDirectory, lockHolder } from '../../../storage/index.ts';
import type { EndedDrill } from '../../local/control-socket.ts';
import type { DrillKind } from '../core/drill-kinds.ts';
import {
  type DrillAnswer,
  type DrillBegun,
  type DrillReport,
  type DrillSummary,
  drillBegunSchema,
  drillReportSchema,
  summaryOf,
} from '../core/drill-report.ts';
import { reportHtml } from '../core/report/report-html.ts';
import { reportJunit } from '../core/report/report-junit.ts';
import { DrillRefused } from './preflight.ts';

const historyDir = (dataDir: string): string => join(resolve(dataDir), 'drills');
const idPattern = /^\d{8}-\d{6}-[a-z-]+-[0-9a-f]{4}$/;
const privateFile = { mode: 0o600 } as const;
const privateDir = { recursive: true, mode: 0o700 } as const;

/** A name that sorts by time. @param chance four hex digits, so that two of one second differ. */
export function drillId(kind: DrillKind, atMs: number, chance: string): string {
  const [day, time] = new Date(atMs).toISOString().replace(/[-:]/g, '').split(/[T.]/);
  return `${day}-${time}-${kind}-${chance}`;
}

function readJson<T>(file: string, schema: z.ZodType<T>): T | null {
  try {
    const parsed = schema.safeParse(JSON.parse(readFileSync(file, 'utf8')));
    return parsed.success ? parsed.data : null;
  } catch {
    return null;
  }
}

/** Written aside and moved: a reader sees all of it or nothing. */
function writeWhole(file: string, text: string): void {
  writeFileSync(`${file}.new`, text, privateFile);
  renameSync(`${file}.new`, file);
}

/** Takes the deployment for one drill. @throws DrillRefused naming the drill that has it. */
export async function lockDrills(dataDir: string): Promise<DirectoryLock> {
  const dir = historyDir(dataDir);
  mkdirSync(dir, privateDir);
  const outcome = await lockDirectory(dir, 'sextant drill');
  if (outcome.kind === 'locked') return outcome.lock;
  const held = outcome.kind === 'held' ? outcome.holder : undefined;
  throw new DrillRefused({
    code: 'DRILL_UNDER_WAY',
    message:
      outcome.kind === 'failed'
        ? `${dir} cannot be locked: ${outcome.reason}`
        : `a drill is under way already${held === undefined ? '' : ` (pid ${held.identity.pid}, since ${held.since})`}: ` +
          'wait for its end, or stop it with Ctrl-C or SIGINT, which heals what it broke; `sextant drill list` shows it',
  });
}

/** From here on the history knows of the drill. */
export function saveBegun(dataDir: string, begun: DrillBegun): void {
  const dir = join(historyDir(dataDir), begun.id);
  mkdirSync(dir, privateDir);
  writeWhole(join(dir, 'begun.json'), `${JSON.stringify(begun)}\n`);
}

/** Writes the report in its three forms into the history, and into `also` where that is given. @returns the directories. */
export function saveReport(dataDir: string, report: DrillReport, also?: string): readonly string[] {
  const dirs = [join(historyDir(dataDir), report.id), ...(also === undefined ? [] : [resolve(also)])];
  for (const dir of dirs) {
    mkdirSync(dir, privateDir);
    writeWhole(join(dir, 'report.html'), reportHtml(report));
    writeWhole(join(dir, 'junit.xml'), reportJunit(report));
    writeWhole(join(dir, 'report.json'), `${JSON.stringify(report, null, 2)}\n`);
  }
  return dirs;
}

/** Every drill of the deployment, the newest first. */
export function listDrills(dataDir: string): readonly DrillSummary[] {
  return drillIds(dataDir).flatMap((id) => {
    const found = showDrill(dataDir, id);
    if (found === null) return [];
    const { report: _, ...summary } = found;
    return [summary];
  });
}

/** Adds drills that have ended and are not in `known`, by their ids. What is known is not read again: reports are large. */
export function noteEnded(dataDir: string, known: Map<string, EndedDrill>): void {
  for (const id of drillIds(dataDir)) {
    if (known.has(id)) continue;
    const found = showDrill(dataDir, id);
    if (found !== null && found.state !== 'running') known.set(id, { kind: found.kind, result: found.state });
  }
}

function drillIds(dataDir: string): readonly string[] {
  try {
    return readdirSync(historyDir(dataDir))
      .filter((name) => idPattern.test(name))
      .sort()
      .reverse();
  } catch {
    return [];
  }
}

/** One drill with its report, if it has one; null when there is no such drill. */
export function showDrill(dataDir: string, id: string): DrillAnswer | null {
  if (!idPattern.test(id)) return null;
  const dir = join(historyDir(dataDir), id);
  const report = readJson(join(dir, 'report.json'), drillReportSchema);
  if (report !== null) return { ...summaryOf(report), report };
  const begun = readJson(join(dir, 'begun.json'), drillBegunSchema);
  if (begun === null) return null;
  const { kind, startedAt, pid } = begun;
  const running = lockHolder(historyDir(dataDir))?.identity.pid === pid;
  const state = running ? 'running' : 'abandoned';
  return { id, kind, state, startedAt, rtoMs: null, rpoCommits: null, lostWrites: null, report: null };
}

/** The newest drill, if its process ended without a report: it may have left something broken. Null when there is none such. */
export function abandonedDrill(dataDir: string): string | null {
  const [newest] = drillIds(dataDir);
  if (newest === undefined || existsSync(join(historyDir(dataDir), newest, 'report.json'))) return null;
  return showDrill(dataDir, newest)?.state === 'abandoned' ? newest : null;
}

/** The drill that a process runs, once it has broken something or is about to; null before. */
export function runningDrill(dataDir: string, pid: number): DrillAnswer | null {
  const dir = historyDir(dataDir);
  const [newest] = drillIds(dataDir).filter(
    (name) => readJson(join(dir, name, 'begun.json'), drillBegunSchema)?.pid === pid,
  );
  const found = newest === undefined ? null : showDrill(dataDir, newest);
  // Pids come again: an older drill of the same one has ended.
  return found?.state === 'running' ? found : null;
}
