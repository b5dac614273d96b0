/**
 * Who may use the gateway, and for what: holders of a client token, each as far as its scope goes. A gateway without keys is open:
 * everybody who reaches it may do everything.
 */
import { covers, type Scope } from '../../regions/core.ts';
import { type BranchName, mainBranch } from '../../storage/core.ts';
import type { Bookmark } from '../sql/bookmark.ts';
import { adviseError, adviseFailure } from '../sql/errors.ts';
import type { SessionOptions, SqlError, SqlOutcome } from '../sql/sql.ts';
import type { ReadPreference } from '../sql/stream-state.ts';
import { defaultTokenLimits, type TokenLimits } from './core/token-limits.ts';
import type { KeyRing } from './keys.ts';
import { TokenChecker, type TokenRules, type Verified } from './tokens.ts';

/** What somebody may do, until it ends. */
export interface Grant {
  /** Unix time in milliseconds, or null when it knows no end. */
  readonly expiresAtMs: number | null;
  readonly scope: Scope;
  /** The only database that it is for; null when it is for all of them. */
  readonly branch: string | null;
  /** Whom the token names; null when it names nobody, or there is none. */
  readonly subject: string | null;
  /** What the streams belong to that it opens (G41). */
  readonly owner: string;
  /** The key that the token was signed with: its `kid`, and what it is by. Null where there was no token. */
  readonly key: { readonly kid: string | null; readonly thumbprint: string } | null;
}

/** The answer about a token: at once when its signature was checked before, else a promise, which never rejects. */
export type Verdict = SqlOutcome<Grant> | Promise<SqlOutcome<Grant>>;

export interface Authenticator {
  /** True when no key is configured: everything is allowed. */
  readonly open: boolean;
  /** Checks a token. Failures have AUTH_JWT_MISSING, AUTH_JWT_INVALID, AUTH_JWT_EXPIRED or SEXTANT_LIMIT. */
  verify(token: string | null): Verdict;
  /** Checks the value of an `Authorization` header. */
  verifyHeader(authorization: string | undefined): Verdict;
  /** Why a grant given earlier holds no more, AUTH_JWT_EXPIRED or AUTH_JWT_INVALID, else null. */
  lapsed(grant: Grant): SqlError | null;
}

export interface AuthOptions {
  /** Keys that tokens are signed with; null leaves the gateway open. */
  readonly keys: KeyRing | null;
  readonly rules?: Partial<TokenRules>;
  /** How far this clock and that of whoever issues tokens may be apart. Default 0. */
  readonly clockToleranceMs?: number;
  /** Wall clock in milliseconds. */
  readonly nowMs?: () => number;
  /** How many signatures are checked at a time, and how many wait. */
  readonly limits?: TokenLimits;
}

const openGrant: Grant = {
  expiresAtMs: null,
  scope: 'admin',
  branch: null,
  subject: null,
  owner: '',
  key: null,
};
const openOutcome: SqlOutcome<Grant> = { ok: true, value: openGrant };
const openAuthenticator: Authenticator = {
  open: true,
  verify: () => openOutcome,
  verifyHeader: () => openOutcome,
  lapsed: () => null,
};

const withdrawn = adviseError('AUTH_JWT_INVALID', 'The key that the token was signed with is withdrawn');
const expired = adviseError('AUTH_JWT_EXPIRED', 'The token has expired');

/** Checks tokens by these keys. Only public keys are kept. */
export function createAuthenticator(options: AuthOptions): Authenticator {
  const { keys, clockToleranceMs = 0 } = options;
  if (keys === null) return openAuthenticator;
  const nowMs = options.nowMs ?? Date.now;
  const rules: TokenRules = { issuer: null, audience: null, expiry: 'required', ...options.rules };
  const tokens = new TokenChecker(keys, rules, options.limits ?? defaultTokenLimits);
  const isOver = (expiresAtMs: number | null): boolean =>
    expiresAtMs !== null && nowMs() - clockToleranceMs >= expiresAtMs;
  const grantOf = (token: string, verified: SqlOutcome<Verified>): SqlOutcome<Grant> => {
    if (!verified.ok) return verified;
    const { expiresAtMs, notBeforeMs } = verified.value;
    if (notBeforeMs !== null && nowMs() + clockToleranceMs < notBeforeMs)
      return adviseFailure('AUTH_JWT_INVALID', 'The token is not valid yet (claim nbf)');
    if (!isOver(expiresAtMs)) return verified;
    tokens.forget(token);
    return { ok: false, error: expired };
  };
  const check = (token: string | null): Verdict => {
    if (token === null || token === '') return adviseFailure('AUTH_JWT_MISSING', 'No token was sent');
    const verified = tokens.check(token);
    return verified instanceof Promise
      ? verified.then((settled) => grantOf(token, settled))
      : grantOf(token, verified);
  };
  return {
    open: false,
    verify: check,
    verifyHeader: (authorization) => {
      if (authorization === undefined || authorization === '') return check(null);
      const match = /^Bearer +(\S+) *$/i.exec(authorization);
      return match === null
        ? adviseFailure('AUTH_HTTP_HEADER_INVALID', 'The Authorization header cannot be read')
        : check(match[1] ?? null);
    },
    lapsed: ({ expiresAtMs, key }) => {
      if (isOver(expiresAtMs)) return expired;
      return key === null || keys.has(key.thumbprint) ? null : withdrawn;
    },
  };
}

/** What the holder of a grant is told who asks for more than it covers; null when it covers that. @param what begins a sentence. */
export function beyondScope(grant: Grant, needed: Scope, what: string): SqlError | null {
  return covers(grant.scope, needed)
    ? null
    : adviseError(
        'AUTH_SCOPE_MISSING',
        `${what} needs a token with the scope ${needed}; this one has the scope ${grant.scope}`,
      );
}

/** G53. What the holder of a grant is told who asks for another database than the one it is for; null when it is for this one. */
export function beyondBranch(grant: Grant, branch: BranchName): SqlError | null {
  if (grant.branch === null || grant.branch === branch) return null;
  const detail = `The token is for the branch ${grant.branch}, and ${branch} was asked for`;
  return adviseError('AUTH_BRANCH_MISSING', detail);
}

/** Where the streams of a request go. */
interface Destination {
  readonly branch: BranchName;
  /** Null: the gateway's own. */
  readonly readPreference: ReadPreference | null;
  /** What its client has seen; null where it shows nothing. */
  readonly bookmark: Bookmark | null;
}

const noOptions: SessionOptions = {};

/** What the streams of a grant are opened with. */
export function sessionOptions(
  grant: Grant,
  { branch, readPreference, bookmark }: Destination,
): SessionOptions {
  const readOnly = grant.scope === 'read';
  const isMain = branch === mainBranch;
  if (readPreference === null && bookmark === null && !readOnly && isMain) return noOptions;
  return {
    ...(!isMain && { branch }),
    ...(readPreference !== null && { readPreference }),
    ...(bookmark !== null && { bookmark }),
    ...(readOnly && { readOnly }),
  };
}
