/**
 * A bounded buffer of facts and the worker thread behind it. Facts cross in small batches against credit: the worker
 * is never sent more than it has taken, so its inbox is bounded too. A worker that dies is replaced, at most once a
 * minute; what it held is counted as dropped.
 */
import assert from 'node:assert/strict';
import { Worker } from 'node:worker_threads';
import type { SpanFact } from '../trace/facts.ts';
import { RowPage, type SealedRows } from '../trace/row-page.ts';
import type { ShapeTable } from '../trace/shape-table.ts';
import type { FromWorker, ToWorker, WorkerSettings } from './worker-protocol.ts';

/**
 * Spans held here and on the way to the worker, while it is busy or starting (T3). As facts they take about 1 KB each; those
 * that come by the ten thousand are rows, at about 20 bytes a span.
 */
export const bufferedSpansMax = { facts: 16_384, rows: 131_072 } as const;
/**
 * Spans in one message. As facts about 0.4 ms of structured clone, the longest this keeps the event loop from its work; rows are
 * copied as bytes, and each message wakes both threads.
 */
const batchSpans = { facts: 256, rows: 4_096 } as const;
/** Of what the worker may hold, so much at most is one message: what is oldest there gives way by whole messages. */
export const messageShare = 1 / 16;
/** Spans sent and not yet taken off the worker's port. */
const creditSpans = 32_768;
/** Longest a span waits here when the worker is idle. */
const handOverDelayMs = 100;
/** Share of the 2 s of a shutdown in which the worker may still export; the rest is for ending the thread. */
const shutdownExportMs = 1500;
const terminateMs = 300;
const restartDelayMs = 60_000;
/** A runaway worker hits this and dies alone, instead of taking a database process with it. */
const workerHeapMb = 256;

const toldNothing = { table: null, shapes: 0 };

/** One message. */
type Chunk =
  | { readonly kind: 'facts'; readonly facts: SpanFact[] }
  | { readonly kind: 'rows'; readonly rows: SealedRows };

export interface WorkerLinkOptions {
  readonly settings: WorkerSettings;
  /** The whole environment of the worker thread. */
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Spans that the rows of one message stand for; a commit and its appends may exceed it. */
  readonly rowSpansMax?: number;
  /** Called for every trouble; the caller limits the rate. */
  readonly warn: (message: string, droppedSpans: number) => void;
}

export class WorkerLink {
  readonly #options: WorkerLinkOptions;
  readonly #rowSpans: number;
  /** Oldest first. */
  #chunks: Chunk[] = [];
  /** Rows of the next one. */
  readonly #page = new RowPage();
  /** What the worker has been told of shapes: so many of this table. */
  #told: { readonly table: ShapeTable | null; readonly shapes: number } = toldNothing;
  /** Spans in chunks and on the page. */
  #buffered = 0;
  /** Sent and not yet taken. */
  #untaken = 0;
  /** Sent and neither exported nor dropped. */
  #unsettled = 0;
  #exported = 0;
  #dropped = 0;
  #worker: Worker | null = null;
  #timer: NodeJS.Timeout | null = null;
  /** The timer fires in the next turn. */
  #isSoon = false;
  #stopped: Promise<void> | null = null;
  #flushId = 0;
  readonly #flushes = new Map<number, () => void>();
  #onStopped: () => void = () => undefined;

  constructor(options: WorkerLinkOptions) {
    this.#options = options;
    this.#rowSpans = Math.min(batchSpans.rows, options.rowSpansMax ?? batchSpans.rows);
    this.#startWorker();
  }

  get exportedSpans(): number {
    return this.#exported;
  }

  get droppedSpans(): number {
    return this.#dropped;
  }

