/** `sextant status`: what the deployment says about itself, once or again and again. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Command } from 'commander';
import { abandonedDrill } from '../../drills/run/drill-history.ts';
import { type SupervisorStatus, supervisorStatus } from '../../local/control-socket.ts';
import { controlSocket } from '../../local/layout/local-layout.ts';
import {
  type DeploymentStatus,
  failWith,
  fetchStatus,
  type NoAnswer,
  type Target,
  targetOf,
} from '../ask/admin-client.ts';
import { type JaegerLinks, jaegerLinks } from '../ask/jaeger-links.ts';
import { type AskOptions, withAsk, withExample } from '../ask/options.ts';
import { CliError, formatMs, note, paint, printJson } from '../ask/output.ts';
import { blocksOf } from '../ask/status-text.ts';

type StatusOptions = AskOptions & { readonly watch?: boolean; readonly every: string };

/** One look: what was said, what the supervisor knows, and why nothing was said. */
interface Look {
  readonly said: DeploymentStatus | undefined;
  readonly local: SupervisorStatus | undefined;
  /** Pages of the deployment's own Jaeger, when it runs one. */
  readonly jaeger: JaegerLinks | undefined;
  /** The newest drill, if it was killed before it could heal what it broke. */
  readonly abandoned: string | null;
  readonly refusal: NoAnswer | null;
}

async function look(target: Target, dataDir: string): Promise<Look> {
  const [answer, local] = await Promise.all([
    fetchStatus(target),
    target.local === undefined ? undefined : supervisorStatus(controlSocket(dataDir)),
  ]);
  const jaeger = target.local === undefined ? undefined : await jaegerLinks(target.local, local);
  const known = { local, jaeger, abandoned: local === undefined ? null : abandonedDrill(dataDir) };
  return answer.kind === 'ok'
    ? { ...known, said: answer.status, refusal: null }
    : { ...known, said: undefined, refusal: answer };
}

const asJson = ({ said, local, jaeger }: Look): object => ({
  ...said,
  ...(local !== undefined && { local }),
  ...(jaeger !== undefined && { jaeger }),
});

async function once(target: Target, options: StatusOptions): Promise<void> {
  const seen = await look(target, options.data);
  const { said, local, jaeger, abandoned, refusal } = seen;
  if (options.json === true) printJson(asJson(seen));
  else if (said !== undefined || local !== undefined) {
    const { summary, processes } = blocksOf(said, local, jaeger, abandoned);
    console.log([...summary, ...processes].join('\n\n'));
  }
  if (said !== undefined && target.local !== undefined && local === undefined) {
    note(
      'the supervisor does not run, and without it no region reaches another: `sextant up` starts everything again',
    );
  }
  if (refusal !== null) failWith(refusal);
}

const everyMs = { min: 100, max: 3_600_000 };

/** Shows it again and again. An outage is what one watches for: it is shown, and ends nothing. */
async function watch(target: Target, options: StatusOptions): Promise<never> {
  const gapMs = Number(options.every);
  if (!(gapMs >= everyMs.min && gapMs <= everyMs.max))
    throw new CliError(
      `--every is a number of milliseconds from ${everyMs.min} to ${everyMs.max}, not ${options.every}`,
    );
  let answeredAtMs: number | null = null;
  for (;;) {
    const seen = await look(target, options.data);
    if (seen.refusal === null) answeredAtMs = Date.now();
    const silentMs = answeredAtMs === null ? null : Date.now() - answeredAtMs;
    if (options.json === true) {
      const error = seen.refusal === null ? {} : { error: { message: seen.refusal.message } };
      console.log(JSON.stringify({ at: new Date().toISOString(), ...asJson(seen), ...error }));
    } else showAgain(seen, gapMs, silentMs);
    await sleep(gapMs);
  }
}

/** On a terminal the new picture takes the place of the old one; what has no room is left out, and said so. */
function showAgain(
  { said, local, jaeger, abandoned, refusal }: Look,
  gapMs: number,
  silentMs: number | null,
): void {
  const { summary, processes } = blocksOf(said, local, jaeger, abandoned);
  const head = `${new Date().toISOString()}  every ${formatMs(gapMs)}, Ctrl-C ends`;
  const since = silentMs === null ? '' : `, for ${formatMs(silentMs)}`;
  const trouble = refusal === null ? [] : [paint('red', `${refusal.message}${since}`)];
  const short = [paint('dim', head), ...trouble, ...summary];
  const whole = [...short, ...processes].join('\n\n');
  const { isTTY, rows } = process.stdout;
  if (!isTTY) {
    console.log(`${whole}\n`);
    return;
  }
  const fits = whole.split('\n').length < rows;
  const leftOut = paint('dim', `the processes are left out: this window has ${rows} lines`);
  process.stdout.write(`\u001b[H\u001b[J${fits ? whole : [...short, leftOut].join('\n\n')}\n`);
}

async function status(options: StatusOptions): Promise<void> {
  const target = targetOf(options);
  if (options.watch === true) await watch(target, options);
  else await once(target, options);
}

export function addStatusCommand(program: Command): void {
  withExample(
    withAsk(program.command('status'))
      .description('regions, roles, epoch, VDL, lag, nodes by availability zone, pids and ports')
      .option('--watch', 'show it again and again; with --json one line each time')
      .option('--every <ms>', 'pause between two looks with --watch', '1000')
      .action(status),
    'sextant status --json',
    'sextant status --watch',
  );
}
