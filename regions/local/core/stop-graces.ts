/** How long processes of a local deployment may take to stop in order before they are killed. Milliseconds. */
import { gatewayStopMs } from '../../deploy/core/gateway-stop.ts';

/** On a machine that is busy a process hears of its end late. */
const lateMs = 1_000;

/** By role. */
export const stopGraceMs = {
  endpoint: 2_000,
  gateway: gatewayStopMs() + lateMs,
  agent: 5_000,
  storage: 8_000,
  nats: 5_000,
  jaeger: 8_000,
  window: 2_000,
  prometheus: 8_000,
} as const;

/** A whole deployment: one role stops after another. */
export const deploymentGraceMs: number = Object.values(stopGraceMs).reduce((sum, ms) => sum + ms, lateMs);

/** Any process, whatever its role. */
export const anyGraceMs: number = Math.max(...Object.values(stopGraceMs));
