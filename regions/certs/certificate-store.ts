/**
 * The directory of a cluster's authority, on a machine that nobody else reads: `ca.pem`, `ca-key.pem`, and below them one
 * directory for each process, which is what goes to the process's machine. Files are written aside and moved into place.
 */
import { X509Certificate } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { certificatesIn, type Identity, identityIn } from '../../storage/index.ts';
import {
  authorityFiles,
  type CertificateRequest,
  directoryOf,
  fileNames,
  requestProblem,
} from './core/certificate-plan.ts';
import type { Signed } from './sign.ts';

/** Something the user can put right; `message` says what and how. */
export class CertificateError extends Error {
  override readonly name = 'CertificateError';
}

const privateMode = 0o600;
const publicMode = 0o644;
const directoryMode = 0o700;

/** A certificate in the directory, and what it is for. */
export interface Shown {
  readonly file: string;
  /** Null for an authority. */
  readonly identity: Identity | null;
  readonly hosts: readonly string[];
  readonly issuedBy: string;
  /** Unix milliseconds. */
  readonly notBeforeMs: number;
  readonly expiresAtMs: number;
}

/** Makes the authority of a cluster. @throws CertificateError when there is one. */
export async function initAuthority(dir: string, cluster: string, nowMs: number): Promise<void> {
  const problem = requestProblem({ identity: { ...anybody, cluster }, hosts: [], days: 1 });
  if (problem !== null) throw new CertificateError(problem);
  if (existsSync(join(dir, authorityFiles.cert)) || existsSync(join(dir, authorityFiles.key)))
    throw new CertificateError(
      `${dir} has an authority, and everything it issued hangs on it: choose another directory, or see \`sextant certs authority\``,
    );
  mkdirSync(dir, { recursive: true, mode: directoryMode });
  const { makeAuthority } = await import('./sign.ts');
  writeSigned(await makeAuthority(cluster, nowMs), dir, authorityFiles);
}

/** Issues a certificate to a process, or another one in place of its last. @returns its directory. @throws CertificateError. */
export async function issueCertificate(
  dir: string,
  request: Omit<CertificateRequest, 'identity'> & { readonly identity: Omit<Identity, 'cluster'> },
  nowMs: number,
): Promise<string> {
  const { authority, bundle, cluster } = readAuthority(dir);
  const whole = { ...request, identity: { ...request.identity, cluster } };
  const problem = requestProblem(whole);
  if (problem !== null) throw new CertificateError(problem);
  const { issue } = await import('./sign.ts');
  const signed = await issue(authority, whole, nowMs);
  const target = join(dir, directoryOf(whole.identity));
  mkdirSync(target, { recursive: true, mode: directoryMode });
  // Who reads between two of these sees a key that does not fit, keeps what it has, and looks again.
  write(join(target, fileNames.ca), bundle, publicMode);
  writeSigned(signed, target, fileNames);
  return target;
}

/**
 * Issues anew, to the same processes at the same hosts, what expires within so long, or has another authority than the one
 * that issues now. @returns their directories. @throws CertificateError.
 */
export async function renewCertificates(
  dir: string,
  { withinMs, days }: { readonly withinMs: number; readonly days: number },
  nowMs: number,
): Promise<readonly string[]> {
  const [authority] = certificatesIn(readAuthority(dir).bundle);
  const renewed: string[] = [];
  for (const { identity, hosts, expiresAtMs, file } of issuedIn(dir)) {
    const issuer =
      authority !== undefined && new X509Certificate(readFileSync(file)).verify(authority.publicKey);
    if (identity === null || (issuer && expiresAtMs - nowMs > withinMs)) continue;
    renewed.push(await issueCertificate(dir, { identity, hosts, days }, nowMs));
  }
  return renewed;
}

/**
 * Replaces the authority in three steps, between which every process has to have the new files: `add` makes a second one that
 * everybody trusts and that issues nothing yet; `use` lets it issue; `drop` ends the trust in the first.
 * @throws CertificateError when the step is not the next one.
 */
