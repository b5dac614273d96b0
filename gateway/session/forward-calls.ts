/** What became of the calls that other gateways have sent, and whether any of them is owed an answer. */
import type { Done, Refused } from './forward-refusals.ts';

export type CallState =
  | { readonly kind: 'receiving'; readonly parts: (Uint8Array | undefined)[]; bytes: number }
  | { readonly kind: 'running'; readonly waiting: ((state: CallState) => void)[] }
  | Done
  | Refused
  /** Somebody asked for it before it came: it must not run any more. */
  | { readonly kind: 'cancelled' };

export interface Call {
  state: CallState;
  touchedAtMs: number;
}

/** An answer that nobody asked for again within this time was read, or is of nobody who lives. */
const fetchMs = 500;

/** Whether some call runs, or has an answer that its caller, who forgets what it has, may still come for. */
export function owesAnswers(calls: Iterable<Call>, nowMs: number): boolean {
  for (const { state, touchedAtMs } of calls) {
    if (state.kind === 'running') return true;
    if (state.kind === 'done' && nowMs - touchedAtMs < fetchMs) return true;
  }
  return false;
}
