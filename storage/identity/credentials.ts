/**
 * What this process proves itself with, while the files are replaced under it: looked at every two seconds, taken over when
 * all three fit together, kept as it was when they do not (S61). They are looked at rather than watched: what replaces them
 * (by hand, or a cluster's secret store) moves directories and links, of which a watch hears nothing.
 */
import { statSync } from 'node:fs';
import { createSecureContext, type SecureContext } from 'node:tls';
import { type Logger, type MetricRegistry, metrics } from '../../telemetry/index.ts';
import { every } from '../process/clock.ts';
import type { IdentityFiles } from '../process/config.ts';
import type { Expected } from './core/admission.ts';
import { describeSpan, judgeExpiry } from './core/expiry.ts';
import type { Identity } from './core/identity.ts';
import { type IdentityMaterial, type IdentityRead, readIdentity } from './read-identity.ts';

/** A certificate that cannot be used at a start; the message says which file and what to do. */
export class IdentityError extends Error {
  override readonly name = 'IdentityError';
}

export type CredentialsLog = Pick<Logger, 'info' | 'warn' | 'error'>;

export interface CredentialsOptions {
  readonly files: IdentityFiles;
  /** Who the process is by its configuration: a certificate of somebody else is refused. */
  readonly own: Expected;
  readonly log: CredentialsLog;
  readonly lookMs?: number;
}

const lookMsDefault = 2_000;
/** How often a certificate that expires soon is mentioned. */
const warnEveryMs = 12 * 3_600_000;

/** TLS 1.3 alone. AES-128 comes first: with the processor's own instructions it is the fastest, and nothing needs more. */
export const tlsOptions = {
  minVersion: 'TLSv1.3',
  ciphers: 'TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_256_GCM_SHA384',
} as const;

export class Credentials {
  private readonly options: CredentialsOptions;
  private readonly listeners = new Set<() => void>();
  private readonly stop: () => void;
  private current: IdentityMaterial;
  private context: SecureContext;
  private seen: string;
  private problem: string | null = null;
  private toldProblem: string | null = null;
  private toldExpiryMs = Number.NEGATIVE_INFINITY;

  private constructor(options: CredentialsOptions, material: IdentityMaterial, seen: string) {
    this.options = options;
    this.current = material;
    this.context = contextOf(material);
    this.seen = seen;
    this.warn();
    this.stop = every(options.lookMs ?? lookMsDefault, () => this.look());
  }

  /** @throws IdentityError when the files cannot be used. */
  static open(options: CredentialsOptions): Credentials {
    const seen = stampOf(options.files);
    const read = usable(readIdentity(options.files, options.own, Date.now()));
    if (read.kind === 'unusable') throw new IdentityError(`identity: ${read.reason}`);
    return new Credentials(options, read.material, seen);
  }

  get material(): IdentityMaterial {
    return this.current;
  }

  get identity(): Identity {
    return this.current.identity;
  }

  /** For connections from here on; those that stand keep what they began with. */
  get secureContext(): SecureContext {
    return this.context;
  }

  /** Why the files as they lie there now are not used; null when they are. */
  get trouble(): string | null {
    return this.problem;
  }

  /** Runs something whenever other files have been taken over. @returns how to stop that. */
  onChange(run: () => void): () => void {
    this.listeners.add(run);
    return () => void this.listeners.delete(run);
  }

  close(): void {
    this.stop();
  }

  private look(): void {
    const stamp = stampOf(this.options.files);
    if (stamp !== this.seen || this.problem !== null) this.readAgain(stamp);
    this.warn();
  }

  private readAgain(stamp: string): void {
    const { files, own, log } = this.options;
    const read = usable(readIdentity(files, own, Date.now()));
    this.seen = stamp;
    if (read.kind === 'unusable') {
      // Three files are not replaced in one step: what does not fit at one look may at the next, and is told then.
      if (this.problem === read.reason && this.toldProblem !== read.reason) {
        log.error({ reason: read.reason }, 'a new certificate cannot be used, the old one stays in use');
        this.toldProblem = read.reason;
      }
      this.problem = read.reason;
      return;
    }
    this.problem = null;
    this.toldProblem = null;
    const { ca, cert, key } = this.current;
    if (read.material.ca === ca && read.material.cert === cert && read.material.key === key) return;
    this.current = read.material;
    this.context = contextOf(read.material);
    this.toldExpiryMs = Number.NEGATIVE_INFINITY;
    log.info(
      { expires: new Date(read.material.expiresAtMs).toISOString() },
      'a new certificate is in use for new connections',
    );
    for (const listener of [...this.listeners]) listener();
  }

  private warn(): void {
    const nowMs = Date.now();
    if (nowMs - this.toldExpiryMs < warnEveryMs) return;
    const { expiresAtMs, caExpiresAtMs } = this.current;
    const which = caExpiresAtMs < expiresAtMs ? 'authority' : 'certificate';
    const expiry = judgeExpiry(Math.min(expiresAtMs, caExpiresAtMs), nowMs);
    if (expiry.kind === 'valid') return;
    this.toldExpiryMs = nowMs;
    if (expiry.kind === 'soon')
      this.options.log.warn({ which, left: describeSpan(expiry.leftMs) }, 'a certificate expires soon');
    else this.options.log.error({ which }, 'a certificate has expired: new connections are refused');
  }
}

/** As `Credentials.open`, for a configuration that may name no certificate. */
export function openCredentials(
  files: IdentityFiles | undefined,
  own: Expected,
  log: CredentialsLog,
  lookMs?: number,
): Credentials | undefined {
  return files === undefined
    ? undefined
    : Credentials.open({ files, own, log, ...(lookMs !== undefined && { lookMs }) });
}

/** Keeps the metrics of the process's certificate. */
export function watchCredentials(registry: MetricRegistry, credentials: Credentials): void {
  const expiry = registry.gauge(metrics.certificateExpiry);
  const own = expiry.with({ certificate: 'own' });
  const authority = expiry.with({ certificate: 'authority' });
  const refused = registry.gauge(metrics.certificateRefused).with({});
  registry.onScrape(() => {
    own.set(Math.floor(credentials.material.expiresAtMs / 1_000));
    authority.set(Math.floor(credentials.material.caExpiresAtMs / 1_000));
    refused.set(credentials.trouble === null ? 0 : 1);
  });
}

/** As read, unless TLS itself will not have it: a curve it does not speak, say. */
function usable(read: IdentityRead): IdentityRead {
  if (read.kind === 'unusable') return read;
  try {
    contextOf(read.material);
    return read;
  } catch (error) {
    const reason = error instanceof Error && 'code' in error ? String(error.code) : 'unknown';
    return { kind: 'unusable', reason: `TLS does not take the certificate and its key (${reason})` };
  }
}

const contextOf = ({ ca, cert, key }: IdentityMaterial): SecureContext =>
  createSecureContext({ ...tlsOptions, ca, cert, key });

/** Changes when a file is written or replaced, and costs three looks at the directory. */
function stampOf({ caFile, certFile, keyFile }: IdentityFiles): string {
  return [caFile, certFile, keyFile]
    .map((file) => {
      const stat = statSync(file, { throwIfNoEntry: false });
      return stat === undefined ? 'none' : `${stat.ino}.${stat.size}.${stat.mtimeMs}.${stat.ctimeMs}`;
    })
    .join('|');
}
