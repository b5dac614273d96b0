/** Reads and changes the policy in the control record. Any agent may: the compare-and-set decides. */
import type { RegionId, Runtime } from '../../storage/index.ts';
import type { Logger } from '../../telemetry/index.ts';
import { changeControl, readControl } from '../control/control-link.ts';
import type { ControlReading, ControlStore } from '../control/core/control-port.ts';
import { policyOf, setPolicy } from '../control/core/control-record.ts';
import { changedPolicy, type Policy, policyProblem } from '../control/core/policy.ts';
import { changeOf, type PolicyChangeRequest } from './core/policy-request.ts';

export interface PolicyOptions {
  readonly regions: readonly RegionId[];
  readonly store: ControlStore;
  /** Hears what was read or written. */
  readonly looked: (reading: ControlReading) => void;
  /** Says that the record cannot be read or changed, and what to do. */
  readonly noRecord: (reason: string) => string;
  readonly runtime: Runtime;
  readonly log: Pick<Logger, 'info'>;
}

export type PolicyAnswer =
  | { readonly kind: 'policy'; readonly policy: Policy }
  | { readonly kind: 'refused'; readonly code: string; readonly message: string };

/** Whoever asked has given up by then, and may have asked another agent: a change begins no more. */
const changeMs = 2_500;

/** The policy of the newest record that can be read now. */
export async function readPolicy(options: PolicyOptions): Promise<PolicyAnswer> {
  const reading = await readControl(options.store);
  options.looked(reading);
  if (reading.kind === 'record') return { kind: 'policy', policy: policyOf(reading.view.record) };
  const reason = reading.kind === 'absent' ? 'there is none' : reading.reason;
  return { kind: 'refused', code: 'NO_CONTROL_RECORD', message: options.noRecord(reason) };
}

/** Replaces the fields that are given. A change to what holds already is answered as done, and writes nothing. */
export async function changePolicy(
  request: PolicyChangeRequest,
  options: PolicyOptions,
): Promise<PolicyAnswer> {
  const change = changeOf(request);
  const { store, runtime } = options;
  const untilMs = runtime.nowMs() + changeMs;
  let held: Policy | null = null;
  const decide: Parameters<typeof changeControl>[1] = ({ record }) => {
    if (runtime.nowMs() > untilMs)
      return { kind: 'refused', code: 'CONTROL_UNAVAILABLE', reason: 'others keep changing the record' };
    held = policyOf(record);
    const problem = policyProblem(changedPolicy(held, change), options.regions);
    if (problem !== null) return { kind: 'refused', code: 'BAD_REQUEST', reason: problem };
    return setPolicy(record, change);
  };
  const changed = await changeControl(store, decide, runtime);
  switch (changed.kind) {
    case 'changed': {
      const policy = policyOf(changed.view.record);
      options.looked({ kind: 'record', view: changed.view });
      options.log.info({ policy, before: held }, 'the policy was changed');
      return { kind: 'policy', policy };
    }
    case 'refused':
      if (changed.code === 'same-policy' && held !== null) return { kind: 'policy', policy: held };
      return { kind: 'refused', code: changed.code, message: changed.reason };
    case 'unavailable':
      return { kind: 'refused', code: 'NO_CONTROL_RECORD', message: options.noRecord(changed.reason) };
  }
}
