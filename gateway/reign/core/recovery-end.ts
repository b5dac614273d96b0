/** What the end of a recovery tells the writer role. Pure. */
import type { RoleEvent } from '../../../regions/core.ts';
import { type Epoch, type Recovered, unreachable } from '../../../storage/core.ts';

/** How a recovery that was to fork an epoch ended. */
export type RecoveryEnd =
  | { readonly kind: 'recovered'; readonly outcome: Pick<Recovered, 'vdl'> }
  | { readonly kind: 'fenced' }
  | { readonly kind: 'failed' }
  /** Nothing got on for too long, in this phase. */
  | { readonly kind: 'timeout'; readonly phase: string }
  | { readonly kind: 'aborted' };

/** @returns null when there is nothing to tell: whoever aborted a recovery knows it. */
export function roleEventOf(epoch: Epoch, end: RecoveryEnd): RoleEvent | null {
  switch (end.kind) {
    case 'recovered':
      return { kind: 'recovered', epoch, vdl: end.outcome.vdl };
    case 'fenced':
      return { kind: 'fenced', epoch };
    case 'failed':
      return { kind: 'recoveryFailed', epoch };
    case 'timeout':
      // Fork requests leave in this phase only.
      return { kind: 'recoveryTimedOut', epoch, mayHaveForked: end.phase === 'forking' };
    case 'aborted':
      return null;
    default:
      return unreachable(end);
  }
}
