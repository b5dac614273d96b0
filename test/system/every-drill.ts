/**
 * Every kind of drill, one after the other, on a real deployment: `node test/system/every-drill.ts [--wan] [--fresh]
 * [--engine sqlite|postgres] [--kinds a,b] [--load N] [--seconds N] [--reports DIR]`. What loses or cuts off a region is run for the
 * primary and for a secondary. Exits with 0 when each is green; of one that is red it prints what did not hold.
 */
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { type DrillKind, drillKinds } from '../../regions/drills/core/drill-kinds.ts';
import { drillReportSchema } from '../../regions/drills/core/drill-report.ts';
import { TestDeployment } from './local-deployment.ts';

const regions = ['us-east-1', 'eu-west-1', 'ap-northeast-1'] as const;
const [primary, secondary] = regions;
const help = `usage: node test/system/every-drill.ts [--wan] [--fresh] [--engine sqlite|postgres] [--kinds a,b] [--load N] [--seconds N] [--reports DIR]
  --wan          round-trip times of cities between the regions        --fresh     a new deployment for each drill, instead of one for all
  --engine E     sqlite (default) or postgres                          --kinds     some of ${drillKinds.join(', ')}
  --load N       writes a second over all regions (drill's default)    --seconds N steady time before a fault (drill's default)
  --reports DIR  keeps report.json, report.html and junit.xml of each
`;
/** The longest of all, a region that is lost and taken back over cables of continents, takes some 90 s. */
const drillTimeoutMs = 300_000;
/** Kinds whose fault means something else at a secondary than at the primary. */
const ofBoth: readonly DrillKind[] = ['region-loss', 'region-freeze', 'partition'];

const { values } = parseArgs({
  options: {
    help: { type: 'boolean', default: false },
    wan: { type: 'boolean', default: false },
    fresh: { type: 'boolean', default: false },
    engine: { type: 'string', default: 'sqlite' },
    kinds: { type: 'string' },
    load: { type: 'string' },
    seconds: { type: 'string' },
    reports: { type: 'string' },
  },
});
if (values.help) {
  process.stdout.write(help);
  process.exit(0);
}
const known: readonly string[] = drillKinds;
const wanted = values.kinds?.split(',') ?? known;
const unknown = wanted.find((kind) => !known.includes(kind));
if (unknown !== undefined) throw new Error(`no drill ${unknown}; there are ${known.join(', ')}`);
interface Planned {
  readonly kind: DrillKind;
  readonly name: string;
  /** Null: where the kind happens by itself. */
  readonly region: string | null;
}
const plan = drillKinds
  .filter((kind) => wanted.includes(kind))
  .flatMap((kind): readonly Planned[] =>
    ofBoth.includes(kind)
      ? [primary, secondary].map((region) => ({ kind, region, name: `${kind} of ${region}` }))
      : [{ kind, region: null, name: kind }],
  );

const start = () =>
  TestDeployment.start({
    regions,
    flags: [
      ...(values.wan ? ['--wan'] : []),
      ...(values.engine === 'sqlite' ? [] : ['--engine', values.engine]),
    ],
  });

const red: string[] = [];
let deployment = await start();
try {
  for (const [at, { kind, region, name }] of plan.entries()) {
    if (values.fresh && at > 0) {
      await deployment.stop();
      deployment = await start();
    }
    await deployment.settled();
    const begunMs = performance.now();
    const { code, stdout, stderr } = await deployment.cli(
      [
        ...['drill', kind, '--json'],
        ...(region === null ? [] : ['--region', region]),
        ...(values.load === undefined ? [] : ['--load', values.load]),
        ...(values.seconds === undefined ? [] : ['--seconds', values.seconds]),
        ...(values.reports === undefined
          ? []
          : ['--report', join(values.reports, name.replaceAll(' ', '-'))]),
      ],
      drillTimeoutMs,
    );
    if (code !== 0) red.push(name);
    console.log(
      `${name}: ${code === 0 ? 'green' : 'RED'} after ${Math.round((performance.now() - begunMs) / 1_000)} s, ${figuresOf(stdout)}`,
    );
    if (code !== 0) console.log(stderr.trim());
  }
} finally {
  await deployment.stop();
}
console.log(
  `${plan.length - red.length} of ${plan.length} drills green${red.length === 0 ? '' : `; red: ${red.join(', ')}`}`,
);
process.exitCode = red.length === 0 ? 0 : 1;

/** What a drill measured, in one line, and each check of it that did not hold. */
function figuresOf(stdout: string): string {
  let given: unknown;
  try {
    given = JSON.parse(stdout);
  } catch {
    return `no report: ${stdout.trim()}`;
  }
  const parsed = drillReportSchema.safeParse(given);
  if (!parsed.success) return `a report of another form: ${stdout.trim()}`;
  const report = parsed.data;
  const ms = (value: number | null) => (value === null ? '–' : `${Math.round(value)} ms`);
  const failures = report.failures.map(({ code, outcome, count }) => `${count} ${code} (${outcome})`);
  const checks = report.checks
    .filter(({ held }) => !held)
    .map((check) => `\n  ${check.name}: ${check.detail}`);
  return (
    `RTO ${ms(report.rtoMs)}, pause ${ms(report.writeStallMs)}, failback ${ms(report.failbackMs)}; ` +
    `${report.acknowledgedWrites} acknowledged, ${report.refusedWrites} refused, ${report.unknownWrites} unknown, ` +
    `${report.lostWrites} lost (${report.reportedLost} reported)${failures.length === 0 ? '' : `; ${failures.join(', ')}`}${checks.join('')}`
  );
}
