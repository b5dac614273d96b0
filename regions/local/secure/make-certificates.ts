/**
 * Makes the certificates of an encrypted deployment on this machine, and renews them long before they expire: at every start,
 * and while the deployment runs.
 */
import { existsSync, readFileSync } from 'node:fs';
import {
  CertificateError,
  hasAuthority,
  initAuthority,
  issueCertificate,
  renewCertificates,
} from '../../certs/certificate-store.ts';
import { certificateDays } from '../../certs/core/certificate-plan.ts';
import { trustAuthority } from '../../certs/trust-authority.ts';
import {
  authorityFileOf,
  certificatesDir,
  certifiedProcesses,
  identityFilesOf,
  type ProcessNames,
} from './local-certificates.ts';

const hosts = ['127.0.0.1', 'localhost'] as const;
const renewWithinMs = 30 * 24 * 3_600_000;
const plainText =
  'processes and clients talk in plain text, on this machine only: `sextant up --secure` encrypts that';
const foreignNats =
  '--secure encrypts what goes through NATS servers of its own: leave --nats out, or make certificates for those servers with `sextant certs`';
const days = certificateDays.default;

/**
 * Makes what is not there and renews what is due; warns where nothing is encrypted.
 * @throws CertificateError when they cannot be made.
 */
export async function secureDeployment(
  dataDir: string,
  deployment: {
    readonly cluster: string;
    readonly regions: readonly string[];
    readonly voters?: readonly string[] | undefined;
    readonly secure?: boolean | undefined;
    readonly nats: object | null;
  },
  namesIn: ProcessNames,
  onProgress: (line: string) => void,
): Promise<void> {
  if (deployment.secure !== true) return onProgress(plainText);
  if (deployment.nats !== null) throw new CertificateError(foreignNats);
  const dir = certificatesDir(dataDir);
  try {
    if (!hasAuthority(dir)) await initAuthority(dir, deployment.cluster, Date.now());
    await renewLocal(dataDir);
    for (const process of certifiedProcesses(deployment.regions, namesIn, deployment.voters)) {
      if (existsSync(identityFilesOf(dataDir, process).certFile)) continue;
      await issueCertificate(dir, { identity: process, hosts, days }, Date.now());
    }
  } catch (error) {
    if (!(error instanceof CertificateError)) throw error;
    throw new CertificateError(`${error.message}. Deleting ${dir} has all of them made anew.`);
  }
}

/** Has this program take the deployment's gateways for what they are. @throws CertificateError when the authority is lost. */
export function trustLocal(dataDir: string): void {
  const file = authorityFileOf(dataDir);
  try {
    trustAuthority(readFileSync(file, 'utf8'));
  } catch (error) {
    const reason = error instanceof Error && 'code' in error ? String(error.code) : 'it is damaged';
    throw new CertificateError(
      `the authority ${file} cannot be used (${reason}): \`sextant up --secure\` makes it`,
    );
  }
}

/** Renews what expires within a month; processes read it by themselves. */
export async function renewLocal(dataDir: string): Promise<void> {
  await renewCertificates(certificatesDir(dataDir), { withinMs: renewWithinMs, days }, Date.now());
}
