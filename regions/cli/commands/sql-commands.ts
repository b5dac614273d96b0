/** `sextant sql` and `sextant shell`: SQL through a region's gateway. */
import { createInterface } from 'node:readline/promises';
import type { Command } from 'commander';
import { gatewayOf, targetOf } from '../ask/admin-client.ts';
import { type AskOptions, withAsk, withExample } from '../ask/options.ts';
import { CliError, paint, printJson } from '../ask/output.ts';
import { splitStatements } from '../ask/split-statements.ts';
import { resultAsJson, resultAsText, SqlSession } from '../ask/sql-client.ts';

async function sessionFor(region: string, options: AskOptions): Promise<SqlSession> {
  const target = targetOf(options);
  return new SqlSession(await gatewayOf(target, region), target.clientHeaders);
}

async function sql(region: string, text: string, options: AskOptions): Promise<void> {
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
    await session.close();
  }
  if (options.json === true) printJson(printed.length === 1 ? printed[0] : printed);
}

const shellHelp = `Statements end with a semicolon and may span lines. Also:
  .tables            names of all tables and views
  .schema [name]     their definitions
  .help              this
  .quit              leave (or Ctrl-D)`;

const quoted = (text: string): string => `'${text.replaceAll("'", "''")}'`;

/** The statement a dot command stands for, or undefined when there is no such command. */
function dotStatement(line: string): string | undefined {
  const [command, name] = line.split(/\s+/);
  if (command === '.tables') {
    return "SELECT name, type FROM sqlite_schema WHERE type IN ('table','view') AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name";
  }
  if (command === '.schema') {
    const one = name === undefined ? '' : ` AND tbl_name = ${quoted(name)}`;
    return `SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL${one} ORDER BY rowid`;
  }
  return undefined;
}

async function runInShell(session: SqlSession, statement: string, json: boolean): Promise<boolean> {
  try {
    const result = await session.execute(statement);
    if (json) printJson(resultAsJson(result));
    else console.log(resultAsText(result));
    return true;
  } catch (error) {
    if (!(error instanceof CliError)) throw error;
    console.error(paint('red', error.code === undefined ? error.message : `${error.code}: ${error.message}`));
    return false;
  }
}

async function shell(region: string, options: AskOptions): Promise<void> {
  const session = await sessionFor(region, options);
  const interactive = process.stdin.isTTY === true && process.stdout.isTTY === true;
  const lines = createInterface({
    input: process.stdin,
    ...(interactive && { output: process.stdout, historySize: 1_000 }),
  });
  const json = options.json === true;
  const prompt = (pending: string) => {
    lines.setPrompt(pending === '' ? `${region}> ` : `${' '.repeat(Math.max(0, region.length - 3))}...> `);
    if (interactive) lines.prompt();
  };
  let pending = '';
  let succeeded = true;
  // Ctrl-C drops the statement being typed, as in other shells; a second one on an empty line leaves.
  lines.on('SIGINT', () => {
    if (pending === '' && lines.line === '') lines.close();
    pending = '';
    if (interactive) process.stdout.write('\n');
    prompt(pending);
  });
  if (interactive) console.log(`${region}: statements end with a semicolon; .help for more`);
  prompt(pending);
  for await (const line of lines) {
    const trimmed = line.trim();
    if (pending === '' && trimmed.startsWith('.')) {
      if (trimmed === '.quit' || trimmed === '.exit') break;
      const statement = dotStatement(trimmed);
      if (statement !== undefined) succeeded = (await runInShell(session, statement, json)) && succeeded;
      else console.log(trimmed === '.help' ? shellHelp : `no command ${trimmed}; .help lists them`);
    } else {
      const { statements, rest } = splitStatements(`${pending}${line}\n`);
      for (const statement of statements)
        succeeded = (await runInShell(session, statement, json)) && succeeded;
      pending = rest === '' ? '' : `${rest}\n`;
    }
    prompt(pending);
  }
  lines.close();
  if (!interactive && pending.trim() !== '')
    succeeded = (await runInShell(session, pending, json)) && succeeded;
  await session.close();
  // A person saw the errors pass; a script that was piped in has to be told.
  if (!interactive && !succeeded) process.exitCode = 1;
}

export function addSqlCommands(program: Command): void {
  withExample(
    withAsk(program.command('sql').argument('<region>').argument('<statement>'))
      .description("run SQL through a region's gateway")
      .action(sql),
    `sextant sql us-east-1 "SELECT count(*) FROM users"`,
  );
  withExample(
    withAsk(program.command('shell').argument('<region>'))
      .description("an interactive SQL shell on a region's gateway")
      .action(shell),
    'sextant shell eu-west-1',
  );
}
