/** The admin API and the small routes that watch over the process, as Hono routes. */
import { createHash, timingSafeEqual } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { type Context, Hono, type MiddlewareHandler } from 'hono';
import { bodyLimit } from 'hono/body-limit';
import type { z } from 'zod';
import {
  type AgentRequest,
  type ClusterView,
  chooseLoss,
  operationRegion,
  whoIsMissing,
} from '../../regions/core.ts';
import { monotonicMs, type RegionId } from '../../storage/index.ts';
import { type MetricRegistry, metricsContentType } from '../../telemetry/index.ts';
import { type Authenticator, bearerGuard } from '../access/auth.ts';
import { encodeErrorBody } from '../sql/error-body.ts';
import { adviseError, describeError } from '../sql/errors.ts';
import type { SqlError } from '../sql/sql.ts';
import type { AgentAnswer, AgentLink } from './agent-link.ts';
import { failoverSchema, type readySchema, switchoverSchema } from './core/admin-schemas.ts';
import { openapi } from './core/openapi.ts';

export interface AdminOptions {
  readonly auth: Authenticator;
  readonly secret: string;
  readonly version: string;
  readonly regions: readonly RegionId[];
  readonly view: ClusterView;
  readonly agents: AgentLink;
  readonly registry: MetricRegistry;
  readonly ready: () => z.output<typeof readySchema>;
}

const bodyBytesMax = 16 * 1024;
const jsonHeader = { 'content-type': 'application/json' } as const;

type Status = 200 | 202 | 400 | 401 | 404 | 409 | 413 | 503 | 504;

function json(status: Status, body: object): Response {
  return new Response(JSON.stringify(body), { status, headers: jsonHeader });
}

function failed(status: Status, error: SqlError): Response {
  return new Response(encodeErrorBody(error), { status, headers: jsonHeader });
}

/** Whether a request carries the cluster's secret as its bearer token: the command line of the deployment's own machine does. */
export function holdsSecret(authorization: string | undefined, secret: string): boolean {
  const token = /^Bearer +(\S+) *$/i.exec(authorization ?? '')?.[1];
  if (token === undefined) return false;
  const digest = (text: string): Buffer => createHash('sha256').update(text).digest();
  return timingSafeEqual(digest(token), digest(secret));
}

/** Whether an upgrade to an admin WebSocket is allowed; else why not. */
export async function upgradeProblem(
  request: IncomingMessage,
  auth: Authenticator,
  secret: string,
): Promise<SqlError | null> {
  if (holdsSecret(request.headers.authorization, secret)) return null;
  const grant = await auth.verifyHeader(request.headers.authorization);
  return grant.ok ? null : grant.error;
}

function guard(auth: Authenticator, secret: string): MiddlewareHandler {
  const byToken = bearerGuard(auth);
  return (context, next) =>
    holdsSecret(context.req.header('authorization'), secret) ? next() : byToken(context, next);
}

export function adminRoutes(options: AdminOptions): Hono {
  const app = new Hono();
  const document = JSON.stringify(openapi(options.version));
  app.get('/healthz', () => json(200, { status: 'ok' }));
  app.get('/readyz', () => {
    const ready = options.ready();
    return json(ready.ready ? 200 : 503, ready);
  });
  app.get(
    '/metrics',
    () => new Response(options.registry.render(), { headers: { 'content-type': metricsContentType } }),
  );
  app.get('/openapi.json', () => new Response(document, { headers: jsonHeader }));
  for (const path of ['/v1/drills', '/v1/drills/*', '/console', '/console/*']) {
    app.all(path, (context) =>
      failed(404, {
        code: 'SEXTANT_NOT_FOUND',
        message: `${context.req.path} is not part of this version of Sextant; /openapi.json lists what is.`,
      }),
    );
  }
  app.use('/v1/*', guard(options.auth, options.secret));
  app.use(
    '/v1/*',
    bodyLimit({
      maxSize: bodyBytesMax,
      onError: () =>
        failed(413, adviseError('SEXTANT_BODY_TOO_LARGE', `The body is larger than ${bodyBytesMax} bytes`)),
    }),
  );
  app.get('/v1/status', () => json(200, options.view.status(monotonicMs())));
  app.post('/v1/switchover', async (context) => begin(await bodyOf(context), options, 'switchover'));
  app.post('/v1/failover', async (context) => begin(await bodyOf(context), options, 'failover'));
  app.get('/v1/operations/:id', (context) => operation(context.req.param('id'), options));
  app.get('/v1/losses', () => losses(options));
  app.get('/v1/losses/:epoch', (context) => loss(context.req.param('epoch'), options));
  app.get('/v1/watch', () =>
    failed(400, { code: 'SEXTANT_PROTOCOL_ERROR', message: '/v1/watch is a WebSocket.' }),
  );
  return app;
}

