/**
 * Spans on their way to a collector. What it could not take yet waits and is tried again until it is back, one request at a time
 * meanwhile; what it refused for good is given up. The transport's own retries, some seconds in all, lie below this.
 */

/** What became of a request: 0 is success, as `ExportResultCode` of @opentelemetry/core has it. */
export interface TransmitResult {
  readonly code: number;
  readonly error?: Error;
}

export interface DeliveryOptions<Batch> {
  readonly spansOf: (batch: Batch) => number;
  /** Sends some batches in one request. Must call `done` once, and may before it returns. */
  readonly transmit: (batches: readonly Batch[], done: (result: TransmitResult) => void) => void;
  /** Spans in one request, unless a single batch has more. */
  readonly requestSpansMax: number;
  /** Longest wait before a request that is not full is sent. */
  readonly delayMs: number;
  /** Takes the fate of spans: accepted by the collector, or given up and why. */
  readonly settled: (exported: number, dropped: number, error: unknown) => void;
  /** The collector could not be reached, or asked for patience; so many spans of a request wait. */
  readonly failed: (spans: number, error: unknown) => void;
}

/** Requests under way at once, of a collector that answers. */
const requestsMax = 8;
/** Pause before a collector in trouble is tried again; the transport has waited some seconds before it said so. */
const retryMs = 500;

export class Delivery<Batch> {
  private readonly options: DeliveryOptions<Batch>;
  /** Oldest first. */
  private waiting: Batch[] = [];
  private waitingSpans = 0;
  private requests = 0;
  private isTroubled = false;
  private timer: NodeJS.Timeout | null = null;
  private drains: (() => void)[] = [];

  constructor(options: DeliveryOptions<Batch>) {
    this.options = options;
  }

  /** Takes a batch; it leaves when enough are together, or soon. */
  add(batch: Batch): void {
    this.waiting.push(batch);
    this.waitingSpans += this.options.spansOf(batch);
    if (this.waitingSpans >= this.options.requestSpansMax && !this.isTroubled) this.pump();
    else this.plan();
  }

  /** Gives the oldest batch up that is not under way. @returns false when there is none. */
  dropOldest(): boolean {
    const batch = this.waiting.shift();
    if (batch === undefined) return false;
    const spans = this.options.spansOf(batch);
    this.waitingSpans -= spans;
    this.options.settled(0, spans, new Error('too many spans wait for the collector'));
    return true;
  }

  /** Resolves when everything taken so far has been exported or given up: not while the collector is away. */
  drain(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.drains.push(resolve);
    this.pump();
    this.tellDrained();
    return promise;
  }

  private plan(): void {
    this.timer ??= setTimeout(() => this.pump(), this.isTroubled ? retryMs : this.options.delayMs);
  }

  /** Sends what waits, as far as the collector takes it at present. */
  private pump(): void {
    if (this.timer !== null) clearTimeout(this.timer);
    this.timer = null;
    while (this.waiting.length > 0 && this.requests < (this.isTroubled ? 1 : requestsMax)) this.send();
  }

  private send(): void {
    const { options } = this;
    const batches: Batch[] = [];
    let spans = 0;
    for (const batch of this.waiting) {
      const more = options.spansOf(batch);
      if (spans > 0 && spans + more > options.requestSpansMax) break;
      batches.push(batch);
      spans += more;
    }
    this.waiting.splice(0, batches.length);
    this.waitingSpans -= spans;
    this.requests += 1;
    options.transmit(batches, ({ code, error }) => {
      this.requests -= 1;
      const wasTroubled = this.isTroubled;
      const isAway = code !== 0 && !isRefusal(error);
      this.isTroubled = isAway;
      if (isAway) {
        this.waiting.unshift(...batches);
        this.waitingSpans += spans;
        options.failed(spans, error);
      } else if (code === 0) options.settled(spans, 0, undefined);
      else options.settled(0, spans, error);
      if (this.waiting.length === 0) this.tellDrained();
      else if (
        !isAway &&
        (wasTroubled || this.waitingSpans >= options.requestSpansMax || this.drains.length > 0)
      )
        this.pump();
      else this.plan();
    });
  }

  private tellDrained(): void {
    if (this.waiting.length > 0 || this.requests > 0) return;
    for (const done of this.drains.splice(0)) done();
  }
}

/** The collector has answered, and will answer the same again: an HTTP status that is not one of those that ask for patience. */
function isRefusal(error: Error | undefined): boolean {
  return error !== undefined && 'code' in error && typeof error.code === 'number';
}
