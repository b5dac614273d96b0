/**
 * The agent's own HTTP: what a deployment looks like and how to move it, also when no gateway is left. The same paths
 * and shapes as a gateway's, behind the cluster secret.
 */
import { timingSafeEqual } from 'node:crypto';
import type { Server } from 'node:http';
import { serve } from '@hono/node-server';
import { type Context, Hono } from 'hono';
import { z } from 'zod';
import { monotonicMs, parseAddress } from '../../storage/index.ts';
import { type MetricRegistry, metricsContentType } from '../../telemetry/index.ts';
import { unansweredOf } from '../moves/core/loss-answers.ts';
import { mergeLosses } from '../moves/core/loss-report.ts';
import type { AgentReply, AgentRequest } from '../moves/core/operations.ts';
import { rebuildRequestSchema } from '../rebuild/rebuild.ts';
import type { Agent } from './agent.ts';
import type { AgentConfig } from './config.ts';

const moveSchema = z.strictObject({
  target: z.string(),
  allowDataLoss: z.boolean().optional(),
  sacrifice: z.array(z.string()).optional(),
});

/** Routes over a running agent. Asked for another region's move, it says which agent to ask. */
export function agentRoutes(agent: Agent, config: AgentConfig, registry: MetricRegistry): Hono {
  const app = new Hono();
  app.get('/healthz', (c) => c.json({ status: 'ok' }));
  app.get('/readyz', (c) => {
    const { unready } = agent;
    return unready === null ? c.json({ ready: true }) : c.json({ ready: false, reason: unready }, 503);
  });
  app.get('/metrics', (c) => c.body(registry.render(), 200, { 'content-type': metricsContentType }));
  app.use('/v1/*', async (c, next) => {
    if (authorized(c.req.header('authorization'), config)) return next();
    return c.json(
      { code: 'CLUSTER_SECRET_WRONG', message: 'the agent answers with the cluster secret as bearer token' },
      401,
    );
  });
  app.get('/v1/status', (c) => c.json(agent.view.status(monotonicMs())));
  app.get('/v1/losses', async (c) => {
    const reply = await agent.serve({ kind: 'losses' });
    if (reply.kind !== 'losses') return refused(c, reply);
    const { region, regions } = config;
    const { epoch = 0, lookedUnder = 0 } = reply;
    return c.json({
      losses: mergeLosses(reply.reports),
      // An agent knows what its own region lost and asks nobody else; a gateway asks all of them.
      unreachable: regions.filter((name) => name !== region),
      unanswered: unansweredOf([{ region, epoch, lookedUnder }], epoch),
    });
  });
  app.get('/v1/operations/:id', async (c) =>
    answer(c, await agent.serve({ kind: 'operation', id: c.req.param('id') }), 200),
  );
  app.post('/v1/control/rebuild', async (c) => {
    const body = rebuildRequestSchema.safeParse(await c.req.json().catch(() => null));
    if (!body.success) return c.json({ code: 'BAD_REQUEST', message: z.prettifyError(body.error) }, 400);
    const reply = await agent.rebuild(body.data);
    return 'code' in reply ? c.json(reply, 409) : c.json(reply);
  });
  for (const kind of ['switchover', 'failover'] as const) {
    app.post(`/v1/${kind}`, async (c) => {
      const body = moveSchema.safeParse(await c.req.json().catch(() => null));
      if (!body.success) return c.json({ code: 'BAD_REQUEST', message: z.prettifyError(body.error) }, 400);
      const { target, allowDataLoss = false, sacrifice = [] } = body.data;
      if (target !== config.region) {
        return c.json(
          {
            code: 'OTHER_REGION',
            message: `a move to ${target} is run by the agent of ${target}; this is ${config.region}`,
          },
          421,
        );
      }
      const request: AgentRequest =
        kind === 'switchover' ? { kind, target } : { kind, target, allowDataLoss, sacrifice };
      return answer(c, await agent.serve(request), 202);
    });
  }
  return app;
}

function authorized(header: string | undefined, config: AgentConfig): boolean {
  const given = Buffer.from(header ?? '');
  const wanted = Buffer.from(`Bearer ${config.secret}`);
  return given.length === wanted.length && timingSafeEqual(given, wanted);
}

function answer(c: Context, reply: AgentReply, status: 200 | 202): Response {
  return reply.kind === 'operation' ? c.json(reply.operation, status) : refused(c, reply);
}

function refused(c: Context, reply: AgentReply): Response {
  if (reply.kind !== 'refused')
    return c.json({ code: 'INTERNAL', message: 'an answer of the wrong kind' }, 500);
  return c.json({ code: reply.code, message: reply.message }, reply.code === 'UNKNOWN_OPERATION' ? 404 : 409);
}

export type Listening =
  | { readonly kind: 'listening'; readonly server: Server; readonly port: number }
  | { readonly kind: 'failed'; readonly message: string };

/** Listens, or says what stands in the way and what to change. */
export function listenHttp(app: Hono, listen: string): Promise<Listening> {
  const address = parseAddress(listen);
  if (address === undefined)
    return Promise.resolve({ kind: 'failed', message: `listen: ${listen} is not host:port` });
  return new Promise((resolve) => {
    const server = serve({ fetch: app.fetch, hostname: address.host, port: address.port }, (info) => {
      resolve({ kind: 'listening', server: server as Server, port: info.port });
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
