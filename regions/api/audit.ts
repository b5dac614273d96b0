/**
 * The audit of admin acts: one record in the log for each request that moves the primary, changes the policy, starts a drill or the
 * like, whether it was carried out or refused. No record holds a token or the secret.
 */
import { monotonicMs } from '../../storage/index.ts';
import { type Logger, RateLimit } from '../../telemetry/index.ts';
import type { RouteName } from './core/api-routes.ts';

export interface AdminAct {
  /** The subject and key of the token, or that it was the cluster secret; null for somebody who showed neither. */
  readonly who: string | null;
  /** The route of the admin API's table, or the path when there is none. */
  readonly what: RouteName<'gateway' | 'agent'> | (string & {});
  /** What it was about: region, operation, kind of drill, fields of the policy. */
  readonly target: Readonly<Record<string, unknown>>;
  /** HTTP status of the answer. */
  readonly status: number;
  /** The code of the refusal; null when it was carried out. */
  readonly code: string | null;
  /** Of the operation or drill that began; null where none did. */
  readonly id: string | null;
  /** The caller's trace; null when it sent none. */
  readonly traceId: string | null;
}

/** Requests by nobody are told once in this time: anybody may send them. */
const nobodyEveryMs = 1_000;

/** Writes acts down. Those of nobody in particular are counted, beyond one a second. */
export function auditLog(log: Pick<Logger, 'info' | 'warn'>): (act: AdminAct) => void {
  const nobody = new RateLimit(nobodyEveryMs, monotonicMs);
  return (act) => {
    if (act.code === null) {
      log.info({ audit: act }, 'an admin act');
      return;
    }
    if (act.who !== null) {
      log.warn({ audit: act }, 'an admin act was refused');
      return;
    }
    const passed = nobody.pass();
    if (passed !== null) log.warn({ audit: act, ...passed }, 'an admin act was refused');
  };
}
