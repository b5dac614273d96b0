/**
 * Where the certificates of an encrypted deployment on this machine lie: those of an authority and a directory for each
 * process, below the supervisor's.
 */
import { join, resolve } from 'node:path';
import type { IdentityFiles, Role } from '../../../storage/index.ts';
import { directoryOf, fileNames } from '../../certs/core/certificate-plan.ts';
import { natsTopology } from '../../deploy/core/nats-topology.ts';
import { endpointName } from '../../deploy/region-file.ts';

/** One process that has a certificate. */
export interface LocalProcess {
  readonly region: string;
  readonly role: Role;
  readonly name: string;
}

/** The command line's own, for what only agents answer. */
export const operatorOf = (firstRegion: string): LocalProcess => ({
  region: firstRegion,
  role: 'operator',
  name: 'local',
});

export const certificatesDir = (dataDir: string): string => join(dataDir, 'supervisor', 'certs');

/** Where a process finds its certificate, absolute. */
export function identityFilesOf(dataDir: string, process: LocalProcess): IdentityFiles {
  const dir = resolve(certificatesDir(dataDir), directoryOf(process));
  return {
    caFile: join(dir, fileNames.ca),
    certFile: join(dir, fileNames.cert),
    keyFile: join(dir, fileNames.key),
  };
}

/** What clients of its gateways have to trust, absolute. */
export const authorityFileOf = (dataDir: string): string => resolve(certificatesDir(dataDir), fileNames.ca);

export const natsIdentity = (server: string): LocalProcess => ({
  region: server,
  role: 'nats',
  name: 'nats',
});

/** Of a region's storage nodes, one that joins among them, and of its gateways; and whether it has endpoints. */
export interface ProcessNames {
  readonly nodes: (region: string) => readonly string[];
  readonly gateways: (region: string) => readonly string[];
  readonly hasEndpoint: (region: string) => boolean;
}

/** Who has a certificate in an encrypted deployment: every process, and the command line. */
export function certifiedProcesses(
  regions: readonly string[],
  namesIn: ProcessNames,
  voters?: readonly string[],
): readonly LocalProcess[] {
  const [first] = regions;
  return [
    ...natsTopology(regions, voters).servers.map(natsIdentity),
    ...regions.flatMap((region): readonly LocalProcess[] => [
      ...namesIn.nodes(region).map((name) => ({ region, role: 'storage', name }) as const),
      { region, role: 'agent', name: 'agent' },
      ...namesIn.gateways(region).map((name) => ({ region, role: 'gateway', name }) as const),
      ...(namesIn.hasEndpoint(region) ? [{ region, role: 'endpoint', name: endpointName } as const] : []),
    ]),
    ...(first === undefined ? [] : [operatorOf(first)]),
  ];
}
