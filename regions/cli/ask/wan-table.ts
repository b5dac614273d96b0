/** The round trips that `--wan` puts between regions, as a table, and what was slowed down since; used by `up` and `status`. */
import type { SupervisorStatus } from '../../local/control-socket.ts';
import { formatMs, table } from './output.ts';

/** @returns null when neither is the case. */
export function wanTable({ wan, slowed }: Pick<SupervisorStatus, 'wan' | 'slowed'>): string | null {
  const added = slowed.map((what) => `${what} is slowed down on purpose`);
  if (wan.length === 0) return added.length === 0 ? null : added.join('\n');
  const names = [...new Set(wan.flatMap(({ a, b }) => [a, b]))];
  const between = (one: string, other: string): string => {
    const pair = wan.find(({ a, b }) => (a === one && b === other) || (a === other && b === one));
    return pair === undefined ? '–' : formatMs(pair.rttMs);
  };
  const rows = names.map((name) => [name, ...names.map((other) => between(name, other))]);
  return [table(['ROUND TRIP', ...names], rows), ...added].join('\n');
}
