/** Connecting to a process of the cluster: nothing is sent before it has proved who it is. */
import { connect, type DetailedPeerCertificate, type PeerCertificate, type TLSSocket } from 'node:tls';
import { type Expected, mismatch } from './core/admission.ts';
import { identityIn } from './core/identity.ts';
import { type Credentials, tlsOptions } from './credentials.ts';
import { verdictOf } from './secure-server.ts';

export interface Dial {
  readonly host: string;
  readonly port: number;
  readonly credentials: Credentials;
  /** Who is to answer. */
  readonly expected: Expected;
}

/** Somebody else answers at the address. */
export class WrongPeerError extends Error {
  override readonly name = 'WrongPeerError';
}

/**
 * Judges a server by who it is and not by where it is: an address may change without a new certificate, and a name proves
 * more than an address does.
 */
export const checkIdentity =
  (expected: Expected) =>
  (_host: string, certificate: PeerCertificate | DetailedPeerCertificate): Error | undefined => {
    const found = identityIn(certificate.subjectaltname);
    const wrong = found.kind === 'none' ? found.reason : mismatch(expected, found.identity);
    return wrong === null ? undefined : new WrongPeerError(wrong);
  };

/** Begins a connection. What goes wrong is an error event; `describeDialError` puts it into words. */
export function dialSecurely({ host, port, credentials, expected }: Dial): TLSSocket {
  const socket = connect({
    ...tlsOptions,
    host,
    port,
    secureContext: credentials.secureContext,
    checkServerIdentity: checkIdentity(expected),
    rejectUnauthorized: true,
  });
  return socket.setNoDelay(true);
}

/** In words, for an error of TLS; null for any other. */
export function describeDialError(error: Error): string | null {
  if (error instanceof WrongPeerError) return error.message;
  const code = 'code' in error ? String(error.code) : '';
  const said = verdictOf(error);
  if (said !== code && said !== String(error)) return `the certificate of who answers is refused: ${said}`;
  if (code === 'EPROTO' || code.startsWith('ERR_SSL_'))
    return 'who answers does not speak TLS 1.3: one of the two processes has no `identity` in its configuration';
  return null;
}
