/** The place that an operator names with `--at`, and times as people read them. */
import { type Lsn, lsn } from '../../storage/core.ts';

/** What an operator names with `--at`. */
export type Target =
  | { readonly kind: 'newest' }
  | { readonly kind: 'lsn'; readonly lsn: Lsn }
  | { readonly kind: 'time'; readonly us: number };

const isoPattern = /^\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}(\.\d{1,6})?)?)?(Z|[+-]\d{2}:?\d{2})?$/;

/** An LSN, or a time in ISO 8601 with its zone. @returns null for anything else. */
export function parseTarget(text: string): Target | null {
  if (/^\d+$/.test(text)) {
    const value = Number(text);
    return Number.isSafeInteger(value) ? { kind: 'lsn', lsn: lsn(value) } : null;
  }
  const found = isoPattern.exec(text);
  // Without a zone a time means something else on each machine.
  if (found === null || found[4] === undefined) return null;
  const ms = Date.parse(text.replace(' ', 'T'));
  if (Number.isNaN(ms)) return null;
  const micros = (found[3] ?? '.').slice(1).padEnd(6, '0').slice(3);
  return { kind: 'time', us: Math.floor(ms) * 1_000 + Number(micros) };
}

/** `2026-11-29T12:00:00.123456Z`. */
export function timeText(us: number): string {
  const iso = new Date(Math.floor(us / 1_000)).toISOString();
  return `${iso.slice(0, -1)}${String(Math.floor(us) % 1_000).padStart(3, '0')}Z`;
}
