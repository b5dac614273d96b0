/** Runs a membership change over a region's nodes: the pure coordinator says what to send, and hears what came back. */
import type { RegionClient } from '../client/region-client.ts';
import {
  type ChangeEffect,
  type ChangeEvent,
  type ChangeGoal,
  type ChangeOutcome,
  type ChangeProgress,
  MembershipChange,
} from '../members/core/member-change.ts';
import { machine, type Runtime } from '../process/runtime.ts';
import { type NodeId, unreachable } from '../redo/ids.ts';

export interface ChangeOptions {
  readonly region: Pick<RegionClient, 'membership' | 'ask' | 'adopt'>;
  readonly goal: ChangeGoal;
  /** Runs once, unless it is closed before. */
  readonly onEnded: (outcome: ChangeOutcome) => void;
  /** Default: this machine. */
  readonly runtime?: Runtime;
}

const tickMs = 50;
/** For one request to one node. */
const requestMs = 2_000;

/** One coordinator, from its beginning until it has ended or is closed. What it has begun stays begun. */
export class ChangeDriver {
  private readonly options: ChangeOptions;
  private readonly runtime: Runtime;
  private readonly change: MembershipChange;
  private readonly ticks: { stop(): void };
  private over = false;

  constructor(options: ChangeOptions) {
    const { region, goal, runtime = machine } = options;
    this.options = options;
    this.runtime = runtime;
    const chance = (): number => Math.floor(runtime.random() * 0x1_0000_0000);
    const by = `${Math.round(runtime.wallUs())}-${chance().toString(36)}`;
    this.change = new MembershipChange({ membership: region.membership, goal, by, jitter: runtime.random() });
    this.ticks = runtime.every(tickMs, () => this.step({ kind: 'tick' }));
    runtime.turn(() => this.step({ kind: 'tick' }));
  }

  get progress(): ChangeProgress {
    return this.change.progress;
  }

  /** Stops where it is; another coordinator may go on. */
  close(): void {
    this.over = true;
    this.ticks.stop();
  }

  private step(event: ChangeEvent): void {
    if (this.over) return;
    for (const effect of this.change.step(event, this.runtime.nowMs())) this.carryOut(effect);
  }

  private carryOut(effect: ChangeEffect): void {
    if (this.over) return;
    switch (effect.kind) {
      case 'send':
        this.ask(effect);
        return;
      case 'adopt':
        this.options.region.adopt(effect.membership);
        return;
      case 'ended':
        this.close();
        this.options.onEnded(effect.outcome);
        return;
      default:
        unreachable(effect);
    }
  }

  private ask({
    node,
    id,
    request,
  }: { node: NodeId; id: number } & Extract<ChangeEffect, { kind: 'send' }>): void {
    this.options.region.ask(node, request, requestMs, (answer) =>
      this.step(
        answer.kind === 'members'
          ? { kind: 'answered', node, id, reply: answer }
          : { kind: 'unanswered', node, id },
      ),
    );
  }
}
