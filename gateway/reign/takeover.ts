/**
 * Takes over from the writer of this region when its process has ended or gives no sign of life, without waiting for its lease.
 *
 * R78. A gateway claims from a holder of its own region whose lease has not lapsed only after three of the region's nodes have
 *      persisted a seal for the next epoch, asked for by itself, and on a record that still says the sealed epoch. That is R28
 *      with the challenger in the same region: nothing whose redo leaves the old writer after the third seal is acknowledged.
 */
import type { ControlRecord, Holder, WriterPhase } from '../../regions/core.ts';
import { sameHolder } from '../../regions/core.ts';
import { sealNodes } from '../../regions/index.ts';
import {
  type Epoch,
  machine,
  type NodeLinks,
  PacedTimer,
  type RegionId,
  type Runtime,
} from '../../storage/index.ts';
import type { Logger } from '../../telemetry/index.ts';
import { type DoubtLimits, defaultDoubtLimits, type WriterAnswer, WriterDoubt } from './core/writer-doubt.ts';

export interface TakeoverOptions {
  readonly region: RegionId;
  readonly me: Holder;
  readonly role: {
    readonly phase: WriterPhase;
    readonly record: ControlRecord | null;
    /** The nodes are sealed against that reign: its lease need not be waited for. */
    holderFenced(reign: Epoch): void;
  };
  readonly nodes: Pick<NodeLinks, 'membership' | 'ask'>;
  /** Asks that start of a gateway of this region for a sign of life. */
  readonly ask: (writer: Holder, waitMs: number) => Promise<WriterAnswer>;
  readonly isConnected: () => boolean;
  readonly metrics: { takenOver(why: 'gone' | 'silent'): void };
  readonly log: Pick<Logger, 'warn' | 'info'>;
  readonly limits?: DoubtLimits;
  readonly runtime?: Runtime;
}

const lookMs = 50;
/** While no other gateway of this region writes. `roleChanged` says when one does. */
const restMs = 100;
/** After nodes could not be sealed, or another was faster. */
const againMs = 500;

export class Takeover {
  private readonly options: TakeoverOptions;
  private readonly limits: DoubtLimits;
  private readonly runtime: Runtime;
  private readonly doubt: WriterDoubt;
  private ticker: PacedTimer | null = null;
  private sealing = false;
  private notBeforeMs = Number.NEGATIVE_INFINITY;

  constructor(options: TakeoverOptions) {
    this.options = options;
    this.limits = options.limits ?? defaultDoubtLimits;
    this.runtime = options.runtime ?? machine;
    this.doubt = new WriterDoubt(this.limits);
  }

  start(): void {
    this.ticker = new PacedTimer(this.runtime, lookMs, () => this.look());
  }

  close(): void {
    this.ticker?.stop();
    this.ticker = null;
  }

  /** The record or the phase has changed: another gateway may write now, and is looked after at once. */
  roleChanged(): void {
    if (this.ticker !== null && this.writer() !== null) this.look();
  }

  private look(): void {
    const nowMs = this.runtime.nowMs();
    const writer = this.writer();
    this.ticker?.pace(writer === null ? restMs : lookMs);
    const isDue = this.doubt.look(writer === null ? null : nameOf(writer), this.options.isConnected(), nowMs);
    if (writer === null) return;
    if (isDue) void this.ask(writer);
    else this.judge();
  }

  /** Who writes in this region, when that is another gateway and this one could take its place. */
  private writer(): Holder | null {
    const { region, me, role } = this.options;
    const { record } = role;
    const holder = record?.holder ?? null;
    if (record === null || holder === null || role.phase !== 'reading') return null;
    return record.primary === region && !sameHolder(holder, me) ? holder : null;
  }

  private async ask(writer: Holder): Promise<void> {
    const answer = await this.options.ask(writer, this.limits.answerMs);
    if (this.ticker === null) return;
    this.doubt.answered(nameOf(writer), answer, this.runtime.nowMs());
    this.judge();
  }

  private judge(): void {
    const nowMs = this.runtime.nowMs();
    const why = this.doubt.doubt(nowMs);
    const writer = this.writer();
    const { record } = this.options.role;
    if (why === 'none' || writer === null || record === null || this.sealing || nowMs < this.notBeforeMs)
      return;
    void this.seal(record.epoch, writer, why);
  }

  private async seal(reign: Epoch, writer: Holder, why: 'gone' | 'silent'): Promise<void> {
    const { nodes, log, role, metrics } = this.options;
    this.sealing = true;
    log.warn(
      { writer: writer.gateway, reign, why },
      `${writer.gateway} writes and ${saidOf[why]}: this gateway takes over`,
    );
    const outcome = await sealNodes(nodes, reign, this.runtime);
    this.sealing = false;
    if (this.ticker === null) return;
    const nowMs = this.runtime.nowMs();
    this.notBeforeMs = nowMs + againMs;
    this.doubt.forget(nowMs);
    log.info({ reign, outcome }, 'sealed the nodes of this region');
    if (outcome !== 'fenced') return;
    metrics.takenOver(why);
    role.holderFenced(reign);
  }
}

const nameOf = ({ gateway, incarnation }: Holder): string => `${gateway}.${incarnation}`;

const saidOf = {
  gone: 'its process has ended',
  silent: 'gives no sign of life',
} as const;
