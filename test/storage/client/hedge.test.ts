import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  HedgedRead,
  type HedgeEffect,
  type HedgeEvent,
  hedgeLimits,
} from '../../../storage/client/core/hedge.ts';
import { type NodeId, nodeId } from '../../../storage/redo/ids.ts';

const [n1, n2, n3] = [nodeId('n1'), nodeId('n2'), nodeId('n3')];
const order = [n1, n2, n3];
const timeoutMs = 100;
const hedgeMs = 10;
const tick = (nodes: readonly NodeId[] = order): HedgeEvent => ({ kind: 'tick', order: nodes, hedgeMs });
const served = (node: NodeId): HedgeEvent => ({ kind: 'served', node });
const failed = (node: NodeId): HedgeEvent => ({ kind: 'failed', node, reason: `${node}: behind` });

type State = 'begins' | 'one is asked' | 'two are asked' | 'all have failed' | 'nobody is up' | 'over';
type Moment =
  | 'a tick before anything is due'
  | 'the tick of the hedge'
  | 'the tick of a round'
  | 'the tick of the deadline'
  | 'the first node serves'
  | 'the first node fails'
  | 'the first node fails too late'
  | 'a node serves that was not asked'
  | 'a node fails that was not asked';

/** A read in a state, at 5 ms or, where rounds count, with its next round at 25 ms. */
function readIn(state: State): HedgedRead {
  const read = new HedgedRead(timeoutMs, 0);
  const script: Record<State, readonly (readonly [HedgeEvent, number])[]> = {
    begins: [],
    'one is asked': [[tick(), 0]],
    'two are asked': [
      [tick(), 0],
      [failed(n1), 1],
      [tick(), 10],
    ],
    'all have failed': [
      [tick([n1]), 0],
      [failed(n1), 5],
    ],
    'nobody is up': [[tick([]), 5]],
    over: [
      [tick(), 0],
      [served(n1), 1],
    ],
  };
  for (const [event, nowMs] of script[state]) read.step(event, nowMs);
  return read;
}

describe('a page read, event by event', () => {
  const moments: Record<Moment, readonly [HedgeEvent, number]> = {
    'a tick before anything is due': [tick(), 9],
    'the tick of the hedge': [tick(), 10],
    'the tick of a round': [tick(), 25],
    'the tick of the deadline': [tick(), 100],
    'the first node serves': [served(n1), 12],
    'the first node fails': [failed(n1), 12],
    'the first node fails too late': [failed(n1), 100],
    'a node serves that was not asked': [served(nodeId('n9')), 12],
    'a node fails that was not asked': [failed(nodeId('n9')), 12],
  };
  type Expected = 'nothing' | `asks ${string}` | `takes ${string}` | `gives up: ${string}`;
  const quiet: Record<Moment, Expected> = {
    'a tick before anything is due': 'nothing',
    'the tick of the hedge': 'nothing',
    'the tick of a round': 'nothing',
    'the tick of the deadline': 'nothing',
    'the first node serves': 'nothing',
    'the first node fails': 'nothing',
    'the first node fails too late': 'nothing',
    'a node serves that was not asked': 'nothing',
    'a node fails that was not asked': 'nothing',
  };
  const table: Record<State, Record<Moment, Expected>> = {
    begins: {
      ...quiet,
      'a tick before anything is due': 'asks n1',
      'the tick of the hedge': 'asks n1',
      'the tick of a round': 'asks n1',
      'the tick of the deadline': 'gives up: no storage node is reachable',
    },
    'one is asked': {
      ...quiet,
      'the tick of the hedge': 'asks n2',
      'the tick of a round': 'asks n2',
      'the tick of the deadline': 'gives up: no answer from n1',
      'the first node serves': 'takes n1',
      'the first node fails': 'asks n2',
      'the first node fails too late': 'gives up: no answer from n1',
    },
    // The first one has failed, and the two others are waited for.
    'two are asked': { ...quiet, 'the tick of the deadline': 'gives up: n1: behind' },
    'all have failed': {
      ...quiet,
      'the tick of a round': 'asks n1',
      'the tick of the deadline': 'gives up: n1: behind',
    },
    'nobody is up': {
      ...quiet,
      'the tick of a round': 'asks n1',
      'the tick of the deadline': 'gives up: no storage node is reachable',
    },
    over: quiet,
  };
  const told = ([effect]: readonly HedgeEffect[]): string => {
    if (effect === undefined) return 'nothing';
    if (effect.kind === 'giveUp') return `gives up: ${effect.reason.replace(/^.*; last: /, '')}`;
    return `${effect.kind}s ${effect.node}`;
  };
  for (const [state, row] of Object.entries(table) as [State, Record<Moment, Expected>][]) {
    for (const [moment, expected] of Object.entries(row) as [Moment, Expected][]) {
      it(`${state}; ${moment}: ${expected}`, () => {
        const read = readIn(state);
        const [event, nowMs] = moments[moment];
        expect(told(read.step(event, nowMs))).toBe(expected);
      });
    }
  }

  it('asks no third node because two are silent', () => {
    const read = readIn('one is asked');
    expect(told(read.step(tick(), 10))).toBe('asks n2');
    expect(read.wakeAtMs).toBe(timeoutMs);
    expect(read.step(tick(), 50)).toEqual([]);
  });

  it('gives a request more time than the read has', () => {
    expect(readIn('one is asked').requestMs(40)).toBe(60 + hedgeLimits.roundMs);
  });
});

