/**
 * Whether a secondary follows the reign that is current, as everybody judges it: a report outlives a move by up to half a second,
 * and one that says "following" may be about the primary before. Pure.
 */
import type { GatewayReport, RegionReport } from './report.ts';

/**
 * @param primary the region that the control record names; null while no record was seen.
 * @param ships the last report of that region's agent, and `writer` of its gateway that writes, as far as heard.
 * @returns whether the secondary said last that it receives from that region, in the newest reign told of there.
 */
export function followsReign(
  { following, followed, epoch }: Pick<RegionReport, 'following' | 'followed' | 'epoch'>,
  primary: string | null,
  ships: Pick<RegionReport, 'epoch'> | null,
  writer: Pick<GatewayReport, 'epoch'> | null,
): boolean {
  // An older agent does not say whom it follows.
  if (!following || (primary !== null && (followed ?? primary) !== primary)) return false;
  return epoch >= Math.max(ships?.epoch ?? 0, writer?.epoch ?? 0);
}
