import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Turns } from '../../../../../gateway/engine/postgres/backend/core/turns.ts';

const limits = { turnWaitMs: 1_000, idleTransactionMs: 300, writeQueueMax: 100 };

/** Runs whatever may run. @returns what ran, as session and operation. */
function drain(turns: Turns<string>, keeps: (operation: string | null) => boolean, nowMs: number): string[] {
  const ran: string[] = [];
  for (let turn = turns.next(); turn !== null; turn = turns.next()) {
    ran.push(`${turn.session}${turn.operation}`);
    turns.ended(turn.session, keeps(turn.operation), nowMs);
  }
  return ran;
}
const never = () => false;
/** `b` begins, `e` ends, everything else leaves things as they are within a transaction. */
const inside = (operation: string | null) => operation !== null && operation !== 'e' && operation !== 'x';

describe('turns', () => {
  test('go round in the order of asking, one operation of a session at a time', () => {
    const turns = new Turns<string>(limits);
    for (const [session, operation] of [
      [1, 'a'],
      [1, 'b'],
      [2, 'a'],
      [3, 'a'],
    ] as const)
      turns.post(session, operation, 0);
    expect(drain(turns, never, 0)).toEqual(['1a', '2a', '3a', '1b']);
    expect(turns.isIdle).toBe(true);
  });

  test('stay with a session from its BEGIN to its end', () => {
    const turns = new Turns<string>(limits);
    turns.post(1, 'b', 0);
    turns.post(2, 'x', 0);
    expect(drain(turns, inside, 0)).toEqual(['1b']);
    expect(turns.isKept).toBe(true);
    turns.post(1, 'w', 1);
    expect(drain(turns, inside, 1)).toEqual(['1w']);
    turns.post(1, 'e', 2);
    expect(drain(turns, inside, 2)).toEqual(['1e', '2x']);
    expect(turns.isKept).toBe(false);
  });

  test('are waited for behind an idle session by nobody who may go elsewhere', () => {
    const turns = new Turns<string>(limits);
    turns.post(1, 'b', 0);
    drain(turns, inside, 0);
    turns.post(2, 'x', 10);
    turns.post(3, 'stays', 10);
    const may = (operation: string) => operation !== 'stays';
    expect(turns.withdraw(100, may, 99)).toEqual([]);
    expect(turns.withdraw(100, may, 100)).toEqual(['x']);
    expect(turns.knows(2)).toBe(false);
    turns.post(1, 'e', 101);
    turns.post(2, 'y', 101);
    expect(turns.withdraw(100, may, 101)).toEqual([]);
    expect(drain(turns, inside, 102)).toEqual(['1e', '3stays']);
    turns.post(3, 'e', 103);
    expect(drain(turns, inside, 103)).toEqual(['3e', '2y']);
    expect(turns.withdraw(100, may, 1_000)).toEqual([]);
  });

  test('are taken from who idles, once another has waited for long enough, and not before', () => {
    const turns = new Turns<string>(limits);
    turns.post(1, 'b', 0);
    drain(turns, inside, 0);
    expect(turns.nextDeadline()).toBeNull();
    expect(turns.expire(10_000)).toEqual({ late: [], evict: null });
    turns.post(2, 'x', 10_000);
    expect(turns.expire(10_000).evict).toBe(1);
    turns.ended(1, false, 10_000);
    expect(drain(turns, inside, 10_000)).toEqual(['2x']);
  });

  test('do not come at all for who has waited too long, or when too many wait', () => {
    const turns = new Turns<string>({ ...limits, idleTransactionMs: 100_000, writeQueueMax: 1 });
    turns.post(1, 'b', 0);
    drain(turns, inside, 0);
    expect(turns.post(2, 'x', 100)).toBe(true);
    expect(turns.post(3, 'x', 100)).toBe(false);
    expect(turns.knows(3)).toBe(false);
    expect(turns.expire(1_100).late).toEqual([{ session: 2, operation: 'x', holderAgeMs: 1_100 }]);
    expect(turns.knows(2)).toBe(false);
  });

  test('end a session that has gone in its own turn, and know nothing of one that has nothing open', () => {
    const turns = new Turns<string>(limits);
    turns.close(7, 0);
    expect(turns.isIdle).toBe(true);
    turns.post(1, 'b', 0);
    drain(turns, inside, 0);
    turns.post(2, 'x', 0);
    turns.close(1, 0);
    expect(drain(turns, inside, 0)).toEqual(['1null', '2x']);
    expect(turns.isIdle).toBe(true);
  });

  test('wait while too much is not durable, but for who has the backend', () => {
    const turns = new Turns<string>(limits);
    turns.post(1, 'b', 0);
    drain(turns, inside, 0);
    turns.setBlocked(true, 0);
    turns.post(2, 'x', 0);
    turns.post(1, 'e', 0);
    expect(drain(turns, inside, 0)).toEqual(['1e']);
    turns.setBlocked(false, 0);
    expect(drain(turns, inside, 0)).toEqual(['2x']);
  });

  test('are all given up when the engine is opened anew', () => {
    const turns = new Turns<string>(limits);
    turns.post(1, 'b', 0);
    drain(turns, inside, 0);
    turns.post(2, 'x', 0);
    expect(turns.reset()).toEqual({ waiting: [{ session: 2, operation: 'x' }], kept: 1 });
    expect(turns.isIdle && !turns.isKept).toBe(true);
  });

  test('never mix transactions, whatever is asked in whatever order', () => {
    const step = fc.record({
      session: fc.integer({ min: 1, max: 4 }),
      what: fc.constantFrom('b', 'w', 'e', 'x', 'close', 'block', 'free'),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const turns = new Turns<string>(limits);
        let open: number | null = null;
        const posted: string[] = [];
        const ran: string[] = [];
        for (const [at, { session, what }] of steps.entries()) {
          if (what === 'close') turns.close(session, at);
          else if (what === 'block' || what === 'free') turns.setBlocked(what === 'block', at);
          else if (turns.post(session, what, at)) posted.push(`${session}${what}`);
          for (let turn = turns.next(); turn !== null; turn = turns.next()) {
            if (open !== null) expect(turn.session).toBe(open);
            const begins: boolean =
              turn.operation === 'b' || (turn.operation === 'w' && open === turn.session);
            open = begins ? turn.session : null;
            if (turn.operation !== null) ran.push(`${turn.session}${turn.operation}`);
            turns.ended(turn.session, begins, at);
          }
        }
        turns.setBlocked(false, 1_000);
        for (const session of [1, 2, 3, 4]) turns.close(session, 1_000);
        for (let turn = turns.next(); turn !== null; turn = turns.next()) {
          if (turn.operation !== null) ran.push(`${turn.session}${turn.operation}`);
          turns.ended(turn.session, false, 1_000);
        }
        expect(turns.isIdle).toBe(true);
        for (const session of ['1', '2', '3', '4'])
          expect(ran.filter((one) => one.startsWith(session))).toEqual(
            posted.filter((one) => one.startsWith(session)),
          );
      }),
    );
  });
});
