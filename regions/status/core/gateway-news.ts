/** What a view of the deployment says of gateways. Pure. */
import { mainBranch } from '../../../storage/core.ts';
import type { DatabaseReport } from './database-report.ts';
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
  /** Whether main has engines there; false while it rests. Left out by an older gateway. */
  readonly awake?: boolean;
  /** The threads that read main. Left out by an older gateway. */
  readonly readers?: NonNullable<DatabaseReport['readers']>;
}

/** Of two that say that they write, one was replaced since it spoke last: that with the older reign. */
export function writerAmong(gateways: readonly GatewayReport[]): GatewayReport | null {
  const writing = gateways.filter(({ phase }) => phase === 'writing');
  return writing.sort((a, b) => (b.epoch ?? 0) - (a.epoch ?? 0))[0] ?? null;
}

/** A report as the status shows it. */
export function newsOf(report: GatewayReport): GatewayNews {
  const { gateway, address, postgres, phase, ready, vdl, pid, databases = [] } = report;
  const main = databases.find(({ branch }) => branch === mainBranch);
  return {
    name: gateway,
    address,
    ...(postgres !== undefined && { postgres }),
    phase,
    ready,
    vdl,
    pid,
    ...(main !== undefined && { awake: main.awake }),
    ...(main?.readers !== undefined && { readers: main.readers }),
  };
}
