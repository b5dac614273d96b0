/** Options that several commands share. */
import type { Command } from 'commander';
import { defaultDataDir } from '../../local/data-directory.ts';

/** Every command: which deployment, and how to print. */
export type CommonOptions = { readonly data: string; readonly json?: boolean };

/** Commands that ask a running deployment. */
export type AskOptions = CommonOptions & {
  readonly url?: string;
  readonly token?: string;
  readonly identity?: string;
};

export const withCommon = (command: Command): Command =>
  command
    .option('--data <dir>', 'data directory of the local deployment', defaultDataDir)
    .option('--json', 'print JSON');

export const withAsk = (command: Command): Command =>
  withCommon(command)
    .option('--url <url>', 'a gateway of a deployment elsewhere ($SEXTANT_URL)')
    .option('--token <jwt>', 'client token for that gateway ($SEXTANT_TOKEN)')
    .option('--identity <dir>', "an operator's certificate, for what only agents answer ($SEXTANT_IDENTITY)");

export const withExample = (command: Command, ...lines: readonly string[]): Command =>
  command.addHelpText('after', `\nExample:\n${lines.map((line) => `  ${line}`).join('\n')}`);
