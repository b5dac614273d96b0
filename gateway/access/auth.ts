/**
 * Who may use the gateway: those with a client token, and the guard that keeps web pages away from a gateway that is open to
 * the local machine.
 */
import type { IncomingMessage } from 'node:http';
import { isIP } from 'node:net';
import type { MiddlewareHandler } from 'hono';
import { encodeErrorBody } from '../sql/error-body.ts';
import { adviseError, adviseFailure, describeError, failure } from '../sql/errors.ts';
import type { SqlError, SqlOutcome } from '../sql/sql.ts';
import { defaultTokenLimits, type TokenLimits } from './core/token-limits.ts';
import { type Claims, parsePublicKey, TokenChecker } from './tokens.ts';

/** What a valid token grants: everything, until it expires. */
export interface Grant {
  /** Unix time in milliseconds, or null when the token (or the open gateway) knows no end. */
  readonly expiresAtMs: number | null;
}

/** The answer about a token: at once when its signature was checked before, else a promise, which never rejects. */
export type Verdict = SqlOutcome<Grant> | Promise<SqlOutcome<Grant>>;

export interface Authenticator {
  /** True when no key is configured: everything is allowed, and only loopback may be listened on. */
  readonly open: boolean;
  /** Checks a token. Failures have AUTH_JWT_MISSING, AUTH_JWT_INVALID, AUTH_JWT_EXPIRED or SEXTANT_LIMIT. */
  verify(token: string | null): Verdict;
  /** Checks the value of an `Authorization` header. */
  verifyHeader(authorization: string | undefined): Verdict;
  /** AUTH_JWT_EXPIRED when a grant given earlier has lapsed since, else null. */
  lapsed(grant: Grant): SqlError | null;
}

export interface AuthOptions {
  /** Ed25519 public key as SPKI PEM, or its 32 bytes in base64 or base64url; null leaves the gateway open. */
  readonly jwtPublicKey: string | null;
  /** Wall clock in milliseconds. */
  readonly nowMs?: () => number;
  /** How many signatures are checked at a time, and how many wait. */
  readonly limits?: TokenLimits;
}

const openGrant: SqlOutcome<Grant> = { ok: true, value: { expiresAtMs: null } };

/** Builds the authenticator, or says why the configured key cannot be used. The key is public: no secret is kept. */
export function createAuthenticator(options: AuthOptions): SqlOutcome<Authenticator> {
  const nowMs = options.nowMs ?? Date.now;
  if (options.jwtPublicKey === null) {
    const always = () => openGrant;
    return { ok: true, value: { open: true, verify: always, verifyHeader: always, lapsed: () => null } };
  }
  const key = parsePublicKey(options.jwtPublicKey);
  if (key === null) {
    return failure(
      'AUTH_JWT_INVALID',
      'auth.jwtPublicKey is not an Ed25519 public key: give it as SPKI PEM, or as its 32 bytes in base64url.',
    );
  }

  const tokens = new TokenChecker(key, options.limits ?? defaultTokenLimits);
  const lapsed = (grant: Grant): SqlError | null =>
    grant.expiresAtMs !== null && nowMs() >= grant.expiresAtMs
      ? adviseError('AUTH_JWT_EXPIRED', 'The token has expired')
      : null;
  const grantOf = (token: string, claims: SqlOutcome<Claims>): SqlOutcome<Grant> => {
    if (!claims.ok) return claims;
    const { exp, nbf } = claims.value;
    if (nbf !== undefined && nowMs() < nbf * 1000)
      return adviseFailure('AUTH_JWT_INVALID', 'The token is not valid yet (claim nbf)');
    const grant: Grant = { expiresAtMs: exp === undefined ? null : exp * 1000 };
    const expired = lapsed(grant);
    if (expired === null) return { ok: true, value: grant };
    tokens.forget(token);
    return { ok: false, error: expired };
  };
  const check = (token: string | null): Verdict => {
    if (token === null || token === '') return adviseFailure('AUTH_JWT_MISSING', 'No token was sent');
    const claims = tokens.check(token);
    return claims instanceof Promise
      ? claims.then((settled) => grantOf(token, settled))
      : grantOf(token, claims);
  };
  return {
    ok: true,
    value: {
      open: false,
      verify: check,
      verifyHeader: (authorization) => {
        if (authorization === undefined || authorization === '') return check(null);
        const match = /^Bearer +(\S+) *$/i.exec(authorization);
        return match === null
          ? adviseFailure('AUTH_HTTP_HEADER_INVALID', 'The Authorization header cannot be read')
          : check(match[1] ?? null);
      },
      lapsed,
    },
  };
}

/** Host name of a `Host` header value or of an origin, without port and brackets. */
function hostName(host: string): string {
  return host
    .replace(/:[0-9]*$/, '')
    .replace(/^\[|\]$/g, '')
    .toLowerCase();
}

/** True for names and addresses that only the own machine can mean. */
export function isLoopback(host: string): boolean {
  const name = hostName(isIP(host) === 6 ? `[${host}]` : host);
  if (name === 'localhost' || name.endsWith('.localhost') || name === '::1') return true;
  return isIP(name) === 4 && name.startsWith('127.');
}

/**
 * Why a request must not use an *open* gateway, or null. A browser lets any page send requests to 127.0.0.1; such a
 * request carries the page's `Origin`, or, after a DNS trick, a foreign name in `Host`.
 */
export function originProblem(request: IncomingMessage, auth: Authenticator): SqlError | null {
  if (!auth.open) return null;
  const { host, origin } = request.headers;
  if (host !== undefined && !isLoopback(host)) {
    return adviseError('SEXTANT_ORIGIN_REFUSED', 'An open gateway answers to loopback host names only');
  }
  if (origin !== undefined && origin.replace(/^[a-z]+:\/\//i, '').toLowerCase() !== host?.toLowerCase()) {
    return adviseError(
      'SEXTANT_ORIGIN_REFUSED',
      'An open gateway takes no requests from pages of another origin',
    );
  }
  return null;
}

/** Hono middleware that lets only requests with a valid `Authorization` header pass. */
export function bearerGuard(auth: Authenticator): MiddlewareHandler {
  return async (context, next) => {
    const grant = await auth.verifyHeader(context.req.header('authorization'));
    if (grant.ok) return next();
    return new Response(encodeErrorBody(grant.error), {
      status: describeError(grant.error.code).httpStatus,
      headers: { 'content-type': 'application/json' },
    });
  };
}
