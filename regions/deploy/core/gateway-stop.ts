/**
 * How long a gateway takes to stop, step by step. Whoever stops gateways has to wait for all of it: one that is killed before has not
 * given its lease back, and the next writer waits for that to lapse. Milliseconds.
 */
export const gatewayStop = {
  /** Its clients' work: statements that run, and transactions that are open. The limit `shutdownMs`, where nobody has set it. */
  clientsMs: 5_000,
  /** What a limit may ask for: units of systemd wait for that and for all below. */
  clientsMsMax: 12_000,
  /** What others have begun there, also where its own clients took all of their time. */
  forwardsMs: 500,
  /** Giving the lease back, which waits for the control record. */
  leaseMs: 3_000,
  /** Spans, connections, threads: nothing that anybody waits for. */
  restMs: 1_500,
} as const;

/** @returns milliseconds from the signal until the process has ended, by itself or all the same. */
export function gatewayStopMs(clientsMs: number = gatewayStop.clientsMs): number {
  const { forwardsMs, leaseMs, restMs } = gatewayStop;
  return clientsMs + forwardsMs + leaseMs + restMs;
}
