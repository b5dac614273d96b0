/**
 * What the policy promises of a failover that begins by itself (R31): a majority of the other regions had seen nothing of the
 * primary for a while, or no renewal of its lease for a long while, or none for a shorter while after the primary's own agent
 * said that its nodes make no write quorum. Signs of life are told as they arrive at each region's
 * agent, whatever that makes of them.
 */
import { suspicionLimits } from '../../../regions/failover/core/suspicion.ts';
import { reportLimits } from '../../../regions/status/core/report-limits.ts';
import type { Judge } from './judge.ts';

/** What an agent suspects counts with the others for a second after its last report, and clocks drift. */
const slackUs = 1_400_000;
/** For so long an agent goes by another one's last report. */
const heardUs = reportLimits.offlineAfterMs * 1_000;
/** For so long after a silence others may not have heard yet that it has ended: an agent tells changes so often, and its word is under way. */
const underWayUs = 150_000;
const endingUs = reportLimits.reportMs * 1_000 + underWayUs;

export class ObserversJudge implements Judge {
  readonly name = 'observers';
  readonly verdict = 'correctness';
  /** Failovers that began by themselves, for a test to see that there were any. */
  begun = 0;
  private readonly found: string[] = [];
  private readonly seenAtUs = new Map<string, number>();
  private readonly renewedAtUs = new Map<string, number>();
  private readonly shortAtUs = new Map<string, number>();
  /** When a silence that was long enough for a suspicion ended: what was suspected in it still counts with the others for a moment. */
  private readonly silentUntilUs = new Map<string, number>();
  private readonly regions: readonly string[];

  constructor(regions: readonly string[]) {
    this.regions = regions;
  }

  /** A word of `of`, its redo, or a renewal of its lease arrived in `at`. */
  sawLife(at: string, of: string, isRenewal: boolean, nowUs: number): void {
    const lastUs = this.seenAtUs.get(`${at} ${of}`) ?? 0;
    if (nowUs - lastUs >= suspicionLimits.silentMs * 1_000) this.silentUntilUs.set(`${at} ${of}`, nowUs);
    this.seenAtUs.set(`${at} ${of}`, nowUs);
    if (isRenewal) this.renewedAtUs.set(`${at} ${of}`, nowUs);
  }

  /** `at` heard the agent of `of` say that too few of its nodes take writes. */
  heardShort(at: string, of: string, nowUs: number): void {
    this.shortAtUs.set(`${at} ${of}`, nowUs);
  }

  /** The agent of `by` begins a failover away from `primary` because the policy says so. */
  beganFailover(by: string, primary: string, nowUs: number): void {
    this.begun += 1;
    const others = this.regions.filter((region) => region !== primary);
    const { silentMs, quorumlessMs, writerlessMs } = suspicionLimits;
    const since = (of: Map<string, number>, region: string): number =>
      nowUs - (of.get(`${region} ${primary}`) ?? 0) + slackUs;
    const isShort = (region: string): boolean =>
      nowUs - (this.shortAtUs.get(`${region} ${primary}`) ?? Number.NEGATIVE_INFINITY) < heardUs + slackUs;
    const wasSilent = (region: string): boolean =>
      nowUs - (this.silentUntilUs.get(`${region} ${primary}`) ?? Number.NEGATIVE_INFINITY) < endingUs;
    const without = others.filter((region) => {
      const unwrittenUs = since(this.renewedAtUs, region);
      return (
        since(this.seenAtUs, region) >= silentMs * 1_000 ||
        wasSilent(region) ||
        unwrittenUs >= writerlessMs * 1_000 ||
        (unwrittenUs >= quorumlessMs * 1_000 && isShort(region))
      );
    });
    if (2 * without.length > others.length) return;
    this.found.push(
      `${by} began a failover away from ${primary} at ${nowUs} us, and only ${without.length} of ${others.length} other regions had seen nothing of it`,
    );
  }

  violations(): readonly string[] {
    return this.found;
  }
}
