/** The regions of a deployment as commands change them: the control record by way of whoever answers, processes by the supervisor. */

import type { BootstrapSight } from '../../membership/core/bootstrap-progress.ts';
import {
  type MembershipBody,
  type MembershipChange,
  membershipSchema,
} from '../../membership/core/membership-request.ts';
import { readinessSchema } from '../../readiness/core/readiness.ts';
import { type Answer, ask, askAny, failWith, fetchStatus, type Target } from '../ask/admin-client.ts';
import { CliError } from '../ask/output.ts';

/** As long as a gateway asks the agents of six regions, one after another. */
const changeTimeoutMs = 20_000;

/** Changes the regions in the control record. Asking twice does no harm: whoever does not answer is passed over. */
export async function changeMembership(target: Target, change: MembershipChange): Promise<MembershipBody> {
  let last: Answer = { kind: 'unreachable', message: 'no gateway is known' };
  for (const base of [...target.gateways, ...target.agents]) {
    last = await ask(base, '/v1/regions', target.headers, change, changeTimeoutMs);
    if (last.kind === 'ok' || (last.kind === 'refused' && last.status !== 503)) break;
  }
  if (last.kind !== 'ok') return failWith(last);
  const parsed = membershipSchema.safeParse(last.body);
  if (!parsed.success) throw new CliError('the gateway gave an answer that this version cannot read');
  return parsed.data;
}

/** How far a region has come, as whoever answers sees it; null while nobody does. */
export async function sightOf(target: Target, region: string): Promise<BootstrapSight | null> {
  const answer = await fetchStatus(target);
  if (answer.kind !== 'ok') return null;
  const { regions, primary } = answer.status;
  const mine = regions.find(({ name }) => name === region);
  const primaryVdl = regions.find(({ name }) => name === primary)?.vdl ?? null;
  if (mine === undefined)
    return { vdl: null, primaryVdl, ready: false, reasons: [`${region} is not known there yet`] };
  const at = { vdl: mine.vdl ?? null, primaryVdl };
  if (mine.headless === true)
    return { ...at, ready: mine.ready === true, reasons: [`${region} is not level yet`] };
  const readiness = await askAny([...target.gateways, ...target.agents], '/v1/readiness', target.headers);
  const parsed = readiness.kind === 'ok' ? readinessSchema.safeParse(readiness.body) : undefined;
  const said =
    parsed?.success === true ? parsed.data.regions.find((one) => one.region === region) : undefined;
  return { ...at, ready: said?.ready ?? false, reasons: said?.reasons ?? [`${region} is not heard yet`] };
}
