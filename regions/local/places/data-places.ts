/** Where a local deployment keeps its data, and is backed up to. */
import { resolve } from 'node:path';
import type { NodePlace } from '../../../storage/data.ts';
import { nodesPerRegion } from '../../../storage/index.ts';
import type { BackupConfig } from '../../backup/core/backup-config.ts';
import type { Deployment } from '../layout/local-layout.ts';

/** Where the deployment is backed up to. */
export const backupOf = ({ backup }: Deployment): BackupConfig | undefined => backup;

export const agentDataDir = (dataDir: string, region: string): string =>
  resolve(dataDir, region, 'agent', 'data');

/** The data directories of all storage nodes. */
export function nodePlaces({ cluster, regions }: Deployment, dataDir: string): readonly NodePlace[] {
  return regions.flatMap((region) =>
    Array.from({ length: nodesPerRegion }, (_, index) => ({
      cluster,
      region,
      node: `n${index + 1}`,
      dataDir: resolve(dataDir, region, `n${index + 1}`, 'data'),
    })),
  );
}
