/** What a smoke program's lines mean, and the table of all of them. Pure. */
import type { SmokeClient, Step, Transport } from './smoke-client.ts';

/** How a program came to its end. */
export interface Ending {
  /** Null when it was killed. */
  readonly code: number | null;
  /** Set when it was killed because it took longer. */
  readonly overTimeMs: number | null;
  readonly stderr: string;
}

export interface Failure {
  /** A step, or what happened before the first (`install`) and after the last (`end`). */
  readonly step: string;
  readonly why: string;
}

export type Verdict =
  | { readonly kind: 'passed'; readonly steps: number }
  | { readonly kind: 'failed'; readonly failures: readonly Failure[] }
  | { readonly kind: 'skipped'; readonly why: string };

interface Reported {
  readonly step: string;
  readonly ok: boolean;
  readonly error: string;
}

/** Programs stop after these: all that follows would fail for the same reason. */
const needed: readonly string[] = ['connect', 'schema'];
const stderrTailChars = 600;

function reportedOn(line: string): readonly Reported[] {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    // Clients and their tools print what they like between the reports.
    return [];
  }
  if (typeof value !== 'object' || value === null || !('step' in value) || !('ok' in value)) return [];
  const error = 'error' in value ? String(value.error) : '';
  return [{ step: String(value.step), ok: value.ok === true, error }];
}

/**
 * What a program showed. It passed when it reported each of `expected` as ok, nothing else, and ended with 0: a step that was
 * never reported is a failure like any other.
 */
export function judge(expected: readonly Step[], stdout: string, ending: Ending): Verdict {
  const reports = stdout.split('\n').flatMap(reportedOn);
  const failures: Failure[] = reports
    .filter((report) => !report.ok)
    .map((report) => ({ step: report.step, why: report.error }));
  const stopped = failures.some((failure) => needed.includes(failure.step));
  const silent = expected.filter((step) => !reports.some((report) => report.step === step));
  const [next] = silent;
  if (ending.overTimeMs !== null) {
    failures.push({ step: next ?? 'end', why: `no answer, killed after ${ending.overTimeMs / 1_000} s` });
  } else if (!stopped && next !== undefined) {
    const tail = ending.stderr.trim().slice(-stderrTailChars);
    const why = `the program ended with ${ending.code ?? 'a signal'} without reporting ${silent.join(', ')}`;
    failures.push({ step: next, why: tail === '' ? why : `${why}: ${tail}` });
  }
  for (const { step } of reports)
    if (!expected.some((known) => known === step))
      failures.push({ step, why: 'the catalogue does not list this step for this client' });
  if (failures.length === 0 && ending.code !== 0)
    failures.push({ step: 'end', why: `every step is ok, and the program ended with ${ending.code}` });
  return failures.length > 0 ? { kind: 'failed', failures } : { kind: 'passed', steps: reports.length };
}

/** One line of the table. */
export interface Outcome {
  readonly client: string;
  /** `package version`, the client itself first. */
  readonly versions: readonly string[];
  readonly transport: Transport;
  readonly primary: Verdict;
  readonly secondary: Verdict;
}

const uniqueSteps = (failures: readonly Failure[]): string =>
  [...new Set(failures.map((failure) => failure.step))].join(', ');

function cell(verdict: Verdict): string {
  switch (verdict.kind) {
    case 'passed':
      return `ok (${verdict.steps})`;
    case 'failed':
      return `FAILED: ${uniqueSteps(verdict.failures)}`;
    case 'skipped':
      return 'skipped';
  }
}

function aligned(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  const line = (row: readonly string[]) =>
    row
      .map((text, column) => text.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd();
  return rows.map(line).join('\n');
}

const inOneLine = (text: string): string => text.replace(/\s+/g, ' ').trim();

/** Why clients were skipped, each once and by name. */
function skips(outcomes: readonly Outcome[]): readonly string[] {
  const lines = outcomes.flatMap(({ client, primary, secondary }) =>
    [primary, secondary].flatMap((verdict) =>
      verdict.kind === 'skipped' ? [`skipped ${client}: ${verdict.why}`] : [],
    ),
  );
  return [...new Set(lines)];
}

function failureLines(outcomes: readonly Outcome[]): readonly string[] {
  return outcomes.flatMap(({ client, transport, primary, secondary }) =>
    ([['primary', primary] as const, ['secondary', secondary] as const] as const).flatMap(
      ([where, verdict]) =>
        verdict.kind === 'failed'
          ? verdict.failures.map(
              ({ step, why }) => `${client}, ${transport}, ${where}, ${step}: ${inOneLine(why)}`,
            )
          : [],
    ),
  );
}

/** What the clients that were tried cannot do, so that `ok` says no more than it shows. */
function gaps(clients: readonly SmokeClient[], outcomes: readonly Outcome[]): readonly string[] {
  const tried = clients.filter(({ name }) => outcomes.some((outcome) => outcome.client === name));
  return tried.flatMap(({ name, without }) =>
    without.map(
      ({ steps, transport, why }) =>
        `${name}${transport === undefined ? '' : `, ${transport}`} has no ${steps.join(', ')}: ${why}`,
    ),
  );
}

/** The table with its footnotes, for people. */
export function asText(clients: readonly SmokeClient[], outcomes: readonly Outcome[]): string {
  const head = ['CLIENT', 'VERSION', 'TRANSPORT', 'PRIMARY', 'SECONDARY'];
  const rows = outcomes.map(({ client, versions, transport, primary, secondary }) => [
    client,
    versions.join(', '),
    transport,
    cell(primary),
    cell(secondary),
  ]);
  const notes = [skips(outcomes), gaps(clients, outcomes), failureLines(outcomes)].filter(
    (lines) => lines.length > 0,
  );
  return [aligned([head, ...rows]), ...notes.map((lines) => lines.join('\n'))].join('\n\n');
}

/** Whether one of them failed; a skipped client did not. */
export const anyFailed = (outcomes: readonly Outcome[]): boolean =>
  outcomes.some(({ primary, secondary }) => primary.kind === 'failed' || secondary.kind === 'failed');
