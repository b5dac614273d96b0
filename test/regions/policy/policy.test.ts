/** Reading and changing the policy over a control store. */
import { describe, expect, test } from 'vitest';
import type { ControlStore, ControlView } from '../../../regions/control/core/control-port.ts';
import {
  acquire,
  type ControlRecord,
  initialControlRecord,
  renew,
} from '../../../regions/control/core/control-record.ts';
import { defaultPolicy } from '../../../regions/control/core/policy.ts';
import { describePolicy } from '../../../regions/policy/core/policy-words.ts';
import { changePolicy, type PolicyOptions, readPolicy } from '../../../regions/policy/policy.ts';
import { regionId } from '../../../storage/core.ts';
import { machine } from '../../../storage/process/runtime.ts';

const [us, eu, ap] = [regionId('us-east-1'), regionId('eu-west-1'), regionId('ap-northeast-1')];
const holder = { gateway: 'g1', incarnation: 'a' };

/** A register that a holder renews before the first `renewals` changes arrive. */
class Register implements ControlStore {
  view: ControlView | null;
  writes: ControlRecord[] = [];
  renewals = 0;

  constructor(record: ControlRecord | null) {
    this.view = record === null ? null : { seq: 7, record };
  }

  read: ControlStore['read'] = (done) =>
    done(this.view === null ? { kind: 'absent' } : { kind: 'record', view: this.view });

  compareAndSet: ControlStore['compareAndSet'] = (expectedSeq, record, done) => {
    if (this.view === null) return done({ kind: 'lost' });
    if (this.renewals > 0) {
      this.renewals -= 1;
      const renewed = renew(this.view.record, holder);
      if (renewed.kind === 'next') this.view = { seq: this.view.seq + 1, record: renewed.record };
    }
    if (expectedSeq !== this.view.seq) return done({ kind: 'lost' });
    this.writes.push(record);
    this.view = { seq: this.view.seq + 1, record };
    done({ kind: 'won', seq: this.view.seq });
  };

  watch: ControlStore['watch'] = (onReading) => {
    const { view } = this;
    if (view !== null) queueMicrotask(() => onReading({ kind: 'record', view }));
    return () => undefined;
  };
}

function held(): ControlRecord {
  const acquired = acquire(initialControlRecord(us), { region: us, holder, lapsed: false });
  if (acquired.kind !== 'next') throw new Error(acquired.reason);
  return acquired.record;
}

const optionsOf = (store: ControlStore, regions = [us, eu, ap]): PolicyOptions => ({
  regions,
  store,
  looked: () => undefined,
  noRecord: (reason) => `no record: ${reason}`,
  runtime: machine,
  log: { info: () => undefined },
});

describe('the policy of a deployment', () => {
  test('is the default where nobody has decided, and afterwards what was decided, part by part', async () => {
    const store = new Register(held());
    const options = optionsOf(store);
    expect(await readPolicy(options)).toEqual({ kind: 'policy', policy: defaultPolicy });
    await changePolicy({ rpoMs: 0, prefer: ['eu-west-1'] }, options);
    const policy = { automatic: true, maxLossMs: null, rpoMs: 0, prefer: [eu] };
    expect(await changePolicy({ automatic: true }, options)).toEqual({ kind: 'policy', policy });
    expect(await readPolicy(options)).toEqual({ kind: 'policy', policy });
    expect(store.view?.record).toMatchObject({ holder, epoch: 1, n: 3 });
  });

  test('gives way to the renewals of a holder and tries again with the newer record', async () => {
    const store = new Register(held());
    store.renewals = 5;
    expect(await changePolicy({ rpoMs: 10 }, optionsOf(store))).toMatchObject({ policy: { rpoMs: 10 } });
    expect(store.view?.record).toMatchObject({ n: 7, holder });
  });

  test('writes nothing when it is like this already', async () => {
    const store = new Register(held());
    expect(await changePolicy({ automatic: false }, optionsOf(store))).toEqual({
      kind: 'policy',
      policy: defaultPolicy,
    });
    expect(store.writes).toEqual([]);
  });

  test('is refused before anything is written, with the field and the way out', async () => {
    const store = new Register(held());
    for (const [change, words] of [
      [{ prefer: ['mars'] }, 'prefer: there is no region mars'],
      [{ rpoMs: -1 }, 'rpoMs: -1 is no whole number from 0 to 3600000'],
      [{ maxLossMs: 1.5 }, 'maxLossMs: 1.5 is no whole number'],
    ] as const)
      expect(await changePolicy(change as object, optionsOf(store))).toMatchObject({
        kind: 'refused',
        code: 'BAD_REQUEST',
        message: expect.stringContaining(words),
      });
    expect(await changePolicy({ automatic: true }, optionsOf(store, [us, eu]))).toMatchObject({
      message: expect.stringContaining('never automatic without a witness'),
    });
    expect(store.writes).toEqual([]);
  });

  test('without a record says so, and what the neighbours make of it', async () => {
    const options = optionsOf(new Register(null));
    for (const answer of [await readPolicy(options), await changePolicy({ rpoMs: 0 }, options)])
      expect(answer).toMatchObject({
        kind: 'refused',
        code: 'NO_CONTROL_RECORD',
        message: expect.stringMatching(/^no record: /),
      });
  });

  test('is told with values that the command line takes', () => {
    expect(describePolicy(defaultPolicy).map(({ option, value }) => `--${option} ${value}`)).toEqual([
      '--automatic off',
      '--max-loss-ms none',
      '--rpo-ms off',
      '--prefer none',
    ]);
    const set = describePolicy({ automatic: true, maxLossMs: 1_000, rpoMs: 0, prefer: [eu, ap] });
    expect(set.map(({ value }) => value)).toEqual(['on', '1000', '0', 'eu-west-1,ap-northeast-1']);
    expect(set[2]?.meaning).toContain('loses no write that was answered');
  });

  test('say when a bound is so small that no failover would ever begin', () => {
    const bound = (maxLossMs: number, rpoMs: number | null): string | undefined =>
      describePolicy({ automatic: true, maxLossMs, rpoMs, prefer: [] }).find(
        ({ option }) => option === 'max-loss-ms',
      )?.meaning;
    expect(bound(1_000, null)).toContain('that is always so');
    expect(bound(1_000, 2_000)).toContain('that is always so');
    expect(bound(1_000, 500)).not.toContain('always');
    expect(bound(60_000, null)).not.toContain('always');
  });
});
