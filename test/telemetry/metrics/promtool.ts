/** Prometheus's own checker, where it is installed. */
import { spawnSync } from 'node:child_process';

function find(): string | null {
  for (const path of [process.env.PROMTOOL, 'promtool'])
    if (path !== undefined && spawnSync(path, ['--version']).status === 0) return path;
  return null;
}

/** `$PROMTOOL`, or what is on the PATH; null where there is none. */
export const promtool = find();

/** Runs it, in a directory. @returns its exit code and all that it said. */
export function runPromtool(
  args: readonly string[],
  options: { readonly input?: string; readonly cwd?: string } = {},
): { readonly code: number; readonly said: string } {
  if (promtool === null) throw new Error('there is no promtool here');
  const { status, stdout, stderr } = spawnSync(promtool, args, { encoding: 'utf8', ...options });
  return { code: status ?? -1, said: `${stdout}${stderr}`.trim() };
}

/** What `promtool check metrics` finds wrong with an exposition; empty when nothing is. */
export function checkMetrics(text: string): string {
  const { code, said } = runPromtool(['check', 'metrics'], { input: text });
  return code === 0 ? said : `exit code ${code}: ${said}`;
}
