/** Making certificates, by `@peculiar/x509`: an authority of a cluster, and what it issues. ECDSA P-256, which every TLS 1.3 speaks. */
import 'reflect-metadata';
import { webcrypto } from 'node:crypto';
import {
  AuthorityKeyIdentifierExtension,
  BasicConstraintsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  KeyUsageFlags,
  KeyUsagesExtension,
  PemConverter,
  SubjectAlternativeNameExtension,
  SubjectKeyIdentifierExtension,
  X509Certificate,
  X509CertificateGenerator,
} from '@peculiar/x509';
import {
  authoritySubject,
  backdateMs,
  type CertificateRequest,
  certificateDays,
  hostOf,
  subjectOf,
  uriOf,
} from './core/certificate-plan.ts';

/** A certificate and its private key (PKCS #8), both PEM. */
export interface Signed {
  readonly cert: string;
  readonly key: string;
}

const { subtle } = webcrypto;
const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;
const dayMs = 24 * 3_600_000;
const serialBytes = 16;

/** A new authority, which signs itself. @param nowMs Unix milliseconds. */
export async function makeAuthority(cluster: string, nowMs: number): Promise<Signed> {
  const keys = await makeKeys();
  const certificate = await X509CertificateGenerator.createSelfSigned(
    {
      serialNumber: serialNumber(),
      name: authoritySubject(cluster),
      ...validity(nowMs, certificateDays.authority),
      keys,
      signingAlgorithm: algorithm,
      extensions: [
        // It issues to processes and to no further authority.
        new BasicConstraintsExtension(true, 0, true),
        new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true),
        await SubjectKeyIdentifierExtension.create(keys.publicKey, false, webcrypto),
      ],
    },
    webcrypto,
  );
  return { cert: certificate.toString('pem'), key: await privatePem(keys.privateKey) };
}

/** Issues a certificate, and a key that nobody else has had. @param nowMs Unix milliseconds. */
export async function issue(authority: Signed, request: CertificateRequest, nowMs: number): Promise<Signed> {
  const issuer = new X509Certificate(authority.cert);
  const signingKey = await subtle.importKey(
    'pkcs8',
    PemConverter.decodeFirst(authority.key),
    algorithm,
    false,
    ['sign'],
  );
  const keys = await makeKeys();
  const { identity, hosts, days } = request;
  const certificate = await X509CertificateGenerator.create(
    {
      serialNumber: serialNumber(),
      subject: subjectOf(identity),
      issuer: issuer.subject,
      ...validity(nowMs, days),
      publicKey: keys.publicKey,
      signingKey,
      signingAlgorithm: algorithm,
      extensions: [
        new BasicConstraintsExtension(false, undefined, true),
        new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
        new ExtendedKeyUsageExtension([ExtendedKeyUsage.serverAuth, ExtendedKeyUsage.clientAuth]),
        new SubjectAlternativeNameExtension([{ type: 'url', value: uriOf(identity) }, ...hosts.map(hostOf)]),
        await SubjectKeyIdentifierExtension.create(keys.publicKey, false, webcrypto),
        await AuthorityKeyIdentifierExtension.create(issuer, false, webcrypto),
      ],
    },
    webcrypto,
  );
  return { cert: certificate.toString('pem'), key: await privatePem(keys.privateKey) };
}

const makeKeys = () => subtle.generateKey(algorithm, true, ['sign', 'verify']);

/** Positive, and of the length that the standard allows at most 20 bytes for. */
function serialNumber(): string {
  const bytes = webcrypto.getRandomValues(new Uint8Array(serialBytes));
  bytes[0] = ((bytes[0] ?? 0) & 0x7f) | 0x40;
  return Buffer.from(bytes).toString('hex');
}

function validity(nowMs: number, days: number): { readonly notBefore: Date; readonly notAfter: Date } {
  return { notBefore: new Date(nowMs - backdateMs), notAfter: new Date(nowMs + days * dayMs) };
}

async function privatePem(key: webcrypto.CryptoKey): Promise<string> {
  return PemConverter.encode(await subtle.exportKey('pkcs8', key), 'PRIVATE KEY');
}
