/** What the page says of moves before, while and after they run. Pure. */
import type { Operation, RegionReadiness, Status } from './api-types.ts';
import { bytes, count, duration, loss } from './format.ts';

export type MoveKind = Operation['kind'];

/** What the reader is told before a move begins, a sentence each. */
export function consequences(
  kind: MoveKind,
  target: string,
  primary: string,
  readiness: RegionReadiness | null,
): readonly string[] {
  const about = readiness?.[kind].aboutMs ?? null;
  const pause =
    about === null
      ? 'It is not known for how long writes will wait.'
      : `Writes wait for about ${duration(about)}.`;
  if (kind === 'switchover')
    return [
      `${target} becomes primary, and ${primary} becomes a secondary.`,
      pause,
      'No acknowledged write is lost and no request fails. A transaction that stays open is rolled back and told so.',
    ];
  const lost = readiness === null ? 'not known' : loss(readiness.failover.wouldLose);
  return [
    `${target} becomes primary without waiting for ${primary}. Use it when ${primary} is lost.`,
    pause,
    `As of now this leaves behind: ${lost}. What it leaves behind is listed once ${primary} is back.`,
  ];
}

/** Why a move to a region cannot begin now; null when nothing is in the way. */
export function whyNot(kind: MoveKind, readiness: RegionReadiness | null): string | null {
  if (readiness === null) return 'the gateway has not said yet whether it could';
  const { possible, reason } = readiness[kind];
  return possible ? null : (reason ?? 'it is not possible now');
}

export interface PhaseRow {
  readonly name: string;
  /** Null while it has not ended. */
  readonly tookMs: number | null;
  readonly isRunning: boolean;
}

/** Phases with the time each took. Their names are words joined by hyphens. */
export function phaseRows(operation: Operation): readonly PhaseRow[] {
  return operation.phases.map(({ name, startedAtMs, endedAtMs }) => ({
    name: name.replaceAll('-', ' '),
    tookMs: endedAtMs === null ? null : Math.max(0, endedAtMs - startedAtMs),
    isRunning: endedAtMs === null && operation.state === 'running',
  }));
}

/** How it ended, in a sentence; null while it runs. */
export function outcome(operation: Operation): string | null {
  const { kind, target, state, error, result } = operation;
  if (state === 'running') return null;
  if (state === 'failed')
    return `The ${kind} to ${target} failed: ${error?.message ?? 'nobody said why'} (${error?.code ?? 'no code'})`;
  if (kind === 'switchover')
    return `${target} is primary since epoch ${count(result?.epoch ?? null)}. Writes waited for ${duration(result?.pauseMs ?? null)}.`;
  const left = result?.loss;
  const atRisk =
    left === undefined || left.atRiskBytes === null
      ? 'How much was left behind is not known yet.'
      : left.atRiskBytes === 0
        ? 'Nothing that was heard of the old primary was left behind.'
        : `At most about ${bytes(left.atRiskBytes)} were left behind; the exact list follows when the region is back.`;
  const ofBranches = (left?.branches ?? []).map(
    ({ name, atRiskBytes }) =>
      ` Of branch ${name} ${bytes(atRiskBytes)} had not arrived: they come when ${operation.from} is back, if nobody writes it before.`,
  );
  return `${target} is primary since epoch ${count(result?.epoch ?? null)}. Writes came back after ${duration(result?.rtoMs ?? null)}. ${atRisk}${ofBranches.join('')}`;
}

/** The state of the deployment as words. */
export const stateWords: Readonly<Record<Status['state'], string>> = {
  stable: 'Stable',
  switching: 'Switching over',
  'failing-over': 'Failing over',
  degraded: 'Degraded',
};