export async function changeAuthority(
  dir: string,
  step: 'add' | 'use' | 'drop',
  nowMs: number,
): Promise<void> {
  const { cluster, bundle } = readAuthority(dir);
  const at = (name: string) => join(dir, name);
  const blocks = certificatesIn(bundle).map((certificate) => certificate.toString());
  const [first = '', second] = blocks;
  const hasNext = existsSync(at(authorityFiles.nextKey));
  switch (step) {
    case 'add': {
      if (second !== undefined)
        throw new CertificateError(
          `${dir} has two authorities already: \`use\` the second, then \`drop\` the first`,
        );
      const { makeAuthority } = await import('./sign.ts');
      const next = await makeAuthority(cluster, nowMs);
      writeSigned(next, dir, { cert: authorityFiles.nextCert, key: authorityFiles.nextKey });
      trust(dir, first + next.cert);
      return;
    }
    case 'use': {
      if (!hasNext || second === undefined)
        throw new CertificateError(
          `${dir} has no second authority: \`add\` one, and give every process its new ca.pem`,
        );
      trust(dir, second + first);
      renameSync(at(authorityFiles.nextKey), at(authorityFiles.key));
      rmSync(at(authorityFiles.nextCert), { force: true });
      return;
    }
    case 'drop': {
      if (second === undefined || hasNext)
        throw new CertificateError(
          `${dir} has no authority that is no longer used: \`add\`, then \`use\` another first`,
        );
      const [authority] = certificatesIn(bundle);
      const left = issuedIn(dir).filter(
        ({ file }) =>
          authority === undefined || !new X509Certificate(readFileSync(file)).verify(authority.publicKey),
      );
      if (left.length > 0)
        throw new CertificateError(
          `${left.length} certificates are of the old authority, such as ${left[0]?.file}: \`sextant certs renew\` them first`,
        );
      trust(dir, first);
    }
  }
}

/** Every certificate below a directory, or the first in a file. @throws CertificateError when there is none. */
export function showCertificates(path: string): readonly Shown[] {
  if (!existsSync(path)) throw new CertificateError(`there is nothing at ${path}`);
  const files = path.endsWith('.pem') ? [path] : pemFilesBelow(path);
  const shown = files.flatMap((file) => showFile(file));
  if (shown.length === 0) throw new CertificateError(`there is no certificate at ${path}`);
  return shown;
}

/** Whether an authority has been made here. */
export const hasAuthority = (dir: string): boolean => existsSync(join(dir, authorityFiles.cert));

const anybody = { region: 'any', role: 'operator', name: 'any' } as const;

interface Authority {
  readonly authority: Signed;
  /** `ca.pem` as processes get it; the first in it issues. */
  readonly bundle: string;
  readonly cluster: string;
}

function readAuthority(dir: string): Authority {
  try {
    const bundle = readFileSync(join(dir, authorityFiles.cert), 'utf8');
    const key = readFileSync(join(dir, authorityFiles.key), 'utf8');
    const [certificate] = certificatesIn(bundle);
    const cluster = /^O=(.+)$/m.exec(certificate?.subject ?? '')?.[1];
    if (certificate === undefined || cluster === undefined)
      throw new CertificateError(
        `${join(dir, authorityFiles.cert)} is no authority that \`sextant certs init\` made`,
      );
    return { authority: { cert: certificate.toString(), key }, bundle, cluster };
  } catch (error) {
    if (error instanceof CertificateError) throw error;
    const reason = error instanceof Error && 'code' in error ? String(error.code) : 'it is damaged';
    throw new CertificateError(
      `${dir} has no authority that can be read (${reason}): make one with \`sextant certs init ${dir} --cluster NAME\``,
    );
  }
}

/** Writes whom processes trust, here and in every directory that goes to one. */
function trust(dir: string, bundle: string): void {
  write(join(dir, authorityFiles.cert), bundle, publicMode);
  for (const { file } of issuedIn(dir)) write(join(file, '..', fileNames.ca), bundle, publicMode);
}

const issuedIn = (dir: string): readonly Shown[] =>
  pemFilesBelow(dir)
    .filter((file) => file.endsWith(`/${fileNames.cert}`))
    .flatMap(showFile);

function pemFilesBelow(dir: string): readonly string[] {
  return readdirSync(dir, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith('.pem') && !entry.name.endsWith('key.pem'))
    .map((entry) => join(entry.parentPath, entry.name))
    .sort();
}

function showFile(file: string): readonly Shown[] {
  let certificates: readonly X509Certificate[];
  try {
    certificates = certificatesIn(readFileSync(file, 'utf8'));
  } catch {
    throw new CertificateError(`${file} cannot be read as certificates in PEM`);
  }
  return certificates.map((certificate) => {
    const found = identityIn(certificate.subjectAltName);
    const hosts = [...(certificate.subjectAltName ?? '').matchAll(/(?:DNS|IP Address):([^,\s]+)/g)];
    return {
      file,
      identity: found.kind === 'identity' ? found.identity : null,
      hosts: hosts.map(([, host = '']) => host),
      issuedBy: certificate.issuer.replaceAll('\n', ', '),
      notBeforeMs: certificate.validFromDate.getTime(),
      expiresAtMs: certificate.validToDate.getTime(),
    };
  });
}

function writeSigned(
  { cert, key }: Signed,
  dir: string,
  names: { readonly cert: string; readonly key: string },
): void {
  write(join(dir, names.key), key, privateMode);
  write(join(dir, names.cert), `${cert.trimEnd()}\n`, publicMode);
}

function write(file: string, text: string, mode: number): void {
  writeFileSync(`${file}.new`, text, { mode });
  renameSync(`${file}.new`, file);
}
