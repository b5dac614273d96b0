/**
 * The agent's own HTTP: what a deployment looks like and how to move it, also when no gateway is left. The same paths
 * and shapes as a gateway's, behind the cluster secret.
 */
import type { IncomingMessage, Server } from 'node:http';
import { createAdaptorServer, getRequestListener } from '@hono/node-server';
import type { Hono } from 'hono';
import { z } from 'zod';
import { type Credentials, createSecureServer, monotonicMs, parseAddress } from '../../storage/index.ts';
import { type Logger, type MetricRegistry, metricsContentType } from '../../telemetry/index.ts';
import type { AdminAct } from '../api/audit.ts';
import type { ApiError, ApiReply } from '../api/core/api-routes.ts';
import { type Admission, mountApi } from '../api/mount.ts';
import { holdsSecret } from '../api/secret.ts';
import { branchStatus, postgresBase, withUrl, withUrls } from '../branches/core/branch-request.ts';
import type { AgentConfig } from '../deploy/agent-config.ts';
import { unansweredOf } from '../moves/core/loss-answers.ts';
import { mergeLosses } from '../moves/core/loss-report.ts';
import type { AgentReply, AgentRequest } from '../moves/core/operations.ts';
import { endpointsIn } from '../status/core/endpoints.ts';
import type { Agent } from './agent.ts';
import { otherRegion } from './answer-request.ts';

