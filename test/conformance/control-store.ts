/** What every control store has to do, whoever implements it. Run by `control-store.test.ts` against each. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type {
  ControlReading,
  ControlStore,
  ControlView,
  ControlWrite,
} from '../../regions/control/core/control-port.ts';
import { acquire, type ControlRecord, renew } from '../../regions/control/core/control-record.ts';
import { regionId } from '../../storage/redo/ids.ts';
import { next } from '../regions/control-records.ts';

export interface ControlStoreFixture {
  /** A bootstrapped store of a cluster of its own, with primary `us-east-1`, reached by `clients` processes. */
  open(clients: number): Promise<readonly ControlStore[]>;
  /** A store whose cluster nobody bootstrapped. */
  openAbsent(): Promise<ControlStore>;
  /** Lets time pass until `done` is settled. */
  settle<T>(done: Promise<T>): Promise<T>;
  stop(): Promise<void>;
}

const region = regionId('us-east-1');

export function controlStoreConformance(
  name: string,
  start: () => Promise<ControlStoreFixture>,
  options: { readonly rounds: number; readonly timeoutMs: number },
): void {
  describe(`control store: ${name}`, () => {
    let fixture: ControlStoreFixture;
    beforeAll(async () => {
      fixture = await start();
    }, options.timeoutMs);
    afterAll(async () => {
      await fixture.stop();
    }, options.timeoutMs);

    const read = (store: ControlStore): Promise<ControlReading> =>
      fixture.settle(new Promise((resolve) => store.read(resolve)));
    const write = (store: ControlStore, seq: number, record: ControlRecord): Promise<ControlWrite> =>
      fixture.settle(new Promise((resolve) => store.compareAndSet(seq, record, resolve)));
    const current = async (store: ControlStore): Promise<ControlView> => viewOf(await read(store));

    test(
      'an absent record is reported, not created',
      async () => {
        const store = await fixture.openAbsent();
        expect(await read(store)).toEqual({ kind: 'absent' });
        expect(await read(store)).toEqual({ kind: 'absent' });
      },
      options.timeoutMs,
    );

    test(
      'a write at the current revision wins and is read back with its revision',
      async () => {
        const [store] = pair(await fixture.open(2));
        const before = await current(store);
        const record = acquired(before.record, 'g1', 'a');
        const won = await write(store, before.seq, record);
        expect(won).toEqual({ kind: 'won', seq: before.seq + 1 });
        expect(await current(store)).toEqual({ seq: before.seq + 1, record });
      },
      options.timeoutMs,
    );

    test(
      'a write at an older revision is lost and changes nothing',
      async () => {
        const [first, second] = pair(await fixture.open(2));
        const before = await current(second);
        const record = acquired(before.record, 'g1', 'a');
        expect((await write(first, before.seq, record)).kind).toBe('won');
        expect(await write(second, before.seq, acquired(before.record, 'g2', 'b'))).toEqual({ kind: 'lost' });
        expect((await current(second)).record).toEqual(record);
      },
      options.timeoutMs,
    );

    test(
      'the same write attempted again is won at the same revision and applied once',
      async () => {
        const [store, again] = pair(await fixture.open(2));
        const before = await current(store);
        const record = acquired(before.record, 'g1', 'a');
        expect(await write(store, before.seq, record)).toEqual({ kind: 'won', seq: before.seq + 1 });
        expect(await write(again, before.seq, record)).toEqual({ kind: 'won', seq: before.seq + 1 });
        expect((await current(store)).seq).toBe(before.seq + 1);
      },
      options.timeoutMs,
    );

    test(
      'of three that race, exactly one wins each round',
      async () => {
        const stores = await fixture.open(3);
        let view = await current(pair(stores)[0]);
        for (let round = 0; round < options.rounds; round += 1) {
          const records = stores.map((_, index) => acquired(view.record, `g${index}`, `${round}`));
          const outcomes = await fixture.settle(
            Promise.all(
              stores.map(async (store, index) => {
                const record = records[index];
                if (record === undefined) throw new Error('as many records as stores');
                return new Promise<ControlWrite>((resolve) => store.compareAndSet(view.seq, record, resolve));
              }),
            ),
          );
          const won = outcomes.map((outcome) => outcome.kind);
          expect([...won].sort(), `round ${round}`).toEqual(['lost', 'lost', 'won']);
          const record = records[won.indexOf('won')];
          if (record === undefined) throw new Error('the winner wrote a record');
          view = { seq: view.seq + 1, record };
        }
        expect(await current(pair(stores)[1])).toEqual(view);
      },
      options.timeoutMs,
    );

    test(
      'a watch reports the record there is and each one it learns of, in order, until stopped',
      async () => {
        const [writer, watcher] = pair(await fixture.open(2));
        const seen: number[] = [];
        let wake: () => void = () => undefined;
        const reached = (seq: number): Promise<void> =>
          fixture.settle(
            new Promise((resolve) => {
              wake = () => {
                if ((seen.at(-1) ?? 0) >= seq) resolve();
              };
              wake();
            }),
          );
        const stop = watcher.watch((reading) => {
          if (reading.kind === 'record') seen.push(reading.view.seq);
          wake();
        });
        let view = await current(writer);
        await reached(view.seq);
        for (let change = 0; change < 5; change += 1) {
          const record =
            change === 0
              ? acquired(view.record, 'g1', 'a')
              : next(renew(view.record, { gateway: 'g1', incarnation: 'a' }));
          const outcome = await write(writer, view.seq, record);
          expect(outcome.kind).toBe('won');
          view = { seq: view.seq + 1, record };
          await reached(view.seq);
        }
        expect(seen).toEqual([...seen].sort((a, b) => a - b));
        stop();
        const reports = seen.length;
        const last = next(renew(view.record, { gateway: 'g1', incarnation: 'a' }));
        expect((await write(writer, view.seq, last)).kind).toBe('won');
        expect((await current(watcher)).seq).toBe(view.seq + 1);
        expect(seen.length).toBe(reports);
      },
      options.timeoutMs,
    );
  });
}

/** The record of a read that found one. */
export function viewOf(reading: ControlReading): ControlView {
  if (reading.kind !== 'record') throw new Error(`expected a record: ${JSON.stringify(reading)}`);
  return reading.view;
}

/** `record` with its primary's gateway as the holder. */
export function acquired(record: ControlRecord, gateway: string, incarnation: string): ControlRecord {
  return next(acquire(record, { region, holder: { gateway, incarnation }, lapsed: true }));
}

function pair(stores: readonly ControlStore[]): readonly [ControlStore, ControlStore] {
  const [first, second] = stores;
  if (first === undefined || second === undefined)
    throw new Error('the fixture opens as many clients as asked for');
  return [first, second];
}
