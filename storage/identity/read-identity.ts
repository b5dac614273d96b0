/** Reads the three files of an identity and judges whether they fit together: nothing is used before all of it does (S61). */
import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { IdentityFiles } from '../process/config.ts';
import { type Expected, mismatch } from './core/admission.ts';
import { describeSpan, judgeExpiry } from './core/expiry.ts';
import { type Identity, identityIn } from './core/identity.ts';

/** What TLS is spoken with, and who that makes this process. PEM. */
export interface IdentityMaterial {
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
  readonly identity: Identity;
  /** Unix milliseconds: the process's own certificate, and the first of its authorities. */
  readonly expiresAtMs: number;
  readonly caExpiresAtMs: number;
}

export type IdentityRead =
  | { readonly kind: 'ok'; readonly material: IdentityMaterial }
  /** `reason` names the file and what to do; it quotes nothing of a key. */
  | { readonly kind: 'unusable'; readonly reason: string };

const pemPattern = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;

/** Every certificate of a PEM file. @throws Error of Node's when one cannot be parsed. */
export function certificatesIn(pem: string): readonly X509Certificate[] {
  return (pem.match(pemPattern) ?? []).map((block) => new X509Certificate(block));
}

/** @param nowMs Unix milliseconds. */
export function readIdentity(files: IdentityFiles, expected: Expected, nowMs: number): IdentityRead {
  try {
    return judge(files, expected, nowMs);
  } catch (error) {
    if (error instanceof Unusable) return { kind: 'unusable', reason: error.message };
    throw error;
  }
}

/** Why the files cannot be used. */
class Unusable extends Error {}

function judge(
  { caFile, certFile, keyFile }: IdentityFiles,
  expected: Expected,
  nowMs: number,
): IdentityRead {
  const ca = textOf(caFile, 'identity.caFile');
  const cert = textOf(certFile, 'identity.certFile');
  const key = textOf(keyFile, 'identity.keyFile');
  const authorities = parsed(caFile, () => certificatesIn(ca), 'certificates in PEM');
  const [own] = parsed(certFile, () => certificatesIn(cert), 'a certificate in PEM');
  if (authorities.length === 0) throw new Unusable(`${caFile} holds no certificate of an authority`);
  if (own === undefined) throw new Unusable(`${certFile} holds no certificate`);
  const secret: KeyObject = parsed(keyFile, () => createPrivateKey(key), 'a private key in PEM');
  if (!own.checkPrivateKey(secret)) throw new Unusable(`${keyFile} is not the key of ${certFile}`);
  if (!authorities.some((authority) => issued(authority, own)))
    throw new Unusable(`no authority in ${caFile} has issued ${certFile}`);
  const found = identityIn(own.subjectAltName);
  if (found.kind === 'none') throw new Unusable(`${certFile}: ${found.reason}`);
  const wrong = mismatch(expected, found.identity);
  if (wrong !== null) throw new Unusable(`${certFile}: ${wrong}`);
  const expiresAtMs = own.validToDate.getTime();
  const expiry = judgeExpiry(expiresAtMs, nowMs);
  if (expiry.kind === 'expired')
    throw new Unusable(
      `${certFile} expired ${describeSpan(expiry.sinceMs)} ago: issue another with \`sextant certs\``,
    );
  // As they were judged: TLS overlooks one that begins on the line where another ends.
  const bundle = authorities.map((authority) => authority.toString()).join('');
  const caExpiresAtMs = Math.min(...authorities.map(({ validToDate }) => validToDate.getTime()));
  return {
    kind: 'ok',
    material: { ca: bundle, cert, key, identity: found.identity, expiresAtMs, caExpiresAtMs },
  };
}

const issued = (authority: X509Certificate, certificate: X509Certificate): boolean =>
  certificate.checkIssued(authority) && certificate.verify(authority.publicKey);

function textOf(file: string, key: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    const reason = error instanceof Error && 'code' in error ? String(error.code) : 'unknown';
    throw new Unusable(`${file} (${key}) cannot be read: ${reason}`);
  }
}

/** What the parsers say may quote the file; told is only what was expected in it. */
function parsed<T>(file: string, parse: () => T, what: string): T {
  try {
    return parse();
  } catch {
    throw new Unusable(`${file} does not hold ${what}`);
  }
}
