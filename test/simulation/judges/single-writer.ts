/**
 * One writer at a time.
 *
 * A *claim* is a won compare-and-set: writer W takes epoch E (of the one branch that is judged). A *retreat* is a fork
 * of a newer epoch that became durable. An *acknowledgement* is a commit answer at the moment it leaves the writer.
 * In the order in which these took place:
 *
 * 1. An epoch is claimed once, by one writer.
 * 2. Whoever acknowledges in epoch E claimed E before.
 * 3. An acknowledgement in E is *late* when a newer epoch had already acknowledged something. It is an offence unless the
 *    newer history holds it, or a loss report covers its position; with `excuseReportedLosses: false` a report does not
 *    excuse it. Where the newer history holds it, the write was durable before that began, and its client alone hears so late:
 *    a fence in place of the lease (R28) leaves such moments, and nobody can tell them from a slow answer.
 * 4. An acknowledgement in E above the point where a newer epoch left E is an offence unless a loss report covers it, even
 *    when the newer epoch has acknowledged nothing yet.
 * 5. Within an epoch no position is acknowledged to two writes.
 */
import type { Epoch, Lsn } from '../../../storage/redo/ids.ts';
import type { Judge } from './judge.ts';
import { covers, type LossReport, type Position } from './losses.ts';

export type WriterName = string;

type Acked = Position & {
  readonly writer: WriterName;
  readonly writeId: string;
  readonly atUs: number;
  /** The newer epoch that had acknowledged before. */
  readonly lateBehind: Epoch | undefined;
};

export class SingleWriterJudge implements Judge {
  readonly name = 'single-writer';
  readonly verdict = 'correctness';
  private readonly excuseReportedLosses: boolean;
  private readonly found: string[] = [];
  private readonly claims = new Map<Epoch, WriterName>();
  private readonly forks: { readonly epoch: Epoch; readonly parent: Epoch; readonly forkLsn: Lsn }[] = [];
  private readonly reports: LossReport[] = [];
  private readonly acked: Acked[] = [];
  private readonly positions = new Map<string, string>();
  private newestAcknowledging: Epoch | undefined;

  constructor(options: { readonly excuseReportedLosses: boolean }) {
    this.excuseReportedLosses = options.excuseReportedLosses;
  }

  /** A compare-and-set gave `epoch` to `writer` (a name that differs between incarnations, such as `us-east-1/g1#2`). */
  claimed(epoch: Epoch, writer: WriterName): void {
    const holder = this.claims.get(epoch);
    if (holder === undefined) this.claims.set(epoch, writer);
    else if (holder !== writer) this.found.push(`epoch ${epoch} was claimed by ${holder} and by ${writer}`);
  }

  /** The fork that begins `epoch` is durable. */
  forked(epoch: Epoch, parent: Epoch, forkLsn: Lsn): void {
    this.forks.push({ epoch, parent, forkLsn });
  }

  lossReported(report: LossReport): void {
    this.reports.push(report);
  }

  /** An acknowledgement leaves a writer. */
  acknowledged(
    ack: Position & { readonly writer: WriterName; readonly writeId: string; readonly atUs: number },
  ): void {
    const holder = this.claims.get(ack.epoch);
    if (holder !== ack.writer) {
      const who = holder === undefined ? 'nobody had claimed it' : `it belongs to ${holder}`;
      this.found.push(
        `${ack.writer} acknowledged ${ack.writeId} in epoch ${ack.epoch} at ${ack.atUs} us; ${who}`,
      );
    }
    const newest = this.newestAcknowledging;
    const late = newest !== undefined && newest > ack.epoch;
    if (!late) this.newestAcknowledging = ack.epoch;
    this.acked.push({ ...ack, lateBehind: late ? newest : undefined });
    const key = `${ack.epoch} ${ack.lsn}`;
    const other = this.positions.get(key);
    if (other === undefined) this.positions.set(key, ack.writeId);
    else if (other !== ack.writeId) {
      this.found.push(`${other} and ${ack.writeId} were both acknowledged as (${ack.epoch}, ${ack.lsn})`);
    }
  }

  /** Late acknowledgements that a loss report covers; a statistic. */
  excused(): number {
    return this.acked.filter((ack) => ack.lateBehind !== undefined && this.reported(ack)).length;
  }

  violations(): readonly string[] {
    const found = [...this.found];
    for (const ack of this.acked) {
      const reported = this.reported(ack);
      const what = `${ack.writer} acknowledged ${ack.writeId} as (${ack.epoch}, ${ack.lsn}) at ${ack.atUs} us`;
      const isHeld = this.forks.some(({ parent, forkLsn }) => parent === ack.epoch && ack.lsn <= forkLsn);
      if (ack.lateBehind !== undefined && !isHeld && !(reported && this.excuseReportedLosses)) {
        found.push(
          `${what}, after epoch ${ack.lateBehind} had acknowledged${reported ? ' (reported lost)' : ''}`,
        );
      }
      const fork = this.forks.find((known) => known.parent === ack.epoch && ack.lsn > known.forkLsn);
      if (fork !== undefined && !reported) {
        found.push(
          `${what}, above ${fork.forkLsn} where epoch ${fork.epoch} left it; no report lists it as lost`,
        );
      }
    }
    return found;
  }

  private reported(position: Position): boolean {
    return this.reports.some((report) => covers(report, position));
  }
}
