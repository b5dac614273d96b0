/** What a gateway answers on its routes of the admin API's table. */
import { describe, expect, it } from 'vitest';
import { adminRoutes, document } from '../../../gateway/admin/admin.ts';
import type { AgentAnswer, AgentLink } from '../../../gateway/admin/agent-link.ts';
import { LiveStream } from '../../../gateway/console/live-stream.ts';
import { defaultServiceLimits } from '../../../gateway/session/core/service-limits.ts';
import { type AdminAct, ClusterView, type DrillLink } from '../../../regions/index.ts';
import { regionId } from '../../../storage/core.ts';
import { MetricRegistry } from '../../../telemetry/index.ts';
import { authenticator } from '../hrana/hrana-harness.ts';

const [us, eu] = [regionId('us-east-1'), regionId('eu-west-1')];

function gateway(answer: AgentAnswer, jwtPublicKey: string | null = null, drills: DrillLink | null = null) {
  const asked: unknown[] = [];
  const acts: AdminAct[] = [];
  const agents: Pick<AgentLink, 'ask' | 'askAny' | 'losses'> = {
    askAny: async (regions, request) => {
      asked.push([regions, request]);
      return answer;
    },
    ask: async (region, request) => {
      asked.push([region, request]);
      return answer;
    },
    losses: async () => ({ reports: [], unreachable: [eu], unanswered: [] }),
  };
  // Without a socket there is nothing to write events to.
  const live = new LiveStream({ limits: defaultServiceLimits, event: () => '{}' });
  live.close();
  const app = adminRoutes({
    auth: authenticator(jwtPublicKey),
    secret: 'the-secret-of-the-cluster',
    cluster: 'test',
    version: '1.2.3',
    region: us,
    base: () => 'http://127.0.0.1:7011',
    view: new ClusterView('test', [us, eu]),
    agents: agents as AgentLink,
    drills,
    registry: new MetricRegistry({}),
    audit: (act) => acts.push(act),
    ready: () => ({
      ready: false,
      reasons: ['r'],
      region: us,
      gateway: 'g1',
      phase: 'reading',
      epoch: 1,
      vdl: 0,
    }),
    live,
    readiness: () => ({ epoch: 3, primary: us, regions: [] }),
  });
  const ask = async (method: string, path: string, body?: string, headers: Record<string, string> = {}) => {
    const json = { 'content-type': 'application/json', ...headers };
    const response = await app.request(path, { method, headers: json, ...(body !== undefined && { body }) });
    const text = await response.text();
    return { status: response.status, body: text.startsWith('{') ? JSON.parse(text) : text };
  };
  return { ask, asked, acts };
}
const refused = (code: string): AgentAnswer => ({
  kind: 'reply',
  reply: { kind: 'refused', code, message: 'why' },
});

