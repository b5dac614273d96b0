/**
 * Runs seeds and says how it went. Knows nothing of what a run is: it gets a function that makes one.
 *
 * Exit codes: 0 all well, 1 a promise was broken or a seed gave two different runs, 2 something promised did not happen in
 * time, 3 a run threw, 64 the command line was wrong. With `--keep-going` the worst one counts: 3, then 1, then 2.
 */
import { parseArgs } from 'node:util';
import type { Violation } from './judges/judge.ts';
import { isProfileName, type ProfileName, profileNames, profilesInTurn } from './options.ts';
import type { TracePrinter } from './world/trace.ts';
import type { World } from './world/world.ts';

export type RunResult = {
  /** Trace hash: equal for equal runs. */
  readonly hash: string;
  readonly violations: readonly Violation[];
  /** Counters worth showing: events, writes, faults. */
  readonly stats: Readonly<Record<string, number>>;
  /** What the run was (`describeOptions`). */
  readonly description: string;
  /** The last lines of the trace. */
  readonly tail: readonly string[];
  /** What was thrown: a broken invariant crashes the run. */
  readonly crash: string | undefined;
};

/** What the body of a run reports; the rest of the result comes from its world. */
export type RunReport = Pick<RunResult, 'violations' | 'stats'>;

/** Makes one whole run, usually by `concludeRun`. */
export type RunOne = (
  seed: number,
  profile: ProfileName,
  print: TracePrinter | undefined,
) => RunResult | Promise<RunResult>;

const printError = (error: unknown): string =>
  error instanceof Error ? (error.stack ?? error.message) : String(error);

/** Runs `body` on `world` and makes the result of it, also when it throws, so that the trace is not lost with it. */
export async function concludeRun(
  world: World,
  description: string,
  body: () => RunReport | Promise<RunReport>,
): Promise<RunResult> {
  let report: RunReport = { violations: [], stats: {} };
  let crash: string | undefined;
  try {
    report = await body();
  } catch (error) {
    crash = printError(error);
  }
  const stats = { ...report.stats, events: world.steps };
  return { ...report, stats, hash: world.trace.hash(), description, tail: world.trace.tail(), crash };
}

export type Output = { readonly line: (text: string) => void; readonly progress: (text: string) => void };

export const exitCodes = { ok: 0, correctness: 1, liveness: 2, crash: 3, usage: 64 } as const;

export type Flags = {
  readonly from: number;
  readonly seeds: number;
  readonly profile: ProfileName | undefined;
  readonly twice: boolean;
  readonly json: boolean;
  readonly trace: boolean;
  readonly keepGoing: boolean;
};

type Failure =
  | { readonly kind: 'crash'; readonly error: string; readonly tail: readonly string[] }
  | { readonly kind: 'differs'; readonly hashes: readonly [string, string] }
  | { readonly kind: 'violations'; readonly result: RunResult };

export type SeedOutcome = {
  readonly seed: number;
  readonly profile: ProfileName;
  readonly result: RunResult | undefined;
  readonly failure: Failure | undefined;
};

const usage = `simulate [--seed N | --seeds N [--from N]] [--profile ${profileNames.join('|')}] [--twice] [--trace] [--json] [--keep-going]
  --seed N       one seed          --seeds N     N seeds, from --from (0)
  --profile P    without it, each seed takes the next of the first four in turn
  --twice        run each seed twice and compare the hashes
  --trace        print every event  --keep-going  do not stop at the first failure`;

/** Runs what `argv` (without node and script) asks for; answers the exit code. */
export async function runSeeds(argv: readonly string[], runOne: RunOne, output: Output): Promise<number> {
  const flags = parseFlags(argv);
  if (typeof flags === 'string') return explain(flags, output);
  const report = new Report(flags, output);
  for (let seed = flags.from; seed < flags.from + flags.seeds && report.goesOn; seed += 1) {
    report.add(await runSeed(seed, flags, runOne, output));
  }
  return report.finish();
}

