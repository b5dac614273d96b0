/** Serves a server's part of the admin API's table: bodies are bounded and parsed here, and answers are of the table by type. */
import type { HttpBindings } from '@hono/node-server';
import { RESPONSE_ALREADY_SENT } from '@hono/node-server/utils/response';
import { type Context, Hono } from 'hono';
import type { z } from 'zod';
import { parseTraceparent } from '../../telemetry/core.ts';
import type { AdminAct } from './audit.ts';
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

/** What a request needs: to look, or to change something. */
export type Right = 'read' | 'admin';

export type Admission =
  | { readonly kind: 'admitted'; readonly who: string }
  /** `who` is null when nothing was shown that holds. */
  | {
      readonly kind: 'refused';
      readonly who: string | null;
      readonly status: number;
      readonly error: ApiError;
    };

export interface MountOptions {
  /** The deployment that this process is part of. */
  readonly cluster: string;
  /** Lets a request below `/v1/` pass, or says why not. */
  readonly admit: (authorization: string | undefined, right: Right) => Admission | Promise<Admission>;
  /** Told of every request below `/v1/` that asks for a change, once it is answered. */
  readonly audit: (act: AdminAct) => void;
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
  const answered = (reply: Reply, context: Context): Response => {
    if ('error' in reply) return refuse(reply.status, reply.error);
    if ('feed' in reply) {
      reply.feed((context.env as HttpBindings).outgoing);
      return RESPONSE_ALREADY_SENT;
    }
    return 'text' in reply
      ? respond(reply.status, reply.text, reply.contentType)
      : respond(reply.status, JSON.stringify(reply.body));
  };
  const admit = (context: Context, right: Right) => options.admit(context.req.header('authorization'), right);
  // The types tie each handler to its route; here, where all are treated alike, they are forgotten.
  const byName = handlers as unknown as Readonly<Record<string, Handler>>;
  for (const [name, route] of Object.entries<ApiRoute>(apiRoutes)) {
    const handler = byName[name];
    if (route.errors[server] === undefined || handler === undefined) continue;
    const path = route.path.replace(/\{(\w+)\}/g, ':$1');
    /** The body and what is answered to it. */
    const carryOut = async (context: Context): Promise<Carried> => {
      const { body: wanted } = route;
      const text = wanted === undefined ? '' : await boundedText(context.req.raw);
      if (text === null)
        return { asked: {}, reply: { status: 413, error: options.bodyTooLarge(bodyBytesMax) } };
      const read = wanted === undefined ? undefined : apiSchemas[wanted].safeParse(parsedJson(text));
      if (wanted !== undefined && read?.success === false)
        return { asked: {}, reply: { status: 400, error: options.badBody(read.error, wanted) } };
      const call = { params: context.req.param(), body: read?.data };
      const authorization = context.req.header('authorization');
      return {
        asked: { ...call.params, ...Object(call.body) },
        reply: await handler({ ...call, authorization }),
      };
    };
    app.on(route.method.toUpperCase(), path, async (context) => {
      if (!path.startsWith('/v1/')) return answered((await carryOut(context)).reply, context);
      const right = route.method === 'get' ? 'read' : 'admin';
      const admission = await admit(context, right);
      const elsewhere = meantElsewhere(context, options.cluster);
      const { asked, reply }: Carried =
        admission.kind === 'refused'
          ? { asked: context.req.param(), reply: admission }
          : elsewhere !== null
            ? { asked: context.req.param(), reply: { status: 421, error: elsewhere } }
            : right === 'admin' && couldBeForm(context)
              ? { asked: context.req.param(), reply: { status: 415, error: notJson } }
              : await carryOut(context);
      if (right === 'admin') options.audit(actOf(name, context, admission.who, asked, reply));
      return answered(reply, context);
    });
  }
  // Who may not look is not told what there is.
  app.all('/v1/*', async (context) => {
    const admission = await admit(context, 'read');
    return admission.kind === 'refused' ? refuse(admission.status, admission.error) : context.notFound();
  });
  return app;
}

interface Carried {
  readonly asked: Readonly<Record<string, unknown>>;
  readonly reply: Reply;
}

/** Says which deployment a request is meant for. Who knows of one only by its address leaves it out. */
const clusterHeader = 'x-sextant-cluster';

/** A command that is run with the files of one deployment must not act on another that listens at the same address. */
function meantElsewhere({ req }: Context, cluster: string): ApiError | null {
  const meant = req.header(clusterHeader);
  if (meant === undefined || meant === cluster) return null;
  const message =
    `This is a process of the deployment ${cluster}, and the request is meant for ${meant}: another deployment listens at this address. ` +
    'Name the data directory of the one that is meant (--data), or its address (--url); if it should listen here, stop this one first.';
  return { code: 'OTHER_CLUSTER', message };
}

const notJson: ApiError = {
  code: 'NOT_JSON',
  message: 'From a page this takes JSON only: send the header content-type: application/json.',
};

const browserHeaders = ['origin', 'referer', 'sec-fetch-site'] as const;

/** Whether a page of anybody could have made a browser send this form. What `curl -d` sends looks like one, and names no page. */
function couldBeForm({ req }: Context): boolean {
  if (req.header('authorization') !== undefined) return false;
  if (browserHeaders.every((name) => req.header(name) === undefined)) return false;
  return !/^application\/json\s*(?:;|$)/i.test(req.header('content-type') ?? '');
}

function actOf(
  what: string,
  { req }: Context,
  who: string | null,
  target: Readonly<Record<string, unknown>>,
  reply: Reply,
): AdminAct {
  const id: unknown = 'body' in reply ? Object(reply.body).id : null;
  return {
    who,
    what,
    target,
    status: reply.status,
    code: 'error' in reply ? reply.error.code : null,
    id: typeof id === 'string' ? id : null,
    traceId: parseTraceparent(req.header('traceparent'))?.traceId ?? null,
  };
}