  /** Appends to the buffer, or counts the fact as dropped when that is full or shut down. */
  push(fact: SpanFact): void {
    if (!this.#hasRoom(1, 'facts')) return;
    const last = this.#chunks.at(-1);
    if (last?.kind === 'facts' && last.facts.length < batchSpans.facts) last.facts.push(fact);
    else this.#chunks.push({ kind: 'facts', facts: [fact] });
    this.#buffered++;
    this.#schedule(handOverDelayMs);
  }

  /**
   * Appends a row that stands for `spans` spans, or counts those as dropped.
   * @param put puts it on a page; false when there is no room for it. A page that is empty has room.
   */
  pushRow(spans: number, put: (page: RowPage) => boolean): void {
    if (!this.#hasRoom(spans, 'rows')) return;
    if (!put(this.#page)) {
      this.#sealPage();
      assert(put(this.#page), 'T3: a row fits on an empty page');
    }
    this.#buffered += spans;
    if (this.#page.spans >= this.#rowSpans) this.#sealPage();
    this.#schedule(this.#chunks.length === 0 ? handOverDelayMs : 0);
  }

  #sealPage(): void {
    if (this.#page.spans > 0) this.#chunks.push({ kind: 'rows', rows: this.#page.take() });
  }

  #hasRoom(spans: number, kind: keyof typeof bufferedSpansMax): boolean {
    if (this.#stopped !== null) {
      this.#drop(spans, 'a span was recorded after the shutdown of telemetry');
      return false;
    }
    if (this.#buffered + this.#untaken + spans <= bufferedSpansMax[kind]) return true;
    this.#drop(spans, 'the span buffer is full');
    return false;
  }

  /** Resolves when all facts pushed before are exported or given up, or after `timeoutMs`. */
  async flush(timeoutMs: number): Promise<void> {
    this.#sendAll();
    if (this.#worker === null || this.#unsettled === 0) return;
    const id = ++this.#flushId;
    await within(timeoutMs, (done) => {
      this.#flushes.set(id, done);
      this.#post({ kind: 'flush', id });
    });
    this.#flushes.delete(id);
  }

  shutdown(): Promise<void> {
    this.#stopped ??= this.#shutdown();
    return this.#stopped;
  }

  async #shutdown(): Promise<void> {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#sendAll();
    const worker = this.#worker;
    if (worker !== null) {
      // Referenced again: the process must not end between here and the last export.
      worker.ref();
      await within(shutdownExportMs, (done) => {
        this.#onStopped = done;
        this.#post({ kind: 'shutdown' });
      });
      this.#worker = null;
      await within(terminateMs, (done) => void worker.terminate().then(done, done));
    }
    for (const done of this.#flushes.values()) done();
    const lost = this.#unsettled + this.#buffered;
    this.#unsettled = 0;
    this.#buffered = 0;
    this.#chunks = [];
    this.#page.take();
    if (lost > 0) this.#drop(lost, 'spans were not exported before the process ended');
  }

  #schedule(delayMs: number): void {
    if (this.#timer !== null && delayMs === 0 && !this.#isSoon) {
      clearTimeout(this.#timer);
      this.#timer = null;
    }
    if (this.#timer !== null) return;
    this.#isSoon = delayMs === 0;
    this.#timer = setTimeout(() => this.#handOver(), delayMs).unref();
  }

  /** One message a turn, so that cloning a full buffer never holds up the event loop for long. */
  #handOver(): void {
    this.#timer = null;
    if (this.#worker === null || this.#untaken >= creditSpans) return;
    if (this.#chunks.length === 0) this.#sealPage();
    this.#sendChunk();
    if (this.#chunks.length > 0) this.#schedule(0);
    else if (this.#page.spans > 0) this.#schedule(handOverDelayMs);
  }

  /** Beyond credit too: for a flush or a shutdown the buffer, itself bounded, goes out at once. */
  #sendAll(): void {
    this.#sealPage();
    while (this.#worker !== null && this.#chunks.length > 0) this.#sendChunk();
  }

  #sendChunk(): void {
    const chunk = this.#chunks.shift();
    if (chunk === undefined) return;
    const spans = chunk.kind === 'facts' ? chunk.facts.length : chunk.rows.spans;
    this.#buffered -= spans;
    if (chunk.kind === 'rows') this.#postRows(chunk.rows);
    else {
      try {
        this.#post(chunk);
      } catch (error) {
        // Only a value that cannot be cloned comes here. It is a bug of whoever recorded it, but not worth the process.
        const why = error instanceof Error ? error.message : 'unknown error';
        this.#drop(spans, `a span fact holds more than plain data: ${why}`);
        return;
      }
    }
    this.#untaken += spans;
    this.#unsettled += spans;
  }

  #postRows({ bytes, spans, table }: SealedRows): void {
    const told = this.#told.table === table ? this.#told : toldNothing;
    const shapes = table.shapes.slice(told.shapes);
    this.#told = { table, shapes: table.shapes.length };
    this.#post({ kind: 'rows', bytes, spans, beginsTable: told === toldNothing, shapes }, [bytes.buffer]);
  }

  #post(message: ToWorker, handedOver: readonly ArrayBuffer[] = []): void {
    this.#worker?.postMessage(message, handedOver);
  }

  #startWorker(): void {
    const worker = new Worker(new URL('./otel-worker.ts', import.meta.url), {
      name: 'telemetry',
      env: { ...this.#options.env },
      workerData: this.#options.settings,
      resourceLimits: { maxOldGenerationSizeMb: workerHeapMb },
      // Flags of the main thread (inspectors, loaders of a test runner) are not meant for this one.
      execArgv: [],
    });
    worker.unref();
    worker.on('message', (message: FromWorker) => {
      if (this.#worker === worker) this.#receive(message);
    });
    worker.on('error', (error) =>
      this.#workerEnded(worker, error instanceof Error ? error.message : 'unknown error'),
    );
    worker.on('exit', (code) => this.#workerEnded(worker, `exit code ${code}`));
    this.#worker = worker;
    this.#told = toldNothing;
  }

  #receive(message: FromWorker): void {
    switch (message.kind) {
      case 'taken':
        this.#untaken -= message.spans;
        if (this.#chunks.length > 0) this.#schedule(0);
        else if (this.#page.spans > 0) this.#schedule(handOverDelayMs);
        return;
      case 'settled':
        this.#unsettled -= message.exported + message.dropped;
        this.#exported += message.exported;
        if (message.dropped > 0)
          this.#drop(message.dropped, 'spans were dropped because the collector does not keep up');
        return;
      case 'warning':
        this.#options.warn(message.message, this.#dropped);
        return;
      case 'flushed':
        this.#flushes.get(message.id)?.();
        return;
      case 'stopped':
        this.#onStopped();
        return;
    }
  }

  #workerEnded(worker: Worker, why: string): void {
    if (this.#worker !== worker) return;
    this.#worker = null;
    const lost = this.#unsettled;
    this.#untaken = 0;
    this.#unsettled = 0;
    this.#dropped += lost;
    this.#options.warn(`the telemetry worker ended and starts again in a minute: ${why}`, this.#dropped);
    for (const done of this.#flushes.values()) done();
    this.#onStopped();
    if (this.#stopped !== null) return;
    setTimeout(() => {
      if (this.#stopped === null) this.#startWorker();
    }, restartDelayMs).unref();
  }

  #drop(count: number, why: string): void {
    this.#dropped += count;
    this.#options.warn(why, this.#dropped);
  }
}

/** Resolves when `start` calls back or after `timeoutMs`, whichever is first. Keeps the process alive meanwhile. */
function within(timeoutMs: number, start: (done: () => void) => void): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, Math.max(0, timeoutMs));
    start(() => {
      clearTimeout(timer);
      resolve();
    });
  });
}
