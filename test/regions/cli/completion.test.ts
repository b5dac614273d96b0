import { spawnSync } from 'node:child_process';
import { describe, expect, test } from 'vitest';
import { type CommandWords, completionScript } from '../../../regions/cli/ask/completion-script.ts';

const leaf = (name: string, ...options: string[]): CommandWords => ({ name, options, commands: [] });
const program: CommandWords = {
  name: 'sx',
  options: ['--version'],
  commands: [
    leaf('status', '--watch', '--json'),
    {
      name: 'drill',
      options: ['--help'],
      commands: [leaf('list', '--limit'), leaf('region-loss', '--load')],
    },
  ],
};

/** What bash offers at the end of `words`. */
function offered(...words: readonly string[]): readonly string[] {
  const script = `${completionScript('bash', program)}
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _sx; printf '%s\\n' "\${COMPREPLY[@]}"`;
  const { stdout, stderr } = spawnSync('bash', ['-c', script, 'bash', ...words], { encoding: 'utf8' });
  expect(stderr).toBe('');
  return stdout.split('\n').filter((word) => word !== '');
}

describe('in bash the Tab key offers', () => {
  test.each<[string, string[], string[]]>([
    ['commands and options first', ['sx', ''], ['status', 'drill', '--version']],
    ['what a word begins with', ['sx', 'dr'], ['drill']],
    ['commands below a command', ['sx', 'drill', ''], ['list', 'region-loss', '--help']],
    ['options of the deepest command', ['sx', 'drill', 'region-loss', '--l'], ['--load']],
    ['the same past words that are no command', ['sx', '--data', 'x', 'status', '--w'], ['--watch']],
    ['nothing for what there is not', ['sx', 'zzz'], []],
  ])('%s', (_what, words, expected) => expect(offered(...words)).toEqual(expected));
});

test('zsh and fish get a script that names every command and option', () => {
  for (const shell of ['zsh', 'fish'] as const) {
    const script = completionScript(shell, program);
    for (const word of ['status', 'watch', 'drill', 'list', 'limit', 'region-loss', 'load'])
      expect(script).toContain(word);
  }
});
