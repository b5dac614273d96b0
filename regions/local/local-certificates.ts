/**
 * Where the certificates of an encrypted deployment on this machine lie: those of an authority and a directory for each
 * process, below the supervisor's.
 */
import { join, resolve } from 'node:path';
import type { IdentityFiles, Role } from '../../storage/index.ts';
import { directoryOf, fileNames } from '../certs/core/certificate-plan.ts';

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
