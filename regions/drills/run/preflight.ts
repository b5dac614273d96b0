/** What has to hold before a drill breaks anything: a deployment that is whole, a region that exists, a load that can write. */
import { setTimeout as sleep } from 'node:timers/promises';
import { gatewayDirectory } from '../../local/layout/core/gateway-places.ts';
import { type DrillRequest, safeKinds } from '../core/drill-kinds.ts';
import { type DrillPlan, planDrill, type Refusal, whatItNeeds } from '../core/drill-plan.ts';
import { drillTable } from '../core/ledger.ts';
import type { ClientAddress } from '../core/load-messages.ts';
import type { LossLook } from '../core/losses-since.ts';
import { type StatusSight, unwell } from '../core/status-sight.ts';
import type { DrillTarget } from './drill-target.ts';

/** What is known before the fault. */
export interface Prepared {
  readonly plan: DrillPlan;
  readonly cluster: string;
  readonly regions: readonly string[];
  readonly primary: string;
  readonly epoch: number;
  readonly clients: readonly ClientAddress[];
  /** The table that the load writes; the drill's own. */
  readonly table: string;
  /** What was reported as lost before. */
  readonly losses: LossLook;
  /** A policy fails over; the drill only watches. */
  readonly byPolicy: boolean;
}

/** Why a drill did not begin. */
export class DrillRefused extends Error {
  override readonly name = 'DrillRefused';
  readonly code: string;

  constructor({ code, message }: Refusal) {
    super(message);
    this.code = code;
  }
}

const pollMs = 200;
/** A deployment that has just started, or moved, may need so long to be level. */
const levelPatienceMs = 10_000;

/**
 * @param patienceMs a deployment that is not whole may become so within this time.
 * @throws DrillRefused with the way out.
 */
export async function prepare(
  id: string,
  request: DrillRequest,
  target: DrillTarget,
  patienceMs: number = levelPatienceMs,
): Promise<Prepared> {
  const { kind } = request;
  if (!target.canBreak && !safeKinds.includes(kind))
    throw new DrillRefused({ code: 'LOCAL_ONLY', message: whatItNeeds(kind) });
  const seen = await target.status();
  if (seen === null)
    throw new DrillRefused({
      code: 'NOT_RUNNING',
      message: 'no gateway answers: start the deployment with `sextant up`, or name another --data or --on',
    });
  // A region that is not there is told at once, whatever else there is to say.
  planned(seen, request);
  const status = await whole(target, patienceMs);
  const plan = planned(status, request);
  const clients = clientsOf(status, target);
  const losses = await target.losses();
  if (losses === null)
    throw new DrillRefused({
      code: 'LOSSES_UNKNOWN',
      message:
        'no gateway tells what earlier failovers lost, so that what this one loses could not be told apart: look at `sextant losses`',
    });
  return {
    plan,
    cluster: status.cluster,
    regions: status.regions.map(({ name }) => name),
    primary: status.primary ?? '',
    epoch: status.epoch,
    clients,
    table: drillTable(id),
    losses,
    byPolicy: plan.move === 'failover' && (await target.failsOverByItself()),
  };
}

function planned(status: StatusSight, request: DrillRequest): DrillPlan {
  const scene = {
    regions: status.regions.map(({ name }) => name),
    primary: status.primary ?? '',
    nodes: Object.fromEntries(status.regions.map(({ name, nodes }) => [name, nodes])),
    writers: Object.fromEntries(
      status.regions.map(({ name, writer }) => [name, gatewayDirectory(writer ?? 'g1')]),
    ),
  };
  const planning = planDrill(request.kind, scene, request.region);
  if (planning.kind === 'refused') throw new DrillRefused(planning);
  return planning.plan;
}

/** The deployment once it is whole. @throws DrillRefused with what is wrong, when it is not soon. */
async function whole(target: DrillTarget, patienceMs: number): Promise<StatusSight> {
  const deadline = performance.now() + patienceMs;
  for (;;) {
    const [status, disorder] = await Promise.all([target.status(), target.disorder()]);
    const reasons = status === null ? ['no gateway answers'] : [...disorder, ...unwell(status)];
    if (status !== null && reasons.length === 0) return status;
    if (performance.now() > deadline)
      throw new DrillRefused({
        code: 'DEGRADED',
        message: `a drill begins on a deployment that is whole, and this one is not: ${reasons.join('; ')}. Put that right first; \`sextant status\` shows it`,
      });
    await sleep(pollMs);
  }
}

/** A client by HTTP and one by WebSocket in every region, or one that speaks PostgreSQL's protocol; the primary's first. */
function clientsOf(status: StatusSight, target: DrillTarget): readonly ClientAddress[] {
  const regions = status.regions.toSorted(
    (a, b) => Number(b.name === status.primary) - Number(a.name === status.primary),
  );
  const isPostgres = status.regions.some(({ postgres }) => typeof postgres === 'string');
  return regions.flatMap(({ name }): readonly ClientAddress[] => {
    const address = target.regions.find(({ region }) => region === name);
    if (address === undefined)
      throw new DrillRefused({
        code: 'REGION_UNNAMED',
        message: `the deployment has a region ${name} that the file of --on does not name: add its gateway there`,
      });
    const { gateway: url, token, postgres } = address;
    if (isPostgres && postgres === undefined)
      throw new DrillRefused({
        code: 'POSTGRES_UNNAMED',
        message: `PostgreSQL keeps the databases: add \`postgres\` to ${name} in the file of --on, the address of a user that may write, such as postgres://app:PASSWORD@host:port/main`,
      });
    if (isPostgres && postgres !== undefined)
      return [{ region: name, transport: 'postgres', url: postgres.url, token: postgres.password }];
    return (['http', 'ws'] as const).map((transport) => ({ region: name, transport, url, token }));
  });
}
