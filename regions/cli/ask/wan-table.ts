/** The round trips that `--wan` puts between regions, as a table; used by `up` and `status`. */
import type { SupervisorStatus } from '../../local/control-socket.ts';
import { formatMs, table } from './output.ts';

/** @returns null without `--wan`. */
export function wanTable({ wan }: Pick<SupervisorStatus, 'wan'>): string | null {
  if (wan.length === 0) return null;
  const names = [...new Set(wan.flatMap(({ a, b }) => [a, b]))];
  const between = (one: string, other: string): string => {
    const pair = wan.find(({ a, b }) => (a === one && b === other) || (a === other && b === one));
    return pair === undefined ? '–' : formatMs(pair.rttMs);
  };
  const rows = names.map((name) => [name, ...names.map((other) => between(name, other))]);
  return table(['ROUND TRIP', ...names], rows);
}
