/**
 * Replaces storage nodes of the agent's region, on an operator's word.
 *
 * R68 The agent keeps nothing of a replacement: whatever is under way is read from the nodes. An agent that is started again,
 *     or another one, goes on by itself with what a write quorum of them has decided, and takes up what one that died had asked for
 *     only where they voted for it.
 */
import {
  ChangeDriver,
  type ChangeGoal,
  type ChangeOutcome,
  type Joining,
  type Membership,
  nodeSchema,
  nodesOf,
  type RegionClient,
  type Runtime,
  whyNot,
} from '../../storage/index.ts';
import type { Logger } from '../../telemetry/index.ts';
import type { Members, MembersAct } from './core/members-request.ts';

export type MembersAnswer =
  | { readonly kind: 'members'; readonly members: Members }
  | { readonly kind: 'refused'; readonly code: string; readonly message: string };

export interface ReplacementOptions {
  readonly region: string;
  readonly links: Pick<RegionClient, 'membership' | 'ask' | 'adopt' | 'notify'>;
  /** Why a new node cannot be used, in words; null when it can. Resolves within seconds. */
  readonly probe: (target: Joining['in']) => Promise<string | null>;
  readonly runtime: Runtime;
  readonly log: Pick<Logger, 'info' | 'warn'>;
}

/** Beside a replacement that is under way and that nobody here coordinates: whoever does may only be slow. */
const idleLooksMax = 4;

interface Running {
  readonly goal: ChangeGoal;
  readonly startedAtMs: number;
  /** Null while the new node is looked at. */
  driver: ChangeDriver | null;
}

export class Replacement {
  private readonly options: ReplacementOptions;
  private running: Running | null = null;
  private ended: Members['ended'] = null;
  /** Looks at a replacement under way that nobody here coordinates. */
  private idleLooks = 0;
  private closed = false;

  constructor(options: ReplacementOptions) {
    this.options = options;
  }

  /** A look at the region, twice a second. Goes on with what is under way, and tells nodes that have missed it the membership. */
  look(behind: readonly Joining['out'][]): void {
    const { links } = this.options;
    const { membership } = links;
    for (const node of membership.epoch === 0 ? [] : behind)
      links.ask(node, { kind: 'members', act: { act: 'install', membership } }, installMs, () => undefined);
    if (membership.joining === null || this.running !== null) {
      this.idleLooks = 0;
      return;
    }
    this.idleLooks += 1;
    if (this.idleLooks < idleLooksMax) return;
    this.options.log.info(
      { joining: membership.joining },
      'goes on with a replacement that was begun before',
    );
    this.begin({ kind: 'resume' });
  }

  /** Begins what is asked for. What it comes to is in `members`. */
  serve(act: MembersAct): MembersAnswer {
    const { membership } = this.options.links;
    switch (act.act) {
      case 'replace':
        return this.replace(act, membership);
      case 'resume':
        if (this.running === null) this.begin({ kind: 'resume' });
        break;
      case 'cancel':
        this.stop();
        this.begin({ kind: 'cancel' });
        break;
    }
    return { kind: 'members', members: this.members };
  }

  get members(): Members {
    const { region, links } = this.options;
    const { membership } = links;
    const { epoch, joining } = membership;
    const role = (node: string): 'member' | 'leaving' | 'joining' =>
      node === joining?.out ? 'leaving' : node === joining?.in.node ? 'joining' : 'member';
    return {
      region,
      epoch,
      nodes: nodesOf(membership).map(({ node, az, address }) => ({
        id: node,
        az,
        address,
        role: role(node),
      })),
      joining: joining === null ? null : { out: joining.out, in: joining.in.node },
      change: this.running === null ? null : changeOf(this.running),
      ended: this.ended,
    };
  }

  close(): void {
    this.closed = true;
    this.stop();
  }

