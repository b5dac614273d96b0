/**
 * Client tokens: JWTs signed with EdDSA (Ed25519) or ES256, whose signatures `jose` checks. A signature is checked once for each
 * token, a few at a time; what the token says is kept while its key is in force, and its times are looked at with every use.
 */
import { createHash } from 'node:crypto';
import type { ProtectedHeaderParameters } from 'jose';
import { z } from 'zod';
import { type Scope, scopeOf } from '../../regions/core.ts';
import { mainBranch } from '../../storage/core.ts';
import { adviseFailure, limitFailure } from '../sql/errors.ts';
import type { SqlOutcome } from '../sql/sql.ts';
import type { TokenLimits } from './core/token-limits.ts';
import type { KeyAlgorithm, KeyRing, TokenKey } from './keys.ts';

const claimsSchema = z.object({
  exp: z.number().optional(),
  nbf: z.number().optional(),
  iss: z.string().optional(),
  aud: z.union([z.string(), z.array(z.string())]).optional(),
  sub: z.string().optional(),
  scope: z.string().optional(),
  a: z.string().optional(),
  /** libSQL's name of the one database that the token is for. */
  id: z.string().optional(),
  p: z.unknown().optional(),
});
type Claims = z.output<typeof claimsSchema>;

/** What a token whose signature holds says, as far as it does not change with time. */
export interface Verified {
  readonly expiresAtMs: number | null;
  readonly notBeforeMs: number | null;
  readonly scope: Scope;
  /** The only database that it is for; null when it names none. */
  readonly branch: string | null;
  /** Whom it names; null when it names nobody. */
  readonly subject: string | null;
  /** What a stream that it opens belongs to: the subject and the scope, or the token itself when it names nobody. */
  readonly owner: string;
  readonly key: TokenKey;
}

/** What a token has to say beside its signature. */
export interface TokenRules {
  /** Who may have issued it; null takes any issuer whose key is known. */
  readonly issuer: string | null;
  /** Whom it has to be meant for; null takes only tokens that are meant for nobody in particular. */
  readonly audience: string | null;
  /** Whether a token without `exp` is taken. */
  readonly expiry: 'required' | 'optional';
}

/** Verified tokens kept, so that a signature is checked once and not per request. */
const cachedTokens = 1_000;
/** Longest token looked at, in characters. */
const maxTokenLength = 16_384;
/** `jose` would take padding and blanks inside a part: one token would be known under many texts. */
const threeParts = /^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$/;
/** What libSQL's server calls the database that is main here. */
const mainAlias = 'default';
/** Longer names are no branch's. */
const branchNameLength = 63;

function invalid(detail: string): SqlOutcome<never> {
  return adviseFailure('AUTH_JWT_INVALID', detail);
}

const wrongKey = invalid('The token is not signed with a key of this gateway');
const wrongAlgorithm = invalid('The token is not signed with EdDSA or ES256');
const unreadable = invalid('The header or the signature of the token cannot be read');

/** Loaded where tokens are checked only: a gateway whose clients have none starts without it. */
const loadJose = () => import('jose');
type Jose = Awaited<ReturnType<typeof loadJose>>;

function headerOf(jose: Jose, token: string): ProtectedHeaderParameters | null {
  try {
    return jose.decodeProtectedHeader(token);
  } catch {
    return null;
  }
}

const isAlgorithm = (text: string | undefined): text is KeyAlgorithm => text === 'EdDSA' || text === 'ES256';

function parseClaims(payload: Uint8Array): Claims | null {
  try {
    const parsed = claimsSchema.safeParse(JSON.parse(Buffer.from(payload).toString('utf8')));
    return parsed.success ? parsed.data : null;
  } catch {
    return null;
  }
}

/** The payload when the key signed it. Whatever `jose` throws, the token is refused. */
async function payloadBy(jose: Jose, key: TokenKey, token: string): Promise<SqlOutcome<Uint8Array>> {
  try {
    const verified = await jose.compactVerify(token, key.key, { algorithms: [key.algorithm] });
    // `jose` knows the extension b64, which a JWT must not use.
    return verified.protectedHeader.crit === undefined ? { ok: true, value: verified.payload } : unreadable;
  } catch (error) {
    return error instanceof jose.errors.JWSSignatureVerificationFailed ? wrongKey : unreadable;
  }
}

/**
 * What a token says whose signature holds, else what is wrong with it. Not `jwtVerify`: that looks at the times once, and
 * refuses an expired token before it is seen that it never granted enough.
 */
async function verify(
  jose: Jose,
  token: string,
  keys: KeyRing,
  rules: TokenRules,
): Promise<SqlOutcome<Verified>> {
  const header = headerOf(jose, token);
  if (header === null) return unreadable;
  const { alg, kid } = header;
  if (!isAlgorithm(alg)) return wrongAlgorithm;
  let refused = wrongKey;
  for (const key of keys.candidates(alg, kid)) {
    const payload = await payloadBy(jose, key, token);
    if (payload.ok) return grantOf(token, payload.value, key, rules);
    refused = payload;
  }
  return refused;
}

