/** Settings that end a connection after a time. The engine is everybody's and keeps no time for one of them: the front end does. Pure. */
import { timeoutMs, type WireSettings } from '../../sql/wire-operation.ts';
import type { Report } from '../protocol/core/server-messages.ts';

const reportOf = {
  idle_in_transaction_session_timeout: {
    code: '25P03',
    message: 'terminating connection due to idle-in-transaction timeout',
  },
  idle_session_timeout: { code: '57P05', message: 'terminating connection due to idle-session timeout' },
  transaction_timeout: { code: '25P04', message: 'terminating connection due to transaction timeout' },
} as const satisfies Record<string, Report>;

export interface TimeLimit {
  readonly ms: number;
  /** What the client is told at its end. */
  readonly report: Report;
}

/** Longer times are none: timers do not go so far. */
const timerMsMax = 2 ** 31 - 1;

/** What a session has set; null for no limit. */
export interface TimeLimits {
  /** How long it may ask nothing. */
  readonly idle: TimeLimit | null;
  /** How long its transactions may last. */
  readonly transaction: TimeLimit | null;
}

export const timeLimits = (settings: WireSettings, inTransaction: boolean): TimeLimits => ({
  idle: timeLimit(inTransaction ? 'idle_in_transaction_session_timeout' : 'idle_session_timeout', settings),
  transaction: timeLimit('transaction_timeout', settings),
});

function timeLimit(name: keyof typeof reportOf, settings: WireSettings): TimeLimit | null {
  const ms = timeoutMs(settings[name]);
  return ms > 0 && ms <= timerMsMax ? { ms, report: reportOf[name] } : null;
}