  private replace(act: Extract<MembersAct, { act: 'replace' }>, membership: Membership): MembersAnswer {
    const out = nodeSchema.parse(act.out);
    const old = membership.members.find(({ node }) => node === out);
    const node = nodeSchema.parse(act.node);
    const az = act.az ?? old?.az ?? nodesOf(membership).find((member) => member.node === node)?.az ?? '';
    const joining: Joining = { out, in: { node, az, address: act.address } };
    const busy = this.running?.goal;
    const isBegun = busy?.kind === 'replace' && isSame(busy.joining, joining);
    // Asked again, because the answer was lost or the agent was started again, it goes on.
    if (isBegun) return { kind: 'members', members: this.members };
    const current = membership.joining;
    if (current !== null && isSame(current, joining)) {
      if (this.running === null) this.begin({ kind: 'resume' });
      return { kind: 'members', members: this.members };
    }
    const isDone = old === undefined && membership.members.some((member) => member.node === node);
    if (!isDone) {
      const reason =
        busy === undefined ? whyNot(membership, joining) : 'another replacement is under way here';
      if (reason !== null) return { kind: 'refused', code: 'CANNOT_REPLACE', message: reason };
    }
    void this.probeAndBegin({ kind: 'replace', joining }, isDone);
    return { kind: 'members', members: this.members };
  }

  private async probeAndBegin(
    goal: Extract<ChangeGoal, { kind: 'replace' }>,
    isDone: boolean,
  ): Promise<void> {
    if (isDone) {
      this.begin(goal);
      return;
    }
    const running: Running = { goal, startedAtMs: this.nowMs(), driver: null };
    this.running = running;
    this.ended = null;
    const reason = await this.options.probe(goal.joining.in);
    if (this.running !== running || this.closed) return;
    if (reason === null) this.begin(goal);
    else this.endedWith({ kind: 'refused', reason });
  }

  private begin(goal: ChangeGoal): void {
    const { links, runtime, log } = this.options;
    const driver = new ChangeDriver({
      region: links,
      goal,
      runtime,
      onEnded: (outcome) => this.endedWith(outcome),
    });
    this.idleLooks = 0;
    this.ended = null;
    this.running = { goal, startedAtMs: this.nowMs(), driver };
    log.info({ goal }, 'the nodes of the region are being changed');
  }

  private endedWith(outcome: ChangeOutcome): void {
    const message = outcome.kind === 'refused' ? outcome.reason : describe(outcome);
    this.running = null;
    this.ended = { outcome: outcome.kind, message, endedAtMs: this.nowMs() };
    if (outcome.kind === 'refused') this.options.log.warn({ reason: message }, 'no storage node is replaced');
    else this.options.log.info({ outcome: outcome.kind, epoch: outcome.membership.epoch }, message);
  }

  private stop(): void {
    this.running?.driver?.close();
    this.running = null;
  }

  private nowMs(): number {
    return Math.round(this.options.runtime.wallUs() / 1_000);
  }
}

const installMs = 1_000;

const isSame = (a: Joining, b: Joining): boolean => a.out === b.out && a.in.node === b.in.node;

function describe({ kind, membership }: Exclude<ChangeOutcome, { kind: 'refused' }>): string {
  const names = membership.members.map(({ node }) => node).join(', ');
  switch (kind) {
    case 'replaced':
      return `the storage nodes are ${names} now`;
    case 'reverted':
      return `the replacement was given up: the storage nodes are ${names}, as before`;
    case 'nothing':
      return `no replacement is under way: the storage nodes are ${names}`;
  }
}

function changeOf({ goal, startedAtMs, driver }: Running): NonNullable<Members['change']> {
  const begun = { goal: goal.kind, startedAtMs };
  if (driver === null) return { ...begun, phase: 'probing', filledLsn: null, ofLsn: null, waitsFor: '' };
  const { phase, filled, waitsFor } = driver.progress;
  return { ...begun, phase, filledLsn: filled?.end ?? null, ofLsn: filled?.of ?? null, waitsFor };
}
