/** Bounds of what regions tell each other about themselves, with their units. */

export const reportLimits = {
  /** A secondary that has not been heard for this long is offline. */
  offlineAfterMs: 3_000,
  /** A writer whose answers have waited for other regions for so long is not ready: writes stand still. */
  heldMs: 3_000,
  /** How often agents and gateways tell everybody how they are, while that changes. */
  reportMs: 250,
  /**
   * The same while it does not. Well under all that is concluded from silence: of an agent's `moveLimits.survivorHeardMs` is the
   * shortest, of a gateway's `offlineAfterMs` and what an agent takes for a lost primary.
   */
  restingMs: { region: 500, gateway: 1_000 },
  /** Up to `exactLevelMs` a region tells how long ago it was level in steps of this; see `toldLevelMs`. */
  levelStepMs: 250,
  exactLevelMs: 1_000,
  /** Forks of its path that a region tells everybody in each report; the newest ones. */
  reportForksMax: 32,
  /** The newest failovers to it that a region tells everybody: a region that comes back asks which one left its writes behind. */
  reportFailoversMax: 4,
} as const;
