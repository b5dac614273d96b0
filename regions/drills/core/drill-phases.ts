/** The phases of a drill, and what follows each: `phase × event`, total. Whatever goes wrong after the fault, what was broken is healed. */

/** The phases that a report tells of, in their order. */
export const drillPhases = [
  'preflight',
  'steady',
  'fault',
  'detection',
  'recovery',
  'verification',
  'failback',
] as const;
export type DrillPhase = (typeof drillPhases)[number];

/** `healing` undoes what is broken after a phase failed or somebody stopped the drill; `refused` broke nothing. */
export type DrillState = DrillPhase | 'healing' | 'ended' | 'refused';
export type DrillEvent = 'passed' | 'failed' | 'interrupted';

const next: Readonly<Record<DrillState, Readonly<Record<DrillEvent, DrillState>>>> = {
  preflight: { passed: 'steady', failed: 'refused', interrupted: 'refused' },
  steady: { passed: 'fault', failed: 'healing', interrupted: 'healing' },
  // A deed that failed may have been done in part.
  fault: { passed: 'detection', failed: 'healing', interrupted: 'healing' },
  detection: { passed: 'recovery', failed: 'healing', interrupted: 'healing' },
  recovery: { passed: 'verification', failed: 'healing', interrupted: 'healing' },
  // Data that differ are a red drill and no reason to leave the primary where it does not belong.
  verification: { passed: 'failback', failed: 'failback', interrupted: 'healing' },
  failback: { passed: 'ended', failed: 'healing', interrupted: 'healing' },
  healing: { passed: 'ended', failed: 'ended', interrupted: 'ended' },
  ended: { passed: 'ended', failed: 'ended', interrupted: 'ended' },
  refused: { passed: 'refused', failed: 'refused', interrupted: 'refused' },
};

export const afterPhase = (state: DrillState, event: DrillEvent): DrillState => next[state][event];

export const isOver = (state: DrillState): state is 'ended' | 'refused' =>
  state === 'ended' || state === 'refused';
