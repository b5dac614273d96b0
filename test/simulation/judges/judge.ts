/**
 * A judge is told what happened, from outside the system, and says what must not have. It never looks into a process
 * for an opinion, holds no reference to one, and has no clock: facts are told in the order in which they took place.
 */

/** `correctness`: a promise was broken. `liveness`: something promised did not happen in time. */
export type Verdict = 'correctness' | 'liveness';

export type Violation = { readonly judge: string; readonly verdict: Verdict; readonly text: string };

export type Judge = {
  readonly name: string;
  readonly verdict: Verdict;
  /** What must not have happened, in words; empty when all is well. May be asked at any time and again. */
  readonly violations: () => readonly string[];
};

/** At most this many violations of one judge are reported: the first explain the rest. */
const perJudgeMax = 20;

/** The findings of all judges. */
export function collectViolations(judges: readonly Judge[]): readonly Violation[] {
  return judges.flatMap((judge) =>
    judge
      .violations()
      .slice(0, perJudgeMax)
      .map((text) => ({ judge: judge.name, verdict: judge.verdict, text })),
  );
}
