/** What a view of the deployment says of gateways. Pure. */
import type { GatewayReport } from './report.ts';

/** One gateway, as it last told. */
export interface GatewayNews {
  readonly name: string;
  readonly address: string;
  /** Where it takes PostgreSQL clients; left out where SQLite keeps the databases. */
  readonly postgres?: string;
  readonly phase: GatewayReport['phase'];
  readonly ready: boolean;
  /** What it shows. */
  readonly vdl: number;
  readonly pid: number;
}

/** Of two that say that they write, one was replaced since it spoke last: that with the older reign. */
export function writerAmong(gateways: readonly GatewayReport[]): GatewayReport | null {
  const writing = gateways.filter(({ phase }) => phase === 'writing');
  return writing.sort((a, b) => (b.epoch ?? 0) - (a.epoch ?? 0))[0] ?? null;
}

/** A report as the status shows it. */
export const newsOf = ({
  gateway,
  address,
  postgres,
  phase,
  ready,
  vdl,
  pid,
}: GatewayReport): GatewayNews => ({
  name: gateway,
  address,
  ...(postgres !== undefined && { postgres }),
  phase,
  ready,
  vdl,
  pid,
});
