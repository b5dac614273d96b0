/** What an agent answers on its routes of the one table, and what the table is held to. */
import { describe, expect, it } from 'vitest';
import { agentRoutes } from '../../../regions/agent/agent-http.ts';
import type { AdminAct } from '../../../regions/api/audit.ts';
import { type ApiRoute, apiRoutes } from '../../../regions/api/core/api-routes.ts';
import { openapi } from '../../../regions/api/core/openapi.ts';
import { holdsSecret } from '../../../regions/api/secret.ts';
import type { AgentReply, AgentRequest, Operation } from '../../../regions/moves/core/operations.ts';
import { ClusterView } from '../../../regions/status/core/cluster-view.ts';
import type { RegionReport } from '../../../regions/status/core/report.ts';
import { regionId } from '../../../storage/core.ts';
import { MetricRegistry } from '../../../telemetry/index.ts';

const [us, eu] = [regionId('us-east-1'), regionId('eu-west-1')];
const secret = 'a secret of sixteen or more';
const running: Operation = {
  id: 'us-east-1.1',
  kind: 'switchover',
  target: us,
  from: eu,
  state: 'running',
  phases: [],
};

function agent(
  answer: (request: AgentRequest) => AgentReply = () => ({ kind: 'operation', operation: running }),
) {
  const asked: unknown[] = [];
  const acts: AdminAct[] = [];
  const app = agentRoutes(
    {
      unready: null,
      view: new ClusterView('test', [us, eu]),
      standing: { gateway: '127.0.0.1:7011' } as RegionReport,
      readiness: { epoch: 3, primary: us, regions: [] },
      serve: async (request) => {
        asked.push(request);
        return answer(request);
      },
      rebuild: async (request) => {
        asked.push(request);
        return { code: 'TOO_EARLY', message: 'wait', waitMs: 17_000 };
      },
    },
    { cluster: 'test', region: us, secret },
    new MetricRegistry({}),
    (act) => acts.push(act),
  );
  const ask = async (method: string, path: string, body?: string, headers: Record<string, string> = {}) => {
    const response = await app.request(path, {
      method,
      headers: { authorization: `Bearer ${secret}`, ...headers },
      ...(body !== undefined && { body }),
    });
    const text = await response.text();
    return {
      status: response.status,
      type: response.headers.get('content-type'),
      body: text.startsWith('{') ? JSON.parse(text) : text,
    };
  };
  return { ask, asked, acts };
}

