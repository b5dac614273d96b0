/**
 * Redo that this region lends: another survivor of a lost primary asks for what it lacks, and gets it from here as it would
 * have from the primary. A region lends what is durable in it, on the path it follows, for as long as it is asked.
 */
import type { Lsn, RegionId, Runtime, Timer } from '../../storage/index.ts';
import type { Logger } from '../../telemetry/index.ts';
import type { Reign } from './reign.ts';
import type { Shipping } from './shipping.ts';

/** A wish is fresh for so long. */
const freshMs = 3_000;
const reviewMs = 500;

export interface LendingOptions {
  /** The path this region follows and what is durable along it; null while it follows none. */
  readonly path: () => { readonly from: RegionId; readonly reign: Reign } | null;
  /** Ships a path to one region. */
  readonly ship: (to: RegionId, path: { readonly from: RegionId; readonly reign: Reign }) => Shipping;
  readonly runtime: Runtime;
  readonly log: Logger;
}

interface Loan {
  readonly head: Reign['head'];
  readonly run: Shipping;
  askedAtMs: number;
}

export class Lending {
  private readonly options: LendingOptions;
  private readonly loans = new Map<RegionId, Loan>();
  private readonly review: Timer;

  constructor(options: LendingOptions) {
    this.options = options;
    this.review = options.runtime.every(reviewMs, () => this.endOld());
  }

  /** A region asks for redo. */
  asked(to: RegionId): void {
    const { path, ship, runtime, log } = this.options;
    const found = path();
    if (found === null) return;
    const { head, vdl } = found.reign;
    const loan = this.loans.get(to);
    if (loan?.head === head) {
      loan.askedAtMs = runtime.nowMs();
      return;
    }
    void loan?.run.close();
    log.info({ to, epoch: head, vdl }, 'lends its redo to another survivor');
    this.loans.set(to, { head, run: ship(to, found), askedAtMs: runtime.nowMs() });
  }

  /** An acknowledgement that names this region. */
  acked(bytes: Uint8Array): void {
    for (const { run } of this.loans.values()) run.acked(bytes);
  }

  /** More is durable here. */
  durable(head: Reign['head'], vdl: Lsn): void {
    for (const loan of this.loans.values()) if (loan.head === head) loan.run.durable(vdl);
  }

  close(): void {
    this.review.stop();
    for (const { run } of this.loans.values()) void run.close();
    this.loans.clear();
  }

  private endOld(): void {
    const nowMs = this.options.runtime.nowMs();
    for (const [to, { run, askedAtMs }] of [...this.loans]) {
      if (nowMs - askedAtMs < freshMs) continue;
      this.loans.delete(to);
      void run.close();
      this.options.log.info({ to }, 'has lent its redo');
    }
  }
}
