/** `sextant init` and `sextant config check`: the files that a deployment runs from. */
import { relative } from 'node:path';
import { createInterface, type Interface } from 'node:readline/promises';
import type { Command } from 'commander';
import { clusterSchema, showProblem } from '../../../storage/index.ts';
import { regionsSchema } from '../../deploy/agent-config.ts';
import { checkFiles } from '../../deploy/check-files.ts';
import { gatewaysMax, initBasePortMax } from '../../deploy/core/deployment-plan.ts';
import { type EngineKind, engineKinds } from '../../deploy/core/engine-kinds.ts';
import { natsTopology, witness } from '../../deploy/core/nats-topology.ts';
import { type InitRequest, initialize } from '../../deploy/initialize.ts';
import { defaultBasePort, defaultDataDir } from '../../local/data-directory.ts';
import { targetOf } from '../ask/admin-client.ts';
import { type AskOptions, withExample } from '../ask/options.ts';
import { CliError, note, paint, printJson } from '../ask/output.ts';
import { askMembers, membersIn } from '../members/replace-command.ts';
import { addFileCommands } from '../membership/file-commands.ts';
import { programs } from './up-commands.ts';

interface InitOptions {
  readonly cluster?: string;
  readonly regions?: string;
  readonly host: readonly string[];
  readonly machine: readonly string[];
  readonly basePort: string;
  readonly gateways: string;
  /** Undefined where nothing was said. */
  readonly endpoints?: boolean;
  readonly engine: string;
  readonly dataDir: string;
  readonly dir?: string;
  readonly force?: boolean;
  readonly json?: boolean;
}

const collect = (value: string, before: readonly string[]): readonly string[] => [...before, value];

/** `name=address`, as options give them. */
function hostsOf(pairs: readonly string[], option: string): readonly (readonly [string, string])[] {
  return pairs.map((pair) => {
    const [, name, host] = /^([a-z0-9-]+)=(\S+)$/.exec(pair) ?? [];
    if (name === undefined || host === undefined)
      throw new CliError(`${option} is NAME=ADDRESS, such as us-east-1=10.0.0.1, not ${pair}`);
    return [name, host.replace(/^\[(.*)\]$/, '$1')];
  });
}

function countOf(text: string, option: string, max: number): number {
  const count = Number(text);
  if (!Number.isInteger(count) || count < 1 || count > max)
    throw new CliError(`${option} is a number from 1 to ${max}`);
  return count;
}

const namesOf = (text: string): readonly string[] => text.split(',').map((name) => name.trim());

/** What was not said, asked of whoever sits at the terminal. @throws CliError where nobody does. */
async function completed(options: InitOptions): Promise<InitOptions> {
  const missing = (['cluster', 'regions'] as const).filter((key) => options[key] === undefined);
  const isAsked = process.stdin.isTTY === true && process.stderr.isTTY === true && options.json !== true;
  if (!isAsked) {
    if (missing.length > 0)
      throw new CliError(
        `say ${missing.map((key) => `--${key}`).join(' and ')}, or run this in a terminal, where it asks`,
      );
    return options;
  }
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  try {
    const cluster = options.cluster ?? (await terminal.question('Name of the deployment: ')).trim();
    const regions =
      options.regions ??
      (await terminal.question('Regions, the first is primary (us-east-1,eu-west-1,…): ')).trim();
    const host = await askHosts(terminal, namesOf(regions), options);
    const endpoints = options.endpoints ?? (await askEndpoints(terminal, options));
    return { ...options, cluster, regions, host, endpoints };
  } finally {
    terminal.close();
  }
}

async function askEndpoints(terminal: Interface, options: InitOptions): Promise<boolean> {
  const byDefault = hasEndpoints(options);
  const question = `Endpoints, one address in each region for all its gateways (${byDefault ? 'Y/n' : 'y/N'}): `;
  const answer = (await terminal.question(question)).trim().toLowerCase();
  if (answer === '') return byDefault;
  if (!['y', 'yes', 'n', 'no'].includes(answer)) throw new CliError(`yes or no, not ${answer}`);
  return answer.startsWith('y');
}

/** Where there is one gateway, clients connect to that. */
const hasEndpoints = ({ endpoints, gateways }: InitOptions): boolean => endpoints ?? Number(gateways) > 1;

async function askHosts(
  terminal: Interface,
  regions: readonly string[],
  { host, machine }: InitOptions,
): Promise<readonly string[]> {
  const named = [...host, ...machine].map((pair) => pair.split('=')[0] ?? '');
  const hosts = [...host];
  for (const server of natsTopology(regions).servers) {
    if (named.some((name) => name === server || name.startsWith(server))) continue;
    const what = server === witness ? 'the third vote, which two regions need' : `region ${server}`;
    hosts.push(`${server}=${(await terminal.question(`Address of the machine of ${what}: `)).trim()}`);
  }
  return hosts;
}

function engineOf(text: string): EngineKind {
  const engine = engineKinds.find((kind) => kind === text);
  if (engine === undefined) throw new CliError(`--engine is ${engineKinds.join(' or ')}, not ${text}`);
  return engine;
}

