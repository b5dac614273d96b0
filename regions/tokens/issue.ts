/** Issuing a token, and reading what one says without checking it. */
import { decodeJwt, decodeProtectedHeader, SignJWT } from 'jose';
import type { Scope } from './core/scope.ts';
import type { SigningKey } from './key-files.ts';

export interface TokenRequest {
  readonly scope: Scope;
  /** The one database that it is for (claim `id`); null for all of them. */
  readonly branch: string | null;
  /** Whom it names; null names nobody. */
  readonly subject: string | null;
  /** How long it holds; null for ever, which gateways refuse unless they are told otherwise. */
  readonly ttlSeconds: number | null;
  readonly audience: string | null;
  readonly issuer: string | null;
}

/** @param nowSeconds Unix time. */
export function issueToken(key: SigningKey, request: TokenRequest, nowSeconds: number): Promise<string> {
  const { scope, branch, subject, ttlSeconds, audience, issuer } = request;
  const token = new SignJWT({ scope, ...(branch !== null && { id: branch }) })
    .setProtectedHeader({ alg: key.algorithm, typ: 'JWT', kid: key.kid })
    .setIssuedAt(nowSeconds);
  if (subject !== null) token.setSubject(subject);
  if (ttlSeconds !== null) token.setExpirationTime(nowSeconds + ttlSeconds);
  if (audience !== null) token.setAudience(audience);
  if (issuer !== null) token.setIssuer(issuer);
  return token.sign(key.key);
}

export interface TokenContents {
  readonly header: Readonly<Record<string, unknown>>;
  readonly claims: Readonly<Record<string, unknown>>;
}

/** What a token says of itself; null when it is none. Nobody has checked who signed it. */
export function readToken(token: string): TokenContents | null {
  try {
    return { header: { ...decodeProtectedHeader(token) }, claims: decodeJwt(token) };
  } catch {
    return null;
  }
}
