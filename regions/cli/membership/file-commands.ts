/** `sextant config add-region|remove-region`: the files of a deployment on machines of its own, when regions come and go. */
import { relative } from 'node:path';
import type { Command } from 'commander';
import { regionSchema } from '../../../storage/index.ts';
import { addRegionFiles, type FilesChanged, removeRegionFiles } from '../../deploy/change-files.ts';
import { gatewaysMax, initBasePortMax } from '../../deploy/core/deployment-plan.ts';
import { hostNamesOf } from '../../deploy/core/region-addition.ts';
import { defaultBasePort } from '../../local/data-directory.ts';
import { withExample } from '../ask/options.ts';
import { CliError, printJson } from '../ask/output.ts';

interface FilesOptions {
  readonly dir: string;
  readonly json?: boolean;
}
interface AddOptions extends FilesOptions {
  readonly host?: string;
  readonly machine: readonly string[];
  readonly gateways: string;
  readonly basePort: string;
  readonly dataDir: string;
}

const collect = (value: string, before: readonly string[]): readonly string[] => [...before, value];

function countOf(text: string, option: string, min: number, max: number): number {
  const count = Number(text);
  if (text.trim() === '' || !Number.isInteger(count) || count < min || count > max)
    throw new CliError(`${option} is a number from ${min} to ${max}, not ${text}`);
  return count;
}

function nameOf(region: string): string {
  const parsed = regionSchema.safeParse(region);
  if (!parsed.success) throw new CliError(`${region}: ${parsed.error.issues[0]?.message}`);
  return parsed.data;
}

/** Hosts of the region and of its zones. */
function hostsOf(region: string, { host, machine }: AddOptions): Readonly<Record<string, string>> {
  const zones = machine.map((pair) => {
    const [, name, address] = /^([a-z0-9-]+)=(\S+)$/.exec(pair) ?? [];
    if (name === undefined || address === undefined || !hostNamesOf(region).includes(name))
      throw new CliError(
        `--machine is ZONE=ADDRESS, of ${hostNamesOf(region).slice(1).join(', ')}, not ${pair}`,
      );
    return [name, address] as const;
  });
  return Object.fromEntries([...(host === undefined ? [] : [[region, host] as const]), ...zones]);
}

function printed(result: FilesChanged, steps: readonly string[], { json }: FilesOptions): void {
  if (result.kind === 'refused') throw new CliError(result.reason);
  const { file, edited, certified, cluster, regions } = result;
  if (json === true) {
    printJson({ cluster, regions, file, edited, certified, steps });
    return;
  }
  if (file !== null) console.log(`${relative('.', file)}   written`);
  for (const one of edited) console.log(`${relative('.', one)}   regions: ${regions.join(', ')}`);
  for (const one of certified)
    console.log(`${one}   its gateways' certificates name the endpoints of the region that comes`);
  console.log(['then, in this order:', ...steps.map((step, index) => `  ${index + 1}. ${step}`)].join('\n'));
}

async function addRegion(given: string, options: AddOptions): Promise<void> {
  const region = nameOf(given);
  const result = await addRegionFiles(options.dir, {
    region,
    hosts: hostsOf(region, options),
    dataDir: options.dataDir,
    basePort: countOf(options.basePort, '--base-port', 1, initBasePortMax),
    gateways: countOf(options.gateways, '--gateways', 0, gatewaysMax),
  });
  printed(
    result,
    [
      `copy the folder ${region} to its machine as /etc/sextant, and start its processes there: NATS, storage nodes, agent, gateways`,
      `sextant region add ${region}   (it waits until ${region} has everything)`,
      ...(result.kind === 'changed' && result.certified.length > 0
        ? [
            `copy certs/ of ${result.certified.join(', ')} to the machines there: gateways read their certificates by themselves`,
          ]
        : []),
      'copy the changed region.yaml to the machines of the other regions: they read it at their next start, and nothing has to be started again now',
    ],
    options,
  );
}

async function removeRegion(
  given: string,
  options: FilesOptions & { readonly voteAt?: string },
): Promise<void> {
  const region = nameOf(given);
  const { voteAt } = options;
  const result = await removeRegionFiles(options.dir, { region, voteAt });
  const votes = result.kind === 'changed' && result.file !== null;
  const there = voteAt ?? `the machine of ${region}`;
  printed(
    result,
    [
      `sextant region remove ${region}   (or \`region detach\`), if that is not done yet`,
      `stop the gateways, the agent and the storage nodes of ${region}${votes ? '' : ', and its NATS server'}`,
      ...(votes
        ? [
            `its NATS server keeps a copy of the control record: put ${region}/witness.yaml (with its secrets and certificates) on ${there} as /etc/sextant/region.yaml, and ` +
              `start sextant-nats there again. Do this to one voter at a time, while both others run`,
          ]
        : []),
      'copy the changed region.yaml to the machines of the other regions' +
        (voteAt === undefined
          ? ': they read it at their next start'
          : ', and start sextant-nats there again, one after another'),
    ],
    options,
  );
}

const withFiles = (command: Command): Command =>
  command.requiredOption('--dir <dir>', 'the folder that `sextant init` made').option('--json', 'print JSON');

export function addFileCommands(config: Command): void {
  withExample(
    withFiles(config.command('add-region').argument('<region>'))
      .description(
        'write the folder of a region that comes, and name it in the files of the others; comments stay',
      )
      .option('--host <address>', 'the machine of the region')
      .option('--machine <zone=address>', 'the machine of one zone; repeatable', collect, [])
      .option('--gateways <n>', 'gateways of the region; 0 makes it headless', '1')
      .option(
        '--base-port <port>',
        'first of its ports; where they are taken, the next that are free',
        String(defaultBasePort),
      )
      .option('--data-dir <dir>', 'where its machines keep their data', '/var/lib/sextant')
      .action(addRegion),
    'sextant config add-region sa-east-1 --host 10.0.0.4 --dir sextant-shop',
  );
  withExample(
    withFiles(config.command('remove-region').argument('<region>'))
      .description('take a region out of the files of the others; where its NATS server votes, that goes on')
      .option('--vote-at <address>', 'another machine for that vote, when its own is lost')
      .action(removeRegion),
    'sextant config remove-region sa-east-1 --dir sextant-shop',
  );
}
