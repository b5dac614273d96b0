/** What is told and kept of a move as an operation: its phases with their times, and how it ended. Wall clock, in milliseconds. */
import { z } from 'zod';
import { type Operation, operationSchema } from './operations.ts';

/** What an operator, or the policy, says with a failover. */
export const failoverWishSchema = z.object({
  allowDataLoss: z.boolean(),
  /** Regions whose redo beyond this one's is given up by name. */
  sacrifice: z.array(z.string()).readonly(),
  /** The most that may be lost, in milliseconds of commits; null for any. The policy's bound. */
  maxLossMs: z.number().nullable(),
});
export type FailoverWish = z.infer<typeof failoverWishSchema>;

/** An operation as an agent keeps it over a restart. The wish is null for a switchover. */
export const keptOperationSchema = z.object({
  operation: operationSchema,
  wish: failoverWishSchema.nullable(),
});
export type KeptOperation = z.infer<typeof keptOperationSchema>;

export function inPhase(operation: Operation, name: string, nowMs: number): Operation {
  const phases = [...endedPhases(operation, nowMs), { name, startedAtMs: nowMs, endedAtMs: null }];
  return { ...operation, phases };
}

export function doneWith(
  operation: Operation,
  result: NonNullable<Operation['result']>,
  nowMs: number,
): Operation {
  return { ...operation, state: 'done', phases: endedPhases(operation, nowMs), result };
}

export function failedWith(operation: Operation, code: string, message: string, nowMs: number): Operation {
  return {
    ...operation,
    state: 'failed',
    phases: endedPhases(operation, nowMs),
    error: { code, message },
  };
}

function endedPhases({ phases }: Operation, nowMs: number): Operation['phases'] {
  return phases.map((phase) => ({ ...phase, endedAtMs: phase.endedAtMs ?? nowMs }));
}

/** Of every failover that was carried out, the epoch it began; the oldest first. */
export function failoversIn(kept: readonly KeptOperation[]): readonly { id: string; epoch: number }[] {
  return kept.flatMap(({ operation: { id, kind, result } }) =>
    kind === 'failover' && result !== undefined ? [{ id, epoch: result.epoch }] : [],
  );
}
