/**
 * Takes a region in, or lets one go, in the control record. Any agent may: the compare-and-set decides. Nothing is asked of the
 * region itself, so that one that is dead for good can be removed too.
 */
import type { RegionId, Runtime } from '../../storage/index.ts';
import type { Logger } from '../../telemetry/index.ts';
import { changeControl } from '../control/control-link.ts';
import type { ControlReading, ControlStore } from '../control/core/control-port.ts';
import { type ControlRecord, regionsOf, setRegions } from '../control/core/control-record.ts';
import type { ClusterView } from '../status/core/cluster-view.ts';
import type { Departed, MembershipBody, MembershipChange } from './core/membership-request.ts';
import { regionsAfter } from './core/membership-rules.ts';

export interface MembershipOptions {
  /** The regions by this process's own file. */
  readonly configured: readonly RegionId[];
  readonly view: ClusterView;
  readonly store: ControlStore;
  /** Hears what was written. */
  readonly looked: (reading: ControlReading) => void;
  /** Says that the record cannot be changed, and what to do. */
  readonly noRecord: (reason: string) => string;
  readonly runtime: Runtime;
  readonly log: Pick<Logger, 'info'>;
}

export type MembershipAnswer =
  | { readonly kind: 'regions'; readonly body: MembershipBody }
  | { readonly kind: 'refused'; readonly code: string; readonly message: string };

/** Whoever asked has given up by then, and may have asked another agent: a change begins no more. */
const changeMs = 2_500;

/** Makes the change. One that holds already is answered as done, so that asking again does no harm. */
export async function changeMembership(
  change: MembershipChange,
  { configured, view, store, looked, noRecord, runtime, log }: MembershipOptions,
): Promise<MembershipAnswer> {
  const untilMs = runtime.nowMs() + changeMs;
  const leaving = 'remove' in change ? change.remove : null;
  const left = leaving === null ? null : standingOf(leaving, view, runtime.nowMs());
  let held: ControlRecord | null = null;
  const decide: Parameters<typeof changeControl>[1] = ({ record }) => {
    held = record;
    if (runtime.nowMs() > untilMs)
      return { kind: 'refused', code: 'CONTROL_UNAVAILABLE', reason: 'others keep changing the record' };
    const after = regionsAfter(record, configured, change);
    return after.kind === 'refused' ? after : setRegions(record, after.regions);
  };
  const changed = await changeControl(store, decide, runtime);
  switch (changed.kind) {
    case 'changed': {
      const regions = [...regionsOf(changed.view.record, configured)];
      looked({ kind: 'record', view: changed.view });
      log.info({ regions, ...change, left }, 'the regions of the deployment have changed');
      return { kind: 'regions', body: { regions, left } };
    }
    case 'refused':
      if (changed.code === 'same-regions')
        return { kind: 'regions', body: { regions: [...regionsOf(held, configured)], left: null } };
      return { kind: 'refused', code: codeOf(changed.code), message: changed.reason };
    case 'unavailable':
      return { kind: 'refused', code: 'NO_CONTROL_RECORD', message: noRecord(changed.reason) };
  }
}

/** The record's own words for a refusal, as an operator meets them elsewhere. */
function codeOf(code: string): string {
  return code === 'moving' ? 'MOVE_IN_PROGRESS' : code.toUpperCase().replaceAll('-', '_');
}

/** How a region stands as far as was heard. */
function standingOf(region: string, view: ClusterView, nowMs: number): Departed | null {
  const status = view.status(nowMs).regions.find(({ name }) => name === region);
  if (status === undefined) return null;
  const { epoch, vdl, lagBytes, lagMs, ageMs } = status;
  return { region, epoch, vdl, lagBytes, lagMs, heardMsAgo: ageMs };
}
