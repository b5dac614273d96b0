import { describe, expect, test } from 'vitest';
import {
  type ChangeEffect,
  type ChangeGoal,
  type ChangeOutcome,
  MembershipChange,
} from '../../../storage/members/core/member-change.ts';
import type { MembersReply } from '../../../storage/members/core/member-messages.ts';
import { MemberKeeper, noMemberState } from '../../../storage/members/core/member-state.ts';
import {
  committed,
  configured,
  isSame,
  type Membership,
  nodesOf,
  proposed,
} from '../../../storage/members/core/membership.ts';
import { epoch, lsn, type NodeId, nodeId } from '../../../storage/redo/ids.ts';
import { Prng } from '../../simulation/world/prng.ts';

const member = (name: string) => ({ node: nodeId(name), az: 'a', address: `${name}:1` });
const six = configured(['n1', 'n2', 'n3', 'n4', 'n5', 'n6'].map(member));
const to = (name: string, out = 'n6'): ChangeGoal => ({
  kind: 'replace',
  joining: { out: nodeId(out), in: member(name) },
});

/** Nodes that keep their state, answer at once or never, and are filled when the test says so. */
class Nodes {
  readonly keepers = new Map<NodeId, MemberKeeper>();
  readonly down = new Set<NodeId>();
  readonly told = new Map<NodeId, Partial<MembersReply>>();

  answer(node: NodeId, request: Extract<ChangeEffect, { kind: 'send' }>['request']): MembersReply | null {
    if (this.down.has(node)) return null;
    const keeper = this.keepers.get(node) ?? new MemberKeeper(node);
    this.keepers.set(node, keeper);
    const about = { fresh: false, sealed: epoch(1), head: epoch(1), vdl: lsn(9), end: lsn(9) };
    const reply = {
      kind: 'members',
      granted: false,
      state: noMemberState,
      ...about,
      ...this.told.get(node),
    } as const;
    const { granted } = keeper.carryOut(request.act, !reply.fresh);
    return { ...reply, granted, state: keeper.state };
  }

  installed(node: string): Membership {
    return this.keepers.get(nodeId(node))?.state.current ?? six;
  }
}

class Run {
  readonly change: MembershipChange;
  outcome: ChangeOutcome | null = null;
  sent = 0;
  nowMs = 0;
  private readonly nodes: Nodes;

  constructor(nodes: Nodes, goal: ChangeGoal, by = 'a', membership = six) {
    this.nodes = nodes;
    this.change = new MembershipChange({ membership, goal, by, jitter: 0 });
  }

  /** Lets time pass until it ends, or for so many messages, or for 5 s. */
  run(messagesMax = Number.POSITIVE_INFINITY): this {
    const queue: ChangeEffect[] = [];
    const until = this.nowMs + 5_000;
    for (; this.nowMs < until && this.outcome === null; this.nowMs += 50) {
      queue.push(...this.change.step({ kind: 'tick' }, this.nowMs));
      for (let effect = queue.shift(); effect !== undefined; effect = queue.shift()) {
        if (effect.kind === 'ended') this.outcome = effect.outcome;
        if (effect.kind !== 'send') continue;
        if (this.sent >= messagesMax) return this;
        this.sent += 1;
        const { node, id, request } = effect;
        const reply = this.nodes.answer(node, request);
        queue.push(
          ...this.change.step(
            reply === null ? { kind: 'unanswered', node, id } : { kind: 'answered', node, id, reply },
            this.nowMs,
          ),
        );
      }
    }
    return this;
  }
}

