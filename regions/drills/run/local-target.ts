/** The deployment on this machine: its supervisor breaks and heals, its gateways and agents are asked. */
import { readFileSync } from 'node:fs';
import { requestAction, supervisorStatus } from '../../local/control-socket.ts';
import { brokenParts } from '../../local/core/broken-parts.ts';
import { controlSocket, type Deployment, telemetryGroup } from '../../local/layout/local-layout.ts';
import { endpointsOf } from '../../local/places/region-endpoints.ts';
import { authorityFileOf } from '../../local/secure/local-certificates.ts';
import type { Deed } from '../core/drill-plan.ts';
import type { OutsideSight, StatusSight } from '../core/status-sight.ts';
import { AdminSight, type Ask } from './admin-sight.ts';
import type { DrillTarget, RegionAddress } from './drill-target.ts';

export function localTarget(
  dataDir: string,
  deployment: Deployment,
  ask: Ask,
  clientToken: string | null,
): DrillTarget {
  const socket = controlSocket(dataDir);
  const headers = {
    authorization: `Bearer ${deployment.secret}`,
    'x-sextant-cluster': deployment.cluster,
  };
  // A headless region can be asked nothing and take over nothing: it is no part of a drill.
  const regions: readonly RegionAddress[] = endpointsOf(deployment)
    .filter(({ headless }) => !headless)
    .map(({ region, gateway, gateways, agent }) => {
      const postgres = gateways[0]?.postgres;
      const login = postgres === undefined ? {} : { postgres: { url: postgres, password: null } };
      return { region, gateway, agent, token: clientToken, ...login };
    });
  const admin = new AdminSight(
    regions.map((address) => ({ ...address, headers })),
    ask,
  );
  // What --jaeger runs beside the regions is needed for nothing, and no part of a drill.
  const supervised = async () => {
    const status = await supervisorStatus(socket);
    if (status === undefined) return undefined;
    return { ...status, processes: status.processes.filter(({ region }) => region !== telemetryGroup) };
  };
  return {
    canBreak: true,
    regions,
    authority: deployment.secure === true ? readFileSync(authorityFileOf(dataDir), 'utf8') : null,
    status: (avoided): Promise<StatusSight | null> => admin.status(avoided),
    async outside(): Promise<OutsideSight> {
      const [dumb, status] = await Promise.all([admin.dumb(), supervised()]);
      const restarts = (status?.processes ?? []).map(({ id, restarts: times }) => [id, times] as const);
      return { dumb, restarts: Object.fromEntries(restarts) };
    },
    async disorder() {
      const status = await supervised();
      if (status === undefined) return ['the supervisor does not answer: `sextant up` starts it'];
      return brokenParts(status).map(({ what, command }) => `${what}: \`${command}\``);
    },
    async perform(deed: Deed) {
      const result = await requestAction(socket, deed);
      if ('error' in result) throw new Error(result.error);
    },
    begin: (kind, to) => admin.begin(kind, to),
    operation: (id) => admin.operation(id),
    failsOverByItself: () => admin.failsOverByItself(),
    losses: (avoided) => admin.losses(avoided),
  };
}