describe('the agent', () => {
  it('says that it runs and is ready without a secret, and the rest only with it', async () => {
    const { ask } = agent();
    const none = { authorization: '' };
    expect(await ask('GET', '/healthz', undefined, none)).toEqual({
      status: 200,
      type: 'application/json',
      body: { status: 'ok' },
    });
    expect(await ask('GET', '/readyz', undefined, none)).toMatchObject({
      status: 200,
      body: { ready: true },
    });
    expect(await ask('GET', '/metrics', undefined, none)).toMatchObject({
      status: 200,
      type: 'text/plain; version=0.0.4; charset=utf-8',
    });
    expect(await ask('GET', '/v1/readiness')).toMatchObject({
      status: 200,
      body: { epoch: 3, primary: us, regions: [] },
    });
    for (const authorization of ['', secret, 'Bearer', `Bearer ${secret}x`, `Basic ${secret}`]) {
      expect(await ask('GET', '/v1/status', undefined, { authorization })).toEqual({
        status: 401,
        type: 'application/json',
        body: {
          code: 'CLUSTER_SECRET_WRONG',
          message: 'the agent answers with the cluster secret as bearer token',
        },
      });
    }
    expect(await ask('GET', '/v1/status')).toMatchObject({ status: 200, body: { cluster: 'test' } });
  });

  it('does nothing for whoever means another deployment at the same address, and says so', async () => {
    const { ask, asked } = agent();
    const body = '{"target":"us-east-1"}';
    for (const [method, path] of [
      ['GET', '/v1/status'],
      ['POST', '/v1/switchover'],
    ] as const) {
      const of = (cluster: string) =>
        ask(method, path, method === 'POST' ? body : undefined, { 'x-sextant-cluster': cluster });
      expect(await of('elsewhere')).toMatchObject({
        status: 421,
        body: {
          code: 'OTHER_CLUSTER',
          message: expect.stringMatching(
            /of the deployment test, and the request is meant for elsewhere.*--data/,
          ),
        },
      });
      expect((await of('test')).status).not.toBe(421);
    }
    expect(asked).toHaveLength(1);
  });

  it('begins a move to its own region, whatever the content type of the body is', async () => {
    const { ask, asked } = agent();
    for (const headers of [{}, { 'content-type': 'application/json' }, { 'content-type': 'text/plain' }]) {
      expect(await ask('POST', '/v1/switchover', '{"target":"us-east-1"}', headers)).toEqual({
        status: 202,
        type: 'application/json',
        body: running,
      });
    }
    await ask('POST', '/v1/failover', '{"target":"us-east-1","sacrifice":["eu-west-1"]}');
    expect(asked.slice(2)).toEqual([
      { kind: 'switchover', target: 'us-east-1' },
      { kind: 'failover', target: 'us-east-1', allowDataLoss: false, sacrifice: ['eu-west-1'] },
    ]);
  });

  it('makes and deletes branches, with the address for clients, and says which agent to ask', async () => {
    const dev = { name: 'dev', epoch: 2, lsn: 9, parent: 1, forkLsn: 9, createdAtMs: 1, regions: [] };
    const url = 'http://127.0.0.1:7011/branch/dev/';
    const made = agent(() => ({ kind: 'branch', branch: dev }));
    expect(await made.ask('POST', '/v1/branches', '{"name":"dev","at":9}')).toMatchObject({
      status: 201,
      body: { ...dev, url },
    });
    expect(await made.ask('DELETE', '/v1/branches/dev')).toMatchObject({ status: 200, body: { url } });
    expect(made.asked).toEqual([
      { kind: 'create-branch', branch: { name: 'dev', at: 9, from: 'main' } },
      { kind: 'delete-branch', name: 'dev' },
    ]);
    expect(await made.ask('POST', '/v1/branches', '{"name":"no_name"}')).toMatchObject({ status: 400 });
    expect(await made.ask('GET', '/v1/branches')).toMatchObject({
      status: 200,
      body: { branches: [{ name: 'main', url: 'http://127.0.0.1:7011' }] },
    });
    for (const [code, status] of [
      ['OTHER_REGION', 421],
      ['NO_BRANCH', 404],
      ['BRANCH_EXISTS', 409],
      ['NO_CONTROL_RECORD', 503],
    ] as const) {
      const { ask } = agent(() => ({ kind: 'refused', code, message: 'why' }));
      expect(await ask('POST', '/v1/branches', '{"name":"dev"}')).toMatchObject({ status, body: { code } });
      const other = status === 421 ? 409 : status;
      expect(await ask('DELETE', '/v1/branches/dev')).toMatchObject({ status: other, body: { code } });
    }
  });

  it('refuses what it cannot read, what is too large, and what another agent runs', async () => {
    const { ask, asked } = agent();
    for (const body of ['', '{"target"', '{}', '{"target":"us-east-1","force":true}', 'null'])
      expect(await ask('POST', '/v1/switchover', body), body).toMatchObject({
        status: 400,
        body: { code: 'BAD_REQUEST' },
      });
    expect(await ask('POST', '/v1/failover', `{"target":"${'x'.repeat(20_000)}"}`)).toMatchObject({
      status: 413,
      body: { code: 'BODY_TOO_LARGE' },
    });
    expect(await ask('POST', '/v1/failover', '{"target":"eu-west-1"}')).toMatchObject({
      status: 421,
      body: {
        code: 'OTHER_REGION',
        message:
          'a move to eu-west-1 is run by the agent of eu-west-1, and this is that of us-east-1: ask that one, or any gateway, which passes it on',
      },
    });
    expect(asked).toEqual([]);
  });

  it('hands on why its region refuses, with the status that belongs to it', async () => {
    const refuse = (code: string) => agent(() => ({ kind: 'refused', code, message: 'why' })).ask;
    expect(await refuse('UNKNOWN_OPERATION')('GET', '/v1/operations/a%2Fb')).toEqual({
      status: 404,
      type: 'application/json',
      body: { code: 'UNKNOWN_OPERATION', message: 'why' },
    });
    expect(await refuse('MOVE_RUNNING')('POST', '/v1/switchover', '{"target":"us-east-1"}')).toMatchObject({
      status: 409,
      body: { code: 'MOVE_RUNNING', message: 'why' },
    });
    expect(await agent().ask('GET', '/v1/losses')).toMatchObject({ status: 500, body: { code: 'INTERNAL' } });
    const { ask, asked } = agent();
    expect(await ask('POST', '/v1/control/rebuild', '{"primary":"us-east-1"}')).toMatchObject({
      status: 409,
      body: { code: 'TOO_EARLY', message: 'wait', waitMs: 17_000 },
    });
    expect(asked).toEqual([{ primary: 'us-east-1', without: [], dryRun: false }]);
  });

  it('reads and changes the policy, and refuses with the status that belongs to the reason', async () => {
    const policy = { automatic: true, maxLossMs: 5, rpoMs: null, prefer: [] };
    const { ask, asked } = agent(() => ({ kind: 'policy', policy }));
    expect(await ask('GET', '/v1/policy')).toMatchObject({ status: 200, body: policy });
    expect(await ask('PUT', '/v1/policy', '{"automatic":true}')).toMatchObject({ status: 200, body: policy });
    expect(asked).toEqual([{ kind: 'policy' }, { kind: 'change-policy', change: { automatic: true } }]);
    for (const [code, status] of Object.entries({ BAD_REQUEST: 400, NO_CONTROL_RECORD: 503, other: 409 }))
      expect(
        await agent(() => ({ kind: 'refused', code, message: 'why' })).ask('PUT', '/v1/policy', '{}'),
      ).toMatchObject({ status, body: { code } });
  });

  it('answers what it knows of losses, and whom it did not ask', async () => {
    const { ask } = agent(() => ({ kind: 'losses', reports: [], epoch: 4, lookedUnder: 3 }));
    expect(await ask('GET', '/v1/losses')).toMatchObject({
      status: 200,
      body: { losses: [], unreachable: ['eu-west-1'], unanswered: [{ region: 'us-east-1', epoch: 4 }] },
    });
    expect((await ask('GET', '/v1/losses/4')).status).toBe(404);
  });
});