/** Makes the outcome of one seed somewhere else. */
export type RunElsewhere = (seed: number, flags: Flags) => Promise<SeedOutcome>;

/**
 * As `runSeeds`, with `lanes` seeds under way at a time; what is said and the exit code are the same, in the order of the
 * seeds. A trace is printed as it arises, so with `--trace` call `runSeeds`.
 */
export async function runSeedsInLanes(
  argv: readonly string[],
  lanes: number,
  run: RunElsewhere,
  output: Output,
): Promise<number> {
  const flags = parseFlags(argv);
  if (typeof flags === 'string') return explain(flags, output);
  const report = new Report(flags, output);
  const done = new Map<number, SeedOutcome>();
  let issued = flags.from;
  let reported = flags.from;
  const lane = async (): Promise<void> => {
    while (issued < flags.from + flags.seeds && report.goesOn) {
      const seed = issued;
      issued += 1;
      done.set(seed, await run(seed, flags));
      for (let next = done.get(reported); next !== undefined && report.goesOn; next = done.get(reported)) {
        done.delete(reported);
        reported += 1;
        report.add(next);
      }
    }
  };
  await Promise.all(Array.from({ length: lanes }, lane));
  return report.finish();
}

function explain(problem: string, output: Output): number {
  if (problem !== '') output.line(problem);
  output.line(usage);
  return problem === '' ? exitCodes.ok : exitCodes.usage;
}

/** What is said of outcomes, in the order in which they are added. */
class Report {
  private readonly flags: Flags;
  private readonly output: Output;
  private readonly outcomes: SeedOutcome[] = [];

  constructor(flags: Flags, output: Output) {
    this.flags = flags;
    this.output = output;
  }

  /** False after a failure, unless asked to keep going. */
  get goesOn(): boolean {
    return this.flags.keepGoing || this.outcomes.every((outcome) => outcome.failure === undefined);
  }

  add(outcome: SeedOutcome): void {
    const { flags, output, outcomes } = this;
    outcomes.push(outcome);
    if (outcome.failure !== undefined && !flags.json) reportFailure(outcome, outcome.failure, output);
    const failed = outcomes.filter((candidate) => candidate.failure !== undefined).length;
    output.progress(`${outcomes.length}/${flags.seeds} seeds, ${failed} failed`);
  }

  finish(): number {
    const code = worst(this.outcomes);
    if (this.flags.json)
      this.output.line(JSON.stringify({ exitCode: code, runs: this.outcomes.map(toJson) }));
    else summarise(this.outcomes, this.output);
    return code;
  }
}

