/** Bounds of what regions tell each other about themselves, with their units. */

export const reportLimits = {
  /** A secondary that has not been heard for this long is offline. */
  offlineAfterMs: 3_000,
  /** A secondary that lags more than this is not ready to serve or to take over. */
  readyLagMs: 5_000,
  /** A writer whose answers have waited for other regions for so long is not ready: writes stand still. */
  heldMs: 3_000,
  /** How often agents and gateways tell everybody how they are. */
  reportMs: 250,
  /** Forks of its path that a region tells everybody in each report; the newest ones. */
  reportForksMax: 32,
  /** The newest failovers to it that a region tells everybody: a region that comes back asks which one left its writes behind. */
  reportFailoversMax: 4,
} as const;
