/** `sextant storage`, `agent`, `gateway` and `nats`: one process of a deployment, in place of this one. */
import { chmodSync } from 'node:fs';
import type { Command } from 'commander';
import { showProblem } from '../../../storage/index.ts';
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
  const server = await findNatsServer(undefined, note);
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

export function addProcessCommands(program: Command): void {
  withExample(
    program
      .command('storage')
      .description('run one storage node, from the file of its region or its own')
      .requiredOption(configOption, 'the file')
      .option('--node <name>', 'which node of the region')
      .action(({ config, node }: { readonly config: string; readonly node?: string }) =>
        becomeNode(programs.storage, ['--config', config, ...(node === undefined ? [] : ['--node', node])]),
      ),
    'sextant storage --config region.yaml --node n1',
  );
  withExample(
    program
      .command('agent')
      .description("run a region's agent, from the file of its region or its own")
      .requiredOption(configOption, 'the file')
      .action(({ config }: { readonly config: string }) => becomeNode(programs.agent, ['--config', config])),
    'sextant agent --config region.yaml',
  );
  withExample(
    program
      .command('gateway')
      .description('run one gateway, from the file of its region or its own')
      .requiredOption(configOption, 'the file')
      .option('--name <name>', 'which gateway of the region, where there are several')
      .action(({ config, name }: { readonly config: string; readonly name?: string }) =>
        becomeNode(programs.gateway, ['--config', config, ...(name === undefined ? [] : ['--name', name])]),
      ),
    'sextant gateway --config region.yaml --name g1',
  );
  withExample(
    program
      .command('nats')
      .description("run a region's NATS server, with a configuration made of the file of its region")
      .requiredOption(configOption, 'the file of a region, or of a witness')
      .option('--print', 'print the configuration, which holds secrets, and run nothing')
      .action(nats),
    'sextant nats --config region.yaml',
  );
}
