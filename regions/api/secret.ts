/** The cluster's secret as a bearer token. */
import { createHash, timingSafeEqual } from 'node:crypto';

/**
 * Whether a request carries the cluster's secret as its bearer token: agents ask each other's callers for it, and the command line
 * of the deployment's own machine has it. The time it takes says nothing about the secret, not even its length.
 */
export function holdsSecret(authorization: string | undefined, secret: string): boolean {
  const header = authorization ?? '';
  // One pass over it: anybody may send a header that would make a cleverer pattern try for a second.
  const scheme = /^Bearer +/i.exec(header);
  if (scheme === null) return false;
  const token = header.slice(scheme[0].length).trimEnd();
  const digest = (text: string): Buffer => createHash('sha256').update(text).digest();
  return timingSafeEqual(digest(token), digest(secret));
}