/** Routes over a running agent. Asked for another region's move, it says which agent to ask. */
export function agentRoutes(
  agent: Pick<Agent, 'unready' | 'view' | 'readiness' | 'serve' | 'rebuild' | 'standing'>,
  config: Pick<AgentConfig, 'cluster' | 'region' | 'secret' | 'identity'>,
  registry: MetricRegistry,
  audit: (act: AdminAct) => void,
): Hono {
  /** Where clients find the region's first gateway. */
  const base = (): string | null => {
    const status = agent.view.status(monotonicMs()).regions.find(({ name }) => name === config.region);
    if (status?.postgres !== undefined) return postgresBase(status.postgres);
    const { gateway } = agent.standing;
    return gateway === null ? null : `${config.identity === undefined ? 'http' : 'https'}://${gateway}`;
  };
  const encodeError = (error: ApiError) => JSON.stringify(error);
  const begin = async (
    request: Extract<AgentRequest, { kind: 'switchover' | 'failover' }>,
  ): Promise<ApiReply<'failover', 'agent'>> => {
    const { target } = request;
    if (target !== config.region) {
      return { status: 421, error: { code: 'OTHER_REGION', message: otherRegion(target, config.region) } };
    }
    const reply = await agent.serve(request);
    if (reply.kind === 'operation') return { status: 202, body: reply.operation };
    const error = refusal(reply);
    return { status: error.code === 'INTERNAL' ? 500 : 409, error };
  };
  return mountApi(
    'agent',
    {
      health: () => ({ status: 200, body: { status: 'ok' } }),
      agentReady: () => {
        const { unready } = agent;
        return unready === null
          ? { status: 200, body: { ready: true } }
          : { status: 503, body: { ready: false, reason: unready } };
      },
      metrics: () => ({ status: 200, text: registry.render(), contentType: metricsContentType }),
      status: () => ({ status: 200, body: agent.view.status(monotonicMs()) }),
      readiness: () => ({ status: 200, body: agent.readiness }),
      endpoints: () => ({ status: 200, body: endpointsIn(agent.view.status(monotonicMs())) }),
      backups: () => ({ status: 200, body: agent.view.backups(monotonicMs()) }),
      losses: async () => {
        const reply = await agent.serve({ kind: 'losses' });
        if (reply.kind !== 'losses') return refused(reply);
        const { region } = config;
        const { epoch = 0, lookedUnder = 0, branchesToLook } = reply;
        const body = {
          losses: mergeLosses(reply.reports),
          // An agent knows what its own region lost and asks nobody else; a gateway asks all of them.
          unreachable: agent.view.regions.filter((name) => name !== region),
          unanswered: unansweredOf([{ region, epoch, lookedUnder, branchesToLook }], epoch),
        };
        return { status: 200, body };
      },
      operation: async ({ params }) => {
        const reply = await agent.serve({ kind: 'operation', id: params.id });
        return reply.kind === 'operation' ? { status: 200, body: reply.operation } : refused(reply);
      },
      cancel: async ({ params }) => {
        const reply = await agent.serve({ kind: 'cancel', id: params.id });
        return reply.kind === 'operation' ? { status: 200, body: reply.operation } : refused(reply);
      },
      switchover: ({ body }) => begin({ kind: 'switchover', ...body }),
      failover: ({ body }) => begin({ kind: 'failover', ...body }),
      policy: async () => policyOf(await agent.serve({ kind: 'policy' })),
      changePolicy: async ({ body }) => {
        const reply = await agent.serve({ kind: 'change-policy', change: body });
        if (reply.kind !== 'refused' || reply.code === 'NO_CONTROL_RECORD') return policyOf(reply);
        return { status: reply.code === 'BAD_REQUEST' ? 400 : 409, error: refusal(reply) };
      },
      changeRegions: async ({ body }) => {
        const reply = await agent.serve({ kind: 'change-regions', change: body });
        if (reply.kind === 'regions') return { status: 200, body: reply.membership };
        const error = refusal(reply);
        const status = error.code === 'NO_CONTROL_RECORD' ? 503 : error.code === 'BAD_REQUEST' ? 400 : 409;
        return { status, error };
      },
      branches: () => ({ status: 200, body: withUrls(agent.view.branches(monotonicMs()), base()) }),
      createBranch: async ({ body }) => {
        const reply = await agent.serve({ kind: 'create-branch', branch: body });
        if (reply.kind === 'branch') return { status: 201, body: withUrl(reply.branch, base()) };
        const error = refusal(reply);
        return { status: error.code === 'OTHER_REGION' ? 421 : branchStatus(error.code), error };
      },
      deleteBranch: async ({ params }) => {
        const reply = await agent.serve({ kind: 'delete-branch', name: params.name });
        if (reply.kind === 'branch') return { status: 200, body: withUrl(reply.branch, base()) };
        const error = refusal(reply);
        const status = branchStatus(error.code);
        return { status: status === 400 ? 409 : status, error };
      },
      beginRewind: async ({ body }) => {
        const reply = await agent.serve({ kind: 'begin-rewind', request: body });
        if (reply.kind === 'rewind') return { status: 202, body: reply.rewind };
        const error = refusal(reply);
        const status = { BAD_REQUEST: 400, OTHER_REGION: 421, NO_CONTROL_RECORD: 503 } as const;
        return { status: isKeyOf(status, error.code) ? status[error.code] : 409, error };
      },
      rewind: async ({ params }) => {
        const reply = await agent.serve({ kind: 'rewind', id: params.id });
        return reply.kind === 'rewind'
          ? { status: 200, body: reply.rewind }
          : { status: 404, error: refusal(reply) };
      },
      members: async ({ params }) => membersOf(params.region, config.region, agent, { kind: 'members' }, 200),
      changeMembers: async ({ params, body }) =>
        membersOf(params.region, config.region, agent, { kind: 'change-members', act: body }, 202),
      rebuild: async ({ body }) => {
        const reply = await agent.rebuild(body);
        return 'code' in reply ? { status: 409, error: reply } : { status: 200, body: reply };
      },
    },
    {
      cluster: config.cluster,
      admit: (authorization) => admission(authorization, config.secret),
      audit,
      encodeError,
      badBody: (problem) => ({ code: 'BAD_REQUEST', message: z.prettifyError(problem) }),
      bodyTooLarge: (bytesMax) => ({
        code: 'BODY_TOO_LARGE',
        message: `the body is larger than ${bytesMax} bytes`,
      }),
    },
  );
}