function knownRegion(name: string, options: AdminOptions): RegionId | null {
  return options.regions.find((region) => region === name) ?? null;
}

function unknownRegion(name: string, options: AdminOptions): Response {
  return failed(404, {
    code: 'UNKNOWN_REGION',
    message: `There is no region ${JSON.stringify(name)}; there are ${options.regions.join(', ')}.`,
  });
}

async function begin(
  body: unknown,
  options: AdminOptions,
  kind: 'switchover' | 'failover',
): Promise<Response> {
  const asked =
    kind === 'switchover' ? parsed(switchoverSchema, body, options) : parsed(failoverSchema, body, options);
  if (asked instanceof Response) return asked;
  const { target } = asked;
  const { allowDataLoss = false, sacrifice = [] }: Partial<z.output<typeof failoverSchema>> = asked;
  const region = knownRegion(target, options);
  if (region === null) return unknownRegion(target, options);
  const stranger = sacrifice.find((name) => knownRegion(name, options) === null);
  if (stranger !== undefined) return unknownRegion(stranger, options);
  const request: AgentRequest =
    kind === 'switchover' ? { kind, target } : { kind, target, allowDataLoss, sacrifice };
  return answerOf(await options.agents.ask(region, request), region, 202);
}

/** The JSON of a request, or undefined when it is none. */
async function bodyOf(context: Context): Promise<unknown> {
  try {
    return await context.req.json();
  } catch {
    return undefined;
  }
}

function parsed<T>(schema: z.ZodType<T>, body: unknown, options: AdminOptions): T | Response {
  const result = schema.safeParse(body);
  if (result.success) return result.data;
  const problems = result.error.issues
    .map((issue) => `${issue.path.join('.') || 'body'}: ${issue.message}`)
    .join('; ');
  return failed(400, {
    code: 'BAD_REQUEST',
    message: `The body must be JSON like {"target": "${options.regions[0]}"}: ${problems}.`,
  });
}

async function operation(id: string, options: AdminOptions): Promise<Response> {
  const name = operationRegion(id);
  const region = name === null ? null : knownRegion(name, options);
  if (region === null)
    return failed(404, {
      code: 'UNKNOWN_OPERATION',
      message: `There is no operation ${JSON.stringify(id)}.`,
    });
  return answerOf(await options.agents.ask(region, { kind: 'operation', id }), region, 200);
}

async function losses(options: AdminOptions): Promise<Response> {
  const { reports, unreachable, unanswered } = await askLosses(options);
  return json(200, { losses: reports.map(({ commits: _, ...summary }) => summary), unreachable, unanswered });
}

function askLosses(options: AdminOptions): ReturnType<AgentLink['losses']> {
  return options.agents.losses(options.regions, options.view.record?.epoch ?? 0);
}

async function loss(text: string, options: AdminOptions): Promise<Response> {
  const epoch = Number(text);
  if (!/^\d{1,10}$/.test(text))
    return failed(400, {
      code: 'BAD_REQUEST',
      message: `An epoch is a number, not ${JSON.stringify(text)}.`,
    });
  const { reports, unreachable, unanswered } = await askLosses(options);
  const choice = chooseLoss(reports, epoch);
  if (choice.kind === 'found') return json(200, choice.report);
  return failed(404, {
    code: 'UNKNOWN_LOSS',
    message: [choice.reason, ...whoIsMissing(unreachable, unanswered)].map((line) => `${line}.`).join(' '),
  });
}

function answerOf(answer: AgentAnswer, region: RegionId, success: 200 | 202): Response {
  if (answer.kind === 'silent') {
    const advice = answer.mayHaveActed
      ? 'It may have acted all the same: look at /v1/status before trying again.'
      : 'Nothing has begun.';
    return failed(answer.mayHaveActed ? 504 : 503, {
      code: 'AGENT_UNREACHABLE',
      message: `${region}: ${answer.reason}. ${advice}`,
    });
  }
  const { reply } = answer;
  switch (reply.kind) {
    case 'operation':
      return json(success, reply.operation);
    case 'refused':
      return failed(refusalStatus(reply.code), { code: reply.code, message: reply.message });
    case 'losses':
      return failed(503, { code: 'AGENT_UNREACHABLE', message: `${region} answered something else.` });
  }
}

function refusalStatus(code: string): Status {
  switch (code) {
    case 'BAD_REQUEST':
      return 400;
    case 'UNKNOWN_OPERATION':
      return 404;
    case 'NO_CONTROL_RECORD':
      return 503;
    default:
      return 409;
  }
}

/** The status code that belongs to an error of the table, for upgrades. */
export function statusOf(error: SqlError): number {
  return describeError(error.code).httpStatus;
}
