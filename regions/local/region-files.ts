/** The files of a local deployment's regions on disk: written at each start, and looked at before. */
import { rmSync } from 'node:fs';
import { dirname } from 'node:path';
import { z } from 'zod';
import { loadConfig } from '../../storage/index.ts';
import { voteOnly, witness } from '../deploy/core/nats-topology.ts';
import { regionText, witnessText } from '../deploy/core/region-text.ts';
import { writeMachineFile } from '../deploy/write-files.ts';
import {
  type Deployment,
  deploymentFile,
  formerConfigFile,
  joiningFileOf,
  processDirs,
  regionFileOf,
  voterFileOf,
} from './layout/local-layout.ts';
import { type DialledRoute, joiningPlan, regionPlans, voterPlans } from './layout/region-plans.ts';

const title =
  'Written by `sextant up` at each start: what is changed here is lost. `sextant init` makes files to keep.';
const clusterOnly = z.looseObject({ cluster: z.string() });

/**
 * Why the data in `dataDir` is none of this deployment's: data of another cluster under its identity would be taken for its own,
 * or refused node by node. @returns undefined when it is.
 */
export function foreignData(dataDir: string, deployment: Deployment): string | undefined {
  const { regions, voters } = deployment;
  const files = [
    ...regions.map((region) => regionFileOf(dataDir, region)),
    ...[witness, ...voteOnly(regions, voters)].map((name) => voterFileOf(dataDir, name)),
  ];
  const former = processDirs(deployment, dataDir).map(formerConfigFile);
  for (const file of [...files, ...former]) {
    const loaded = loadConfig(file, clusterOnly, {});
    if (loaded.kind === 'ok' && loaded.value.cluster !== deployment.cluster)
      return (
        `${dirname(file)} holds data of cluster ${loaded.value.cluster}, but ${deploymentFile(dataDir)} is of cluster ${deployment.cluster}: ` +
        'put the right deployment.json back, choose another --data, or delete the data with --fresh'
      );
  }
  return undefined;
}

/**
 * Writes the files that the processes run from, and takes away what a version before this one had in their place.
 * @param jaegerUrl where the console's links lead, when a Jaeger runs beside the deployment.
 */
export function writeRegionFiles(
  deployment: Deployment,
  dataDir: string,
  dialled: readonly DialledRoute[],
  jaegerUrl?: string,
): void {
  const { secret, natsToken, natsRoutePassword, nats, secure } = deployment;
  const secrets = {
    clusterFile: secret,
    natsTokenFile: secure === true ? undefined : (nats?.token ?? natsToken),
    natsRouteFile: natsRoutePassword ?? natsToken,
  };
  for (const plan of regionPlans(deployment, dataDir, dialled, jaegerUrl)) {
    writeMachineFile(regionFileOf(dataDir, plan.region), regionText(plan, title), secrets);
    const joining = joiningPlan(deployment, plan);
    if (joining === undefined) rmSync(joiningFileOf(dataDir, plan.region), { force: true });
    else writeMachineFile(joiningFileOf(dataDir, plan.region), regionText(joining, title), secrets);
  }
  for (const plan of voterPlans(deployment, dataDir, dialled))
    writeMachineFile(voterFileOf(dataDir, plan.witness), witnessText(plan, title), secrets);
  for (const dir of processDirs(deployment, dataDir)) rmSync(formerConfigFile(dir), { force: true });
}
