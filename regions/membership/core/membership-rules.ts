/** Whether a region may come or go, and which regions there are then. Pure. */
import { type RegionId, regionId } from '../../../storage/core.ts';
import { type ControlRecord, policyOf, regionsOf } from '../../control/core/control-record.ts';
import { policyProblem } from '../../control/core/policy.ts';
import type { MembershipChange } from './membership-request.ts';

/** More regions than this are not shipped to from one primary. */
export const regionsMax = 6;

export type MembershipVerdict =
  | { readonly kind: 'regions'; readonly regions: readonly RegionId[] }
  | { readonly kind: 'refused'; readonly code: string; readonly reason: string };

const namePattern = /^[a-z0-9][a-z0-9-]{0,62}$/;
const refused = (code: string, reason: string): MembershipVerdict => ({ kind: 'refused', code, reason });

/**
 * The regions after `change`, in the order in which they came.
 * @param configured the regions by the file of whoever is asked, for a record that names none.
 */
export function regionsAfter(
  record: ControlRecord,
  configured: readonly RegionId[],
  change: MembershipChange,
): MembershipVerdict {
  const regions = regionsOf(record, configured);
  return 'add' in change ? afterAdding(regions, change.add) : afterRemoving(record, regions, change.remove);
}

function afterAdding(regions: readonly RegionId[], name: string): MembershipVerdict {
  if (!namePattern.test(name))
    return refused(
      'BAD_REQUEST',
      `${JSON.stringify(name)} is no name of a region: a to z, 0 to 9 and -, at most 63`,
    );
  if (regions.some((region) => region === name)) return { kind: 'regions', regions };
  if (regions.length >= regionsMax)
    return refused(
      'TOO_MANY_REGIONS',
      `there are ${regions.length} regions already (${regions.join(', ')}), and one primary ships to ${regionsMax - 1} others at most: remove one first`,
    );
  return { kind: 'regions', regions: [...regions, regionId(name)] };
}

function afterRemoving(record: ControlRecord, regions: readonly RegionId[], name: string): MembershipVerdict {
  if (!regions.some((region) => region === name))
    return refused('UNKNOWN_REGION', `there is no region ${name}; there are ${regions.join(', ')}`);
  const after = regions.filter((region) => region !== name);
  if (record.primary === name) {
    const way =
      after.length === 0
        ? 'it is the only one'
        : `switch over first (\`sextant switchover --to ${after[0]}\`), or fail over if it is lost`;
    return refused('IS_PRIMARY', `${name} is the primary region: ${way}`);
  }
  const policy = policyProblem(policyOf(record), after);
  if (policy !== null)
    return refused(
      'POLICY_IN_THE_WAY',
      `without ${name} the policy cannot be kept (${policy}): change it first with \`sextant policy\``,
    );
  return { kind: 'regions', regions: after };
}
