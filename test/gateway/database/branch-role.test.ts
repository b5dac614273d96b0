import { describe, expect, it } from 'vitest';
import {
  type BranchEvent,
  BranchRole,
  owedWaitMs,
  type Pen,
} from '../../../gateway/database/core/branch-role.ts';
import { epoch } from '../../../storage/redo/ids.ts';

const pen = (change: Partial<Pen> = {}): BranchEvent => ({
  kind: 'pen',
  pen: { main: epoch(5), drains: false, head: epoch(7), owedBytes: 0, ...change },
});
const wanted: BranchEvent = { kind: 'wanted' };
const tick: BranchEvent = { kind: 'tick' };
const allotted: BranchEvent = { kind: 'allotted', epoch: epoch(8) };
const recovered: BranchEvent = { kind: 'recovered', epoch: epoch(8) };
const reign = [pen(), wanted, allotted, recovered];

/** The effects of events one after another, in words, and where the role is in the end. Numbers are pauses, in ms. */
function run(events: readonly (BranchEvent | number)[]): {
  readonly effects: string[];
  readonly phase: string;
} {
  const role = new BranchRole();
  const effects: string[] = [];
  let nowMs = 0;
  for (const event of events) {
    if (typeof event === 'number') nowMs += event;
    else
      for (const effect of role.step(event, nowMs))
        effects.push([effect.kind, ...('reason' in effect ? [effect.reason] : [])].join(' '));
  }
  return { effects, phase: role.phase };
}

describe('the role of a branch', () => {
  it('takes an epoch, recovers and writes once somebody wants to write, and never by itself', () => {
    expect(run([pen(), tick, 10_000, tick])).toEqual({ effects: [], phase: 'reading' });
    expect(run(reign)).toEqual({ effects: ['claim', 'recover', 'open'], phase: 'writing' });
    expect(run([...reign, wanted, pen()]).effects).toHaveLength(3);
  });

  it('begins nothing without main, while main drains, or where there is no such branch (G49)', () => {
    for (const change of [{ main: null }, { drains: true }, { head: null }])
      expect(run([pen(change), wanted]), JSON.stringify(change)).toEqual({ effects: [], phase: 'reading' });
    expect(run([pen({ drains: true }), wanted, pen()]).effects).toEqual(['claim']);
    // What was wanted of a gateway that did not write is wanted of whoever does.
    expect(run([pen({ main: null }), wanted, pen()]).effects).toEqual([]);
  });

  it('waits for what other regions hold of the branch, as long as it gets less (G70)', () => {
    const owed = (owedBytes: number): BranchEvent => pen({ owedBytes });
    expect(run([owed(90), wanted, owedWaitMs - 1, owed(90)]).effects).toEqual([]);
    expect(run([owed(90), wanted, owedWaitMs - 1, owed(90), owed(0)]).effects).toEqual(['claim']);
    expect(run([owed(90), wanted, owedWaitMs - 1, owed(40), owedWaitMs - 1, owed(40)]).effects).toEqual([]);
    expect(run([owed(90), wanted, owedWaitMs, tick]).effects).toEqual(['claim']);
    // Nobody waits again for what did not come.
    expect(run([owed(90), owedWaitMs, owed(90), wanted]).effects).toEqual(['claim']);
    // Under another reign of main the regions send anew.
    expect(run([owed(90), owedWaitMs, pen({ main: epoch(9), owedBytes: 90 }), wanted]).effects).toEqual([]);
  });

  it('is over with the reign of main that it began under (G49)', () => {
    for (const main of [null, epoch(9)]) {
      expect(run([...reign, pen({ main })])).toEqual({
        effects: ['claim', 'recover', 'open', 'close main-ended'],
        phase: 'reading',
      });
      expect(run([pen(), wanted, allotted, pen({ main })]).effects).toEqual([
        'claim',
        'recover',
        'close main-ended',
      ]);
      // The epoch came too late: nothing is sealed for it.
      expect(run([pen(), wanted, pen({ main }), allotted]).effects).toEqual(['claim', 'close main-ended']);
    }
  });

  it('writes on while main drains, and begins again under the next reign of main', () => {
    expect(run([...reign, pen({ drains: true })]).phase).toBe('writing');
    expect(run([...reign, pen({ main: epoch(9) }), wanted])).toMatchObject({ phase: 'claiming' });
  });

  it('is over when the record names a later epoch, or the branch no more, and not while it lags behind (G49)', () => {
    expect(run([...reign, pen({ head: epoch(7) })]).phase).toBe('writing');
    expect(run([...reign, pen({ head: epoch(8) })]).phase).toBe('writing');
    expect(run([...reign, pen({ head: epoch(9) })]).effects.at(-1)).toBe('close superseded');
    expect(run([...reign, pen({ head: null })]).effects.at(-1)).toBe('close deleted');
  });

  it.each(['fenced', 'quorum-lost', 'engine-lost'] as const)(
    'that was %s waits before the next attempt',
    (reason) => {
      const lost: BranchEvent = { kind: 'lost', epoch: epoch(8), reason };
      expect(run([...reign, lost, wanted])).toMatchObject({ phase: 'reading' });
      expect(run([...reign, lost, wanted, 500, tick])).toMatchObject({ phase: 'claiming' });
      const other: BranchEvent = { kind: 'lost', epoch: epoch(6), reason };
      expect(run([...reign, other]).phase).toBe('writing');
    },
  );

  it('tries the same epoch again only while nothing can have been forked under it', () => {
    const timedOut = (mayHaveForked: boolean): BranchEvent => ({
      kind: 'recoveryTimedOut',
      epoch: epoch(8),
      mayHaveForked,
    });
    expect(run([pen(), wanted, allotted, timedOut(false)])).toEqual({
      effects: ['claim', 'recover', 'recover'],
      phase: 'recovering',
    });
    expect(run([pen(), wanted, allotted, timedOut(true)]).effects.at(-1)).toBe('close recovery-failed');
  });

  it('that got no epoch asks again when it is wanted again, after a pause', () => {
    const refused: BranchEvent = { kind: 'refused' };
    expect(run([pen(), wanted, refused, 600, tick]).effects).toEqual(['claim']);
    expect(run([pen(), wanted, refused, wanted, 600, tick]).effects).toEqual(['claim', 'claim']);
  });
});
