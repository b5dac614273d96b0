/** Faults on a local deployment: `node`, `region`, and `gateway|agent|storage`, which also run one process from a configuration. */
import type { Command } from 'commander';
import { rttMsMax } from '../../local/cables/core/wide-area.ts';
import { type Action, requestAction } from '../../local/control-socket.ts';
import { requireDeployment } from '../../local/deployment-file.ts';
import { gatewayDirectory, processOf } from '../../local/layout/core/gateway-places.ts';
import { controlSocket } from '../../local/layout/local-layout.ts';
import { unknownRegion } from '../ask/admin-client.ts';
import { type CommonOptions, withCommon, withExample } from '../ask/options.ts';
import { CliError, printJson } from '../ask/output.ts';
import { addReplaceCommand } from '../members/replace-command.ts';

/** What is struck by hand; drills know a few more. */
type Verb = Exclude<Action['action'], 'crash' | 'slow-disk'>;
const pastTense: Readonly<Record<Verb, string>> = {
  kill: 'killed',
  start: 'started',
  freeze: 'froze',
  thaw: 'thawed',
  wipe: 'wiped and started',
  isolate: 'isolated',
  heal: 'healed',
  'slow-link': 'slowed',
};

async function act(request: Action & { readonly action: Verb }, options: CommonOptions): Promise<void> {
  const { action } = request;
  const target = processOf(request.target);
  const deployment = requireDeployment(options.data);
  const [region = ''] = target.split('/');
  if (!deployment.regions.some((known) => known === region)) throw unknownRegion(region, deployment.regions);
  const result = await requestAction(controlSocket(options.data), { ...request, target });
  if ('error' in result) throw new CliError(result.error);
  if (options.json === true) printJson({ action, ...result });
  else if (result.changed.length === 0) console.log('nothing to do');
  else console.log(`${pastTense[action]} ${result.changed.join(', ')}`);
}

const nodeTarget = (target: string): string => {
  if (/^[^/]+\/[^/]+$/.test(target)) return target;
  throw new CliError(
    `a node is written region/node, such as us-east-1/n1 (\`sextant status\` lists them), not ${target}`,
  );
};
const regionTarget = (target: string): string => {
  if (!target.includes('/')) return target;
  throw new CliError(`a region is written by its name alone, such as us-east-1, not ${target}`);
};

function addedOf(text: string): number {
  const ms = Number(text);
  if (text.trim() !== '' && ms >= 0 && ms <= rttMsMax) return ms;
  throw new CliError(`--ms is a number of milliseconds from 0 to ${rttMsMax}, not ${text}`);
}

type FaultSpec = {
  readonly verb: Exclude<Verb, 'slow-link'>;
  readonly description: string;
};

function addFaults(
  parent: Command,
  faults: readonly FaultSpec[],
  argument: string,
  targetOf: (text: string) => string,
  example: string,
): void {
  for (const { verb, description } of faults) {
    withExample(
      withCommon(parent.command(verb).argument(argument))
        .description(description)
        .action((target: string, options: CommonOptions) =>
          act({ action: verb, target: targetOf(target) }, options),
        ),
      `sextant ${parent.name()} ${verb} ${example}`,
    );
  }
}

const killAndStart = (what: string): readonly FaultSpec[] => [
  { verb: 'kill', description: `SIGKILL ${what}; it stays down until \`start\`` },
  { verb: 'start', description: `start ${what} again` },
];
const freezeAndThaw = (what: string, also = ''): readonly FaultSpec[] => [
  { verb: 'freeze', description: `SIGSTOP ${what}` },
  { verb: 'thaw', description: `SIGCONT ${what}${also}` },
];

export function addFaultCommands(program: Command): void {
  const node = program
    .command('node')
    .description('kill, freeze or wipe a storage node of the local deployment, or replace one of any');
  addFaults(
    node,
    [
      ...killAndStart('a storage node'),
      ...freezeAndThaw('a storage node', ', and end what a drill has slowed its disk down by'),
      { verb: 'wipe', description: 'kill a storage node, delete its data and start it empty' },
    ],
    '<region/node>',
    nodeTarget,
    'us-east-1/n1',
  );

  addReplaceCommand(node);

  const region = program.command('region').description('kill or cut off a region of the local deployment');
  addFaults(
    region,
    [
      ...killAndStart('every process of a region, its NATS server too'),
      ...freezeAndThaw('every process of a region'),
      {
        verb: 'isolate',
        description: 'cut the network between a region and the others; its processes stay as they are',
      },
      { verb: 'heal', description: 'join an isolated region again, and take away what `slow` added' },
    ],
    '<region>',
    regionTarget,
    'eu-west-1',
  );

  withExample(
    withCommon(region.command('slow').argument('<region>'))
      .description('add to the round trip of every link between a region and the others, until `heal`')
      .requiredOption('--ms <n>', `how much, in milliseconds, up to ${rttMsMax}`)
      .action((name: string, options: CommonOptions & { readonly ms: string }) =>
        act({ action: 'slow-link', target: regionTarget(name), delayMs: addedOf(options.ms) / 2 }, options),
      ),
    'sextant region slow eu-west-1 --ms 300',
  );

  const one = (name: string) => (text: string) => `${regionTarget(text)}/${name}`;
  // Of several gateways one is named as in `sextant status`: us-east-1/g2.
  const gatewayTarget = (text: string): string => {
    const [name = '', gateway = 'g1', ...rest] = text.split('/');
    if (rest.length === 0 && /^g[1-9]$/.test(gateway)) return `${name}/${gatewayDirectory(gateway)}`;
    throw new CliError(`a gateway is written region/gateway, such as us-east-1/g2, not ${text}`);
  };
  const gateway = program.command('gateway').description('kill and start a gateway of a local region');
  addFaults(
    gateway,
    [...killAndStart('a gateway'), ...freezeAndThaw('a gateway')],
    '<region[/gateway]>',
    gatewayTarget,
    'us-east-1/g2',
  );
  const agent = program.command('agent').description('kill and start the agent of a local region');
  addFaults(agent, killAndStart("a region's agent"), '<region>', one('agent'), 'us-east-1');
}
