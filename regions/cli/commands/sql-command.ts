/** `sextant sql`: statements through a region's gateway, one after another in one session. */
import type { Command } from 'commander';
import { splitStatements } from '../../transfer/core/split-statements.ts';
import { type AskOptions, withAsk, withExample } from '../ask/options.ts';
import { CliError, printJson } from '../ask/output.ts';
import { type BranchOptions, resultAsJson, resultAsText, sessionFor, withBranch } from '../ask/sql-client.ts';

async function sql(region: string, text: string, options: AskOptions & BranchOptions): Promise<void> {
  const { statements, rest } = splitStatements(text);
  const all = rest === '' ? statements : [...statements, rest];
  if (all.length === 0) throw new CliError('there is no statement to run');
  const session = await sessionFor(region, options);
  const printed: object[] = [];
  try {
    for (const statement of all) {
      const result = await session.execute(statement);
      if (options.json === true) printed.push(resultAsJson(result));
      else console.log(resultAsText(result));
    }
  } finally {
    session.close();
  }
  if (options.json === true) printJson(printed.length === 1 ? printed[0] : printed);
}

export function addSqlCommand(program: Command): void {
  withExample(
    withBranch(withAsk(program.command('sql').argument('<region>').argument('<statement>')))
      .description("run SQL through a region's gateway")
      .action(sql),
    `sextant sql us-east-1 "SELECT count(*) FROM users"`,
    `sextant sql us-east-1 --branch dev "DELETE FROM users"`,
  );
}