function requestOf(options: InitOptions): InitRequest {
  const cluster = clusterSchema.safeParse(options.cluster);
  if (!cluster.success) throw new CliError(`--cluster: ${cluster.error.issues[0]?.message}`);
  const regions = regionsSchema.safeParse(namesOf(options.regions ?? ''));
  if (!regions.success) throw new CliError(`--regions: ${regions.error.issues[0]?.message}`);
  const hosts = [...hostsOf(options.host, '--host'), ...hostsOf(options.machine, '--machine')];
  return {
    cluster: cluster.data,
    regions: regions.data,
    hosts: Object.fromEntries(hosts),
    dataDir: options.dataDir,
    basePort: countOf(options.basePort, '--base-port', initBasePortMax),
    gateways: countOf(options.gateways, '--gateways', gatewaysMax),
    endpoints: hasEndpoints(options),
    engine: engineOf(options.engine),
    dir: options.dir ?? `sextant-${cluster.data}`,
    force: options.force === true,
  };
}

async function init(given: InitOptions): Promise<void> {
  const result = await initialize(requestOf(await completed(given)));
  if (result.kind === 'refused') throw new CliError(result.reason);
  const { files, authority, operator, tokenKey, postgres } = result;
  if (given.json === true)
    return printJson({ files, authority, operator, tokenKey, ...(postgres !== null && { postgres }) });
  for (const { name, file } of files) console.log(`${relative('.', file)}   ${name}`);
  note(
    `each folder goes to its machine: it holds the file, the secrets and the certificates, for its owner alone`,
  );
  note(`${relative('.', authority)} stays with you: who has it can make certificates and tokens`);
  if (postgres !== null) {
    const { user, passwordFile, addresses, authorityFile } = postgres;
    const query = `sslmode=verify-full&sslrootcert=${relative('.', authorityFile)}`;
    note(`${relative('.', passwordFile)} is the password of ${user}, the first user of PostgreSQL clients:`);
    note(
      `  PGPASSWORD=$(cat ${relative('.', passwordFile)}) psql 'postgres://${user}@${addresses[0] ?? ''}/main?${query}'`,
    );
    note('more users: sextant postgres-verifier NAME, into postgres.users of every gateway');
  }
  note(
    `check the files with: sextant config check ${files.map(({ file }) => relative('.', file)).join(' ')}`,
  );
}

type CheckOptions = Partial<AskOptions>;

async function check(files: readonly string[], options: CheckOptions): Promise<void> {
  const { json, url } = options;
  const target = url === undefined ? null : targetOf({ ...options, data: defaultDataDir });
  const { problems, absent } = await checkFiles(files, programs.gateway, async (region) =>
    target === null ? null : membersIn(await askMembers(target, region)),
  );
  if (json === true) printJson({ ok: problems.length === 0, problems, absent });
  else {
    for (const problem of problems) console.error(`${paint('red', 'error')}: ${showProblem(problem)}`);
    if (absent.length > 0 && files.length > 1) note(`not among these files: ${absent.join(', ')}`);
    if (problems.length === 0) console.log(`${files.map((file) => relative('.', file)).join(', ')}: ok`);
  }
  if (problems.length > 0) process.exitCode = 1;
}

export function addDeployCommands(program: Command): void {
  withExample(
    program
      .command('init')
      .description(
        'write the files of a deployment on machines of its own: one folder for each region, with its secrets and certificates',
      )
      .option('--cluster <name>', 'name of the deployment')
      .option('--regions <names>', 'up to six, the first is the primary of the new deployment')
      .option(
        '--host <region=address>',
        'the machine of a region, or of the witness; repeatable',
        collect,
        [],
      )
      .option(
        '--machine <zone=address>',
        'the machine of one zone, such as us-east-1a; repeatable',
        collect,
        [],
      )
      .option('--base-port <port>', 'first of the ports on each machine', String(defaultBasePort))
      .option('--gateways <n>', `gateways in each region, at most ${gatewaysMax}`, '1')
      .option(
        '--endpoints',
        'one address in each region for all its gateways, and one for those that read (default: with more than one gateway)',
      )
      .option('--no-endpoints', 'clients connect to gateways')
      .option(
        '--engine <name>',
        'what keeps the databases: sqlite, for libSQL clients, or postgres, for PostgreSQL clients',
        'sqlite',
      )
      .option('--data-dir <dir>', 'where machines keep their data', '/var/lib/sextant')
      .option('--dir <dir>', 'where the folders are made (default: sextant-<cluster>)')
      .option('--force', 'write files anew that are there; secrets and the authority stay')
      .option('--json', 'print JSON')
      .action(init),
    'sextant init --cluster shop --regions us-east-1,eu-west-1,ap-northeast-1 \\',
    '  --host us-east-1=10.0.0.1 --host eu-west-1=10.0.0.2 --host ap-northeast-1=10.0.0.3',
  );
  const config = program.command('config').description('the files that a deployment runs from');
  addFileCommands(config);
  withExample(
    config
      .command('check')
      .argument('<files...>', 'files of regions, and of a witness')
      .description('check files as the processes would that run from them, and several against each other')
      .option('--json', 'print JSON')
      .option(
        '--url <url>',
        'a gateway of the deployment that runs: whether its storage nodes are those of the files',
      )
      .option('--token <jwt>', 'client token for that gateway ($SEXTANT_TOKEN)')
      .option('--identity <dir>', "an operator's certificate ($SEXTANT_IDENTITY)")
      .action(check),
    'sextant config check us-east-1/region.yaml eu-west-1/region.yaml',
    'sextant config check us-east-1/region.yaml --url https://gateway.example:7011',
  );
}
