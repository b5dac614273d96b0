/** Reads a password: from a terminal without showing it, twice, or from what is piped in. Never from arguments, which others can see. */
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline/promises';
import { Writable } from 'node:stream';
import { CliError } from './output.ts';

const charactersMax = 1_024;

/** @throws CliError when there is none, it is too long, or what was typed twice differs. */
export async function readPassword(): Promise<string> {
  const password = process.stdin.isTTY === true ? await typed() : piped();
  if (password === '') throw new CliError('the password is empty');
  if (password.length > charactersMax)
    throw new CliError(`the password is longer than ${charactersMax} characters`);
  return password;
}

/** Without the end of its line. */
const piped = (): string => readFileSync(0, 'utf8').replace(/\r?\n$/, '');

async function typed(): Promise<string> {
  const output = new Writable({ write: (_chunk, _encoding, done) => done() });
  const terminal = createInterface({ input: process.stdin, output, terminal: true });
  const { promise: stopped, reject } = Promise.withResolvers<string>();
  terminal.once('SIGINT', () => reject(new CliError('stopped')));
  const asked = async (prompt: string): Promise<string> => {
    process.stderr.write(prompt);
    const answer = await Promise.race([terminal.question(''), stopped]);
    process.stderr.write('\n');
    return answer;
  };
  try {
    const first = await asked('Password: ');
    if ((await asked('Again: ')) !== first) throw new CliError('the two are not the same');
    return first;
  } finally {
    terminal.close();
  }
}
