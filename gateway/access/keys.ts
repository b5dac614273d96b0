/**
 * The public keys that client tokens are signed with: one given in the configuration, and those of a JWKS file (RFC 7517). A file
 * that cannot be used changes nothing: the keys known so far stay, and why is told.
 */
import { createHash, createPublicKey, type JsonWebKey, type KeyObject } from 'node:crypto';
import { z } from 'zod';

export type KeyAlgorithm = 'EdDSA' | 'ES256';

/** One key. */
export interface TokenKey {
  readonly algorithm: KeyAlgorithm;
  /** What a token's header may call it; null when it has no name. */
  readonly kid: string | null;
  readonly key: KeyObject;
  /** What makes it this key, whatever it is called. */
  readonly thumbprint: string;
}

/** More keys than a rotation ever needs: a token without `kid` is tried with each of its algorithm. */
const keysMax = 16;
/** Longest file that is read, in bytes. */
export const jwksBytesMax = 256 * 1024;

function thumbprintOf(key: KeyObject): string {
  return createHash('sha256')
    .update(key.export({ type: 'spki', format: 'der' }))
    .digest('base64url');
}

function tokenKey(key: KeyObject, kid: string | null): TokenKey | null {
  const thumbprint = thumbprintOf(key);
  if (key.asymmetricKeyType === 'ed25519') return { algorithm: 'EdDSA', kid, key, thumbprint };
  return key.asymmetricKeyType === 'ec' && key.asymmetricKeyDetails?.namedCurve === 'prime256v1'
    ? { algorithm: 'ES256', kid, key, thumbprint }
    : null;
}

/**
 * A public key from SPKI PEM (Ed25519 or P-256), or from the 32 bytes of an Ed25519 one in base64 or base64url; null when it is
 * none.
 */
export function parsePublicKey(text: string): TokenKey | null {
  const trimmed = text.trim();
  try {
    // `createPublicKey` would take a private key, too, and make the public one of it: a secret does not belong here.
    if (trimmed.startsWith('-----'))
      return trimmed.includes('PRIVATE') ? null : tokenKey(createPublicKey(trimmed), null);
    const raw = Buffer.from(trimmed, 'base64');
    if (raw.length !== 32) return null;
    const jwk = { kty: 'OKP', crv: 'Ed25519', x: raw.toString('base64url') };
    return tokenKey(createPublicKey({ key: jwk, format: 'jwk' }), null);
  } catch {
    return null;
  }
}

const jwksSchema = z.object({ keys: z.array(z.looseObject({ kty: z.string() })) });

export type KeysRead =
  | { readonly kind: 'keys'; readonly keys: readonly TokenKey[] }
  | { readonly kind: 'unusable'; readonly reason: string };

const unusable = (reason: string): KeysRead => ({ kind: 'unusable', reason });

/** The keys of a JWKS that can sign tokens here; those of other kinds are passed over. No reason quotes what stands in the text. */
export function readJwks(text: string): KeysRead {
  let parsed: z.output<typeof jwksSchema>;
  try {
    parsed = jwksSchema.parse(JSON.parse(text));
  } catch {
    return unusable('it is no JWKS: expected {"keys": [{"kty": …}, …]} as JSON');
  }
  const keys: TokenKey[] = [];
  for (const [index, jwk] of parsed.keys.entries()) {
    if ('d' in jwk || 'k' in jwk)
      return unusable(
        `its key ${index} is a private one: a gateway needs public keys only; replace that key, for whoever read the file has it`,
      );
    const use = jwk.use;
    if (use !== undefined && use !== 'sig') continue;
    const key = keyOf(jwk);
    if (key !== null) keys.push(key);
  }
  if (keys.length === 0) return unusable('it holds no Ed25519 and no P-256 key');
  if (keys.length > keysMax) return unusable(`it holds ${keys.length} keys; the limit is ${keysMax}`);
  const kids = keys.flatMap(({ kid }) => (kid === null ? [] : [kid]));
  const twice = kids.find((kid, index) => kids.indexOf(kid) !== index);
  return twice === undefined ? { kind: 'keys', keys } : unusable('two of its keys have the same kid');
}

function keyOf(jwk: JsonWebKey): TokenKey | null {
  const kid = typeof jwk.kid === 'string' && jwk.kid !== '' ? jwk.kid : null;
  try {
    return tokenKey(createPublicKey({ key: jwk, format: 'jwk' }), kid);
  } catch {
    return null;
  }
}

/** The keys in force. They may be replaced at any time, all at once. */
export class KeyRing {
  #keys: readonly TokenKey[];
  #thumbprints: ReadonlySet<string>;
  /** Counts the replacements. */
  #version = 0;

  constructor(keys: readonly TokenKey[]) {
    this.#keys = keys;
    this.#thumbprints = new Set(keys.map(({ thumbprint }) => thumbprint));
  }

  get version(): number {
    return this.#version;
  }

  get size(): number {
    return this.#keys.length;
  }

  replace(keys: readonly TokenKey[]): void {
    this.#keys = keys;
    this.#thumbprints = new Set(keys.map(({ thumbprint }) => thumbprint));
    this.#version += 1;
  }

  /** Whether a key is still in force. */
  has(thumbprint: string): boolean {
    return this.#thumbprints.has(thumbprint);
  }

  /** Keys that may have signed a token with this header: those with its `kid`, else those that have no name. */
  candidates(algorithm: KeyAlgorithm, kid: string | undefined): readonly TokenKey[] {
    const fit = this.#keys.filter((key) => key.algorithm === algorithm);
    if (kid === undefined) return fit;
    const named = fit.filter((key) => key.kid === kid);
    return named.length > 0 ? named : fit.filter((key) => key.kid === null);
  }
}
