/** `sextant policy`: shows what was decided about failovers and the RPO, with what it costs now, and changes it by parts. */
import type { Command } from 'commander';
import type { z } from 'zod';
import { policySchema } from '../../policy/core/policy-request.ts';
import { describePolicy } from '../../policy/core/policy-words.ts';
import {
  type Answer,
  ask,
  askAny,
  type DeploymentStatus,
  failWith,
  fetchStatus,
  type Target,
  targetOf,
} from '../ask/admin-client.ts';
import { type AskOptions, withAsk, withExample } from '../ask/options.ts';
import { CliError, formatMs, note, printJson, table } from '../ask/output.ts';

type PolicyOptions = AskOptions & {
  readonly automatic?: string;
  readonly maxLossMs?: string;
  readonly rpoMs?: string;
  readonly prefer?: string;
};
type Policy = z.output<typeof policySchema>;

/** As long as a gateway asks the agents of six regions, one after another. */
const changeTimeoutMs = 20_000;

function onOff(option: string, text: string): boolean {
  if (text === 'on' || text === 'off') return text === 'on';
  throw new CliError(`--${option} is on or off, not ${text}`);
}

function milliseconds(option: string, text: string, without: string): number | null {
  if (text === without) return null;
  if (!/^\d+$/.test(text))
    throw new CliError(`--${option} is a number of milliseconds or ${without}, not ${text}`);
  return Number(text);
}

function namesIn(text: string): readonly string[] {
  if (text === 'none') return [];
  return text
    .split(',')
    .map((name) => name.trim())
    .filter((name) => name !== '');
}

/** The fields that the options name; the others stay as they are. */
function changeIn({ automatic, maxLossMs, rpoMs, prefer }: PolicyOptions): object {
  return {
    ...(automatic !== undefined && { automatic: onOff('automatic', automatic) }),
    ...(maxLossMs !== undefined && { maxLossMs: milliseconds('max-loss-ms', maxLossMs, 'none') }),
    ...(rpoMs !== undefined && { rpoMs: milliseconds('rpo-ms', rpoMs, 'off') }),
    ...(prefer !== undefined && { prefer: namesIn(prefer) }),
  };
}

/** Setting the same twice does no harm: whoever does not answer is passed over. */
async function put(target: Target, change: object): Promise<Answer> {
  let last: Answer = { kind: 'unreachable', message: 'no gateway is known' };
  for (const base of [...target.gateways, ...target.agents]) {
    last = await ask(base, '/v1/policy', target.headers, change, changeTimeoutMs, 'PUT');
    if (last.kind === 'ok' || (last.kind === 'refused' && last.status !== 503)) return last;
  }
  return last;
}

async function policy(options: PolicyOptions): Promise<void> {
  const target = targetOf(options);
  const change = changeIn(options);
  const answer =
    Object.keys(change).length > 0
      ? await put(target, change)
      : await askAny([...target.gateways, ...target.agents], '/v1/policy', target.headers);
  if (answer.kind !== 'ok') failWith(answer);
  const parsed = policySchema.safeParse(answer.body);
  if (!parsed.success) throw new CliError('the gateway gave a policy that this version cannot read');
  if (options.json === true) return printJson(parsed.data);
  print(parsed.data);
  const status = await fetchStatus(target);
  if (status.kind !== 'ok') note('what it costs now is not known: nobody answers /v1/status');
  else for (const line of costNow(parsed.data, status.status)) console.log(line);
}

function print(given: Policy): void {
  console.log(
    table(
      ['OPTION', 'VALUE', 'MEANS'],
      describePolicy(given).map(({ option, value, meaning }) => [`--${option}`, value, meaning]),
    ),
  );
}

/** What an RPO costs at this moment: how far the others are, and who waits for them. */
function costNow({ rpoMs }: Policy, { regions, hold }: DeploymentStatus): readonly string[] {
  if (rpoMs === null) return [];
  const others = regions.filter(({ role }) => role !== 'primary');
  const behind = others.map(
    ({ name, role, lagMs }) =>
      `${name} ${role === 'offline' ? 'is not heard' : typeof lagMs === 'number' ? `is ${formatMs(lagMs)} behind` : 'is behind by an unknown time'}`,
  );
  const waits =
    hold === null || hold === undefined
      ? 'no answer waits for another region'
      : `${hold.answers} answers wait for another region, the first for ${formatMs(hold.forMs)}`;
  return [`now: ${behind.join(', ')}; ${waits}`];
}

export function addPolicyCommand(program: Command): void {
  withExample(
    withAsk(program.command('policy'))
      .description(
        'what is decided beforehand about failovers, and how far writes may run ahead of other regions; without options shows it',
      )
      .option('--automatic <on|off>', 'whether a failover begins by itself when the primary is lost')
      .option('--max-loss-ms <N|none>', 'the most writes that such a failover may lose, in milliseconds')
      .option(
        '--rpo-ms <N|off>',
        'answers wait while every secondary is further behind; 0: until one more region has the write durable',
      )
      .option(
        '--prefer <regions|none>',
        'regions to fail over to, the best first, of those that hold equally much',
      )
      .action(policy),
    'sextant policy --rpo-ms 0',
    'sextant policy --automatic on --max-loss-ms 1000 --prefer eu-west-1,ap-northeast-1',
  );
}
