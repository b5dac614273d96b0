/** `node test/oracle/main.ts`: generated scripts on a deployment, compared with stock SQLite. */
import { parseArgs } from 'node:util';
import { EnginePair, EngineTarget } from './engine-target.ts';
import { scriptOf } from './generator.ts';
import {
  type Divergence,
  GatewayTarget,
  kindOf,
  report,
  StockSqlite,
  shrink,
  type Target,
} from './oracle.ts';
import { differing } from './run-scripts.ts';
import { type Script, setUpAsShell } from './script.ts';
import { themes } from './themes/statements.ts';
import { ways } from './ways.ts';

const usage = `node test/oracle/main.ts [--scripts N] [--seed S] [options]

Runs N scripts, from seed S on, through the primary and through a secondary region, and compares every answer with stock SQLite's.
  --scripts N       how many (200)
  --seed S          the first one's seed (1)
  --length L        operations in one, about (14)
  --lanes N         scripts at a time (6); what differs is tried again by itself
  --primary URL     the primary region's gateway (http://127.0.0.1:7011)
  --secondary URL   another region's (http://127.0.0.1:7031)
  --only NAME       primary or secondary
  --engine          no deployment: the engine alone, as a writer and as a reader that hands on
  --way W           how streams reach the gateway: ${ways.join(', ')}; each script has its own where nothing is said
  --theme T         one that all scripts lean towards, such as 'edited schema'
  --reports N       kinds of difference that are made small and shown, for each of the two (5)
  --foreign-keys V  what streams begin with, on or off (on)
`;

const { values } = parseArgs({
  options: {
    scripts: { type: 'string', default: '200' },
    seed: { type: 'string', default: '1' },
    length: { type: 'string', default: '14' },
    lanes: { type: 'string', default: '6' },
    primary: { type: 'string', default: 'http://127.0.0.1:7011' },
    secondary: { type: 'string', default: 'http://127.0.0.1:7031' },
    only: { type: 'string' },
    engine: { type: 'boolean', default: false },
    way: { type: 'string' },
    theme: { type: 'string' },
    reports: { type: 'string', default: '5' },
    'foreign-keys': { type: 'string', default: 'on' },
    help: { type: 'boolean', default: false },
  },
});

function number(name: 'scripts' | 'seed' | 'length' | 'lanes' | 'reports'): number {
  const value = Number(values[name]);
  if (Number.isSafeInteger(value) && value >= 0) return value;
  process.stderr.write(`--${name} is a whole number, not ${values[name]}\n\n${usage}`);
  process.exit(2);
}

const way = ways.find((one) => one === values.way);
if (values.way !== undefined && way === undefined) {
  process.stderr.write(`--way is one of ${ways.join(', ')}, not ${values.way}\n\n${usage}`);
  process.exit(2);
}

const theme = themes.find((one) => one === values.theme);
if (values.theme !== undefined && theme === undefined) {
  process.stderr.write(`--theme is one of ${themes.join(', ')}, not ${values.theme}\n\n${usage}`);
  process.exit(2);
}

const say = (line: string): boolean => process.stdout.write(`${line}\n`);

/** Shows one divergence of each kind, and how often each kind came. */
async function show(stock: StockSqlite, target: Target, found: readonly Divergence[]): Promise<void> {
  const kinds = new Map<string, number[]>();
  for (const divergence of found) {
    const kind = kindOf(divergence);
    const seeds = kinds.get(kind);
    seeds?.push(divergence.script.seed);
    if (seeds !== undefined) continue;
    kinds.set(kind, [divergence.script.seed]);
    if (kinds.size <= number('reports')) say(`\n${report(await shrink(stock, target, divergence))}`);
  }
  if (kinds.size > 0) say('');
  for (const [kind, seeds] of [...kinds].sort((one, other) => other[1].length - one[1].length).slice(0, 40))
    say(`${String(seeds.length).padStart(5)}  ${kind}   (seeds ${seeds.slice(0, 3).join(', ')})`);
}

/** Runs the scripts on targets of one kind and shows what differs. @returns whether nothing does. */
async function compare(
  stock: StockSqlite,
  lanes: readonly Target[],
  scripts: readonly Script[],
): Promise<boolean> {
  const startMs = performance.now();
  const found = await differing(stock, lanes, scripts);
  const [first] = lanes;
  if (first !== undefined) await show(stock, first, found);
  const seconds = Math.round((performance.now() - startMs) / 1_000);
  say(
    `${first?.name}: ${scripts.length - found.length} of ${scripts.length} scripts answered as by stock SQLite, in ${seconds} s`,
  );
  return found.length === 0;
}

async function onEngine(stock: StockSqlite, scripts: readonly Script[]): Promise<boolean> {
  const pair = await EnginePair.start();
  let good = true;
  for (const readerFirst of [false, true])
    good = (await compare(stock, [new EngineTarget(pair, readerFirst)], scripts)) && good;
  await pair.close();
  return good;
}

async function onDeployment(stock: StockSqlite, scripts: readonly Script[]): Promise<boolean> {
  // Runs at the same time, and what a killed one has left, are told apart by this.
  const run = Date.now().toString(36).slice(-5);
  let good = true;
  say(`The tables every script begins with:\n${setUpAsShell()}\n`);
  for (const name of ['primary', 'secondary'] as const) {
    if (values.only !== undefined && values.only !== name) continue;
    const lanes = Array.from(
      { length: Math.max(1, number('lanes')) },
      (_, lane) =>
        new GatewayTarget({
          name,
          url: values[name],
          primaryUrl: values.primary,
          own: `o${run}${lane.toString(36)}_`,
        }),
    );
    try {
      good = (await compare(stock, lanes, scripts)) && good;
    } finally {
      for (const lane of lanes) await lane.close();
    }
  }
  return good;
}

/** @returns the exit code */
async function main(): Promise<number> {
  const scripts = Array.from({ length: number('scripts') }, (_, at) => {
    const script = scriptOf(number('seed') + at, number('length'), theme);
    return { ...script, way: way ?? script.way };
  });
  const stock = new StockSqlite(values['foreign-keys'] !== 'off');
  try {
    return (await (values.engine ? onEngine : onDeployment)(stock, scripts)) ? 0 : 1;
  } finally {
    stock.close();
  }
}

if (values.help) process.stdout.write(usage);
else process.exitCode = await main();
