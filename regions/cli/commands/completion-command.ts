/** `sextant completion`: prints what a shell needs to complete this very program's commands and options. */
import { Argument, type Command } from 'commander';
import { type CommandWords, completionScript, shells } from '../ask/completion-script.ts';
import { withExample } from '../ask/options.ts';

function wordsOf(command: Command): CommandWords {
  return {
    name: command.name(),
    options: [...command.options.flatMap(({ long }) => long ?? []), '--help'],
    commands: command.commands.map(wordsOf),
  };
}

export function addCompletionCommand(program: Command): void {
  withExample(
    program
      .command('completion')
      .addArgument(new Argument('<shell>', 'the shell').choices([...shells]))
      .description('prints a script that completes commands and options')
      .action((shell: (typeof shells)[number]) => {
        console.log(completionScript(shell, wordsOf(program)));
      }),
    'sextant completion bash > ~/.local/share/bash-completion/completions/sextant',
    'sextant completion zsh > ~/.zfunc/_sextant',
    'sextant completion fish > ~/.config/fish/completions/sextant.fish',
  );
}
