/** Tells whoever watches the control record what it is: at each hint of a change, and now and then in case a hint was lost. */
import { every, monotonicMs } from '../../storage/index.ts';
import type { NatsConnection } from '../bus/nats-connection.ts';
import { bytesText, textBytes } from './control-store-wire.ts';
import type { ControlReading, ControlView } from './core/control-port.ts';
import { renewalHeader, renewalOf, renewed } from './core/renewal-hint.ts';

export interface ControlWatchOptions {
  readonly connection: Pick<NatsConnection, 'publish' | 'subscribe'>;
  /** Where changes are told. */
  readonly hintSubject: string;
  /** How late a watch may be when every hint is lost. */
  readonly pollMs: number;
  readonly read: () => Promise<ControlReading>;
}

/**
 * A server that was elected a moment ago may lead before it has what its predecessor had told of. A read that lacks what a hint
 * announced is repeated after this time, and until so long after the hint: it may have been wrong.
 */
const againMs = 50;
const hintHoldsMs = 2_000;

interface Watcher {
  readonly onReading: (reading: ControlReading) => void;
  seq: number;
  failing: boolean;
}

export class ControlWatch {
  private readonly options: ControlWatchOptions;
  private readonly watchers = new Set<Watcher>();
  private stop: (() => void) | null = null;
  private looking = false;
  private lookAgain = false;
  /** The newest revision that a hint announced and no read has brought. */
  private announced = { seq: 0, untilMs: 0 };
  private again: NodeJS.Timeout | undefined;
  /** The newest record that was read, written or made of a hint. */
  private known: ControlView | null = null;

  constructor(options: ControlWatchOptions) {
    this.options = options;
  }

  /** See `ControlStore.watch`. */
  watch(onReading: (reading: ControlReading) => void): () => void {
    const watcher: Watcher = { onReading, seq: 0, failing: false };
    this.watchers.add(watcher);
    this.stop ??= this.start();
    void this.look();
    return () => {
      this.watchers.delete(watcher);
      if (this.watchers.size === 0) this.end();
    };
  }

  close(): void {
    this.watchers.clear();
    this.end();
  }

  /** A read has brought this. */
  saw(view: ControlView): void {
    if (this.known === null || view.seq > this.known.seq) this.known = view;
  }

  /** The record was changed from here: everybody is told. */
  wrote(view: ControlView): void {
    const { connection, hintSubject } = this.options;
    const renews = renewalOf(this.known, view);
    this.saw(view);
    const headers = renews === null ? undefined : { [renewalHeader]: renews };
    connection.publish(hintSubject, textBytes(String(view.seq)), headers);
  }

  /** The bucket is another one: its revisions begin anew. */
  forget(): void {
    this.known = null;
    this.announced = { seq: 0, untilMs: 0 };
  }

  private start(): () => void {
    const { connection, hintSubject, pollMs } = this.options;
    const endPolling = every(pollMs, () => void this.look());
    const unsubscribe = connection.subscribe(hintSubject, (hint) => {
      this.heard(Number(bytesText(hint.data)), hint.header(renewalHeader));
    });
    return () => {
      endPolling();
      unsubscribe();
    };
  }

  /** The record has this revision by now. */
  private heard(seq: number, renews: string | undefined): void {
    const view = this.known?.seq === seq ? this.known : renewed(this.known, renews);
    const isKnown = view !== null && view.seq === seq;
    if (isKnown) this.known = view;
    if (seq <= this.reportedSeq) return;
    // While a read has failed, that it works again is told by one that does.
    const isFailing = [...this.watchers].some(({ failing }) => failing);
    if (isKnown && !isFailing) {
      this.tell({ kind: 'record', view });
      return;
    }
    this.announced = { seq, untilMs: monotonicMs() + hintHoldsMs };
    void this.look();
  }

  private end(): void {
    clearTimeout(this.again);
    this.stop?.();
    this.stop = null;
  }

  /** At most one look at a time; a hint that arrives during one causes one more. */
  private async look(): Promise<void> {
    this.lookAgain = true;
    if (this.looking) return;
    this.looking = true;
    while (this.lookAgain && this.watchers.size > 0) {
      this.lookAgain = false;
      const reading = await this.options.read();
      this.tell(reading);
      clearTimeout(this.again);
      if (this.isBehind(reading)) this.again = setTimeout(() => void this.look(), againMs);
    }
    this.looking = false;
  }

  private isBehind(reading: ControlReading): boolean {
    const { seq, untilMs } = this.announced;
    return monotonicMs() < untilMs && (reading.kind !== 'record' || reading.view.seq < seq);
  }

  private tell(reading: ControlReading): void {
    for (const watcher of [...this.watchers]) {
      const failed = reading.kind !== 'record';
      if (!failed && !watcher.failing && reading.view.seq <= watcher.seq) continue;
      watcher.failing = failed;
      if (!failed) watcher.seq = reading.view.seq;
      watcher.onReading(reading);
    }
  }

  private get reportedSeq(): number {
    return Math.min(...[...this.watchers].map((watcher) => watcher.seq));
  }
}
