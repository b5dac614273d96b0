/** Batch conditions: which steps of a batch run, given how the earlier ones ended. Pure. */
import { adviseError } from './errors.ts';
import type { BatchCondition, BatchResult, BatchStep, SqlError } from './sql.ts';

/**
 * Whether a step's condition holds. `outcomes` are those of the earlier steps; a skipped step (null) is
 * neither `ok` nor `error`. An empty `and` holds, an empty `or` does not.
 */
export function conditionHolds(
  condition: BatchCondition | null,
  outcomes: BatchResult,
  isAutocommit: boolean,
): boolean {
  if (condition === null) return true;
  switch (condition.kind) {
    case 'ok':
      return outcomes[condition.step]?.ok === true;
    case 'error':
      return outcomes[condition.step]?.ok === false;
    case 'not':
      return !conditionHolds(condition.condition, outcomes, isAutocommit);
    case 'and':
      return condition.conditions.every((part) => conditionHolds(part, outcomes, isAutocommit));
    case 'or':
      return condition.conditions.some((part) => conditionHolds(part, outcomes, isAutocommit));
    case 'isAutocommit':
      return isAutocommit;
  }
}

function badStep(condition: BatchCondition, stepIndex: number): number | null {
  switch (condition.kind) {
    case 'ok':
    case 'error':
      return condition.step >= 0 && condition.step < stepIndex ? null : condition.step;
    case 'not':
      return badStep(condition.condition, stepIndex);
    case 'and':
    case 'or':
      for (const part of condition.conditions) {
        const bad = badStep(part, stepIndex);
        if (bad !== null) return bad;
      }
      return null;
    case 'isAutocommit':
      return null;
  }
}

/** The error of the first condition that refers to its own step, a later one or none; null when all are sound. */
export function batchProblem(steps: readonly Pick<BatchStep, 'condition'>[]): SqlError | null {
  for (const [index, step] of steps.entries()) {
    if (step.condition === null) continue;
    const bad = badStep(step.condition, index);
    if (bad !== null) {
      return adviseError('BATCH_COND_BAD_STEP', `The condition of step ${index} refers to step ${bad}`);
    }
  }
  return null;
}
