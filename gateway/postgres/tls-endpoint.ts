/** TLS for PostgreSQL's clients: the gateway's certificate, as it is now, and what a channel is bound to that was opened with it. */
import { createHash, X509Certificate } from 'node:crypto';
import { createSecureContext, type SecureContext } from 'node:tls';
import {
  type CertificateFiles,
  type CertificateLog,
  readCertificate,
  tlsVersionMin,
  watchCertificate,
} from '../access/certificate.ts';

/** What one connection is encrypted with. */
export interface TlsEndpoint {
  readonly context: SecureContext;
  /** `tls-server-end-point` (RFC 5929); null for a certificate whose signature has no hash function of its own. */
  readonly bindingData: Uint8Array | null;
}

export type EndpointMade =
  | { readonly kind: 'made'; readonly now: () => TlsEndpoint; readonly close: () => void }
  | { readonly kind: 'unusable'; readonly reason: string };

function endpointOf(cert: string, key: string): TlsEndpoint {
  return {
    context: createSecureContext({ cert, key, minVersion: tlsVersionMin }),
    bindingData: bindingDataOf(new X509Certificate(cert)),
  };
}

/** The hash of the certificate by the function that its signature uses; MD5 and SHA-1 are replaced by SHA-256. */
function bindingDataOf({ raw, signatureAlgorithm }: X509Certificate): Uint8Array | null {
  const [, size] = /sha-?(1|224|256|384|512)\b/i.exec(signatureAlgorithm ?? '') ?? [];
  if (size === undefined) return null;
  return createHash(size === '1' ? 'sha256' : `sha${size}`)
    .update(raw)
    .digest();
}

/** Reads the certificate, and follows its files while the server runs. */
export function makeEndpoint(files: CertificateFiles, log: CertificateLog): EndpointMade {
  const read = readCertificate(files);
  if (read.kind === 'unusable') return { kind: 'unusable', reason: `tls: ${read.reason}` };
  let endpoint = endpointOf(read.certificate.cert, read.certificate.key);
  const server = {
    setSecureContext: ({ cert, key }: { readonly cert?: unknown; readonly key?: unknown }): void => {
      endpoint = endpointOf(String(cert), String(key));
    },
  };
  return { kind: 'made', now: () => endpoint, close: watchCertificate(server, files, log) };
}
