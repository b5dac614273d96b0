/** Tells whoever watches the control record what it is: at each hint of a change, and now and then in case a hint was lost. */
import { every } from '../../storage/index.ts';
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
    if (isKnown && !isFailing) this.tell({ kind: 'record', view });
    else void this.look();
  }

  private end(): void {
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
      this.tell(await this.options.read());
    }
    this.looking = false;
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
