/**
 * Client tokens: JWTs signed with EdDSA (Ed25519), whose signatures `jose` checks. A signature is checked once for each token, a
 * few at a time; what the token says is kept, and its times are looked at with every use.
 */
import { createPublicKey, type KeyObject } from 'node:crypto';
import { compactVerify, errors } from 'jose';
import { z } from 'zod';
import { adviseFailure, limitFailure } from '../sql/errors.ts';
import type { SqlOutcome } from '../sql/sql.ts';
import type { TokenLimits } from './core/token-limits.ts';

const claimsSchema = z.object({
  exp: z.number().optional(),
  nbf: z.number().optional(),
  a: z.string().optional(),
  p: z.unknown().optional(),
});
/** What a token says that counts here. */
export type Claims = z.output<typeof claimsSchema>;

/** Verified tokens kept, so that a signature is checked once and not per request. */
const cachedTokens = 1_000;
/** Longest token looked at, in characters. */
const maxTokenLength = 16_384;
/** `jose` would take padding and blanks inside a part: one token would be known under many texts. */
const threeParts = /^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$/;

/** An Ed25519 public key from SPKI PEM, or from its 32 bytes in base64 or base64url; null when it is none. */
export function parsePublicKey(text: string): KeyObject | null {
  const trimmed = text.trim();
  try {
    if (trimmed.startsWith('-----')) {
      const key = createPublicKey(trimmed);
      return key.asymmetricKeyType === 'ed25519' ? key : null;
    }
    const raw = Buffer.from(trimmed, 'base64');
    if (raw.length !== 32) return null;
    const jwk = { kty: 'OKP', crv: 'Ed25519', x: raw.toString('base64url') };
    return createPublicKey({ key: jwk, format: 'jwk' });
  } catch {
    return null;
  }
}

function invalid(detail: string): SqlOutcome<never> {
  return adviseFailure('AUTH_JWT_INVALID', detail);
}

/** What is wrong with a token that `jose` refuses. Whatever it throws, the token is refused. */
function refusal(error: unknown): SqlOutcome<never> {
  if (error instanceof errors.JOSEAlgNotAllowed || error instanceof errors.JOSENotSupported)
    return invalid('The token is not signed with EdDSA');
  return error instanceof errors.JWSSignatureVerificationFailed
    ? invalid('The token is not signed with the key of this gateway')
    : invalid('The header or the signature of the token cannot be read');
}

function parseClaims(payload: Uint8Array): Claims | null {
  try {
    const parsed = claimsSchema.safeParse(JSON.parse(Buffer.from(payload).toString('utf8')));
    return parsed.success ? parsed.data : null;
  } catch {
    return null;
  }
}

/**
 * The claims of a token whose signature holds, else what is wrong with it. Not `jwtVerify`: that looks at the times once, and
 * refuses an expired token before it is seen that it never granted enough.
 */
async function verifiedClaims(token: string, key: KeyObject): Promise<SqlOutcome<Claims>> {
  let payload: Uint8Array;
  try {
    const verified = await compactVerify(token, key, { algorithms: ['EdDSA'] });
    // `jose` knows the extension b64, which a JWT must not use.
    if (verified.protectedHeader.crit !== undefined) return invalid('The token is not signed with EdDSA');
    payload = verified.payload;
  } catch (error) {
    return refusal(error);
  }
  const claims = parseClaims(payload);
  if (claims === null) return invalid('The claims of the token cannot be read');
  // A token that grants less than everything must not be taken for one that grants everything.
  if (claims.a !== undefined && claims.a !== 'rw')
    return invalid('Only tokens with full access (a = "rw") are supported');
  if (claims.p !== undefined) return invalid('Tokens with scoped permissions (claim p) are not supported');
  return { ok: true, value: claims };
}

/** Checks tokens, each once, and keeps what the good ones say. */
export class TokenChecker {
  readonly #key: KeyObject;
  readonly #limits: TokenLimits;
  readonly #verified = new Map<string, Claims>();
  /** By token: a crowd that comes back with one token has it checked once. */
  readonly #underWay = new Map<string, Promise<SqlOutcome<Claims>>>();
  readonly #line: (() => void)[] = [];
  #running = 0;

  constructor(key: KeyObject, limits: TokenLimits) {
    this.#key = key;
    this.#limits = limits;
  }

  /**
   * What the token says, whatever its times are; a promise only where its signature has yet to be checked, which never rejects.
   * Failures have AUTH_JWT_INVALID, or SEXTANT_LIMIT when too many tokens wait.
   */
  check(token: string): SqlOutcome<Claims> | Promise<SqlOutcome<Claims>> {
    const known = this.#verified.get(token);
    if (known !== undefined) return { ok: true, value: known };
    if (token.length > maxTokenLength) return invalid('The token is too long');
    if (!threeParts.test(token)) return invalid('The token is not a JWT of three parts');
    const same = this.#underWay.get(token);
    if (same !== undefined) return same;
    const { tokenChecksWaiting } = this.#limits;
    if (this.#line.length >= tokenChecksWaiting)
      return limitFailure('tokenChecksWaiting', tokenChecksWaiting);
    const fresh = this.#verify(token);
    this.#underWay.set(token, fresh);
    return fresh;
  }

  /** Forgets a token that will never be good again. */
  forget(token: string): void {
    this.#verified.delete(token);
  }

  async #verify(token: string): Promise<SqlOutcome<Claims>> {
    if (this.#running < this.#limits.tokenChecks) this.#running += 1;
    else await new Promise<void>((resolve) => this.#line.push(resolve));
    const claims = await verifiedClaims(token, this.#key);
    // The place is handed on: whoever comes at this moment stands behind those who wait.
    const next = this.#line.shift();
    if (next === undefined) this.#running -= 1;
    else next();
    this.#underWay.delete(token);
    if (claims.ok) this.#keep(token, claims.value);
    return claims;
  }

  #keep(token: string, claims: Claims): void {
    const oldest = this.#verified.size >= cachedTokens ? this.#verified.keys().next().value : undefined;
    if (oldest !== undefined) this.#verified.delete(oldest);
    this.#verified.set(token, claims);
  }
}