/** What each node does when it is asked: after so long it serves, or fails, or it says nothing at all. */
type Habit = { readonly kind: 'serves' | 'fails' | 'silent'; readonly afterMs: number };

interface Told {
  readonly asked: readonly {
    readonly node: NodeId;
    readonly atMs: number;
    readonly waiting: readonly NodeId[];
  }[];
  readonly takes: readonly NodeId[];
  readonly givesUp: readonly string[];
  readonly failures: readonly { readonly node: NodeId; readonly atMs: number }[];
  readonly endedAtMs: number;
}

/** Runs one read to its end on a clock of its own, and some time beyond it. */
function run(habits: readonly Habit[], hedge: number): Told {
  const nodes = habits.map((_, at) => nodeId(`n${at + 1}`));
  const read = new HedgedRead(timeoutMs, 0);
  const asked: Told['asked'][number][] = [];
  const takes: NodeId[] = [];
  const givesUp: string[] = [];
  const failures: Told['failures'][number][] = [];
  const due: { readonly atMs: number; readonly event: HedgeEvent }[] = [];
  let endedAtMs = Number.NaN;
  let nowMs = 0;
  const take = (event: HedgeEvent): void => {
    if (event.kind === 'failed' && !read.isOver && nowMs < timeoutMs)
      failures.push({ node: event.node, atMs: nowMs });
    for (const effect of read.step(event, nowMs)) {
      if (effect.kind === 'ask') {
        const waiting = read.waitingFor.filter((node) => node !== effect.node);
        asked.push({ node: effect.node, atMs: nowMs, waiting });
        const habit = habits[nodes.indexOf(effect.node)];
        if (habit === undefined || habit.kind === 'silent') continue;
        const answer = habit.kind === 'serves' ? served(effect.node) : failed(effect.node);
        due.push({ atMs: nowMs + habit.afterMs, event: answer });
        continue;
      }
      endedAtMs = nowMs;
      if (effect.kind === 'take') takes.push(effect.node);
      else givesUp.push(effect.reason);
    }
  };
  for (; nowMs <= 3 * timeoutMs; nowMs += 1) {
    if (nowMs >= read.wakeAtMs) take({ kind: 'tick', order: nodes, hedgeMs: hedge });
    for (const answer of due.filter(({ atMs }) => atMs === nowMs)) take(answer.event);
  }
  return { asked, takes, givesUp, failures, endedAtMs };
}

describe('a page read, whatever the nodes do', () => {
  const habit: fc.Arbitrary<Habit> = fc.record({
    kind: fc.constantFrom('serves', 'fails', 'silent'),
    afterMs: fc.integer({ min: 1, max: 150 }),
  });
  const habits = fc.array(habit, { minLength: 0, maxLength: 6 });
  const hedges = fc.integer({ min: 1, max: 50 });
  const holds = (check: (told: Told, nodes: readonly Habit[]) => void): void =>
    fc.assert(
      fc.property(habits, hedges, (nodes, hedge) => check(run(nodes, hedge), nodes)),
      { numRuns: 500 },
    );

  it('ends once, by its deadline', () =>
    holds(({ takes, givesUp, endedAtMs }) => {
      expect(takes.length + givesUp.length).toBe(1);
      expect(endedAtMs).toBeLessThanOrEqual(timeoutMs);
    }));

  it('never asks a node whose answer is awaited, nor one twice while another is untried', () =>
    holds(({ asked }, nodes) => {
      const times = new Map<NodeId, number>();
      for (const { node, waiting } of asked) {
        expect(waiting).not.toContain(node);
        const before = times.get(node) ?? 0;
        const least = Math.min(...nodes.map((_, at) => times.get(nodeId(`n${at + 1}`)) ?? 0));
        expect(before).toBe(least);
        times.set(node, before + 1);
      }
    }));

  it('names the node that failed last, or else those it waits for', () =>
    holds(({ givesUp, failures, asked }) => {
      const [reason] = givesUp;
      if (reason === undefined) return;
      const last = failures.at(-1);
      const silent = asked.map(({ node }) => node);
      if (last !== undefined) expect(reason).toMatch(new RegExp(`last: ${last.node}: behind$`));
      else if (silent.length > 0) expect(reason).toMatch(new RegExp(`no answer from ${silent.join(', ')}$`));
      else expect(reason).toMatch(/no storage node is reachable$/);
    }));

  it('takes an answer when a node that it asks in time serves', () =>
    holds(({ takes, asked }, nodes) => {
      const serves = asked.some(({ node, atMs }) => {
        const asks = nodes[Number(node.slice(1)) - 1];
        return asks?.kind === 'serves' && atMs + asks.afterMs < timeoutMs;
      });
      expect(takes.length).toBe(serves ? 1 : 0);
    }));
});
