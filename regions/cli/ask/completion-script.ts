/** Completion scripts for bash, zsh and fish, from the tree of commands. Pure. */

export interface CommandWords {
  readonly name: string;
  /** Long options, such as `--json`. */
  readonly options: readonly string[];
  readonly commands: readonly CommandWords[];
}

export const shells = ['bash', 'zsh', 'fish'] as const;

/** What may follow a command, by the words that lead to it, such as `drill region-loss`; `''` is the program itself. */
function table(program: CommandWords): readonly (readonly [path: string, words: readonly string[]])[] {
  const rows = ({ commands, options }: CommandWords, path: string): [string, string[]][] => [
    [path, [...commands.map(({ name }) => name), ...options]],
    ...commands.flatMap((command) => rows(command, `${path} ${command.name}`.trim())),
  ];
  return rows(program, '');
}

/**
 * The deepest command that the words typed so far name, then what may follow it. The variables avoid names that a shell gives a
 * meaning of its own, such as zsh's `path`.
 */
function body(program: CommandWords): string {
  const rows = table(program);
  const named = rows.filter(([path]) => path !== '');
  return [
    '    case "$at $typed" in',
    ...named.map(([path]) => `      '${path.includes(' ') ? path : ` ${path}`}') at='${path}' ;;`),
    '    esac',
    '  done',
    '  case "$at" in',
    ...rows.map(([path, words]) => `    '${path}') offered='${words.join(' ')}' ;;`),
    '  esac',
  ].join('\n');
}

function bash(program: CommandWords): string {
  const { name } = program;
  return `_${name}() {
  local at='' offered='' typed
  for typed in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
${body(program)}
  COMPREPLY=($(compgen -W "$offered" -- "\${COMP_WORDS[COMP_CWORD]}"))
}
complete -o default -F _${name} ${name}`;
}

function zsh(program: CommandWords): string {
  const { name } = program;
  return `#compdef ${name}
_${name}() {
  local at='' offered='' typed
  for typed in "\${(@)words[2,CURRENT-1]}"; do
${body(program)}
  compadd -- \${=offered}
}
if [ "$funcstack[1]" = "_${name}" ]; then _${name} "$@"; else compdef _${name} ${name}; fi`;
}

function fish(program: CommandWords): string {
  const { name } = program;
  const lines = table(program).flatMap(([path, words]) => {
    const parts = path === '' ? [] : path.split(' ');
    const rest = table(program)
      .filter(([other]) => other.startsWith(path === '' ? '' : `${path} `) && other !== path)
      .map(([other]) => other.split(' ')[parts.length] ?? '');
    const unseen = [...new Set(rest)];
    const seen = parts.map((part) => `__fish_seen_subcommand_from ${part}`);
    const condition = [
      ...seen,
      ...(unseen.length > 0 ? [`not __fish_seen_subcommand_from ${unseen.join(' ')}`] : []),
    ];
    const when = condition.length === 0 ? '' : ` -n '${condition.join('; and ')}'`;
    return words.map((word) =>
      word.startsWith('--')
        ? `complete -c ${name}${when} -l ${word.slice(2)}`
        : `complete -c ${name}${when} -f -a ${word}`,
    );
  });
  return lines.join('\n');
}

/** @returns the script, without a newline at its end. */
export function completionScript(shell: (typeof shells)[number], program: CommandWords): string {
  switch (shell) {
    case 'bash':
      return bash(program);
    case 'zsh':
      return zsh(program);
    case 'fish':
      return fish(program);
  }
}
