/** The place in a backup that an operator names with `--at`. */
import type { Lsn } from '../../storage/core.ts';
import { parsePlace } from '../place/core/place.ts';

/** What an operator names with `--at`. */
export type Target =
  | { readonly kind: 'newest' }
  | { readonly kind: 'lsn'; readonly lsn: Lsn }
  | { readonly kind: 'time'; readonly us: number };

/** An LSN, or a time in ISO 8601 with its zone. @returns null for anything else: a backup holds one path. */
export function parseTarget(text: string): Target | null {
  const place = parsePlace(text);
  return place?.kind === 'path' ? null : place;
}
