/**
 * The feed that consoles read, `GET /v1/live`: server-sent events, which a page can ask for with a token in a header. An event is
 * made once for all readers, while there is any, and each is sent the same bytes. A reader that takes nothing is cut.
 */
import type { EventSink } from '../../regions/core.ts';
import { adviseError } from '../sql/errors.ts';
import type { SqlError } from '../sql/sql.ts';

export interface LiveStreamOptions {
  readonly limits: {
    readonly consoles: number;
    readonly consoleEveryMs: number;
    readonly consoleGapMs: number;
    readonly consoleBufferedBytes: number;
  };
  /** The event as JSON text, as of now. */
  readonly event: () => string;
}

const headers = {
  'content-type': 'text/event-stream; charset=utf-8',
  'cache-control': 'no-store',
  'x-content-type-options': 'nosniff',
} as const;

export class LiveStream {
  private readonly options: LiveStreamOptions;
  /** Each with what says that it may read no more. */
  private readonly readers = new Map<EventSink, () => boolean>();
  private timer: NodeJS.Timeout | null = null;
  private pushedAtMs = Number.NEGATIVE_INFINITY;
  private closed = false;

  constructor(options: LiveStreamOptions) {
    this.options = options;
  }

  /** How many read. */
  get size(): number {
    return this.readers.size;
  }

  /** Why nobody more may read now; null while somebody may. */
  problem(): SqlError | null {
    const { consoles } = this.options.limits;
    if (this.closed) return adviseError('SEXTANT_SHUTTING_DOWN', 'This gateway is stopping');
    return this.readers.size < consoles
      ? null
      : adviseError('SEXTANT_LIMIT', `The limit consoles = ${consoles} is reached`);
  }

  /** One event at once, then one at least every `consoleEveryMs`, until the reader goes, is cut, or may read no more. */
  feed(to: EventSink, isOver: () => boolean): void {
    // It may have gone while its token was looked at, and would never be forgotten.
    if (to.destroyed) return;
    to.on('close', () => this.forget(to));
    to.writeHead(200, headers);
    to.write(this.bytes());
    this.readers.set(to, isOver);
    if (this.timer === null) this.pushIn(this.options.limits.consoleEveryMs);
  }

  /**
   * There is news that pages wait for: it goes out at once, or `consoleGapMs` after what has just gone out. So what the writer
   * reports waits for no more than that, rather than for `consoleEveryMs`.
   */
  nudge(): void {
    if (this.timer === null) return;
    const waitMs = this.pushedAtMs + this.options.limits.consoleGapMs - performance.now();
    if (waitMs > 0) this.pushIn(waitMs);
    else this.push();
  }

  /** Ends every stream. A console asks again, until it finds this gateway's successor. */
  close(): void {
    this.closed = true;
    for (const reader of this.readers.keys()) reader.end();
    this.readers.clear();
    this.rest();
  }

  private bytes(): Uint8Array {
    return Buffer.from(`data: ${this.options.event()}\n\n`);
  }

  private pushIn(ms: number): void {
    clearTimeout(this.timer ?? undefined);
    this.timer = setTimeout(() => this.push(), ms);
  }

  private push(): void {
    this.pushedAtMs = performance.now();
    this.pushIn(this.options.limits.consoleEveryMs);
    const bytes = this.bytes();
    for (const [reader, isOver] of this.readers) {
      if (isOver()) reader.end();
      else if (reader.writableLength <= this.options.limits.consoleBufferedBytes) reader.write(bytes);
      else reader.destroy();
    }
  }

  private forget(reader: EventSink): void {
    this.readers.delete(reader);
    this.rest();
  }

  private rest(): void {
    if (this.readers.size > 0 || this.timer === null) return;
    clearTimeout(this.timer);
    this.timer = null;
  }
}
