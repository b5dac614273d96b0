/** `sextant readiness`: which region could take over now, at what loss and in what time. */
import type { Command } from 'commander';
import { type Readiness, type RegionReadiness, readinessSchema } from '../../readiness/core/readiness.ts';
import { reportLimits } from '../../status/core/report-limits.ts';
import { ask, failWith, type NoAnswer, type Target, targetOf } from '../ask/admin-client.ts';
import { type AskOptions, withAsk, withExample } from '../ask/options.ts';
import { CliError, formatBytes, formatMs, note, paint, printJson, table } from '../ask/output.ts';

const unknown = 'unknown';

/** Every process sees its own part of a torn network: the answer counts of the one that sees most of the newest. */
function seesMore(a: Readiness, b: Readiness): number {
  const heard = ({ regions }: Readiness): number =>
    regions.filter(({ ageMs }) => ageMs !== null && ageMs < reportLimits.offlineAfterMs).length;
  const ready = ({ regions }: Readiness): number => regions.filter((region) => region.ready).length;
  return b.epoch - a.epoch || ready(b) - ready(a) || heard(b) - heard(a);
}

/** Asks every gateway, and the agents where no gateway answers. */
async function fetchReadiness(target: Target): Promise<Readiness> {
  let none: NoAnswer = { kind: 'unreachable', message: 'no gateway is known' };
  for (const bases of [target.gateways, target.agents]) {
    const answers = await Promise.all(bases.map((base) => ask(base, '/v1/readiness', target.headers)));
    const said: Readiness[] = [];
    for (const answer of answers) {
      if (answer.kind !== 'ok') {
        none = answer;
        continue;
      }
      const parsed = readinessSchema.safeParse(answer.body);
      if (!parsed.success)
        throw new CliError(`/v1/readiness gave an answer this version cannot read: ${parsed.error.message}`);
      said.push(parsed.data);
    }
    const [best] = said.sort(seesMore);
    if (best !== undefined) return best;
  }
  return failWith(none);
}

function lossText({ commits, commitsExact, bytes, ms }: RegionReadiness['failover']['wouldLose']): string {
  const many = commits === 1 ? '1 commit' : `${commits ?? unknown} commits`;
  const count = commits === null || commitsExact ? many : `at least ${many}`;
  const size = bytes === null ? unknown : formatBytes(bytes);
  return `${count} (${size}, ${ms === null ? unknown : formatMs(ms)})`;
}

const timeText = ({ possible, aboutMs }: RegionReadiness['switchover']): string =>
  possible ? `about ${formatMs(aboutMs ?? 0)}` : paint('red', 'no');

function row({ region, ready, ageMs, switchover, failover }: RegionReadiness): string[] {
  return [
    region,
    ready ? paint('green', 'yes') : paint('red', 'no'),
    timeText(switchover),
    timeText(failover),
    lossText(failover.wouldLose),
    ageMs === null ? 'never' : `${formatMs(ageMs)} ago`,
  ];
}

function print({ epoch, primary, regions }: Readiness): void {
  console.log(`primary ${primary ?? unknown}  epoch ${epoch}`);
  console.log(
    table(['REGION', 'READY', 'SWITCHOVER', 'FAILOVER', 'WOULD LOSE NOW', 'HEARD'], regions.map(row)),
  );
  for (const { region, reasons, switchover, failover } of regions) {
    for (const reason of reasons) note(`not ready: ${reason}`);
    if (switchover.madeOf !== null) note(`switchover to ${region}: ${switchover.madeOf}`);
    if (failover.madeOf !== null) note(`failover to ${region}: ${failover.madeOf}`);
  }
}

/** Ends with exit code 0 only when at least one region is ready. */
async function readiness(options: AskOptions): Promise<void> {
  const said = await fetchReadiness(targetOf(options));
  if (options.json === true) printJson(said);
  else print(said);
  if (said.regions.some(({ ready }) => ready)) return;
  process.exitCode = 1;
  note(noneText(said.regions));
}

function noneText(regions: readonly RegionReadiness[]): string {
  if (regions.length === 0) return 'there is no second region that could take over';
  const possible = regions.filter(({ failover }) => failover.possible).map(({ region }) => region);
  return possible.length === 0
    ? 'no region could take over now'
    : `no region is ready; if the primary is lost, a failover is possible to ${possible.join(', ')}`;
}

export function addReadinessCommand(program: Command): void {
  withExample(
    withAsk(program.command('readiness'))
      .description(
        'which region could take over now, what would be lost, how long it would take; exit code 0 when one could',
      )
      .action(readiness),
    'sextant readiness --json',
  );
}
