/**
 * The two files of a key for tokens: the private key, which issues them (PKCS#8 PEM, readable by its owner only), and the JWKS that
 * gateways are given. A JWKS that is there already gets the new key beside its own, so that keys can be changed while tokens of the old
 * one are in use.
 */
import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { closeSync, openSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { calculateJwkThumbprint } from 'jose';
import { z } from 'zod';

export const keyAlgorithms = ['EdDSA', 'ES256'] as const;
export type KeyAlgorithm = (typeof keyAlgorithms)[number];

export type SigningKey = {
  readonly algorithm: KeyAlgorithm;
  /** The thumbprint of its public key (RFC 7638): nobody has to remember a name. */
  readonly kid: string;
  readonly key: KeyObject;
};

/** Names the file and what to do. */
export class KeyFileError extends Error {
  override readonly name = 'KeyFileError';
}

const privateMode = 0o600;
const jwksSchema = z.looseObject({ keys: z.array(z.record(z.string(), z.unknown())) });

function algorithmOf(key: KeyObject): KeyAlgorithm | null {
  if (key.asymmetricKeyType === 'ed25519') return 'EdDSA';
  return key.asymmetricKeyType === 'ec' && key.asymmetricKeyDetails?.namedCurve === 'prime256v1'
    ? 'ES256'
    : null;
}

const publicJwk = (key: KeyObject) => createPublicKey(key).export({ format: 'jwk' });

async function signingKey(key: KeyObject, file: string): Promise<SigningKey> {
  const algorithm = algorithmOf(key);
  if (algorithm === null)
    throw new KeyFileError(`${file} is no Ed25519 and no P-256 key; \`sextant token keygen\` makes one`);
  return { algorithm, kid: await calculateJwkThumbprint({ ...publicJwk(key) }), key };
}

/** @throws KeyFileError when the file is missing, readable by others, or no private key. Nothing of it is quoted. */
export async function readSigningKey(file: string): Promise<SigningKey> {
  let text: string;
  let mode: number;
  try {
    text = readFileSync(file, 'utf8');
    ({ mode } = statSync(file));
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : error;
    throw new KeyFileError(
      `${file} cannot be read (${code}); \`sextant token keygen --key ${file}\` makes a key`,
    );
  }
  if ((mode & 0o077) !== 0)
    throw new KeyFileError(
      `${file} can be read by others: \`chmod 600 ${file}\`, and replace the key if somebody has`,
    );
  let key: KeyObject;
  try {
    key = createPrivateKey(text);
  } catch {
    throw new KeyFileError(`${file} is no private key in PEM`);
  }
  return signingKey(key, file);
}

function writeNew(file: string, text: string, mode: number): void {
  let descriptor: number;
  try {
    descriptor = openSync(file, 'wx', mode);
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : error;
    throw new KeyFileError(
      code === 'EEXIST'
        ? `${file} is there already, and a key is never overwritten: choose another file with --key`
        : `${file} cannot be written (${code})`,
    );
  }
  try {
    writeFileSync(descriptor, text);
  } finally {
    closeSync(descriptor);
  }
}

/** The keys of a JWKS; none when there is no such file. @throws KeyFileError when it is something else. */
function keysIn(file: string): readonly Readonly<Record<string, unknown>>[] {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch {
    return [];
  }
  try {
    return jwksSchema.parse(JSON.parse(text)).keys;
  } catch {
    throw new KeyFileError(`${file} is there and is no JWKS: choose another file with --jwks`);
  }
}

/**
 * Makes a key, writes the private one and adds the public one to the JWKS.
 * @returns the key, and how many keys the JWKS holds now.
 * @throws KeyFileError when a file is in the way; then nothing is left behind.
 */
export async function makeKey(
  algorithm: KeyAlgorithm,
  files: { readonly key: string; readonly jwks: string },
): Promise<{ readonly kid: string; readonly keys: number }> {
  const { privateKey } =
    algorithm === 'EdDSA'
      ? generateKeyPairSync('ed25519')
      : generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const { kid } = await signingKey(privateKey, files.key);
  const keys = [...keysIn(files.jwks), { ...publicJwk(privateKey), kid, alg: algorithm, use: 'sig' }];
  writeNew(files.key, privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(), privateMode);
  try {
    writeFileSync(`${files.jwks}.new`, `${JSON.stringify({ keys }, null, 2)}\n`, { mode: 0o644 });
    renameSync(`${files.jwks}.new`, files.jwks);
  } catch (error) {
    rmSync(files.key);
    const code = error instanceof Error && 'code' in error ? error.code : error;
    throw new KeyFileError(`${files.jwks} cannot be written (${code})`);
  }
  return { kid, keys: keys.length };
}