describe('replacing a storage node', () => {
  test('ends with the six that have the new node in the old one’s place, installed on a write quorum', () => {
    const nodes = new Nodes();
    nodes.down.add(nodeId('n6'));
    const run = new Run(nodes, to('n7')).run();
    expect(run.outcome?.kind).toBe('replaced');
    const holders = ['n1', 'n2', 'n3', 'n4', 'n5', 'n7'].filter((node) => nodes.installed(node).epoch === 2);
    expect(holders.length).toBeGreaterThanOrEqual(4);
    expect(nodes.installed('n1').members.map(({ node }) => node)).toEqual([
      'n1',
      'n2',
      'n3',
      'n4',
      'n5',
      'n7',
    ]);
  });

  test('is over when it is asked for again, and refused when something else is under way', () => {
    const nodes = new Nodes();
    new Run(nodes, to('n7')).run();
    expect(new Run(nodes, to('n7'), 'b').run().outcome?.kind).toBe('replaced');
    expect(new Run(nodes, { kind: 'resume' }, 'c').run().outcome?.kind).toBe('nothing');
    expect(new Run(nodes, { kind: 'cancel' }, 'd').run().outcome?.kind).toBe('nothing');
    nodes.told.set(nodeId('n8'), { fresh: true });
    expect(new Run(nodes, to('n8', 'n1'), 'e').run().outcome).toBeNull();
    expect(new Run(nodes, to('n9', 'n2'), 'f').run().outcome).toMatchObject({
      reason: expect.stringContaining('n1 is being replaced by n8 already'),
    });
  });

  test('waits for three of the six that are silent, and says for whom', () => {
    const nodes = new Nodes();
    for (const node of ['n1', 'n2', 'n3']) nodes.down.add(nodeId(node));
    const run = new Run(nodes, to('n7')).run();
    expect(run.outcome).toBeNull();
    expect(run.change.progress.waitsFor).toContain('n1, n2, n3 have not answered');
    nodes.down.clear();
    expect(run.run().outcome?.kind).toBe('replaced');
  });

  test.each<[string, Partial<MembersReply>]>([
    ['has caught up with nothing', { fresh: true }],
    ['is not complete', { end: lsn(8) }],
    ['heard of what is durable from an older reign than any node is sealed for', { head: epoch(0) }],
  ])('S30: does not end while the new node %s', (_, told) => {
    const nodes = new Nodes();
    nodes.told.set(nodeId('n7'), told);
    const run = new Run(nodes, to('n7')).run();
    expect(run.outcome).toBeNull();
    expect(run.change.progress).toMatchObject({ phase: 'filling', membership: { epoch: 1 } });
    nodes.told.clear();
    expect(run.run().outcome?.kind).toBe('replaced');
  });

  test('S30: does not end before four of the six that stay hold what the new node was told', () => {
    const nodes = new Nodes();
    for (const node of ['n1', 'n2', 'n3']) nodes.told.set(nodeId(node), { end: lsn(8) });
    const run = new Run(nodes, to('n7')).run();
    expect(run.outcome).toBeNull();
    nodes.told.delete(nodeId('n1'));
    expect(run.run().outcome?.kind).toBe('replaced');
  });

  test('is given up on request, and then the region has the six that it had', () => {
    const nodes = new Nodes();
    nodes.told.set(nodeId('n7'), { fresh: true });
    new Run(nodes, to('n7')).run();
    expect(nodes.installed('n1').joining?.in.node).toBe('n7');
    expect(new Run(nodes, { kind: 'cancel' }, 'b').run().outcome?.kind).toBe('reverted');
    expect(nodes.installed('n1')).toEqual({ epoch: 2, members: six.members, joining: null });
  });

  test('S6: nodes that came back empty do not vote', () => {
    const nodes = new Nodes();
    for (const node of ['n1', 'n2', 'n3']) nodes.told.set(nodeId(node), { fresh: true });
    const run = new Run(nodes, to('n7')).run();
    expect([run.outcome, run.change.progress.phase]).toEqual([null, 'preparing']);
  });

  test('killed after any message, it is brought to its end by another, or given up', () => {
    const total = new Run(new Nodes(), to('n7')).run().sent;
    expect(total).toBeGreaterThan(30);
    for (let messages = 0; messages <= total; messages++) {
      for (const goal of [{ kind: 'resume' }, { kind: 'cancel' }, to('n7')] as const) {
        const nodes = new Nodes();
        new Run(nodes, to('n7')).run(messages);
        const outcome = new Run(nodes, goal, 'b').run().outcome;
        expect(['replaced', 'reverted', 'nothing']).toContain(outcome?.kind);
        const last = nodes.installed('n1');
        expect(last.joining).toBeNull();
        if (goal.kind === 'replace') expect(outcome?.kind).toBe('replaced');
      }
    }
  });
});

