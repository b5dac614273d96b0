/**
 * What a policy of an RPO promises, as long as it stands unchanged.
 *
 * 1. With an RPO of 0 an answer leaves only when another region's quorum has what it saw.
 * 2. With an RPO of N, of what another region lacks when an answer leaves, nothing was committed more than N before what it
 *    saw: were the region lost now, the answered writes that go with it span at most N.
 * 3. A failover loses no write that the region it went to had made durable, whatever the policy.
 */
import type { Epoch, Lsn } from '../../../storage/redo/ids.ts';
import type { Judge } from './judge.ts';

type Commit = { readonly lsn: Lsn; readonly atUs: number };

type Reign = {
  readonly region: string;
  readonly forkLsn: Lsn;
  readonly commits: Commit[];
  /** Durable in another region. */
  proven: number;
  /** The highest position that was acknowledged. */
  readonly acknowledged: Lsn[];
};

/** Times are rounded, and ticks are late. */
const roundingUs = 1_000;

export class RpoJudge implements Judge {
  readonly name = 'rpo';
  readonly verdict = 'correctness';
  /** Answers that were judged, for a test to see that there were any. */
  judged = 0;
  private readonly found: string[] = [];
  private readonly reigns = new Map<Epoch, Reign>();
  private readonly held = new Map<string, Map<Epoch, Lsn>>();
  /** Who began to fork a reign, also where that was never known to have ended. */
  private readonly writers = new Map<Epoch, string>();
  /** The largest share by which clocks of processes run slow: an N of theirs lasts so much longer. */
  private readonly drift: number;
  private policyUs: number | null | undefined;
  private stands = true;

  constructor(driftPpmMax = 200) {
    this.drift = driftPpmMax / 1_000_000;
  }

  /** The policy in the control record. After it has changed nobody can say which one a writer knew. */
  policy(rpoMs: number | null): void {
    const us = rpoMs === null ? null : rpoMs * 1_000;
    if (this.policyUs === undefined) this.policyUs = us;
    if (this.policyUs !== us) this.stands = false;
  }

  /** A writer in `region` begins to fork `epoch`. */
  forking(region: string, epoch: Epoch): void {
    this.writers.set(epoch, region);
  }

  /** A writer in `region` forked `epoch` from `parent`. */
  forked(region: string, epoch: Epoch, parent: Epoch, forkLsn: Lsn): void {
    const from = this.reigns.get(parent);
    const durable = this.held.get(region)?.get(parent) ?? 0;
    for (const lsn of from?.acknowledged ?? [])
      if (lsn > forkLsn && lsn <= durable)
        this.found.push(
          `${region} had made (${parent}, ${lsn}) durable, which was acknowledged, and forked epoch ${epoch} below it, at ${forkLsn}`,
        );
    // What a region has of another's reign is durable there, too.
    const writer = from?.region ?? this.writers.get(parent);
    let proven: number = writer !== undefined && writer !== region ? forkLsn : 0;
    // Other regions may follow the reign before its writer has heard that its fork is made.
    for (const [other, has] of this.held) {
      if (other === region) continue;
      proven = Math.max(proven, has.get(epoch) ?? 0, Math.min(has.get(parent) ?? 0, forkLsn));
    }
    this.reigns.set(epoch, { region, forkLsn, commits: [], proven, acknowledged: [] });
  }

  committed(epoch: Epoch, lsn: Lsn, atUs: number): void {
    this.reigns.get(epoch)?.commits.push({ lsn, atUs });
  }

  /** A secondary holds that this is durable in it. */
  durable(region: string, epoch: Epoch, vdl: Lsn): void {
    const held = this.held.get(region) ?? new Map<Epoch, Lsn>();
    this.held.set(region, held);
    if ((held.get(epoch) ?? 0) < vdl) held.set(epoch, vdl);
    const reign = this.reigns.get(epoch);
    if (reign !== undefined && reign.region !== region) reign.proven = Math.max(reign.proven, vdl);
  }

  /** An answer leaves the writer. */
  acknowledged(epoch: Epoch, lsn: Lsn): void {
    const reign = this.reigns.get(epoch);
    if (reign === undefined) return;
    reign.acknowledged.push(lsn);
    const { policyUs } = this;
    if (!this.stands || policyUs === undefined || policyUs === null) return;
    this.judged += 1;
    if (lsn <= reign.proven) return;
    if (policyUs === 0) {
      this.found.push(`(${epoch}, ${lsn}) was acknowledged, and other regions have ${reign.proven} at most`);
      return;
    }
    if (reign.proven < reign.forkLsn) {
      this.found.push(
        `(${epoch}, ${lsn}) was acknowledged before another region had what the reign began with, ${reign.forkLsn}`,
      );
      return;
    }
    const own = reign.commits.find((commit) => commit.lsn >= lsn);
    const oldest = reign.commits.find((commit) => commit.lsn > reign.proven);
    if (own === undefined || oldest === undefined) return;
    const spanUs = own.atUs - oldest.atUs;
    if (spanUs > policyUs / (1 - this.drift) + roundingUs)
      this.found.push(
        `(${epoch}, ${lsn}) was acknowledged ${Math.round(spanUs / 1_000)} ms after a commit that no other region has; the RPO is ${policyUs / 1_000} ms`,
      );
  }

  violations(): readonly string[] {
    return this.found;
  }
}