function grantOf(token: string, payload: Uint8Array, key: TokenKey, rules: TokenRules): SqlOutcome<Verified> {
  const claims = parseClaims(payload);
  if (claims === null) return invalid('The claims of the token cannot be read');
  const problem = claimsProblem(claims, rules);
  if (problem !== null) return invalid(problem);
  const scope = scopeOf(claims);
  if (scope.kind === 'unusable') return invalid(`The token grants nothing here: ${scope.reason}`);
  const { exp, nbf, sub, id } = claims;
  const branch = id === undefined ? null : id === mainAlias ? mainBranch : id;
  const subject = sub === undefined || sub === '' ? null : sub;
  const owner =
    subject === null
      ? `token ${createHash('sha256').update(token).digest('base64url')}`
      : JSON.stringify([claims.iss ?? '', subject, scope.scope, ...(branch === null ? [] : [branch])]);
  return {
    ok: true,
    value: {
      expiresAtMs: exp === undefined ? null : exp * 1000,
      notBeforeMs: nbf === undefined ? null : nbf * 1000,
      scope: scope.scope,
      branch,
      subject,
      owner,
      key,
    },
  };
}

function claimsProblem({ p, id, iss, aud, exp }: Claims, rules: TokenRules): string | null {
  // A token that grants less than a whole database must not be taken for one that grants it.
  if (p !== undefined) return 'Tokens with scoped permissions (claim p) are not supported';
  if (id !== undefined && (id === '' || id.length > branchNameLength))
    return `The token is for a database of the name ${JSON.stringify(id.slice(0, 64))} (claim id), which no branch has`;
  if (rules.issuer !== null && iss !== rules.issuer)
    return `The token is not issued by ${rules.issuer} (claim iss, option auth.issuer)`;
  const audiences = aud === undefined ? [] : [aud].flat();
  if (rules.audience === null && audiences.length > 0)
    return 'The token is meant for another service (claim aud), and this gateway has no option auth.audience';
  if (rules.audience !== null && !audiences.includes(rules.audience))
    return `The token is not meant for ${rules.audience} (claim aud, option auth.audience)`;
  if (exp === undefined && rules.expiry === 'required')
    return 'The token never expires (no claim exp); the option auth.expiry: optional takes such tokens';
  return null;
}

/** Checks tokens, each once, and keeps what the good ones say. */
export class TokenChecker {
  readonly #jose = loadJose();
  readonly #keys: KeyRing;
  readonly #rules: TokenRules;
  readonly #limits: TokenLimits;
  #verified = new Map<string, Verified>();
  /** Of the keys that `#verified` was checked with. */
  #version: number;
  /** By token: a crowd that comes back with one token has it checked once. */
  readonly #underWay = new Map<string, Promise<SqlOutcome<Verified>>>();
  readonly #line: (() => void)[] = [];
  #running = 0;

  constructor(keys: KeyRing, rules: TokenRules, limits: TokenLimits) {
    this.#keys = keys;
    this.#rules = rules;
    this.#limits = limits;
    this.#version = keys.version;
  }

  /**
   * What the token says, whatever its times are; a promise only where its signature has yet to be checked, which never rejects.
   * Failures have AUTH_JWT_INVALID, or SEXTANT_LIMIT when too many tokens wait.
   */
  check(token: string): SqlOutcome<Verified> | Promise<SqlOutcome<Verified>> {
    if (this.#version !== this.#keys.version) this.#forgetWithdrawn();
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

  async #verify(token: string): Promise<SqlOutcome<Verified>> {
    if (this.#running < this.#limits.tokenChecks) this.#running += 1;
    else await new Promise<void>((resolve) => this.#line.push(resolve));
    const verified = await verify(await this.#jose, token, this.#keys, this.#rules);
    // The place is handed on: whoever comes at this moment stands behind those who wait.
    const next = this.#line.shift();
    if (next === undefined) this.#running -= 1;
    else next();
    this.#underWay.delete(token);
    // The key may have been withdrawn meanwhile.
    if (!verified.ok || !this.#keys.has(verified.value.key.thumbprint))
      return verified.ok ? wrongKey : verified;
    this.#keep(token, verified.value);
    return verified;
  }

  #keep(token: string, verified: Verified): void {
    const oldest = this.#verified.size >= cachedTokens ? this.#verified.keys().next().value : undefined;
    if (oldest !== undefined) this.#verified.delete(oldest);
    this.#verified.set(token, verified);
  }

  #forgetWithdrawn(): void {
    this.#version = this.#keys.version;
    this.#verified = new Map([...this.#verified].filter(([, { key }]) => this.#keys.has(key.thumbprint)));
  }
}
