/** The certificate of the listening socket, replaced while connections go on. */
import { createPrivateKey, X509Certificate } from 'node:crypto';
import type { Server } from 'node:https';
import { createSecureContext } from 'node:tls';
import { type FilesRead, readFilesNow, watchFiles } from './watched-files.ts';

/** The part of a logger that is used here. */
export interface CertificateLog {
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
}

export interface CertificateFiles {
  readonly certFile: string;
  readonly keyFile: string;
}

/** What a TLS server is made with. */
export interface Certificate {
  readonly cert: string;
  readonly key: string;
}

/** TLS 1.0 and 1.1 are broken. */
export const tlsVersionMin = 'TLSv1.2';

export type CertificateRead =
  | { readonly kind: 'certificate'; readonly certificate: Certificate; readonly validUntil: string }
  | { readonly kind: 'unusable'; readonly reason: string };

/** A pair that belongs together. No reason quotes what stands in the files. */
export function certificateIn(read: FilesRead): CertificateRead {
  if (read.kind === 'unreadable') return { kind: 'unusable', reason: read.reason };
  const [cert = '', key = ''] = read.texts;
  try {
    const first = new X509Certificate(cert);
    const { validTo } = first;
    if (!first.checkPrivateKey(createPrivateKey(key)))
      return { kind: 'unusable', reason: 'the key is that of another certificate' };
    createSecureContext({ cert, key, minVersion: tlsVersionMin });
    return { kind: 'certificate', certificate: { cert, key }, validUntil: validTo };
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'not PEM';
    return { kind: 'unusable', reason: `certificate and key do not fit together, or are damaged (${code})` };
  }
}

/** The certificate to begin with. */
export function readCertificate({ certFile, keyFile }: CertificateFiles): CertificateRead {
  return certificateIn(readFilesNow([certFile, keyFile]));
}

/**
 * Gives the server each new certificate. New connections get it, those that are open stay; a pair that cannot be used is told of,
 * and the one before stays. @returns ends the watch.
 */
export function watchCertificate(
  server: Pick<Server, 'setSecureContext'>,
  { certFile, keyFile }: CertificateFiles,
  log: CertificateLog,
  lookEveryMs?: number,
): () => void {
  const files = [certFile, keyFile];
  return watchFiles(
    files,
    readFilesNow(files),
    (read) => {
      const changed = certificateIn(read);
      if (changed.kind === 'unusable') {
        log.warn(
          { certFile, reason: changed.reason },
          'the new certificate cannot be used: the old one stays',
        );
        return;
      }
      server.setSecureContext({ ...changed.certificate, minVersion: tlsVersionMin });
      log.info({ certFile, validUntil: changed.validUntil }, 'a new certificate is in use');
    },
    lookEveryMs,
  );
}
