/** `sextant shell`: an interactive SQL shell on a region's gateway. What is piped in runs as a script. */
import { createInterface, type Interface } from 'node:readline';
import type { Command } from 'commander';
import { type AskOptions, withAsk, withExample } from '../ask/options.ts';
import { CliError, formatMs, paint, printJson } from '../ask/output.ts';
import { type Dialect, dialects } from './dialects.ts';
import { type BranchOptions, sessionFor, withBranch } from './open-session.ts';
import { historyFile, readHistory, writeHistory } from './shell-history.ts';
import { answerAsJson, answerAsText, type SqlSession } from './sql-answer.ts';
import { completionsOf } from './sql-words.ts';

const help = `Statements end with a semicolon and may span lines. Tab completes; the arrow keys bring back what was typed before.
  .tables            names of all tables and views
  .schema [name]     their definitions
  .mode table|json   how results are printed
  .timer on|off      how long each statement took
  .help              this
  .quit              leave (or Ctrl-D)`;
const dotCommands = ['.tables', '.schema', '.mode', '.timer', '.help', '.quit'];

const changesNames = /^\s*(?:create|drop|alter|rollback)\b/i;

class Shell {
  private readonly session: SqlSession;
  readonly dialect: Dialect;
  private json: boolean;
  private timed = false;
  private names: readonly string[] | null = null;
  /** False once a statement has failed: a script that was piped in has to be told. */
  succeeded = true;

  constructor(session: SqlSession, json: boolean) {
    this.session = session;
    this.dialect = dialects[session.engine];
    this.json = json;
  }

  async run(statement: string): Promise<void> {
    const startedAtMs = performance.now();
    try {
      const result = await this.session.execute(statement);
      if (changesNames.test(statement)) this.names = null;
      if (this.json) printJson(answerAsJson(result));
      else console.log(answerAsText(result));
    } catch (error) {
      if (!(error instanceof CliError)) throw error;
      this.succeeded = false;
      const code = error.code === undefined ? '' : `${error.code}: `;
      console.error(paint('red', `${code}${error.message}`));
    }
    if (this.timed) console.log(paint('dim', formatMs(performance.now() - startedAtMs)));
  }

  /** @returns whether the shell goes on. */
  async command(line: string): Promise<boolean> {
    const [command, argument] = line.split(/\s+/);
    switch (command) {
      case '.quit':
      case '.exit':
        return false;
      case '.tables':
        await this.run(this.dialect.tables);
        return true;
      case '.schema':
        for (const statement of this.dialect.schema(argument)) await this.run(statement);
        return true;
      case '.mode':
        if (argument === 'table' || argument === 'json') this.json = argument === 'json';
        else console.log('.mode is table or json');
        return true;
      case '.timer':
        if (argument === 'on' || argument === 'off') this.timed = argument === 'on';
        else console.log('.timer is on or off');
        return true;
      default:
        console.log(command === '.help' ? help : `no command ${command}; .help lists them`);
        return true;
    }
  }

  async complete(line: string): Promise<[string[], string]> {
    const isDotCommand = line.startsWith('.') && !line.includes(' ');
    if (this.names === null && !isDotCommand) {
      const found = await this.session.execute(this.dialect.names).catch(() => null);
      this.names = found?.rows.map(([name]) => name?.text ?? '') ?? [];
    }
    const [candidates, word] = completionsOf(line, this.names ?? [], dotCommands);
    return [[...candidates], word];
  }
}

function open(shell: Shell, isInteractive: boolean): Interface {
  if (!isInteractive) return createInterface({ input: process.stdin });
  const file = historyFile();
  const lines = createInterface({
    input: process.stdin,
    output: process.stdout,
    history: readHistory(file),
    historySize: 1_000,
    removeHistoryDuplicates: true,
    completer: (line: string, done: (error: null, result: [string[], string]) => void) =>
      void shell.complete(line).then((result) => done(null, result)),
  });
  lines.on('history', (typed) => writeHistory(file, typed));
  return lines;
}

type ShellOptions = AskOptions & BranchOptions & { readonly bail?: boolean };

async function shell(region: string, options: ShellOptions): Promise<void> {
  const name = options.branch === undefined ? region : `${region}/${options.branch}`;
  const session = await sessionFor(region, options);
  const isInteractive = process.stdin.isTTY === true && process.stdout.isTTY === true;
  const running = new Shell(session, options.json === true);
  const lines = open(running, isInteractive);
  const isOver = (): boolean => options.bail === true && !running.succeeded;
  let pending = '';
  const prompt = (): void => {
    const more = `${' '.repeat(Math.max(0, name.length - 3))}...> `;
    lines.setPrompt(pending === '' ? `${name}> ` : more);
    if (isInteractive) lines.prompt();
  };
  // Ctrl-C drops the statement being typed, as in other shells; a second one on an empty line leaves.
  lines.on('SIGINT', () => {
    if (pending === '' && lines.line === '') lines.close();
    pending = '';
    if (isInteractive) process.stdout.write('\n');
    prompt();
  });
  if (isInteractive) console.log(`${name}: statements end with a semicolon; .help for more`);
  prompt();
  for await (const line of lines) {
    const trimmed = line.trim();
    if (pending === '' && trimmed.startsWith('.')) {
      if (!(await running.command(trimmed))) break;
    } else {
      const { statements, rest } = running.dialect.split(`${pending}${line}\n`);
      for (const statement of statements) if (!isOver()) await running.run(statement);
      if (isOver()) break;
      pending = rest === '' ? '' : `${rest}\n`;
    }
    prompt();
  }
  lines.close();
  if (!isInteractive && !isOver() && pending.trim() !== '') await running.run(pending);
  await session.close();
  // A person saw the errors pass.
  if (!isInteractive && !running.succeeded) process.exitCode = 1;
}

export function addShellCommand(program: Command): void {
  withExample(
    withBranch(withAsk(program.command('shell').argument('<region>')))
      .description("an interactive SQL shell on a region's gateway")
      .option('--bail', 'end at the first statement that fails; what its transaction had done is undone')
      .action(shell),
    'sextant shell eu-west-1',
    'sextant shell eu-west-1 --branch dev',
    'sextant shell eu-west-1 --bail < script.sql',
  );
}
