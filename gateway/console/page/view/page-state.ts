/** What every part of the page is drawn from. */
import type { LiveEvent, Losses } from '../core/api-types.ts';
import type { Curves } from '../core/curves.ts';
import type { Feed } from '../core/feed.ts';
import type { Happening } from '../core/happenings.ts';

export interface PageState {
  readonly feed: Feed;
  /** The newest event; null before the first, and while the gateway refuses to tell. */
  readonly event: LiveEvent | null;
  /** For how long nothing was heard, when that is too long (G46). */
  readonly staleForMs: number | null;
  readonly curves: Curves;
  /** The newest first. */
  readonly happenings: readonly Happening[];
  /** Null until they were read. */
  readonly losses: Losses | null;
}

/** A part of the page. */
export interface View {
  readonly element: HTMLElement;
  update(state: PageState): void;
}

/** A link to a trace, where somebody said where traces are looked at; else the id alone. */
export function traceUrl(state: Pick<PageState, 'event'>, traceId: string): string | null {
  const base = state.event?.jaegerUrl ?? null;
  if (base === null || !/^https?:\/\//.test(base) || !/^[0-9a-f]{32}$/.test(traceId)) return null;
  return `${base.replace(/\/+$/, '')}/trace/${traceId}`;
}
