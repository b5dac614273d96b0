/** The command line of the benchmark. */
import { parseArgs } from 'node:util';
import type { PeerName } from './systems/system.ts';

export const scenarioNames = [
  'oltp',
  'storage',
  'tracing',
  'encryption',
  'lag',
  'forward',
  'growth',
  'bulk',
  'readers',
  'postgres',
  'moves',
  'soak',
] as const;
export type ScenarioName = (typeof scenarioNames)[number];
/** The soak takes ten minutes by itself: only when it is asked for. A quick run leaves more of them to who asks. */
const onlyWhenAsked: readonly ScenarioName[] = ['soak'];
const onlyWhenAskedQuick: readonly ScenarioName[] = ['soak', 'bulk', 'readers', 'postgres'];
const defaultScenarios = (quick: boolean): readonly ScenarioName[] =>
  scenarioNames.filter((name) => !(quick ? onlyWhenAskedQuick : onlyWhenAsked).includes(name));
export const peerNames: readonly PeerName[] = ['postgres', 'mariadb', 'etcd', 'rqlite'];

export interface BenchOptions {
  readonly quick: boolean;
  readonly json: boolean;
  readonly check: boolean;
  /** Another checkout to measure this one beside; null: none. */
  readonly beside: string | null;
  readonly peers: readonly PeerName[];
  readonly scenarios: readonly ScenarioName[];
  /** A run's results.json to write RESULTS.md from, instead of measuring; null: none. */
  readonly from: string | null;
  /** Where to write results; null: nowhere. */
  readonly out: string | null;
  readonly rounds: number;
  /** Of one measurement. */
  readonly warmMs: number;
  /** Load on every system before the first round, so that what compiles as it runs has done so. */
  readonly heatMs: number;
  readonly measureMs: number;
}

export type Parsed =
  | { readonly kind: 'run'; readonly options: BenchOptions }
  | { readonly kind: 'help' }
  | { readonly kind: 'invalid'; readonly message: string };

export const usage = `npm run bench -- [options]

  --quick                under eight minutes; figures are rougher
  --check                under a minute, Sextant only: compares ratios with generous bounds, exit code 1 beyond them
  --beside DIR           this checkout and the one in DIR, in turns: ratios of UPDATE and SELECT at 128 clients and one
  --peers LIST           postgres,mariadb,etcd,rqlite (default: all) or none
  --only LIST            ${scenarioNames.join(', ')} (default: all but
                         soak; quick: but bulk, readers and postgres either)
  --rounds N             rounds of every measurement (default 5, quick 2)
  --seconds S            length of one measurement (default 4, quick 0.8)
  --write                write RESULTS.md and results.svg beside this program
  --out DIR              write them, and results.json, to DIR
  --from FILE            measure nothing: write RESULTS.md and results.svg of a run's results.json, beside this
                         program or to --out
  --json                 print the results as JSON; progress goes to stderr
`;

function oneOf<T extends string>(text: string, allowed: readonly T[]): readonly T[] | string {
  const names = text.split(',').map((name) => name.trim());
  const known = allowed.filter((name) => names.includes(name));
  const unknown = names.filter((name) => !known.some((candidate) => candidate === name));
  return unknown.length > 0 ? `${unknown.join(', ')} is none of ${allowed.join(', ')}` : known;
}

const positive = (text: string | undefined, fallback: number): number =>
  text === undefined ? fallback : Number(text);

/** @param home directory that `--write` writes to. */
export function parseOptions(argv: readonly string[], home: string): Parsed {
  let values: ReturnType<typeof parse>;
  try {
    values = parse(argv);
  } catch (error) {
    return { kind: 'invalid', message: error instanceof Error ? error.message : String(error) };
  }
  if (values.help) return { kind: 'help' };
  const invalid = (message: string): Parsed => ({ kind: 'invalid', message });
  const peers = values.peers === 'none' ? [] : oneOf(values.peers ?? peerNames.join(), peerNames);
  if (typeof peers === 'string') return invalid(`--peers: ${peers}, or none`);
  const { quick, check, json } = values;
  const scenarios = oneOf(values.only ?? defaultScenarios(quick).join(), scenarioNames);
  if (typeof scenarios === 'string') return invalid(`--only: ${scenarios}`);
  if (values.write && values.out !== undefined) return invalid('either --write or --out, not both');
  const rounds = positive(values.rounds, quick ? 2 : 5);
  if (!Number.isInteger(rounds) || rounds < 1) return invalid('--rounds is a whole number from 1');
  const seconds = positive(values.seconds, quick ? 0.8 : 4);
  if (!(seconds > 0)) return invalid('--seconds is a number above 0');
  const out = values.write ? home : (values.out ?? null);
  const warmMs = quick ? 250 : 1_000;
  const heatMs = quick ? 800 : 5_000;
  return {
    kind: 'run',
    options: {
      quick,
      check,
      beside: values.beside ?? null,
      from: values.from ?? null,
      json,
      peers,
      scenarios,
      out,
      rounds,
      warmMs,
      heatMs,
      measureMs: seconds * 1_000,
    },
  };
}

function parse(argv: readonly string[]) {
  const flag = { type: 'boolean', default: false } as const;
  const text = { type: 'string' } as const;
  const options = {
    quick: flag,
    json: flag,
    check: flag,
    beside: text,
    from: text,
    write: flag,
    help: flag,
    peers: text,
    only: text,
    rounds: text,
    seconds: text,
    out: text,
  };
  return parseArgs({ args: [...argv], options, strict: true }).values;
}
