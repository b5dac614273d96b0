/**
 * The certificates of an encrypted deployment on this machine: an authority and a directory for each process, below the
 * supervisor's. They are renewed long before they expire, at every start and while the deployment runs.
 */
import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import type { IdentityFiles, Role } from '../../storage/index.ts';
import {
  hasAuthority,
  initAuthority,
  issueCertificate,
  renewCertificates,
} from '../certs/certificate-store.ts';
import { certificateDays, directoryOf, fileNames } from '../certs/core/certificate-plan.ts';

/** One process that has a certificate. */
export interface LocalProcess {
  readonly region: string;
  readonly role: Role;
  readonly name: string;
}

const hosts = ['127.0.0.1', 'localhost'] as const;
const renewWithinMs = 30 * 24 * 3_600_000;
const days = certificateDays.default;

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

/** Makes what is not there and renews what is due. @throws CertificateError when the directory cannot be used. */
export async function ensureCertificates(
  dataDir: string,
  cluster: string,
  processes: readonly LocalProcess[],
): Promise<void> {
  const dir = certificatesDir(dataDir);
  if (!hasAuthority(dir)) await initAuthority(dir, cluster, Date.now());
  await renewLocal(dataDir);
  for (const process of processes) {
    if (existsSync(identityFilesOf(dataDir, process).certFile)) continue;
    await issueCertificate(dir, { identity: process, hosts, days }, Date.now());
  }
}

/** Renews what expires within a month; processes read it by themselves. */
export async function renewLocal(dataDir: string): Promise<void> {
  await renewCertificates(certificatesDir(dataDir), { withinMs: renewWithinMs, days }, Date.now());
}
