/**
 * What the page knows of the deployment, and since when it knows nothing new. Pure.
 *
 * G46: what is shown was heard within `staleAfterMs`, or the page says since when it is old.
 */
import type { LiveEvent } from './api-types.ts';

/** Without an event for so long, what is shown is old. Events come several times a second. */
export const staleAfterMs = 1_200;

export type Feed = {
  /** The newest event; kept when it is old, and then said to be. */
  readonly event: LiveEvent | null;
  /** When it was heard, by the clock of the page (monotonic, in ms). */
  readonly heardAtMs: number;
  readonly link:
    | { readonly kind: 'connecting' }
    | { readonly kind: 'open' }
    /** Lost, and tried again. `reason` in words. */
    | { readonly kind: 'lost'; readonly reason: string }
    /** The gateway asks for a token, or for another one. */
    | { readonly kind: 'refused'; readonly reason: string };
};

export type FeedChange =
  | { readonly kind: 'event'; readonly event: LiveEvent; readonly nowMs: number }
  | { readonly kind: 'connecting' }
  | { readonly kind: 'lost'; readonly reason: string }
  | { readonly kind: 'refused'; readonly reason: string };

export const noFeed: Feed = {
  event: null,
  heardAtMs: Number.NEGATIVE_INFINITY,
  link: { kind: 'connecting' },
};

export function nextFeed(feed: Feed, change: FeedChange): Feed {
  switch (change.kind) {
    case 'event':
      return { event: change.event, heardAtMs: change.nowMs, link: { kind: 'open' } };
    case 'connecting':
      return feed.link.kind === 'lost' ? feed : { ...feed, link: { kind: 'connecting' } };
    case 'lost':
      return { ...feed, link: { kind: 'lost', reason: change.reason } };
    case 'refused':
      return {
        event: null,
        heardAtMs: Number.NEGATIVE_INFINITY,
        link: { kind: 'refused', reason: change.reason },
      };
  }
}

/** For how long nothing has been heard, when that is too long; null while what is shown is fresh. */
export function staleForMs(feed: Feed, nowMs: number): number | null {
  const forMs = nowMs - feed.heardAtMs;
  return feed.event === null || forMs <= staleAfterMs ? null : forMs;
}
