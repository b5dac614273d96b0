/**
 * Who may use the gateway: JWTs signed with EdDSA (Ed25519), checked with `node:crypto`, and the guard that keeps
 * web pages away from a gateway that is open to the local machine.
 */
import { createPublicKey, type KeyObject, verify } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { isIP } from 'node:net';
import type { MiddlewareHandler } from 'hono';
import { z } from 'zod';
import { encodeErrorBody } from '../sql/error-body.ts';
import { adviseError, adviseFailure, describeError, failure } from '../sql/errors.ts';
import type { SqlError, SqlOutcome } from '../sql/sql.ts';

/** What a valid token grants: everything, until it expires. */
export interface Grant {
  /** Unix time in milliseconds, or null when the token (or the open gateway) knows no end. */
  readonly expiresAtMs: number | null;
}

export interface Authenticator {
  /** True when no key is configured: everything is allowed, and only loopback may be listened on. */
  readonly open: boolean;
  /** Checks a token. Failures have AUTH_JWT_MISSING, AUTH_JWT_INVALID or AUTH_JWT_EXPIRED. */
  verify(token: string | null): SqlOutcome<Grant>;
  /** Checks the value of an `Authorization` header. */
  verifyHeader(authorization: string | undefined): SqlOutcome<Grant>;
  /** AUTH_JWT_EXPIRED when a grant given earlier has lapsed since, else null. */
  lapsed(grant: Grant): SqlError | null;
}

export interface AuthOptions {
  /** Ed25519 public key as SPKI PEM, or its 32 bytes in base64 or base64url; null leaves the gateway open. */
  readonly jwtPublicKey: string | null;
  /** Wall clock in milliseconds. */
  readonly nowMs?: () => number;
}

/** Verified tokens kept, so that a signature is checked once and not per request. */
const cachedTokens = 1_000;
/** Longest token looked at, in characters. */
const maxTokenLength = 16_384;
const base64url = /^[A-Za-z0-9_-]+$/;
const ed25519SpkiPrefix = Buffer.from('302a300506032b6570032100', 'hex');

const headerSchema = z.object({ alg: z.string(), crit: z.unknown().optional() });
const claimsSchema = z.object({
  exp: z.number().optional(),
  nbf: z.number().optional(),
  a: z.string().optional(),
  p: z.unknown().optional(),
});
type Claims = z.output<typeof claimsSchema>;

function parsePublicKey(text: string): KeyObject | null {
  const trimmed = text.trim();
  try {
    if (trimmed.startsWith('-----')) {
      const key = createPublicKey(trimmed);
      return key.asymmetricKeyType === 'ed25519' ? key : null;
    }
    const raw = Buffer.from(trimmed, 'base64');
    if (raw.length !== 32) return null;
    return createPublicKey({ key: Buffer.concat([ed25519SpkiPrefix, raw]), format: 'der', type: 'spki' });
  } catch {
    return null;
  }
}

function parsePart<T>(part: string, schema: z.ZodType<T>): T | null {
  if (!base64url.test(part)) return null;
  try {
    const parsed = schema.safeParse(JSON.parse(Buffer.from(part, 'base64url').toString('utf8')));
    return parsed.success ? parsed.data : null;
  } catch {
    return null;
  }
}

/** The claims of a token whose signature holds, else what is wrong with it. */
function verifiedClaims(token: string, key: KeyObject): SqlOutcome<Claims> {
  const invalid = (detail: string) => adviseFailure('AUTH_JWT_INVALID', detail);
  if (token.length > maxTokenLength) return invalid('The token is too long');
  const [headerPart, claimsPart, signaturePart, ...rest] = token.split('.');
  if (
    headerPart === undefined ||
    claimsPart === undefined ||
    signaturePart === undefined ||
    rest.length > 0
  ) {
    return invalid('The token is not a JWT of three parts');
  }
  const header = parsePart(headerPart, headerSchema);
  if (header === null) return invalid('The header of the token cannot be read');
  if (header.alg !== 'EdDSA' || header.crit !== undefined)
    return invalid('The token is not signed with EdDSA');
  if (!base64url.test(signaturePart)) return invalid('The signature of the token cannot be read');
  const signature = Buffer.from(signaturePart, 'base64url');
  if (!verify(null, Buffer.from(`${headerPart}.${claimsPart}`), key, signature)) {
    return invalid('The token is not signed with the key of this gateway');
  }
  const claims = parsePart(claimsPart, claimsSchema);
  if (claims === null) return invalid('The claims of the token cannot be read');
  // A token that grants less than everything must not be taken for one that grants everything.
  if (claims.a !== undefined && claims.a !== 'rw')
    return invalid('Only tokens with full access (a = "rw") are supported');
  if (claims.p !== undefined) return invalid('Tokens with scoped permissions (claim p) are not supported');
  return { ok: true, value: claims };
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

  const verified = new Map<string, Claims>();
  const lapsed = (grant: Grant): SqlError | null =>
    grant.expiresAtMs !== null && nowMs() >= grant.expiresAtMs
      ? adviseError('AUTH_JWT_EXPIRED', 'The token has expired')
      : null;
  const check = (token: string | null): SqlOutcome<Grant> => {
    if (token === null || token === '') return adviseFailure('AUTH_JWT_MISSING', 'No token was sent');
    let claims = verified.get(token);
    if (claims === undefined) {
      const fresh = verifiedClaims(token, key);
      if (!fresh.ok) return fresh;
      claims = fresh.value;
      const oldest = verified.size >= cachedTokens ? verified.keys().next().value : undefined;
      if (oldest !== undefined) verified.delete(oldest);
      verified.set(token, claims);
    }
    if (claims.nbf !== undefined && nowMs() < claims.nbf * 1000) {
      return adviseFailure('AUTH_JWT_INVALID', 'The token is not valid yet (claim nbf)');
    }
    const grant: Grant = { expiresAtMs: claims.exp === undefined ? null : claims.exp * 1000 };
    const expired = lapsed(grant);
    if (expired === null) return { ok: true, value: grant };
    verified.delete(token);
    return { ok: false, error: expired };
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
    const grant = auth.verifyHeader(context.req.header('authorization'));
    if (grant.ok) return next();
    return new Response(encodeErrorBody(grant.error), {
      status: describeError(grant.error.code).httpStatus,
      headers: { 'content-type': 'application/json' },
    });
  };
}
