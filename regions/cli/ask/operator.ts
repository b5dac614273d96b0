/**
 * Requests to processes of an encrypted deployment: the command line shows a certificate of its own, with the role `operator`, and
 * tells by the identity in their certificates who answers. A gateway may have one of a public authority instead.
 */
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { request } from 'node:https';
import { join } from 'node:path';
import { checkServerIdentity, type PeerCertificate } from 'node:tls';
import type { IdentityFiles } from '../../../storage/index.ts';
import {
  certificatesIn,
  checkIdentity,
  describeDialError,
  identityIn,
  tlsOptions,
} from '../../../storage/index.ts';
import { fileNames } from '../../certs/core/certificate-plan.ts';
import { trustAuthority } from '../../certs/trust-authority.ts';
import { CliError } from './output.ts';

/** What `ask` needs of a request and its answer. */
export interface AskInit {
  readonly method: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string;
  readonly timeoutMs: number;
}
export interface AskReply {
  readonly ok: boolean;
  readonly status: number;
  readonly text: string;
}

interface Operator {
  readonly cert: string;
  readonly key: string;
  readonly cluster: string;
}

/** A command talks to one deployment, and is one operator there. */
let operator: Operator | undefined;

/** The directory that `sextant certs issue --role operator` made. */
export function operatorFilesIn(dir: string): IdentityFiles {
  return {
    caFile: join(dir, fileNames.ca),
    certFile: join(dir, fileNames.cert),
    keyFile: join(dir, fileNames.key),
  };
}

/** From here on processes are shown this certificate, and its authority is trusted. @throws CliError when it cannot be read. */
export function actAs({ caFile, certFile, keyFile }: IdentityFiles): void {
  try {
    const [ca, cert, key] = [caFile, certFile, keyFile].map((file) => readFileSync(file, 'utf8'));
    const found = identityIn(certificatesIn(cert ?? '')[0]?.subjectAltName);
    if (found.kind === 'none') throw new CliError(`${certFile}: ${found.reason}`);
    trustAuthority(ca ?? '');
    operator = { cert: cert ?? '', key: key ?? '', cluster: found.identity.cluster };
  } catch (error) {
    if (error instanceof CliError) throw error;
    const reason = error instanceof Error && 'code' in error ? String(error.code) : 'it is damaged';
    throw new CliError(
      `the certificate ${certFile} cannot be used (${reason}): \`sextant up --secure\` makes it, or \`sextant certs issue\``,
    );
  }
}

/** One request. @throws Error when nobody answers in time, with the reason in words. */
export async function send(url: URL, init: AskInit): Promise<AskReply> {
  if (url.protocol === 'https:' && operator !== undefined) return sendSecurely(url, init, operator);
  const { method, headers, body, timeoutMs } = init;
  const response = await fetch(url, {
    method,
    headers,
    ...(body !== undefined && { body }),
    signal: AbortSignal.timeout(timeoutMs),
  });
  return { ok: response.ok, status: response.status, text: await response.text() };
}

const answering = ['agent', 'gateway'] as const;

/** Judges who answers by who it is; one without an identity, by its host name. */
const checkAnswering =
  (cluster: string) =>
  (host: string, certificate: PeerCertificate): Error | undefined => {
    if (identityIn(certificate.subjectaltname).kind === 'none') return checkServerIdentity(host, certificate);
    const wrong = answering.map((role) => checkIdentity({ cluster, role })(host, certificate));
    return wrong.every((problem) => problem !== undefined) ? wrong[0] : undefined;
  };

async function sendSecurely(url: URL, init: AskInit, { cluster, ...pem }: Operator): Promise<AskReply> {
  const { method, headers, body, timeoutMs } = init;
  const asking = request(url, {
    ...tlsOptions,
    ...pem,
    method,
    headers,
    agent: false,
    signal: AbortSignal.timeout(timeoutMs),
    checkServerIdentity: checkAnswering(cluster),
  });
  asking.end(body);
  try {
    const [response] = await once(asking, 'response');
    let text = '';
    for await (const chunk of response.setEncoding('utf8')) text += chunk;
    const { statusCode: status = 0 } = response;
    return { ok: status >= 200 && status < 300, status, text };
  } catch (error) {
    const said = error instanceof Error ? describeDialError(error) : null;
    throw said === null ? error : new Error(said);
  }
}
