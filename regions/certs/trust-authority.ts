/** Has this program take servers whose certificate a deployment's authority has issued, beside those that it takes anyway. */
import { getCACertificates, setDefaultCACertificates } from 'node:tls';

/** From here on. For `fetch`, WebSockets and everything else that connects with TLS and names no authority itself. */
export function trustAuthority(pem: string): void {
  const known = getCACertificates('default');
  if (!known.includes(pem)) setDefaultCACertificates([...known, pem]);
}
