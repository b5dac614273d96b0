import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { changeControl } from '../../../regions/control/control-link.ts';
import type {
  ControlReading,
  ControlStore,
  ControlWrite,
} from '../../../regions/control/core/control-port.ts';
import {
  acquire,
  beginSwitchover,
  type ControlRecord,
  initialControlRecord,
  renew,
} from '../../../regions/control/core/control-record.ts';
import { defaultLeaseLimits } from '../../../regions/control/core/lease.ts';
import { regionId } from '../../../storage/redo/ids.ts';
import { next } from '../control-records.ts';

const [us, eu] = [regionId('us-east-1'), regionId('eu-west-1')];
const holder = { gateway: 'g1', incarnation: 'a' };

/** A store that is `wayMs` away, with a holder beside it that renews as often as it does by default. */
class FarStore implements ControlStore {
  record = next(acquire(initialControlRecord(us), { region: us, holder, lapsed: false }));
  seq = 1;
  tries = 0;
  private readonly wayMs: number;
  private readonly watchers = new Set<(reading: ControlReading) => void>();

  constructor(wayMs: number) {
    this.wayMs = wayMs;
    setInterval(() => this.put(next(renew(this.record, holder))), defaultLeaseLimits.renewMs);
  }

  read(done: (reading: ControlReading) => void): void {
    this.later(() => {
      const view = { seq: this.seq, record: this.record };
      this.later(() => done({ kind: 'record', view }));
    });
  }

  compareAndSet(expectedSeq: number, record: ControlRecord, done: (write: ControlWrite) => void): void {
    this.tries += 1;
    this.later(() => {
      const won = expectedSeq === this.seq;
      if (won) this.put(record);
      const write: ControlWrite = won ? { kind: 'won', seq: this.seq } : { kind: 'lost' };
      this.later(() => done(write));
    });
  }

  watch(onReading: (reading: ControlReading) => void): () => void {
    this.watchers.add(onReading);
    return () => void this.watchers.delete(onReading);
  }

  private put(record: ControlRecord): void {
    this.record = record;
    this.seq += 1;
    const view = { seq: this.seq, record };
    this.later(() => {
      for (const watcher of [...this.watchers]) watcher({ kind: 'record', view });
    });
  }

  private later(run: () => void): void {
    setTimeout(run, this.wayMs);
  }
}

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval', 'performance'] });
});
afterEach(() => {
  vi.useRealTimers();
});

describe('a change of the record', () => {
  const begin = (store: ControlStore) =>
    changeControl(store, ({ record }) => beginSwitchover(record, { id: 'm', to: eu, startedAtMs: 0 }));

  for (const wayMs of [1, 40, 160, 250, 290])
    test(`wins between two renewals from ${wayMs} ms away, whenever it begins`, async () => {
      for (let beginMs = 0; beginMs < defaultLeaseLimits.renewMs; beginMs += 50) {
        const store = new FarStore(wayMs);
        await vi.advanceTimersByTimeAsync(beginMs);
        const changed = begin(store);
        await vi.advanceTimersByTimeAsync(5_000);
        expect(await changed).toMatchObject({ kind: 'changed', view: { record: { state: 'switching' } } });
        expect(store.tries).toBeLessThanOrEqual(2);
        vi.clearAllTimers();
      }
    });
});
