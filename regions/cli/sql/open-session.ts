/** A session on the gateway of a region, with the client that its databases need. */
import type { Command } from 'commander';
import { isBranchName, mainBranch } from '../../../storage/core.ts';
import { gatewayOf, type TargetOptions, targetOf } from '../ask/admin-client.ts';
import { CliError } from '../ask/output.ts';
import { postgresOf } from '../ask/postgres-place.ts';
import { LibsqlSession } from './libsql-session.ts';
import { PostgresSession } from './postgres-session.ts';
import type { SqlSession } from './sql-answer.ts';

/** @throws CliError when no branch can have that name. */
export function checkBranchName(text: string): void {
  if (!isBranchName(text))
    throw new CliError(`--branch is the name of a branch, 1 to 63 of a-z, 0-9 and -; not ${text}`);
}

/** Which database the statements are for. */
export interface BranchOptions {
  /** Left out: main. */
  readonly branch?: string;
}

/** The option that says so. */
export const withBranch = (command: Command): Command =>
  command.option('--branch <name>', 'a branch (sextant branch list); main without it');

/** A session on the gateway of `region` in the deployment that the options name. @throws CliError where it is no name of a branch. */
export async function sessionFor(
  region: string,
  options: TargetOptions & BranchOptions,
): Promise<SqlSession> {
  const { branch } = options;
  if (branch !== undefined) checkBranchName(branch);
  const target = targetOf(options);
  const gateway = await gatewayOf(target, region);
  const postgres = await postgresOf(target, region, gateway);
  if (postgres !== null) return new PostgresSession({ ...postgres, database: branch ?? mainBranch });
  const path = branch === undefined ? '' : `/branch/${branch}/`;
  return new LibsqlSession(`${gateway.replace(/\/$/, '')}${path}`, target.clientToken);
}