describe('the admin API', () => {
  it('is closed to others where a key is configured, and open to the secret of the cluster', async () => {
    const { ask } = gateway(refused('X'), 'A'.repeat(43));
    expect(await ask('GET', '/v1/status')).toMatchObject({ status: 401, body: { code: 'AUTH_JWT_MISSING' } });
    expect(await ask('GET', '/v1/nothing')).toMatchObject({ status: 401 });
    const authorization = 'Bearer the-secret-of-the-cluster';
    expect(await ask('GET', '/v1/status', undefined, { authorization })).toMatchObject({ status: 200 });
    expect(await ask('GET', '/v1/readiness')).toMatchObject({ status: 401 });
    expect(await ask('GET', '/v1/readiness', undefined, { authorization })).toMatchObject({
      status: 200,
      body: { epoch: 3, primary: us },
    });
    expect(await ask('GET', '/readyz')).toMatchObject({
      status: 503,
      body: { ready: false, reasons: ['r'] },
    });
    expect(await ask('GET', '/v1/drills')).toMatchObject({ status: 401 });
  });

  it('does nothing for whoever means another deployment at the same address, and says so', async () => {
    const { ask, asked } = gateway(refused('MOVE_RUNNING'));
    const body = '{"target":"eu-west-1"}';
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

  it('names the way out where an agent is away, or an operation is unknown', async () => {
    const away = gateway({ kind: 'silent', mayHaveActed: false, reason: 'its agent is not connected' });
    expect(await away.ask('POST', '/v1/switchover', '{"target":"eu-west-1"}')).toMatchObject({
      status: 503,
      body: {
        code: 'AGENT_UNREACHABLE',
        message: expect.stringMatching(/^eu-west-1: its agent is not connected.*name another region/),
      },
    });
    expect(await away.ask('GET', '/v1/operations/nope')).toMatchObject({
      status: 404,
      body: { message: expect.stringMatching(/"nope".*begins with the region/) },
    });
  });

  it('asks the agent of the target, and from a page without a token takes no body that a form could have sent', async () => {
    const { ask, asked } = gateway(refused('MOVE_RUNNING'));
    const form = { 'content-type': 'application/x-www-form-urlencoded' };
    const body = '{"target":"eu-west-1"}';
    const reached = { status: 409, body: { code: 'MOVE_RUNNING', message: 'why', error: 'why' } };
    expect(await ask('POST', '/v1/failover', body)).toEqual(reached);
    expect(await ask('POST', '/v1/failover', body, { ...form, authorization: 'Bearer x' })).toEqual(reached);
    for (const type of ['text/plain', 'multipart/form-data', form['content-type'], 'application/jsonp'])
      expect(
        await ask('POST', '/v1/failover', body, { 'content-type': type, 'sec-fetch-site': 'same-origin' }),
      ).toMatchObject({ status: 415, body: { code: 'NOT_JSON' } });
    // What a command line sends names no page.
    expect(await ask('POST', '/v1/failover', body, form)).toEqual(reached);
    const request = { kind: 'failover', target: eu, allowDataLoss: false, sacrifice: [] };
    expect(asked).toEqual([
      [eu, request],
      [eu, request],
      [eu, request],
    ]);
  });

  it('has branches made by the agent of the primary region, and deleted by any', async () => {
    const branch = { name: 'dev', epoch: 2, lsn: 9, parent: 1, forkLsn: 9, createdAtMs: 1, regions: [] };
    const { ask, asked } = gateway({ kind: 'reply', reply: { kind: 'branch', branch } });
    const url = 'http://127.0.0.1:7011/branch/dev/';
    expect(await ask('POST', '/v1/branches', '{"name":"dev"}')).toEqual({
      status: 201,
      body: { ...branch, url },
    });
    expect(await ask('DELETE', '/v1/branches/dev')).toEqual({ status: 200, body: { ...branch, url } });
    expect(asked).toEqual([
      [us, { kind: 'create-branch', branch: { name: 'dev', from: 'main' } }],
      [[us, eu], { kind: 'delete-branch', name: 'dev' }],
    ]);
    expect(await ask('GET', '/v1/branches')).toMatchObject({ body: { branches: [{ name: 'main' }] } });
    const silent = gateway({ kind: 'silent', mayHaveActed: true, reason: 'no word' });
    expect(await silent.ask('POST', '/v1/branches', '{"name":"dev"}')).toMatchObject({
      status: 503,
      body: { code: 'AGENT_UNREACHABLE', message: expect.stringContaining('/v1/branches') },
    });
    const none = gateway(refused('NO_BRANCH'));
    expect(await none.ask('DELETE', '/v1/branches/dev')).toMatchObject({
      status: 404,
      body: { code: 'NO_BRANCH' },
    });
  });

  it('writes each act down once, with who asked for what, and what became of it; never what only looks', async () => {
    const { ask, acts } = gateway(refused('MOVE_RUNNING'), 'A'.repeat(43));
    const secret = { authorization: 'Bearer the-secret-of-the-cluster' };
    const traceId = '0af7651916cd43dd8448eb211c80319c';
    const traced = { ...secret, traceparent: `00-${traceId}-b7ad6b7169203331-01` };
    await ask('GET', '/v1/status', undefined, secret);
    await ask('POST', '/v1/failover', '{"target":"eu-west-1","allowDataLoss":true}', traced);
    await ask('POST', '/v1/switchover', '{"target":7}', secret);
    await ask('POST', '/v1/operations/us-east-1.7/cancel');
    expect(acts).toEqual([
      {
        who: 'the cluster secret',
        what: 'failover',
        target: { target: 'eu-west-1', allowDataLoss: true, sacrifice: [] },
        status: 409,
        code: 'MOVE_RUNNING',
        id: null,
        traceId,
      },
      {
        who: 'the cluster secret',
        what: 'switchover',
        target: {},
        status: 400,
        code: 'BAD_REQUEST',
        id: null,
        traceId: null,
      },
      {
        who: null,
        what: 'cancel',
        target: { id: 'us-east-1.7' },
        status: 401,
        code: 'AUTH_JWT_MISSING',
        id: null,
        traceId: null,
      },
    ]);
  });

  it('asks the agent that runs a move to give it up', async () => {
    const { ask, asked } = gateway(refused('TOO_LATE'));
    expect(await ask('POST', '/v1/operations/us-east-1.7/cancel')).toMatchObject({ status: 409 });
    expect(asked).toEqual([[us, { kind: 'cancel', id: 'us-east-1.7' }]]);
  });

  it('refuses with the status that belongs to the reason', async () => {
    const statuses = { BAD_REQUEST: 400, UNKNOWN_OPERATION: 404, NO_CONTROL_RECORD: 503, ANYTHING: 409 };
    for (const [code, status] of Object.entries(statuses)) {
      expect(await gateway(refused(code)).ask('GET', '/v1/operations/us-east-1.7')).toMatchObject({ status });
    }
    const silent = (mayHaveActed: boolean) => gateway({ kind: 'silent', mayHaveActed, reason: 'gone' });
    for (const [mayHaveActed, status] of [
      [false, 503],
      [true, 504],
    ] as const)
      expect(
        await silent(mayHaveActed).ask('POST', '/v1/switchover', '{"target":"us-east-1"}'),
      ).toMatchObject({
        status,
        body: { code: 'AGENT_UNREACHABLE' },
      });
  });

  it('says what is wrong with a body, an epoch, a region, and a watch that is no WebSocket', async () => {
    const { ask, asked } = gateway(refused('X'));
    expect(await ask('POST', '/v1/switchover', '{"to":"x"}')).toMatchObject({
      status: 400,
      body: {
        code: 'BAD_REQUEST',
        message: expect.stringMatching(/^The body must be JSON like \{"target": "us-east-1"\}: .*target: /),
      },
    });
    expect(await ask('POST', '/v1/switchover', 'nonsense')).toMatchObject({
      status: 400,
      body: { message: expect.stringContaining('body: ') },
    });
    expect(await ask('POST', '/v1/switchover', `"${'x'.repeat(17_000)}"`)).toMatchObject({
      status: 413,
      body: { code: 'SEXTANT_BODY_TOO_LARGE' },
    });
    for (const path of ['/v1/switchover', '/v1/failover'])
      expect(await ask('POST', path, '{"target":"mars"}')).toMatchObject({
        status: 404,
        body: {
          code: 'UNKNOWN_REGION',
          message: 'There is no region "mars"; there are us-east-1, eu-west-1.',
        },
      });
    expect(await ask('POST', '/v1/failover', '{"target":"us-east-1","sacrifice":["mars"]}')).toMatchObject({
      status: 404,
      body: { code: 'UNKNOWN_REGION' },
    });
    expect(await ask('GET', '/v1/losses/x')).toMatchObject({ status: 400, body: { code: 'BAD_REQUEST' } });
    expect(await ask('GET', '/v1/losses/7')).toMatchObject({ status: 404, body: { code: 'UNKNOWN_LOSS' } });
    expect(await ask('GET', '/v1/losses')).toEqual({
      status: 200,
      body: { losses: [], unreachable: ['eu-west-1'], unanswered: [] },
    });
    expect(await ask('GET', '/v1/watch')).toMatchObject({
      status: 400,
      body: { code: 'SEXTANT_PROTOCOL_ERROR' },
    });
    expect(await ask('GET', '/v1/operations/nonsense')).toMatchObject({
      status: 404,
      body: { code: 'UNKNOWN_OPERATION' },
    });
    expect(asked).toEqual([]);
  });
});

describe('/v1/regions/{region}/members', () => {
  const members = { region: eu, epoch: 0, nodes: [], joining: null, change: null, ended: null };
  const path = `/v1/regions/${eu}/members`;

  it('is asked of the agent of that region, and so is a replacement', async () => {
    const { ask, asked } = gateway({ kind: 'reply', reply: { kind: 'members', members } });
    expect(await ask('GET', path)).toEqual({ status: 200, body: members });
    expect(await ask('POST', path, '{"act":"cancel"}')).toEqual({ status: 202, body: members });
    expect(asked).toEqual([
      [eu, { kind: 'members' }],
      [eu, { kind: 'change-members', act: { act: 'cancel' } }],
    ]);
  });

  it('is refused for a region that there is not, for a body that says nothing, and with the reason of the agent', async () => {
    const { ask } = gateway(refused('CANNOT_REPLACE'));
    expect(await ask('GET', '/v1/regions/mars/members')).toMatchObject({
      status: 404,
      body: { code: 'UNKNOWN_REGION' },
    });
    expect(await ask('POST', path, '{"act":"replace"}')).toMatchObject({
      status: 400,
      body: { code: 'BAD_REQUEST', message: expect.stringContaining('{"act": "replace", "out": "n6"') },
    });
    expect(await ask('POST', path, '{"act":"resume"}')).toMatchObject({
      status: 409,
      body: { code: 'CANNOT_REPLACE' },
    });
  });
});

describe('/v1/policy', () => {
  const policy = { automatic: false, maxLossMs: null, rpoMs: 0, prefer: [] };

  it('is asked of any agent, its own region first, and changed by the fields that are given', async () => {
    const { ask, asked } = gateway({ kind: 'reply', reply: { kind: 'policy', policy } });
    expect(await ask('GET', '/v1/policy')).toEqual({ status: 200, body: policy });
    expect(await ask('PUT', '/v1/policy', '{"rpoMs":0}')).toEqual({ status: 200, body: policy });
    expect(asked).toEqual([
      [[us, eu], { kind: 'policy' }],
      [[us, eu], { kind: 'change-policy', change: { rpoMs: 0 } }],
    ]);
  });

  it('is refused with the field, and with the status that belongs to the reason', async () => {
    const { ask, asked } = gateway(refused('X'));
    for (const [body, problem] of [
      ['{"rpoMs":"0"}', 'rpoMs: '],
      ['{"automatic":1}', 'automatic: '],
      ['{"prefer":"eu-west-1"}', 'prefer: '],
      ['{"rpo":0}', 'rpo'],
    ] as const)
      expect(await ask('PUT', '/v1/policy', body)).toMatchObject({
        status: 400,
        body: {
          code: 'BAD_REQUEST',
          message: expect.stringMatching(
            new RegExp(`^The body must be JSON like \\{"rpoMs": 0\\}: .*${problem}`),
          ),
        },
      });
    expect(asked).toEqual([]);
    for (const [code, status] of Object.entries({ BAD_REQUEST: 400, NO_CONTROL_RECORD: 503, moving: 409 }))
      expect(await gateway(refused(code)).ask('PUT', '/v1/policy', '{}')).toMatchObject({
        status,
        body: { code, message: 'why' },
      });
    const silent = gateway({ kind: 'silent', mayHaveActed: true, reason: 'gone' });
    expect(await silent.ask('PUT', '/v1/policy', '{}')).toMatchObject({
      status: 503,
      body: { code: 'AGENT_UNREACHABLE', message: expect.stringContaining('ask again, which does no harm') },
    });
  });
});

describe('drills', () => {
  const drill = {
    id: '20261129-101500-node-loss-3fa2',
    kind: 'node-loss',
    state: 'running',
    startedAt: '2026-11-29T10:15:00.000Z',
    rtoMs: null,
    rpoCommits: null,
    lostWrites: null,
    report: null,
  } as const;

  it('are refused where no supervisor could undo them, with the way out', async () => {
    const { ask } = gateway(refused('X'));
    for (const [method, path, body] of [
      ['POST', '/v1/drills', '{"kind":"node-loss"}'],
      ['GET', '/v1/drills', undefined],
      ['GET', '/v1/drills/x', undefined],
    ] as const)
      expect(await ask(method, path, body)).toMatchObject({
        status: 409,
        body: {
          code: 'NO_SUPERVISOR',
          message: expect.stringContaining('sextant drill switchover --on FILE'),
        },
      });
  });

  it('are asked of the supervisor, with the defaults filled in, and its answers are handed on', async () => {
    const asked: unknown[] = [];
    const { ask } = gateway(refused('X'), null, {
      list: async () => ({ status: 200, body: { drills: [drill] } }),
      start: async (request) => {
        asked.push(request);
        return { status: 202, body: drill };
      },
      show: async (id) =>
        id === drill.id
          ? { status: 200, body: drill }
          : { status: 404, error: { code: 'UNKNOWN_DRILL', message: 'none' } },
    });
    expect(await ask('POST', '/v1/drills', '{"kind":"node-loss"}')).toEqual({ status: 202, body: drill });
    expect(asked).toEqual([{ kind: 'node-loss', load: 60, seconds: 8 }]);
    expect(await ask('GET', '/v1/drills')).toEqual({ status: 200, body: { drills: [drill] } });
    expect(await ask('GET', `/v1/drills/${drill.id}`)).toEqual({ status: 200, body: drill });
    expect(await ask('GET', '/v1/drills/other')).toMatchObject({
      status: 404,
      body: { code: 'UNKNOWN_DRILL' },
    });
    expect(await ask('POST', '/v1/drills', '{"kind":"earthquake"}')).toMatchObject({
      status: 400,
      body: { message: expect.stringMatching(/^The body must be JSON like \{"kind": "node-loss"\}: kind: /) },
    });
  });
});

describe('/openapi.json', () => {
  it('is the document of what is served: each path, what a request may leave out, and the error codes', async () => {
    const { ask } = gateway(refused('X'));
    const { body } = await ask('GET', '/openapi.json');
    expect(body).toEqual(JSON.parse(JSON.stringify(document('1.2.3'))));
    expect(body).toMatchObject({ openapi: '3.1.0', info: { title: 'Sextant gateway', version: '1.2.3' } });
    expect(Object.keys(body.paths)).toEqual([
      '/healthz',
      '/readyz',
      '/metrics',
      '/v1/status',
      '/v1/readiness',
      '/v1/endpoints',
      '/v1/backups',
      '/v1/watch',
      '/v1/live',
      '/v1/switchover',
      '/v1/failover',
      '/v1/operations/{id}',
      '/v1/operations/{id}/cancel',
      '/v1/losses',
      '/v1/losses/{epoch}',
      '/v1/policy',
      '/v1/regions',
      '/v1/branches',
      '/v1/branches/{name}',
      '/v1/rewind',
      '/v1/rewinds/{id}',
      '/v1/regions/{region}/members',
      '/v1/drills',
      '/v1/drills/{id}',
    ]);
    expect(Object.keys(body.paths['/v1/policy'])).toEqual(['get', 'put']);
    expect(Object.keys(body.paths['/v1/drills'])).toEqual(['get', 'post']);
    expect(body.components.schemas.Failover.required).toEqual(['target']);
    expect(body.components.schemas.Switchover.additionalProperties).toBe(false);
    // Fields of answers may be added: a client made of the document must not refuse them.
    expect(body.components.schemas.Status.additionalProperties).toBeUndefined();
    expect(body['x-sextant-errors'].SEXTANT_LIMIT.httpStatus).toBe(429);
    for (const [path, methods] of Object.entries<Record<string, unknown>>(body.paths)) {
      for (const method of Object.keys(methods)) {
        const answer = await ask(
          method.toUpperCase(),
          path.replace(/\{\w+\}/, '1'),
          method === 'get' ? undefined : '{}',
        );
        expect(Object(methods[method]).responses, path).toHaveProperty(String(answer.status));
      }
    }
  });
});
