/**
 * A backup in an S3 bucket, of AWS or of any server that speaks its protocol. `aws4fetch` signs the requests; the four that are
 * needed are sent by Node's own fetch. Credentials are read again after a refusal, so that keys can be changed under a running agent.
 */
import { createHash } from 'node:crypto';
import { AwsClient } from 'aws4fetch';
import { backupLimits, type S3Place } from './core/backup-config.ts';
import { readCredentials } from './s3-credentials.ts';
import { type Listed, type ObjectStore, StoreError } from './store-types.ts';

interface Asked {
  readonly method: 'GET' | 'PUT' | 'DELETE';
  readonly name?: string;
  readonly query?: Readonly<Record<string, string>>;
  readonly body?: Uint8Array;
}

export class S3Store implements ObjectStore {
  readonly describe: string;
  private readonly place: S3Place;
  private readonly base: URL;
  private client: AwsClient | null = null;

  constructor(place: S3Place, describe: string) {
    const { endpoint, region, bucket, pathStyle = endpoint !== undefined } = place;
    this.place = place;
    this.describe = describe;
    const server = new URL(endpoint ?? `https://s3.${region}.amazonaws.com`);
    if (!pathStyle) server.hostname = `${bucket}.${server.hostname}`;
    this.base = new URL(pathStyle ? `/${bucket}/` : '/', server);
  }

  async put(name: string, bytes: Uint8Array): Promise<void> {
    const response = await this.ask({ method: 'PUT', name, body: bytes });
    await this.expect(response, `${name} cannot be written`);
  }

  async get(name: string): Promise<Uint8Array | null> {
    const response = await this.ask({ method: 'GET', name });
    if (response.status === 404) {
      const text = await this.textOf(response);
      if (!text.includes('NoSuchBucket')) return null;
      throw this.failed(`the bucket does not exist`);
    }
    if (!response.ok) await this.expect(response, `${name} cannot be read`);
    return new Uint8Array(await this.within(response.arrayBuffer()));
  }

  async list(prefix: string): Promise<readonly Listed[]> {
    const found: Listed[] = [];
    const own = this.place.prefix === undefined ? '' : `${this.place.prefix}/`;
    for (let token: string | undefined; ; ) {
      const query = {
        'list-type': '2',
        'encoding-type': 'url',
        prefix: `${own}${prefix}`,
        ...(token !== undefined && { 'continuation-token': token }),
      };
      const response = await this.ask({ method: 'GET', query });
      const text = await this.expect(response, 'the bucket cannot be listed');
      const listed = listedIn(text);
      found.push(...listed.objects.map(({ name, bytes }) => ({ name: name.slice(own.length), bytes })));
      if (listed.next === null) return found;
      token = listed.next;
    }
  }

  async remove(name: string): Promise<void> {
    const response = await this.ask({ method: 'DELETE', name });
    if (response.status !== 404) await this.expect(response, `${name} cannot be removed`);
  }

  private async ask({ method, name, query, body }: Asked): Promise<Response> {
    const { prefix } = this.place;
    const path = name === undefined ? '' : prefix === undefined ? name : `${prefix}/${name}`;
    const url = new URL(path, this.base);
    for (const [key, value] of Object.entries(query ?? {})) url.searchParams.set(key, value);
    // The server checks the body against this, so that what was damaged on the way is refused.
    const hash = createHash('sha256')
      .update(body ?? '')
      .digest('hex');
    const signal = AbortSignal.timeout(backupLimits.requestMs);
    try {
      const request = await this.signer().sign(url, {
        method,
        headers: { 'x-amz-content-sha256': hash },
        ...(body !== undefined && { body: Buffer.from(body) }),
      });
      const response = await fetch(request, { signal, redirect: 'manual' });
      if (response.status === 401 || response.status === 403) this.client = null;
      return response;
    } catch (error) {
      if (error instanceof StoreError) throw error;
      throw this.failed(`it does not answer (${causeOf(error)})`);
    }
  }

  private signer(): AwsClient {
    if (this.client !== null) return this.client;
    const read = readCredentials(this.place.credentialsFile);
    if (read.kind === 'absent') throw this.failed(read.reason);
    const { region } = this.place;
    this.client = new AwsClient({ ...read.credentials, service: 's3', region, retries: 0 });
    return this.client;
  }

  /** The text of an answer that means success. @throws StoreError with the server's own code and words. */
  private async expect(response: Response, what: string): Promise<string> {
    const text = await this.textOf(response);
    if (response.ok) return text;
    const code = elementIn(text, 'Code') ?? `HTTP ${response.status}`;
    const message = elementIn(text, 'Message');
    throw this.failed(`${what}: ${code}${message === null ? '' : ` (${message.slice(0, 200)})`}`);
  }

  private textOf(response: Response): Promise<string> {
    return this.within(response.text());
  }

  private async within<T>(body: Promise<T>): Promise<T> {
    try {
      return await body;
    } catch (error) {
      throw this.failed(`its answer was cut off (${causeOf(error)})`);
    }
  }

  private failed(what: string): StoreError {
    return new StoreError(`the backup store ${this.describe}: ${what}`);
  }
}

/** Why a request came to nothing, in the words of the connection and not of what was sent. */
function causeOf(error: unknown): string {
  if (!(error instanceof Error)) return 'unknown';
  if (error.name === 'TimeoutError') return `no answer within ${backupLimits.requestMs / 1_000} s`;
  const cause = error.cause as NodeJS.ErrnoException | undefined;
  return cause?.code ?? cause?.message ?? error.name;
}

const entities: Readonly<Record<string, string>> = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'" };
const plainOf = (text: string): string =>
  text.replace(/&(amp|lt|gt|quot|apos);/g, (_, name: string) => entities[name] ?? '');

function elementIn(xml: string, name: string): string | null {
  const found = new RegExp(`<${name}>([^<]*)</${name}>`).exec(xml)?.[1];
  return found === undefined ? null : plainOf(found);
}

/** The answer to a list: keys are percent-encoded, which is what was asked for. */
export function listedIn(xml: string): { readonly objects: readonly Listed[]; readonly next: string | null } {
  const encoded = elementIn(xml, 'EncodingType') === 'url';
  const objects = [...xml.matchAll(/<Contents>([\s\S]*?)<\/Contents>/g)].flatMap(([, inside = '']) => {
    const key = elementIn(inside, 'Key');
    if (key === null) return [];
    const name = encoded ? decodeURIComponent(key.replaceAll('+', ' ')) : key;
    return [{ name, bytes: Number(elementIn(inside, 'Size') ?? 0) }];
  });
  const isMore = elementIn(xml, 'IsTruncated') === 'true';
  return { objects, next: isMore ? elementIn(xml, 'NextContinuationToken') : null };
}
