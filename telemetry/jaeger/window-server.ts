/** Stands between Jaeger and Prometheus, and passes on what Jaeger asks as `recentOnly` has it. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { z } from 'zod';
import { type RangeQuery, recentOnly } from './core/recent-window.ts';

const bodyBytesMax = 64 * 1024;
const answerTimeoutMs = 30_000;
const rangePath = '/api/v1/query_range';

/** Prometheus takes plain numbers of seconds, which Jaeger sends. */
const formSchema = z.object({
  query: z.string().min(1),
  start: z.coerce.number(),
  end: z.coerce.number(),
  step: z.coerce.number().positive(),
});

async function formOf(message: IncomingMessage, url: URL): Promise<URLSearchParams | undefined> {
  if (message.method === 'GET') return url.searchParams;
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of message) {
    const buffer: Buffer = Buffer.isBuffer(chunk) ? chunk : Buffer.from(String(chunk));
    bytes += buffer.length;
    if (bytes > bodyBytesMax) return undefined;
    chunks.push(buffer);
  }
  return new URLSearchParams(Buffer.concat(chunks).toString());
}

function asForm(form: URLSearchParams, { query, start, end, stepSeconds }: RangeQuery): URLSearchParams {
  const changed = new URLSearchParams(form);
  for (const [name, value] of Object.entries({ query, start, end, step: stepSeconds }))
    changed.set(name, String(value));
  return changed;
}

type Answer = { readonly code: number; readonly body: string };
const refusal = (code: number, error: string): Answer => ({
  code,
  body: JSON.stringify({ status: 'error', errorType: 'bad_data', error }),
});

async function answer(message: IncomingMessage, prometheus: string): Promise<Answer> {
  const url = new URL(message.url ?? '/', 'http://window');
  if (url.pathname === '/healthz') return { code: 200, body: '{}' };
  if (url.pathname !== rangePath || !['GET', 'POST'].includes(message.method ?? ''))
    return refusal(404, `only ${rangePath} is answered here; Prometheus itself is at ${prometheus}`);
  const form = await formOf(message, url);
  if (form === undefined) return refusal(413, `a query may have ${bodyBytesMax} bytes`);
  const parsed = formSchema.safeParse(Object.fromEntries(form));
  if (!parsed.success) return refusal(400, z.prettifyError(parsed.error));
  const { query, start, end, step } = parsed.data;
  const body = asForm(form, recentOnly({ query, start, end, stepSeconds: step }));
  const response = await fetch(new URL(rangePath, prometheus), {
    method: 'POST',
    body,
    signal: AbortSignal.timeout(answerTimeoutMs),
  });
  return { code: response.status, body: await response.text() };
}

function send(response: ServerResponse, { code, body }: Answer): void {
  response.writeHead(code, { 'content-type': 'application/json' }).end(body);
}

/** Answers Jaeger's range queries from the Prometheus at `prometheus` (a URL). Not listening yet. */
export function windowServer(prometheus: string): Server {
  const server = createServer((message, response) => {
    answer(message, prometheus)
      .catch(() => refusal(502, `Prometheus at ${prometheus} does not answer`))
      .then((said) => send(response, said))
      .catch(() => response.destroy());
  });
  server.requestTimeout = answerTimeoutMs;
  return server;
}
