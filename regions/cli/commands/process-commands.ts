/** `sextant storage`, `agent`, `gateway`, `endpoint` and `nats`: one process of a deployment, in place of this one. */
import { chmodSync } from 'node:fs';
import type { Command } from 'commander';
import { keepCompiledCode, showProblem } from '../../../storage/index.ts';
import { natsConfigFile, natsConfigOfFile } from '../../deploy/nats-config.ts';
import { loadMachineFile } from '../../deploy/region-file.ts';
import { writeWhole } from '../../deploy/write-files.ts';
import { findNatsServer } from '../../nats/nats-server.ts';
import { withExample } from '../ask/options.ts';
import { CliError, note } from '../ask/output.ts';
import { programs } from './up-commands.ts';

/** This process becomes `command`, under the same pid: signals and limits of a service manager reach it. */
function become(command: string, args: readonly string[]): never {
  if (process.execve === undefined) throw new CliError('this system cannot replace one program by another');
  // Node.js would say that this is experimental, once a start.
  process.removeAllListeners('warning');
  // What ends by execve leaves nothing behind by itself: the next start compiles this command again.
  keepCompiledCode();
  process.execve(command, [command, ...args], process.env);
  throw new CliError(`${command} could not be run`);
}

const becomeNode = (program: readonly string[], args: readonly string[]): never =>
  become(process.execPath, [...program, ...args]);

interface NatsOptions {
  readonly config: string;
  readonly print?: boolean;
}

async function nats({ config: file, print }: NatsOptions): Promise<void> {
  const loaded = loadMachineFile(file);
  if (loaded.kind === 'invalid') throw new CliError(loaded.message);
  const server = await findNatsServer(undefined, { onProgress: note, fetch: true });
  if ('error' in server) throw new CliError(server.error);
  const made = natsConfigOfFile(loaded.value, server.version);
  if (made.kind === 'invalid') throw new CliError(made.found.map(showProblem).join('\n'));
  if (print === true) {
    console.log(made.config);
    return;
  }
  const path = natsConfigFile(made.dir);
  writeWhole(path, made.config);
  chmodSync(made.dir, 0o700);
  become(server.path, ['-c', path]);
}

const configOption = '--config <file>';
const jsonOption = ['--json', 'accepted everywhere; processes log JSON anyway'] as const;

/** `gateway` and `agent` are also what `kill` and `start` of a local deployment stand below. */
function commandOf(program: Command, name: string, description: string): Command {
  const known = program.commands.find((command) => command.name() === name);
  return known === undefined
    ? program.command(name).description(description)
    : known.description(`${description}; or one of a deployment on this machine`);
}

interface ProcessOptions {
  readonly config?: string;
  readonly node?: string;
  readonly name?: string;
}

/** Hands the options on to the process's own program, which refuses what is missing. */
function handOn(program: readonly string[], { config, node, name }: ProcessOptions): never {
  if (config === undefined)
    throw new CliError('--config FILE names the file of a region, or of this process');
  const given = Object.entries({ config, node, name });
  return becomeNode(
    program,
    given.flatMap(([option, value]) => (value === undefined ? [] : [`--${option}`, value])),
  );
}

/** After the commands of faults: two of them share their names. */
export function addProcessCommands(program: Command): void {
  withExample(
    program
      .command('storage')
      .description('run one storage node, from the file of its region or its own')
      .option(configOption, 'the file')
      .option(...jsonOption)
      .option('--node <name>', 'which node of the region')
      .action((options: ProcessOptions) => handOn(programs.storage, options)),
    'sextant storage --config region.yaml --node n1',
  );
  withExample(
    commandOf(program, 'agent', "run a region's agent, from the file of its region or its own")
      .option(configOption, 'the file')
      .option(...jsonOption)
      .action((options: ProcessOptions) => handOn(programs.agent, options)),
    'sextant agent --config region.yaml',
  );
  withExample(
    commandOf(program, 'gateway', 'run one gateway, from the file of its region or its own')
      .option(configOption, 'the file')
      .option(...jsonOption)
      .option('--name <name>', 'which gateway of the region, where there are several')
      .action((options: ProcessOptions) => handOn(programs.gateway, options)),
    'sextant gateway --config region.yaml --name g1',
  );
  withExample(
    program
      .command('endpoint')
      .description('run the endpoints of a region, from its file: one address for all gateways')
      .option(configOption, 'the file')
      .option(...jsonOption)
      .action((options: ProcessOptions) => handOn(programs.endpoint, options)),
    'sextant endpoint --config region.yaml',
  );
  withExample(
    program
      .command('nats')
      .description("run a region's NATS server, with a configuration made of the file of its region")
      .requiredOption(configOption, 'the file of a region, or of a witness')
      .option(...jsonOption)
      .option('--print', 'print the configuration, which holds secrets, and run nothing')
      .action(nats),
    'sextant nats --config region.yaml',
  );
}
