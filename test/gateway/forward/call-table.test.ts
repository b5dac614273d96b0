import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type CallEnd, CallTable } from '../../../gateway/forward/core/call-table.ts';
import { defaultForwardLimits } from '../../../gateway/forward/core/forward-limits.ts';
import type { ForwardRequest } from '../../../gateway/forward/core/forward-messages.ts';
import { mainBranch } from '../../../storage/redo/ids.ts';

const done: CallEnd = { kind: 'done', parts: [new Uint8Array(1)], bytes: 1 };
const refused: CallEnd = { kind: 'refused', reason: 'draining', message: 'later' };

const part = (call: string, index = 0, count = 1): Extract<ForwardRequest, { kind: 'part' }> => ({
  ...{ kind: 'part', branch: mainBranch, call, index, count, bytes: new Uint8Array([index]) },
});

const table = (): CallTable => new CallTable(defaultForwardLimits);

describe('the calls of other gateways', () => {
  const message = fc.oneof(
    fc.record({ kind: fc.constant('part'), call: fc.nat(2), index: fc.nat(1) }),
    fc.record({ kind: fc.constantFrom('poll', 'done', 'refused'), call: fc.nat(2), index: fc.nat(1) }),
  );

  it('run once each, whatever comes again and in whatever order, and never after word that they do not (G30, G31)', () => {
    fc.assert(
      fc.property(fc.array(message, { maxLength: 40 }), (messages) => {
        const calls = table();
        const running = new Set<string>();
        const runs = new Map<string, number>();
        const denied = new Set<string>();
        const ended = new Set<string>();
        for (const [nowMs, { kind, call, index }] of messages.entries()) {
          const id = `c${call}`;
          // Who is refused a call asks no more about it.
          if (ended.has(id)) continue;
          if (kind === 'done' || kind === 'refused') {
            if (!running.delete(id)) continue;
            calls.ended(id, kind === 'done' ? done : refused, nowMs);
            if (kind === 'refused') ended.add(id);
            continue;
          }
          const step =
            kind === 'part' ? calls.takePart(part(id, index, 2), nowMs) : calls.poll(id, index, nowMs);
          if (step.kind === 'run') {
            expect([...step.bytes]).toEqual([0, 1]);
            expect(denied).not.toContain(id);
            runs.set(id, (runs.get(id) ?? 0) + 1);
            expect(runs.get(id)).toBe(1);
            running.add(id);
          }
          if (step.kind === 'reply' && step.reply.kind === 'unknown') denied.add(id);
          expect(step.kind === 'runs' && !running.has(id)).toBe(false);
        }
      }),
      { numRuns: 500 },
    );
  });

  it('that have ended are answered part by part until they are forgotten, and a forgotten one is unknown', () => {
    const calls = table();
    expect(calls.takePart(part('a'), 0).kind).toBe('run');
    expect(calls.takePart(part('a'), 0)).toEqual({ kind: 'runs' });
    calls.ended('a', { kind: 'done', parts: [new Uint8Array([1]), new Uint8Array([2])], bytes: 2 }, 0);
    expect(calls.poll('a', 1, 0)).toMatchObject({ reply: { kind: 'part', index: 1, count: 2 } });
    expect(calls.poll('a', 2, 0)).toMatchObject({ reply: { kind: 'refused', reason: 'malformed' } });
    calls.forget('a');
    expect(calls.poll('a', 0, 0)).toEqual({ kind: 'reply', reply: { kind: 'unknown' } });
  });

  it('that nobody came for are let go after forwardKeepMs, and those that run are not', () => {
    const calls = table();
    calls.takePart(part('runs'), 0);
    calls.takePart(part('done'), 0);
    calls.ended('done', done, 0);
    calls.sweep(defaultForwardLimits.forwardKeepMs + 1);
    expect(calls.poll('done', 0, 0)).toMatchObject({ reply: { kind: 'unknown' } });
    expect(calls.poll('runs', 0, 0)).toEqual({ kind: 'runs' });
  });

  it('are refused beyond the bounds, with the name of the bound', () => {
    const calls = new CallTable({
      ...defaultForwardLimits,
      forwardCalls: 1,
      forwardCallBytes: 1,
      forwardHeldBytes: 9,
    });
    expect(calls.takePart({ ...part('long'), bytes: new Uint8Array(2) }, 0)).toMatchObject({
      reply: { reason: 'too-large', message: expect.stringContaining('forwardCallBytes = 1') },
    });
    calls.takePart(part('one'), 0);
    expect(calls.takePart(part('two'), 0)).toMatchObject({
      reply: { reason: 'busy', message: expect.stringContaining('forwardCalls = 1') },
    });
  });
});

const ends: readonly [string, (calls: CallTable) => void, boolean][] = [
  ['runs', (calls) => void calls.takePart(part('a'), -60_000), true],
  ['has just been answered, and is not forgotten by its caller', (calls) => end(calls, done, -100), true],
  ['was answered a while ago', (calls) => end(calls, done, -2_000), false],
  ['is not whole yet', (calls) => void calls.takePart(part('a', 0, 2), 0), false],
  ['was refused', (calls) => end(calls, refused, 0), false],
  ['was asked for before it came', (calls) => void calls.poll('a', 0, 0), false],
];

const end = (calls: CallTable, how: CallEnd, atMs: number): void => {
  calls.takePart(part('a'), atMs);
  calls.ended('a', how, atMs);
};

describe('a gateway that stops', () => {
  it.each(ends)('knows whether a call that %s is owed an answer (G104)', (_, happens, owes) => {
    const calls = table();
    happens(calls);
    expect(calls.owesAnswers(0)).toBe(owes);
  });
});
