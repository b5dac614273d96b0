/** `sextant sql`: statements through a region's gateway, one after another in one session. */
import type { Command } from 'commander';
import { type AskOptions, withAsk, withExample } from '../ask/options.ts';
import { CliError, printJson } from '../ask/output.ts';
import { dialects } from './dialects.ts';
import { type BranchOptions, sessionFor, withBranch } from './open-session.ts';
import { answerAsJson, answerAsText } from './sql-answer.ts';

async function sql(region: string, text: string, options: AskOptions & BranchOptions): Promise<void> {
  const session = await sessionFor(region, options);
  const { statements, rest } = dialects[session.engine].split(text);
  const all = rest === '' ? statements : [...statements, rest];
  if (all.length === 0) throw new CliError('there is no statement to run');
  const printed: object[] = [];
  try {
    for (const statement of all) {
      const result = await session.execute(statement);
      if (options.json === true) printed.push(answerAsJson(result));
      else console.log(answerAsText(result));
    }
  } finally {
    await session.close();
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
