/** Serves a server's part of the admin API's table: bodies are bounded and parsed here, and answers are of the table by type. */
import type { HttpBindings } from '@hono/node-server';
import { RESPONSE_ALREADY_SENT } from '@hono/node-server/utils/response';
import { Hono, type MiddlewareHandler } from 'hono';
import type { z } from 'zod';
import {
  type ApiCall,
  type ApiError,
  type ApiReply,
  type ApiRoute,
  type ApiServer,
  apiRoutes,
  type EventSink,
  type RouteName,
} from './core/api-routes.ts';
import { apiSchemas, type SchemaName } from './core/api-schemas.ts';

const bodyBytesMax = 16 * 1024;

/** What answers each route of a server. */
export type ApiHandlers<S extends ApiServer> = {
  readonly [N in RouteName<S>]: (call: ApiCall<N>) => ApiReply<N, S> | Promise<ApiReply<N, S>>;
};

export interface MountOptions {
  /** Lets a request below `/v1/` pass, or answers why not. */
  readonly guard: MiddlewareHandler;
  /** How this server writes an error down. */
  readonly encodeError: (error: ApiError) => string;
  /** @param wanted the schema that it does not fit. */
  readonly badBody: (problem: z.ZodError, wanted: SchemaName) => ApiError;
  readonly bodyTooLarge: (bytesMax: number) => ApiError;
}

/** A reply of any route. */
type Reply =
  | { readonly status: number; readonly error: ApiError }
  | { readonly status: number; readonly body: object }
  | { readonly status: number; readonly text: string; readonly contentType: string }
  | { readonly status: number; readonly feed: (to: EventSink) => void };
type Handler = (call: {
  params: Readonly<Record<string, string>>;
  authorization: string | undefined;
  body: unknown;
}) => Reply | Promise<Reply>;

function respond(status: number, body: string, contentType = 'application/json'): Response {
  return new Response(body, { status, headers: { 'content-type': contentType } });
}

/** The JSON of a body, whatever its content type says: `curl -d` calls it a form. Undefined when it is none. */
function parsedJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/**
 * The body of a request, whether it says its length or comes in chunks; null when it is larger than the bound. Hono's own
 * `bodyLimit` makes a new `Request` of one without a length, which the light requests of `@hono/node-server` do not stand.
 */
async function boundedText({ headers, body }: Request): Promise<string | null> {
  if (Number(headers.get('content-length') ?? 0) > bodyBytesMax) return null;
  if (body === null) return '';
  const reader = body.getReader();
  const parts: Uint8Array[] = [];
  let length = 0;
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    length += part.value.length;
    if (length > bodyBytesMax) {
      void reader.cancel();
      return null;
    }
    parts.push(part.value);
  }
  return Buffer.concat(parts).toString('utf8');
}

/** The routes of `server`, each answered by its handler. */
export function mountApi<S extends ApiServer>(
  server: S,
  handlers: ApiHandlers<S>,
  options: MountOptions,
): Hono {
  const refuse = (status: number, error: ApiError) => respond(status, options.encodeError(error));
  const app = new Hono();
  app.use('/v1/*', options.guard);
  // The types tie each handler to its route; here, where all are treated alike, they are forgotten.
  const byName = handlers as unknown as Readonly<Record<string, Handler>>;
  for (const [name, route] of Object.entries<ApiRoute>(apiRoutes)) {
    const handler = byName[name];
    if (route.errors[server] === undefined || handler === undefined) continue;
    app.on(route.method.toUpperCase(), route.path.replace(/\{(\w+)\}/g, ':$1'), async (context) => {
      const { body: wanted } = route;
      const text = wanted === undefined ? '' : await boundedText(context.req.raw);
      if (text === null) return refuse(413, options.bodyTooLarge(bodyBytesMax));
      const read = wanted === undefined ? undefined : apiSchemas[wanted].safeParse(parsedJson(text));
      if (wanted !== undefined && read?.success === false)
        return refuse(400, options.badBody(read.error, wanted));
      const reply = await handler({
        params: context.req.param(),
        authorization: context.req.header('authorization'),
        body: read?.data,
      });
      if ('error' in reply) return refuse(reply.status, reply.error);
      if ('feed' in reply) {
        reply.feed((context.env as HttpBindings).outgoing);
        return RESPONSE_ALREADY_SENT;
      }
      return 'text' in reply
        ? respond(reply.status, reply.text, reply.contentType)
        : respond(reply.status, JSON.stringify(reply.body));
    });
  }
  return app;
}