describe('the secret', () => {
  it('is a bearer token, compared whole, however long the header is', () => {
    const started = performance.now();
    for (let i = 0; i < 20; i++) expect(holdsSecret(`Bearer${' '.repeat(16_000)}\u00a0`, secret)).toBe(false);
    expect(performance.now() - started).toBeLessThan(1_000);
    for (const header of [`Bearer ${secret}`, `bearer   ${secret} `])
      expect(holdsSecret(header, secret)).toBe(true);
    for (const header of [undefined, '', 'Bearer ', secret, `Bearer ${secret.slice(1)}`, `Bearer x${secret}`])
      expect(holdsSecret(header, secret), header).toBe(false);
  });
});

describe('the table', () => {
  const routes = Object.values<ApiRoute>(apiRoutes);

  it('has each path once for each server, says what varies in it, and lists no status twice', () => {
    for (const server of ['gateway', 'agent'] as const) {
      const own = routes.filter(({ errors }) => errors[server] !== undefined);
      expect(new Set(own.map(({ method, path }) => `${method} ${path}`)).size).toBe(own.length);
      for (const route of own) {
        const varying = [...route.path.matchAll(/\{(\w+)\}/g)].map((match) => match[1]);
        expect(Object.keys(route.parameters ?? {})).toEqual(varying);
        const errors = route.errors[server] ?? [];
        expect(new Set(errors).size).toBe(errors.length);
        expect(errors.includes(401)).toBe(route.path.startsWith('/v1/'));
        expect(errors.includes(413)).toBe(route.body !== undefined);
      }
    }
  });

  it('makes the document of either server, with no schema that is missing or unused', () => {
    for (const server of ['gateway', 'agent'] as const) {
      const text = JSON.stringify(openapi(server, { title: 't', version: '1', description: 'd' }, 'b'));
      const used = [...text.matchAll(/#\/components\/schemas\/(\w+)/g)].map((match) => match[1]);
      const { components } = JSON.parse(text);
      expect(new Set(Object.keys(components.schemas))).toEqual(new Set(used));
    }
  });
});
