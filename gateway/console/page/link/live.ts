/**
 * Follows `/v1/live` as long as the page is open: with `fetch`, since an `EventSource` cannot carry a token. When the stream ends,
 * or falls silent, it asks again, at first at once and then less and less often.
 */
import type { LiveEvent } from '../core/api-types.ts';
import { takeEvents } from '../core/event-stream.ts';
import type { FeedChange } from '../core/feed.ts';
import { refusalOf } from './ask.ts';
import { credentials } from './session.ts';

const silentMs = 3_000;
const firstRetryMs = 200;
const retryMaxMs = 2_000;
/** A page that nobody looks at for so long lets its stream go. */
const hiddenMs = 60_000;

export class LiveLink {
  readonly #onChange: (change: FeedChange) => void;
  #stream: AbortController | null = null;
  #wake: (() => void) | null = null;
  #hiddenTimer: number | undefined;

  constructor(onChange: (change: FeedChange) => void) {
    this.#onChange = onChange;
    document.addEventListener('visibilitychange', () => this.#looked());
    window.addEventListener('online', () => this.again());
    void this.#run();
  }

  /** Asks at once: there is another token, or somebody looks again. */
  again(): void {
    this.#wake?.();
  }

  /** Ends the stream and asks anew, with the token that is kept now. */
  restart(): void {
    this.#stream?.abort();
    this.again();
  }

  #looked(): void {
    window.clearTimeout(this.#hiddenTimer);
    if (document.hidden) this.#hiddenTimer = window.setTimeout(() => this.#stream?.abort(), hiddenMs);
    else this.again();
  }

  async #run(): Promise<never> {
    let failures = 0;
    for (;;) {
      this.#onChange({ kind: 'connecting' });
      const heard = await this.#follow();
      failures = heard.events > 0 ? 0 : failures + 1;
      this.#onChange({ kind: heard.refused ? 'refused' : 'lost', reason: heard.reason });
      const waits =
        heard.refused || document.hidden ? null : Math.min(retryMaxMs, firstRetryMs * 2 ** failures);
      await this.#pause(waits);
    }
  }

  /** Waits, or until somebody wants it; @param ms null for as long as nobody does. */
  #pause(ms: number | null): Promise<void> {
    return new Promise((resolve) => {
      const timer = ms === null ? undefined : window.setTimeout(resolve, ms);
      this.#wake = () => {
        window.clearTimeout(timer);
        resolve();
      };
    });
  }

  async #follow(): Promise<{ readonly events: number; readonly refused: boolean; readonly reason: string }> {
    const stream = new AbortController();
    this.#stream = stream;
    let events = 0;
    let watchdog = window.setTimeout(() => stream.abort(), silentMs);
    const ended = (reason: string, refused = false) => ({ events, refused, reason });
    try {
      const response = await fetch('/v1/live', {
        headers: credentials(),
        signal: stream.signal,
        cache: 'no-store',
      });
      if (!response.ok || response.body === null) {
        const { message, status } = await refusalOf(response);
        return ended(message, status === 401 || status === 403);
      }
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      let rest = '';
      for (let part = await reader.read(); !part.done; part = await reader.read()) {
        window.clearTimeout(watchdog);
        watchdog = window.setTimeout(() => stream.abort(), silentMs);
        const taken = takeEvents(rest, part.value);
        rest = taken.rest;
        const newest = taken.data.at(-1);
        if (newest === undefined) continue;
        events += taken.data.length;
        this.#onChange({ kind: 'event', event: JSON.parse(newest) as LiveEvent, nowMs: performance.now() });
      }
      return ended('The gateway has ended the stream.');
    } catch {
      return ended(stream.signal.aborted ? 'The gateway has fallen silent.' : 'The gateway does not answer.');
    } finally {
      window.clearTimeout(watchdog);
      stream.abort();
    }
  }
}