/** The command line, or what is wrong with it; the empty text when help is wanted. */
export function parseFlags(argv: readonly string[]): Flags | string {
  try {
    const { values } = parseArgs({
      args: [...argv],
      options: {
        seed: { type: 'string' },
        seeds: { type: 'string' },
        from: { type: 'string' },
        profile: { type: 'string' },
        twice: { type: 'boolean', default: false },
        trace: { type: 'boolean', default: false },
        json: { type: 'boolean', default: false },
        'keep-going': { type: 'boolean', default: false },
        help: { type: 'boolean', default: false },
      },
    });
    if (values.help) return '';
    if (values.seed !== undefined && (values.seeds ?? values.from) !== undefined) {
      return '--seed means one seed; use --from and --seeds for more';
    }
    const { profile } = values;
    if (profile !== undefined && !isProfileName(profile)) return `there is no profile ${profile}`;
    const from = integer(values.seed ?? values.from ?? '0');
    const seeds = integer(values.seeds ?? '1');
    if (from === undefined || seeds === undefined || seeds < 1) return 'seeds are non-negative integers';
    return {
      from,
      seeds,
      profile,
      twice: values.twice,
      json: values.json,
      trace: values.trace,
      keepGoing: values['keep-going'],
    };
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

function integer(text: string): number | undefined {
  if (!/^\d{1,15}$/.test(text)) return undefined;
  return Number(text);
}

/** Without `--profile` the seed itself says which: repeating it alone must give the same run. */
function profileOf(seed: number, flags: Flags): ProfileName {
  return flags.profile ?? profilesInTurn[seed % profilesInTurn.length] ?? 'calm';
}

/** Runs one seed, twice when that is asked for. */
export async function runSeed(
  seed: number,
  flags: Flags,
  runOne: RunOne,
  output: Output,
): Promise<SeedOutcome> {
  const profile = profileOf(seed, flags);
  try {
    const result = await runOne(seed, profile, flags.trace ? output.line : undefined);
    const again = flags.twice ? await runOne(seed, profile, undefined) : result;
    const failure: Failure | undefined =
      again.hash !== result.hash
        ? { kind: 'differs', hashes: [result.hash, again.hash] }
        : result.crash !== undefined
          ? { kind: 'crash', error: result.crash, tail: result.tail }
          : result.violations.length > 0
            ? { kind: 'violations', result }
            : undefined;
    return { seed, profile, result, failure };
  } catch (error) {
    const failure: Failure = { kind: 'crash', error: printError(error), tail: [] };
    return { seed, profile, result: undefined, failure };
  }
}

function codeOf(failure: Failure): number {
  if (failure.kind === 'crash') return exitCodes.crash;
  if (failure.kind === 'differs') return exitCodes.correctness;
  const broken = failure.result.violations.some((violation) => violation.verdict === 'correctness');
  return broken ? exitCodes.correctness : exitCodes.liveness;
}

function worst(outcomes: readonly SeedOutcome[]): number {
  const codes = outcomes.map((outcome) =>
    outcome.failure === undefined ? exitCodes.ok : codeOf(outcome.failure),
  );
  const order = [exitCodes.crash, exitCodes.correctness, exitCodes.liveness];
  return order.find((code) => codes.includes(code)) ?? exitCodes.ok;
}

/** The one command that repeats a run. */
const repeatCommand = (outcome: SeedOutcome): string =>
  `npm run simulate -- --seed ${outcome.seed} --profile ${outcome.profile}`;

function reportFailure(outcome: SeedOutcome, failure: Failure, output: Output): void {
  output.line(`FAILED seed ${outcome.seed} profile ${outcome.profile}: ${failure.kind}`);
  switch (failure.kind) {
    case 'crash':
      for (const line of failure.tail) output.line(`  ${line}`);
      output.line(failure.error);
      break;
    case 'differs':
      output.line(`the same seed gave ${failure.hashes.join(' and ')}: something outside the seed decided`);
      break;
    case 'violations':
      output.line(failure.result.description);
      for (const line of failure.result.tail) output.line(`  ${line}`);
      for (const { judge, verdict, text } of failure.result.violations)
        output.line(`${judge} (${verdict}): ${text}`);
      break;
  }
  output.line(`repeat: ${repeatCommand(outcome)}`);
}

function toJson(outcome: SeedOutcome): unknown {
  const { seed, profile, result, failure } = outcome;
  return {
    seed,
    profile,
    hash: result?.hash,
    stats: result?.stats,
    violations: result?.violations ?? [],
    failure: failure?.kind,
    error: failure?.kind === 'crash' ? failure.error : undefined,
    repeat: repeatCommand(outcome),
  };
}

function summarise(outcomes: readonly SeedOutcome[], output: Output): void {
  const totals = new Map<string, number>();
  for (const { result } of outcomes) {
    for (const [name, value] of Object.entries(result?.stats ?? {})) {
      totals.set(name, (totals.get(name) ?? 0) + value);
    }
  }
  const failed = outcomes.filter((outcome) => outcome.failure !== undefined).length;
  const counters = [...totals].map(([name, value]) => `${name} ${value}`).join(', ');
  output.line(`${outcomes.length} seeds, ${failed} failed${counters === '' ? '' : `: ${counters}`}`);
  const [only] = outcomes;
  if (outcomes.length === 1 && only?.result !== undefined) output.line(`hash ${only.result.hash}`);
}
