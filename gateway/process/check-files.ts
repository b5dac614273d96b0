/**
 * What is wrong with the files that a gateway's configuration names, for `sextant config check`: they are read as the start reads
 * them, and judged as clients will. At a start an expired certificate is no reason to stay away; here it is told.
 */
import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { isIP } from 'node:net';
import type { z } from 'zod';
import { describeSpan, identityIn, parseAddress } from '../../storage/index.ts';
import { readCertificate } from '../access/certificate.ts';
import { readKeys } from '../access/key-source.ts';
import { type GatewayConfig, gatewayConfigSchema } from './config.ts';

type Path = readonly ('tls' | 'certFile' | 'keyFile' | 'auth' | 'jwksFile' | 'jwtPublicKey')[];
/** One thing that is wrong, at a key of the configuration. */
export interface FileProblem {
  readonly path: Path;
  readonly message: string;
}

/** Addresses that stand for all of a machine's: a certificate names none of them. */
const everyAddress: readonly string[] = ['0.0.0.0', '::', '0:0:0:0:0:0:0:0'];

/** Why clients would not take the certificate, at a moment. `listen` is where the gateway listens. */
function certificateProblem(pem: string, listen: string, nowMs: number): string | null {
  const certificate = new X509Certificate(pem);
  const { validFromDate, validToDate, subjectAltName } = certificate;
  const endedMs = nowMs - validToDate.getTime();
  if (endedMs >= 0) return `the certificate expired ${describeSpan(endedMs)} ago: clients refuse it`;
  if (validFromDate.getTime() > nowMs)
    return `the certificate is valid from ${validFromDate.toISOString()} on: clients refuse it until then`;
  const hosts = (subjectAltName ?? '').split(', ').filter((name) => /^(DNS|IP Address):/.test(name));
  if (hosts.length === 0)
    return 'the certificate names no host, and clients go by that: issue another with --host';
  const host = parseAddress(listen)?.host ?? '';
  // One of a public authority is for names that lead here by ways of their own. The deployment's own is for where it listens.
  const isOwn = identityIn(subjectAltName).kind === 'identity';
  const fits = (isIP(host) === 0 ? certificate.checkHost(host) : certificate.checkIP(host)) !== undefined;
  if (!isOwn || fits || everyAddress.includes(host)) return null;
  return `the certificate is not for ${host}, where the gateway listens, but for ${hosts.join(', ')}: issue another with --host ${host}`;
}

function tlsProblems({ tls, listen }: GatewayConfig, nowMs: number): readonly FileProblem[] {
  if (tls === undefined) return [];
  const read = readCertificate(tls);
  if (read.kind === 'unusable') {
    const key = read.reason.startsWith(tls.keyFile) ? 'keyFile' : 'certFile';
    return [{ path: ['tls', key], message: read.reason }];
  }
  const message = certificateProblem(readFileSync(tls.certFile, 'utf8'), listen, nowMs);
  return message === null ? [] : [{ path: ['tls', 'certFile'], message }];
}

/** Empty when a gateway starts with the files, and clients take what it shows. @param nowMs Unix milliseconds. */
export function fileProblems(config: GatewayConfig, nowMs: number): readonly FileProblem[] {
  const keys = config.auth === undefined ? null : readKeys(config.auth);
  return [
    ...tlsProblems(config, nowMs),
    ...(keys?.kind === 'unusable' ? [{ path: ['auth', keys.key] as const, message: keys.reason }] : []),
  ];
}

/** The configuration with its files: parsing says what is wrong with either, at its place. */
export const checkedConfigSchema = gatewayConfigSchema.superRefine((config, context: z.RefinementCtx) => {
  for (const { path, message } of fileProblems(config, Date.now()))
    context.addIssue({ code: 'custom', path: [...path], message });
});