/** Whoever has the secret may do everything; there is nobody else. */
function admission(authorization: string | undefined, secret: string): Admission {
  if (holdsSecret(authorization, secret)) return { kind: 'admitted', who: 'the cluster secret' };
  const message = 'the agent answers with the cluster secret as bearer token';
  return { kind: 'refused', who: null, status: 401, error: { code: 'CLUSTER_SECRET_WRONG', message } };
}

function policyOf(reply: AgentReply): ApiReply<'policy', 'agent'> {
  return reply.kind === 'policy'
    ? { status: 200, body: reply.policy }
    : { status: 503, error: refusal(reply) };
}

/** The agent of a region knows its own nodes. */
async function membersOf<S extends 200 | 202>(
  name: string,
  region: string,
  agent: Pick<Agent, 'view' | 'serve'>,
  request: Extract<AgentRequest, { kind: 'members' | 'change-members' }>,
  success: S,
) {
  const { regions } = agent.view;
  if (!regions.some((known) => known === name)) {
    const message = `there is no region ${name}; there are ${regions.join(', ')}`;
    return { status: 404, error: { code: 'UNKNOWN_REGION', message } } as const;
  }
  if (name !== region) {
    const message = `the nodes of ${name} are the business of its agent; this is ${region}`;
    return { status: 421, error: { code: 'OTHER_REGION', message } } as const;
  }
  const reply = await agent.serve(request);
  return reply.kind === 'members'
    ? { status: success, body: reply.members }
    : ({ status: 409, error: refusal(reply) } as const);
}

const isKeyOf = <T extends object>(table: T, key: PropertyKey): key is keyof T => key in table;

function refusal(reply: AgentReply): ApiError {
  return reply.kind === 'refused'
    ? { code: reply.code, message: reply.message }
    : { code: 'INTERNAL', message: 'an answer of the wrong kind' };
}

function refused(reply: AgentReply): { readonly status: 404 | 409 | 500; readonly error: ApiError } {
  const error = refusal(reply);
  if (error.code === 'INTERNAL') return { status: 500, error };
  return { status: error.code === 'UNKNOWN_OPERATION' ? 404 : 409, error };
}

export type Listening =
  | { readonly kind: 'listening'; readonly server: Server; readonly port: number }
  | { readonly kind: 'failed'; readonly message: string };

/** What an agent listens with where the deployment is encrypted. */
export interface HttpSecurity {
  readonly credentials: Credentials;
  readonly log: Pick<Logger, 'warn'>;
}

/** Health and metrics are for the whole cluster, all else for those that may ask an agent. */
const watched = new Set(['/healthz', '/readyz', '/metrics']);
const doorOf = ({ url = '' }: IncomingMessage) => (watched.has(url) ? 'watch' : 'api');

function serverFor(app: Hono, security: HttpSecurity | undefined): Server {
  if (security === undefined) return createAdaptorServer({ fetch: app.fetch }) as Server;
  const { credentials, log } = security;
  const listener = getRequestListener(app.fetch);
  return createSecureServer({
    credentials,
    doorOf,
    onRequest: (request, response) => void listener(request, response),
    onRefused: (refused) => log.warn(refused, 'a caller was turned away'),
  });
}

/** Listens, or says what stands in the way and what to change. */
export function listenHttp(app: Hono, listen: string, security?: HttpSecurity): Promise<Listening> {
  const address = parseAddress(listen);
  if (address === undefined)
    return Promise.resolve({ kind: 'failed', message: `listen: ${listen} is not host:port` });
  return new Promise((resolve) => {
    const server = serverFor(app, security);
    server.listen(address.port, address.host, () => {
      const bound = server.address();
      const port = typeof bound === 'object' && bound !== null ? bound.port : address.port;
      resolve({ kind: 'listening', server, port });
    });
    server.on('error', (error: NodeJS.ErrnoException) => {
      const busy = error.code === 'EADDRINUSE';
      const message = busy
        ? `${listen} is in use by another process; stop it or change \`listen\``
        : `cannot listen on ${listen}: ${error.message}`;
      resolve({ kind: 'failed', message });
    });
  });
}