describe('S28: any number of coordinators, over a network that loses, repeats and delays', () => {
  interface Seen {
    readonly decided: Map<number, Membership>;
    ended: number;
  }

  /** Coordinators come and go at random; whatever any of them adopts of one epoch must be the same. */
  function chaos(seed: number): Seen {
    const dice = Prng.fromSeed(seed);
    const nodes = new Nodes();
    const seen: Seen = { decided: new Map(), ended: 0 };
    let coordinators: MembershipChange[] = [];
    const inbox: {
      readonly atMs: number;
      readonly of: MembershipChange;
      readonly run: () => readonly ChangeEffect[];
    }[] = [];
    let nowMs = 0;
    const carryOut = (of: MembershipChange, effects: readonly ChangeEffect[]): void => {
      for (const effect of effects) {
        if (effect.kind === 'adopt') {
          const { membership } = effect;
          const before = seen.decided.get(membership.epoch) ?? membership;
          if (!isSame(before, membership))
            throw new Error(`seed ${seed}: epoch ${membership.epoch} was decided twice`);
          seen.decided.set(membership.epoch, membership);
          // The worst moment to die: it is decided, and installed nowhere.
          if (dice.perMille(500)) {
            coordinators = coordinators.filter((other) => other !== of);
            return;
          }
        } else if (effect.kind === 'ended') {
          seen.ended += 1;
          coordinators = coordinators.filter((other) => other !== of);
        } else {
          const { node, id, request } = effect;
          const copies = dice.perMille(100) ? 0 : dice.perMille(100) ? 2 : 1;
          for (let copy = 0; copy < copies; copy++) {
            const there = nowMs + dice.below(dice.perMille(100) ? 800 : 30);
            inbox.push({
              atMs: there,
              of,
              run: () => {
                const reply = nodes.answer(node, request);
                if (reply !== null && !dice.perMille(100))
                  inbox.push({
                    atMs: nowMs + dice.below(30),
                    of,
                    run: () => of.step({ kind: 'answered', node, id, reply }, nowMs),
                  });
                return [];
              },
            });
          }
          inbox.push({ atMs: nowMs + 300, of, run: () => of.step({ kind: 'unanswered', node, id }, nowMs) });
        }
      }
    };
    for (; nowMs < 20_000; nowMs += 10) {
      if (coordinators.length < 3 && dice.perMille(50)) {
        const spare = ['n1', 'n2', 'n3', 'n4', 'n5', 'n6', 'n7', 'n8', 'n9'];
        const goal = dice.pick<ChangeGoal>([
          to(dice.pick(spare), dice.pick(spare)),
          to('n7'),
          { kind: 'resume' },
          { kind: 'cancel' },
        ]);
        coordinators.push(
          new MembershipChange({
            membership: six,
            goal,
            by: `c${nowMs}-${dice.below(99)}`,
            jitter: dice.below(1_000) / 1_000,
          }),
        );
      }
      // A coordinator dies; what it has sent still arrives.
      if (dice.perMille(10)) coordinators = coordinators.slice(1);
      if (dice.perMille(50)) {
        nodes.down.clear();
        for (let count = dice.below(3); count > 0; count--)
          nodes.down.add(nodeId(dice.pick(['n1', 'n2', 'n3', 'n6'])));
      }
      const due = inbox.filter(({ atMs }) => atMs <= nowMs);
      for (const entry of due) inbox.splice(inbox.indexOf(entry), 1);
      for (const { of, run } of due) {
        const effects = run();
        if (coordinators.includes(of)) carryOut(of, effects);
      }
      for (const each of [...coordinators]) carryOut(each, each.step({ kind: 'tick' }, nowMs));
    }
    return seen;
  }

  test('no membership epoch is decided in two ways', { timeout: 60_000 }, () => {
    let decided = 0;
    for (let seed = 1; seed <= 40; seed++) {
      const seen = chaos(seed);
      decided += seen.decided.size;
      const inOrder = [...seen.decided.keys()].sort((a, b) => a - b);
      for (const at of inOrder) {
        const [now, next] = [seen.decided.get(at), seen.decided.get(at + 1)];
        if (now === undefined || next === undefined) continue;
        const allowed =
          next.joining !== null
            ? isSame(next, proposed(now, next.joining))
            : isSame(next, committed(now)) || isSame(next, { ...now, epoch: at + 1, joining: null });
        expect(allowed).toBe(true);
      }
    }
    expect(decided).toBeGreaterThan(40 * 2);
  });
});

describe('a storage node', () => {
  const joining = proposed(six, { out: nodeId('n6'), in: member('n7') });

  test('S29: tells whoever believes in an older membership the one it has', () => {
    const keeper = new MemberKeeper(nodeId('n1'));
    expect(keeper.newerThan(0)).toBeNull();
    keeper.carryOut({ act: 'install', membership: joining }, true);
    expect([keeper.newerThan(0), keeper.newerThan(1), keeper.newerThan(2)]).toEqual([joining, null, null]);
  });

  test('joins with the membership that names it, once, whatever it was before', () => {
    const keeper = new MemberKeeper(nodeId('n7'));
    const install = (membership: Membership) => keeper.carryOut({ act: 'install', membership }, false);
    expect(install(joining)).toEqual({ granted: true, changed: true, joins: true });
    expect(install(joining)).toEqual({ granted: true, changed: false, joins: false });
    expect(install(committed(joining))).toMatchObject({ changed: true, joins: false });
    expect(install(joining)).toMatchObject({ changed: false, joins: false });
    expect(keeper.epoch).toBe(2);
  });

  test('keeps its promises: no vote below a promised ballot, none for an epoch that is not the next', () => {
    const keeper = new MemberKeeper(nodeId('n1'));
    const ballot = (round: number, by: string) => ({ round, by });
    const prepare = (round: number, by: string) =>
      keeper.carryOut({ act: 'prepare', epoch: 0, ballot: ballot(round, by) }, true).granted;
    const accept = (round: number, by: string, membership = joining) =>
      keeper.carryOut({ act: 'accept', vote: { ballot: ballot(round, by), membership } }, true).granted;
    expect([prepare(2, 'b'), prepare(1, 'z'), prepare(2, 'a'), prepare(2, 'b')]).toEqual([
      true,
      false,
      false,
      true,
    ]);
    expect([accept(2, 'a'), accept(2, 'b'), accept(3, 'a'), accept(2, 'b')]).toEqual([
      false,
      true,
      true,
      false,
    ]);
    expect(accept(9, 'a', committed(joining))).toBe(false);
    expect(keeper.state.accepted?.ballot).toEqual(ballot(3, 'a'));
    expect(nodesOf(joining)).toHaveLength(7);
  });
});
