/**
 * Keeps web pages away (G43). A browser lets any page send requests to any address; such a request carries the page's `Origin`. After a
 * DNS trick it carries a name of the page's choice in `Host` instead, which only a gateway that lets in everybody has to fear.
 */
import { isIP } from 'node:net';
import { isLoopbackHost } from '../../storage/index.ts';
import type { HttpRequest } from '../direct/exchange.ts';
import { adviseError } from '../sql/errors.ts';
import type { SqlError } from '../sql/sql.ts';

export interface OriginRules {
  /** Everybody who reaches the gateway may use it. */
  readonly open: boolean;
  /** Only this machine reaches the gateway. */
  readonly loopback: boolean;
  /** Origins of pages that may use it, as browsers write them: `https://app.example`. */
  readonly origins: ReadonlySet<string>;
}

type Asking = Pick<HttpRequest, 'method' | 'headers'>;

/** Headers that stock clients, and the console, send. */
const allowedHeaders = 'authorization, content-type, sextant-bookmark, sextant-read, traceparent, tracestate';
const preflightSeconds = 600;

const refused = (detail: string): SqlError => adviseError('SEXTANT_ORIGIN_REFUSED', detail);

/** Host of an origin, with its port, as `Host` would say it. */
const hostOf = (origin: string): string => origin.replace(/^[a-z]+:\/\//i, '').toLowerCase();

/** The name or address in a `Host` header, without port and brackets. */
const nameIn = (host: string): string => host.replace(/:[0-9]*$/, '').replace(/^\[|\]$/g, '');

const changes = (method: string | undefined): boolean => method !== 'GET' && method !== 'HEAD';

/** Why a request must not be answered, or null. A page that this gateway served itself is not foreign. */
export function originProblem(request: Asking, rules: OriginRules): SqlError | null {
  const { host, origin, 'sec-fetch-site': site } = request.headers;
  if (rules.open && host !== undefined && !isLoopbackHost(host)) {
    if (rules.loopback) return refused('An open gateway answers to loopback host names only');
    // Names can be made to lead here by whoever owns them; addresses cannot.
    if (isIP(nameIn(host)) === 0) return refused('An open gateway answers to addresses, not to names');
  }
  if (origin !== undefined) {
    if (hostOf(origin) === host?.toLowerCase() || rules.origins.has(origin.toLowerCase())) return null;
    return refused('This gateway takes no requests from pages of another origin');
  }
  // Browsers send the origin with what changes something; one that does not says at least this.
  return changes(request.method) && (site === 'cross-site' || site === 'same-site')
    ? refused('This gateway takes no requests from pages of another origin')
    : null;
}

/** What is told to the browser of a page whose request was let through: nothing to one that needs no permission. */
export function corsHeaders(request: Asking, rules: OriginRules): Readonly<Record<string, string>> | null {
  const { origin } = request.headers;
  if (rules.origins.size === 0) return null;
  if (origin === undefined || !rules.origins.has(origin.toLowerCase())) return { vary: 'origin' };
  return {
    'access-control-allow-origin': origin,
    'access-control-expose-headers': 'sextant-bookmark',
    vary: 'origin',
  };
}

/** The answer to a browser that asks beforehand; null when the request is no such question. */
export function preflightHeaders(
  request: Asking,
  rules: OriginRules,
): Readonly<Record<string, string>> | null {
  if (request.method !== 'OPTIONS' || request.headers['access-control-request-method'] === undefined)
    return null;
  const cors = corsHeaders(request, rules);
  return cors === null
    ? null
    : {
        ...cors,
        'access-control-allow-methods': 'GET, POST, PUT',
        'access-control-allow-headers': allowedHeaders,
        'access-control-max-age': String(preflightSeconds),
      };
}
