/**
 * Acknowledged implies durable.
 *
 * 1. Every acknowledged write is in the final history, whole, at the position it was acknowledged with, or a loss
 *    report covers that position.
 * 2. A write whose outcome the client does not know is there whole or not at all.
 * 3. A write that was refused is not there. Nothing is there that nobody issued, and nothing more than once.
 * 4. A loss report does not list what is still there, and its count is at least the number of acknowledged writes lost
 *    in it (others may have been lost before their acknowledgement).
 */
import type { Epoch, Lsn } from '../../../storage/redo/ids.ts';
import type { Judge } from './judge.ts';
import { covers, type LossReport } from './losses.ts';

export type WriteId = string;

export type Acknowledgement = {
  readonly writeId: WriteId;
  readonly epoch: Epoch;
  readonly lsn: Lsn;
  /** Where the writer stood. */
  readonly region: string;
  /** World time, for the message only. */
  readonly atUs: number;
};

/** A write found in the final history: how many of its parts are there, and where its commit lies. */
export type FinalWrite = {
  readonly writeId: WriteId;
  readonly parts: number;
  readonly times: number;
  readonly epoch: Epoch;
  readonly lsn: Lsn;
};

type Fate = {
  readonly parts: number;
  acknowledged: Acknowledgement | undefined;
  refused: boolean;
};

export class DurabilityJudge implements Judge {
  readonly name = 'durability';
  readonly verdict = 'correctness';
  private readonly writes = new Map<WriteId, Fate>();
  private readonly reports: LossReport[] = [];
  private readonly early: string[] = [];
  private history: ReadonlyMap<WriteId, FinalWrite> | undefined;

  /** A client is about to send a write of `parts` parts (rows, pages) that belong together. */
  issued(writeId: WriteId, parts: number): void {
    if (this.writes.has(writeId)) this.early.push(`${writeId} was issued twice; the workload is broken`);
    this.writes.set(writeId, { parts, acknowledged: undefined, refused: false });
  }

  /** The client was told that the write is durable. */
  acknowledged(acknowledgement: Acknowledgement): void {
    const fate = this.writes.get(acknowledgement.writeId);
    if (fate === undefined) {
      this.early.push(`${acknowledgement.writeId} was acknowledged and never issued`);
      return;
    }
    if (fate.refused) this.early.push(`${acknowledgement.writeId} was refused and then acknowledged`);
    fate.acknowledged = acknowledgement;
  }

  /** The client was told that the write did not and will not happen. Not for outcomes that are unknown. */
  refused(writeId: WriteId): void {
    const fate = this.writes.get(writeId);
    if (fate === undefined) return;
    if (fate.acknowledged !== undefined) this.early.push(`${writeId} was acknowledged and then refused`);
    fate.refused = true;
  }

  /** A failover or rewind reported what it gave up. A later report about the same epoch replaces the earlier one. */
  lossReported(report: LossReport): void {
    const index = this.reports.findIndex((known) => known.epoch === report.epoch);
    if (index >= 0) this.reports[index] = report;
    else this.reports.push(report);
  }

  /** The history as the healed system shows it, read once at the end. */
  final(writes: Iterable<FinalWrite>): void {
    const history = new Map<WriteId, FinalWrite>();
    for (const write of writes) {
      if (history.has(write.writeId))
        this.early.push(`${write.writeId} is in the final history more than once`);
      history.set(write.writeId, write);
    }
    this.history = history;
  }

  violations(): readonly string[] {
    const { history } = this;
    if (history === undefined) return [...this.early, 'the final history was never read'];
    const found = [...this.early];
    for (const [writeId, fate] of this.writes) {
      const problem = this.judgeWrite(writeId, fate, history.get(writeId));
      if (problem !== undefined) found.push(problem);
    }
    for (const write of history.values()) {
      if (!this.writes.has(write.writeId)) found.push(`${write.writeId} is there and was never issued`);
      if (write.times !== 1) found.push(`${write.writeId} was applied ${write.times} times`);
    }
    return [...found, ...this.reports.flatMap((report) => this.judgeReport(report, history))];
  }

  private judgeWrite(writeId: WriteId, fate: Fate, write: FinalWrite | undefined): string | undefined {
    const { acknowledged, parts } = fate;
    if (write === undefined) {
      if (acknowledged === undefined || this.reports.some((report) => covers(report, acknowledged)))
        return undefined;
      const { epoch, lsn, region, atUs } = acknowledged;
      return `${writeId}, acknowledged in ${region} at ${atUs} us as (${epoch}, ${lsn}), is gone and in no loss report`;
    }
    if (write.parts !== parts) return `${writeId} is torn: ${write.parts} of ${parts} parts are there`;
    if (fate.refused) return `${writeId} was refused and is there`;
    if (
      acknowledged !== undefined &&
      (acknowledged.epoch !== write.epoch || acknowledged.lsn !== write.lsn)
    ) {
      return (
        `${writeId} was acknowledged as (${acknowledged.epoch}, ${acknowledged.lsn}) ` +
        `and lies at (${write.epoch}, ${write.lsn})`
      );
    }
    return undefined;
  }

  private judgeReport(report: LossReport, history: ReadonlyMap<WriteId, FinalWrite>): readonly string[] {
    const found: string[] = [];
    for (const write of history.values()) {
      if (covers(report, write)) {
        found.push(`the report of epoch ${report.epoch} lists ${write.writeId} as lost, and it is there`);
      }
    }
    let lost = 0;
    for (const [writeId, fate] of this.writes) {
      if (fate.acknowledged !== undefined && !history.has(writeId) && covers(report, fate.acknowledged))
        lost += 1;
    }
    if (report.count !== undefined && report.count < lost) {
      found.push(
        `the report of epoch ${report.epoch} counts ${report.count} lost commits; at least ${lost} were lost`,
      );
    }
    return found;
  }
}
