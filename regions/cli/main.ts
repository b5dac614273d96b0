/** Assembles the commands and turns what goes wrong into one clear line and an exit code. */
import { styleText } from 'node:util';
import { Command, CommanderError } from 'commander';
import { endOnBrokenPipe, sextantVersion } from '../../telemetry/core.ts';
import { CertificateError } from '../certs/certificate-store.ts';
import { DeploymentError } from '../local/deployment-file.ts';
import { TransferError } from '../transfer/transfer-error.ts';
import { CliError } from './ask/output.ts';
import { addBackupCommands } from './backup/backup-commands.ts';
import { addRestoreCommand } from './backup/restore-command.ts';
import { addBranchCommands } from './branches/branch-commands.ts';
import { addCertsCommands } from './commands/certs-commands.ts';
import { addCompletionCommand } from './commands/completion-command.ts';
import { addControlCommands } from './commands/control-commands.ts';
import { addDeployCommands } from './commands/deploy-commands.ts';
import { addDoctorCommand } from './commands/doctor-command.ts';
import { addDrillCommands } from './commands/drill-commands.ts';
import { addFaultCommands } from './commands/fault-commands.ts';
import { addMoveCommands } from './commands/move-commands.ts';
import { addPolicyCommand } from './commands/policy-commands.ts';
import { addProcessCommands } from './commands/process-commands.ts';
import { addReadinessCommand } from './commands/readiness-command.ts';
import { addStatusCommand } from './commands/status-command.ts';
import { addTokenCommands } from './commands/token-commands.ts';
import { addUpCommands } from './commands/up-commands.ts';
import { addVerifierCommand } from './commands/verifier-command.ts';
import { addLossCommands } from './losses/loss-commands.ts';
import { addRegionCommands } from './membership/region-commands.ts';
import { addRewindCommand } from './rewind/rewind-command.ts';
import { addShellCommand } from './sql/shell-command.ts';
import { addSqlCommand } from './sql/sql-command.ts';
import { addTransferCommands } from './transfer/transfer-commands.ts';

/** All of `sextant`. */
export function buildProgram(): Command {
  const program = new Command('sextant')
    .description('An open, self-hosted global database gateway.')
    .version(sextantVersion)
    .showSuggestionAfterError()
    .addHelpText('after', '\nExample:\n  sextant up --detach && sextant sql us-east-1 "SELECT 1"');
  addUpCommands(program);
  addStatusCommand(program);
  addReadinessCommand(program);
  addSqlCommand(program);
  addShellCommand(program);
  addTransferCommands(program);
  addMoveCommands(program);
  addLossCommands(program);
  addPolicyCommand(program);
  addBranchCommands(program);
  addControlCommands(program);
  addDrillCommands(program);
  addBackupCommands(program);
  addRestoreCommand(program);
  addRewindCommand(program);
  addDeployCommands(program);
  addCertsCommands(program);
  addFaultCommands(program);
  addProcessCommands(program);
  addRegionCommands(program);
  addTokenCommands(program);
  addVerifierCommand(program);
  addDoctorCommand(program);
  addCompletionCommand(program);
  pointToHelp(program, program.name());
  return program;
}

/** A command line that cannot be read is answered with where to look, after what is wrong with it. */
function pointToHelp(command: Command, path: string): void {
  command.showHelpAfterError(`\`${path} --help\` says what it takes`);
  for (const inner of command.commands) pointToHelp(inner, `${path} ${inner.name()}`);
}

/** Prints an expected failure in one line, or as `{"error": …}` where JSON was asked for. */
function report(error: Error, json: boolean): void {
  const code = error instanceof CliError || error instanceof TransferError ? error.code : undefined;
  if (json) {
    console.error(JSON.stringify({ error: { code: code ?? null, message: error.message } }));
    return;
  }
  const label = styleText('red', 'error', { stream: process.stderr });
  console.error(`${label}: ${code === undefined ? '' : `${code}: `}${error.message}`);
}

/** Runs the command line `argv`. The process's exit code is 0 only when the command did what was asked. */
export async function main(argv: readonly string[]): Promise<void> {
  endOnBrokenPipe();
  try {
    await buildProgram().parseAsync([...argv]);
  } catch (error) {
    if (error instanceof CommanderError) {
      process.exitCode = error.exitCode;
    } else if (
      error instanceof CliError ||
      error instanceof TransferError ||
      error instanceof DeploymentError ||
      error instanceof CertificateError
    ) {
      report(error, argv.includes('--json'));
      process.exitCode = 1;
    } else {
      throw error;
    }
  }
}
