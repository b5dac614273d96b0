/** The bodies of all requests that are being read or run, bounded one by one and together, whoever reads them. */
import type { IncomingMessage } from 'node:http';
import { adviseError, adviseFailure } from '../sql/errors.ts';
import type { SqlError, SqlOutcome } from '../sql/sql.ts';

export interface BodyLimits {
  /** Body of one request. */
  readonly bodyBytes: number;
  /** Bodies of all requests being read or run. */
  readonly bodyBytesInFlight: number;
}

export class RequestBodies {
  private readonly limits: BodyLimits;
  private bytes = 0;

  constructor(limits: BodyLimits) {
    this.limits = limits;
  }

  /** Counts a body that is there as in flight, until it is `done`; or says which bound it meets. */
  take(body: Buffer): SqlError | null {
    if (body.length > this.limits.bodyBytes) return this.tooLarge();
    if (this.bytes + body.length > this.limits.bodyBytesInFlight) return this.tooMany();
    this.bytes += body.length;
    return null;
  }

  /** The whole body, counted as by `take`. */
  read(request: IncomingMessage): Promise<SqlOutcome<Buffer>> {
    const { bodyBytes, bodyBytesInFlight } = this.limits;
    if (Number(request.headers['content-length'] ?? 0) > bodyBytes)
      return Promise.resolve({ ok: false, error: this.tooLarge() });
    const { promise, resolve } = Promise.withResolvers<SqlOutcome<Buffer>>();
    const chunks: Buffer[] = [];
    let size = 0;
    let settled = false;
    const settle = (outcome: SqlOutcome<Buffer>) => {
      if (settled) return;
      settled = true;
      if (!outcome.ok) this.bytes -= size;
      resolve(outcome);
    };
    request.on('data', (chunk: Buffer) => {
      if (settled) return;
      size += chunk.length;
      this.bytes += chunk.length;
      if (size > bodyBytes) settle({ ok: false, error: this.tooLarge() });
      else if (this.bytes > bodyBytesInFlight) settle({ ok: false, error: this.tooMany() });
      else chunks.push(chunk);
    });
    request.on('end', () => {
      const only = chunks.length === 1 ? chunks[0] : undefined;
      settle({ ok: true, value: only ?? Buffer.concat(chunks, size) });
    });
    const lost = () =>
      settle(adviseFailure('SEXTANT_PROTOCOL_ERROR', 'The connection ended within the body'));
    request.on('error', lost);
    request.on('close', lost);
    return promise;
  }

  /** Its request is answered. */
  done(body: Buffer): void {
    this.bytes -= body.length;
  }

  private tooLarge(): SqlError {
    return adviseError(
      'SEXTANT_BODY_TOO_LARGE',
      `The body is larger than the limit bodyBytes = ${this.limits.bodyBytes}`,
    );
  }

  private tooMany(): SqlError {
    const { bodyBytesInFlight } = this.limits;
    return adviseError('SEXTANT_LIMIT', `The limit bodyBytesInFlight = ${bodyBytesInFlight} is reached`);
  }
}
