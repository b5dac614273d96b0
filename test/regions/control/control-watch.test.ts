import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import type { NatsConnection } from '../../../regions/bus/nats-connection.ts';
import { ControlWatch } from '../../../regions/control/control-watch.ts';
import type { ControlReading, ControlView } from '../../../regions/control/core/control-port.ts';
import { type ControlRecord, initialControlRecord } from '../../../regions/control/core/control-record.ts';
import { renewalOf, renewed } from '../../../regions/control/core/renewal-hint.ts';
import { genesisEpoch, regionId } from '../../../storage/redo/ids.ts';

const record = (n: number, primary = 'us-east-1'): ControlRecord => ({
  ...initialControlRecord(regionId(primary), genesisEpoch),
  n,
});
const view = (seq: number, n = seq, primary = 'us-east-1'): ControlView => ({
  seq,
  record: record(n, primary),
});

describe('a hint of a renewal', () => {
  it('is enough for whoever has the record before it', () => {
    const renews = renewalOf(view(7), view(8));
    expect(renews).not.toBeNull();
    expect(renewed(view(7), renews ?? undefined)).toEqual(view(8));
  });

  it('is no news to whoever has another record, or that revision of another bucket', () => {
    const renews = renewalOf(view(7), view(8)) ?? undefined;
    for (const known of [null, view(6), view(8), view(7, 3)]) expect(renewed(known, renews)).toBeNull();
    expect(renewed(view(7), undefined)).toBeNull();
  });

  it('is not given for a change of anything but `n`, nor where the record before is not known', () => {
    expect(renewalOf(null, view(8))).toBeNull();
    expect(renewalOf(view(6), view(8))).toBeNull();
    expect(renewalOf(view(7), view(8, 9))).toBeNull();
    expect(renewalOf(view(7), view(8, 8, 'eu-west-1'))).toBeNull();
  });
});

/** A store and the bus that its watches share. */
class Bucket {
  view = view(1);
  reads = 0;
  fails = false;
  /** What reads answer with first. */
  readonly stale: ControlReading[] = [];
  private readonly listeners: ((seq: number, renews: string | undefined) => void)[] = [];

  open(): ControlWatch {
    const connection: Pick<NatsConnection, 'publish' | 'subscribe'> = {
      publish: (_, data, headers) => {
        for (const heard of this.listeners) heard(Number(Buffer.from(data)), headers?.['Sextant-Renews']);
        return 'sent';
      },
      subscribe: (subject, onMessage) => {
        this.listeners.push((seq, renews) =>
          onMessage({
            subject,
            data: Buffer.from(String(seq)),
            wantsAnswer: false,
            header: () => renews,
            respond: () => 'sent',
            passOver: () => undefined,
          }),
        );
        return () => undefined;
      },
    };
    const watch: ControlWatch = new ControlWatch({
      connection,
      hintSubject: 'hints',
      pollMs: 3_600_000,
      read: async () => {
        this.reads += 1;
        const stale = this.stale.shift();
        if (stale !== undefined) return stale;
        if (this.fails) return { kind: 'unavailable', reason: 'no leader' };
        watch.saw(this.view);
        return { kind: 'record', view: this.view };
      },
    });
    return watch;
  }
}

const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe('a watch of the control record', () => {
  async function watched() {
    const bucket = new Bucket();
    const [writer, other] = [bucket.open(), bucket.open()];
    const told: ControlReading[][] = [[], []];
    const stops = [writer, other].map((watch, at) => watch.watch((reading) => told[at]?.push(reading)));
    await settled();
    const write = (next: ControlView): void => {
      bucket.view = next;
      writer.wrote(next);
    };
    return { bucket, writer, other, told, stops, write };
  }

  it('hears of renewals without a read, at the holder and elsewhere', async () => {
    const { bucket, told, write } = await watched();
    expect(bucket.reads).toBe(2);
    for (const seq of [2, 3, 4]) write(view(seq));
    await settled();
    expect(bucket.reads).toBe(2);
    const all = [1, 2, 3, 4].map((seq) => ({ kind: 'record', view: view(seq) }));
    expect(told).toEqual([all, all]);
  });

  it('reads a change that is more than a renewal, or that follows one that it missed', async () => {
    const { bucket, told, write } = await watched();
    write(view(2, 2, 'eu-west-1'));
    await settled();
    expect(told[1]?.at(-1)).toEqual({ kind: 'record', view: view(2, 2, 'eu-west-1') });
    const reads = bucket.reads;
    // Somebody else wrote revision 3, and its hint was lost.
    write(view(4, 4, 'eu-west-1'));
    await settled();
    expect(bucket.reads).toBeGreaterThan(reads);
    expect(told[1]?.at(-1)).toEqual({ kind: 'record', view: view(4, 4, 'eu-west-1') });
  });

  it('that could not read the record is told of it again by a read that works, and not by a hint', async () => {
    const { bucket, other, told, write } = await watched();
    bucket.fails = true;
    const second = other.watch(() => undefined);
    await settled();
    second();
    expect(told[1]?.at(-1)?.kind).toBe('unavailable');
    write(view(2));
    await settled();
    expect(told[1]?.at(-1)?.kind).toBe('unavailable');
    bucket.fails = false;
    write(view(3));
    await settled();
    expect(told[1]?.at(-1)).toEqual({ kind: 'record', view: view(3) });
  });

  it('reads again until it has what a hint announced: a new leader may lag behind its predecessor', async () => {
    const { bucket, told, write } = await watched();
    const old: ControlReading = { kind: 'record', view: view(1) };
    bucket.stale.push(old, old, { kind: 'unavailable', reason: 'stale answer' }, old);
    write(view(2, 2, 'eu-west-1'));
    const news = { kind: 'record', view: view(2, 2, 'eu-west-1') };
    await expect.poll(() => told.map((all) => all.at(-1)), { timeout: 500 }).toEqual([news, news]);
    const { reads } = bucket;
    await sleep(120);
    expect(bucket.reads).toBe(reads);
  });

  it('of a bucket that was made anew takes no renewal of the old one', async () => {
    const { writer, bucket, told, write } = await watched();
    writer.forget();
    write(view(2));
    await settled();
    // Nobody could say that it was a renewal: it was read.
    expect(bucket.reads).toBeGreaterThan(2);
    expect(told[1]?.at(-1)).toEqual({ kind: 'record', view: view(2) });
  });

  it('that has ended hears nothing', async () => {
    const { told, stops, write } = await watched();
    for (const stop of stops) stop();
    write(view(2));
    await settled();
    expect(told.map((all) => all.length)).toEqual([1, 1]);
  });
});
