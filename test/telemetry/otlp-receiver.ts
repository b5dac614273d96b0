/** A collector for tests: takes OTLP/HTTP, JSON and protobuf, on a free port of the loopback and keeps every span it is sent. */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { gunzipSync } from 'node:zlib';
import { z } from 'zod';
import { requestOf } from './export/otlp-protobuf.ts';

export interface ReceivedSpan {
  readonly service: string;
  readonly resource: Readonly<Record<string, unknown>>;
  readonly name: string;
  readonly traceId: string;
  readonly spanId: string;
  /** Null for a root. */
  readonly parentSpanId: string | null;
  readonly kind: string;
  readonly startUs: number;
  readonly endUs: number;
  readonly attributes: Readonly<Record<string, unknown>>;
  readonly links: readonly { readonly traceId: string; readonly spanId: string }[];
  readonly error: string | null;
}

export type ReceiverBehaviour =
  | { readonly kind: 'accept' }
  | { readonly kind: 'status'; readonly status: number }
  | { readonly kind: 'delay'; readonly delayMs: number };

export interface OtlpReceiver {
  /** For `OTEL_EXPORTER_OTLP_ENDPOINT`. */
  readonly endpoint: string;
  /** In order of arrival; exports refused with a status are not among them. */
  readonly spans: readonly ReceivedSpan[];
  /** Path and headers of every request, refused ones included. */
  readonly requests: readonly { readonly path: string; readonly headers: IncomingMessage['headers'] }[];
  behave(behaviour: ReceiverBehaviour): void;
  /** Resolves with all spans as soon as `predicate` holds for them. @throws Error after `timeoutMs`. */
  waitFor(
    predicate: (spans: readonly ReceivedSpan[]) => boolean,
    timeoutMs: number,
  ): Promise<readonly ReceivedSpan[]>;
  /** Ends open connections too. */
  close(): Promise<void>;
}

const attribute = z.object({ key: z.string(), value: z.record(z.string(), z.unknown()) });
const span = z.object({
  name: z.string(),
  traceId: z.string(),
  spanId: z.string(),
  parentSpanId: z.string().optional(),
  kind: z.number(),
  startTimeUnixNano: z.string(),
  endTimeUnixNano: z.string(),
  attributes: z.array(attribute),
  links: z.array(z.object({ traceId: z.string(), spanId: z.string() })).optional(),
  status: z.object({ code: z.number().optional(), message: z.string().optional() }).optional(),
});
const request = z.object({
  resourceSpans: z.array(
    z.object({
      resource: z.object({ attributes: z.array(attribute) }),
      scopeSpans: z.array(z.object({ spans: z.array(span) })),
    }),
  ),
});
const kinds = ['unspecified', 'internal', 'server', 'client', 'producer', 'consumer'];

const attributesOf = (list: readonly z.infer<typeof attribute>[]): Record<string, unknown> =>
  Object.fromEntries(list.map(({ key, value }) => [key, Object.values(value)[0]]));

function spansOf(body: unknown): ReceivedSpan[] {
  return request.parse(body).resourceSpans.flatMap(({ resource, scopeSpans }) => {
    const resourceAttributes = attributesOf(resource.attributes);
    return scopeSpans.flatMap((scope) =>
      scope.spans.map((one) => ({
        service: String(resourceAttributes['service.name']),
        resource: resourceAttributes,
        name: one.name,
        traceId: one.traceId,
        spanId: one.spanId,
        parentSpanId: one.parentSpanId ?? null,
        kind: kinds[one.kind] ?? 'unknown',
        startUs: Number(BigInt(one.startTimeUnixNano) / 1000n),
        endUs: Number(BigInt(one.endTimeUnixNano) / 1000n),
        attributes: attributesOf(one.attributes),
        links: one.links ?? [],
        error: one.status?.code === 2 ? (one.status.message ?? '') : null,
      })),
    );
  });
}

/** @param wantedPort where to listen; 0 is any free port. */
export async function startOtlpReceiver(wantedPort = 0): Promise<OtlpReceiver> {
  const spans: ReceivedSpan[] = [];
  const requests: { path: string; headers: IncomingMessage['headers'] }[] = [];
  const watchers = new Set<() => void>();
  const delays = new Set<NodeJS.Timeout>();
  let behaviour: ReceiverBehaviour = { kind: 'accept' };

  function answer(message: IncomingMessage, response: ServerResponse, body: Buffer): void {
    requests.push({ path: message.url ?? '', headers: message.headers });
    const status = behaviour.kind === 'status' ? behaviour.status : 200;
    if (status < 300 && message.url === '/v1/traces') {
      const bytes = message.headers['content-encoding'] === 'gzip' ? gunzipSync(body) : body;
      const isProtobuf = message.headers['content-type'] === 'application/x-protobuf';
      spans.push(...spansOf(isProtobuf ? requestOf(bytes) : JSON.parse(bytes.toString())));
    }
    for (const watcher of watchers) watcher();
    const respond = () => response.writeHead(status, { 'content-type': 'application/json' }).end('{}');
    if (behaviour.kind === 'delay') delays.add(setTimeout(respond, behaviour.delayMs));
    else respond();
  }

  const server = createServer((message, response) => {
    const chunks: Buffer[] = [];
    message.on('data', (chunk: Buffer) => chunks.push(chunk));
    message.on('end', () => answer(message, response, Buffer.concat(chunks)));
  });
  await new Promise<void>((resolve) => server.listen(wantedPort, '127.0.0.1', resolve));
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;

  return {
    endpoint: `http://127.0.0.1:${port}`,
    spans,
    requests,
    behave: (next) => {
      behaviour = next;
    },
    waitFor: (predicate, timeoutMs) =>
      new Promise((resolve, reject) => {
        const stop = (): void => {
          clearTimeout(timer);
          watchers.delete(check);
        };
        const check = (): void => {
          if (!predicate(spans)) return;
          stop();
          resolve(spans);
        };
        const timer = setTimeout(() => {
          stop();
          const names = [...new Set(spans.map((one) => `${one.service} ${one.name}`))].join(', ');
          reject(new Error(`not within ${timeoutMs} ms; ${spans.length} spans came: ${names}`));
        }, timeoutMs);
        watchers.add(check);
        check();
      }),
    close: () =>
      new Promise((resolve) => {
        for (const delay of delays) clearTimeout(delay);
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
