/** The admin API and the small routes that watch over the process: what a gateway answers on the routes of the one table. */
import { Hono } from 'hono';
import {
  type AdminAct,
  type AgentRequest,
  type ApiError,
  type ApiReply,
  branchStatus,
  type ClusterView,
  chooseLoss,
  type Described,
  type DrillLink,
  type EventSink,
  endpointsIn,
  mountApi,
  openapi,
  operationRegion,
  type SchemaName,
  whoIsMissing,
  withUrl,
  withUrls,
} from '../../regions/index.ts';
import { monotonicMs, type RegionId } from '../../storage/index.ts';
import { type MetricRegistry, metricsContentType } from '../../telemetry/index.ts';
import { adminGrant, admit } from '../access/admission.ts';
import type { Authenticator } from '../access/auth.ts';
import { encodeErrorBody } from '../sql/error-body.ts';
import { adviseError, describeError, errorTable } from '../sql/errors.ts';
import type { SqlError } from '../sql/sql.ts';
import type { AgentAnswer, AgentLink } from './agent-link.ts';

export interface AdminOptions {
  readonly auth: Authenticator;
  readonly secret: string;
  readonly cluster: string;
  readonly version: string;
  /** This gateway's own. */
  readonly region: RegionId;
  /** Where clients find this gateway, such as `http://10.0.0.7:7011`. */
  readonly base: () => string;
  readonly view: ClusterView;
  readonly agents: AgentLink;
  /** Who runs drills; null where nobody can break processes and heal them. */
  readonly drills: DrillLink | null;
  readonly registry: MetricRegistry;
  /** Told of every request for a change. */
  readonly audit: (act: AdminAct) => void;
  readonly ready: () => Described<'Ready'>;
  readonly readiness: () => Described<'Readiness'>;
  readonly live: {
    problem(): SqlError | null;
    feed(to: EventSink, isOver: () => boolean): void;
  };
}

/** `/openapi.json`, with the table of error codes that clients meet. */
export function document(version: string): object {
  const description =
    'The admin API. SQL is spoken in the libSQL protocol (Hrana 2 and 3, JSON) at /v2/pipeline, /v3/pipeline, /v3/cursor and over WebSocket at /.';
  const bearer =
    'A client token (JWT, EdDSA or ES256), for what is not GET one with the scope admin, or the cluster secret; nothing on an open gateway.';
  return {
    ...openapi('gateway', { title: 'Sextant gateway', version, description }, bearer),
    'x-sextant-errors': errorTable,
  };
}

/** The routes of a gateway. */
export function adminRoutes(options: AdminOptions): Hono {
  const app = new Hono();
  const described = JSON.stringify(document(options.version));
  app.get(
    '/openapi.json',
    () => new Response(described, { headers: { 'content-type': 'application/json' } }),
  );
  return app.route('/', served(options));
}

/** What a body looks like, where it does not name a target. */
const bodyExamples: { readonly [S in SchemaName]?: string } = {
  PolicyChange: '{"rpoMs": 0}',
  DrillRequest: '{"kind": "node-loss"}',
  RegionsChange: '{"add": "eu-west-1"}',
  BranchCreate: '{"name": "dev"}',
  RewindRequest: '{"to": "2026-11-29T12:00:00Z"}',
  MembersAct: '{"act": "replace", "out": "n6", "node": "n7", "address": "10.0.0.7:7007"}',
};

/** What this gateway answers on each of its routes. */
function served(options: AdminOptions): Hono {
  return mountApi(
    'gateway',
    {
      health: () => ({ status: 200, body: { status: 'ok' } }),
      ready: () => {
        const ready = options.ready();
        return { status: ready.ready ? 200 : 503, body: ready };
      },
      metrics: () => ({ status: 200, text: options.registry.render(), contentType: metricsContentType }),
      status: () => ({ status: 200, body: options.view.status(monotonicMs()) }),
      readiness: () => ({ status: 200, body: options.readiness() }),
      backups: () => ({ status: 200, body: options.view.backups(monotonicMs()) }),
      live: ({ authorization }) => live(authorization, options),
      watch: () => failed(400, 'SEXTANT_PROTOCOL_ERROR', '/v1/watch is a WebSocket.'),
      switchover: ({ body }) => begin({ kind: 'switchover', ...body }, options),
      failover: ({ body }) => begin({ kind: 'failover', ...body }, options),
      operation: ({ params }) => operation('operation', params.id, options),
      cancel: ({ params }) => operation('cancel', params.id, options),
      endpoints: () => ({ status: 200, body: endpointsIn(options.view.status(monotonicMs())) }),
      policy: async () => policyReply(await askAnyone({ kind: 'policy' }, options)),
      changePolicy: ({ body }) => changePolicy(body, options),
      changeRegions: ({ body }) => changeRegions(body, options),
      branches: () => ({ status: 200, body: withUrls(options.view.branches(monotonicMs()), options.base()) }),
      createBranch: ({ body }) => createBranch(body, options),
      deleteBranch: ({ params }) => deleteBranch(params.name, options),
      beginRewind: ({ body }) => beginRewind(body, options),
      rewind: ({ params }) => rewind(params.id, options),
      members: ({ params }) => members(params.region, { kind: 'members' }, options, 200),
      changeMembers: ({ params, body }) =>
        members(params.region, { kind: 'change-members', act: body }, options, 202),
      losses: () => losses(options),
      loss: ({ params }) => loss(params.epoch, options),
      drills: () => options.drills?.list() ?? noSupervisor,
      startDrill: ({ body }) => options.drills?.start(body) ?? noSupervisor,
      drill: ({ params }) => options.drills?.show(params.id) ?? noSupervisor,
    },
    {
      cluster: options.cluster,
      admit: (authorization, right) => admit(authorization, right, options.auth, options.secret),
      audit: options.audit,
      encodeError: encodeErrorBody,
      badBody: (problem, wanted) => {
        const problems = problem.issues.map((issue) => `${issue.path.join('.') || 'body'}: ${issue.message}`);
        const example = bodyExamples[wanted] ?? `{"target": "${options.view.regions[0]}"}`;
        return {
          code: 'BAD_REQUEST',
          message: `The body must be JSON like ${example}: ${problems.join('; ')}.`,
        };
      },
      bodyTooLarge: (bytesMax) =>
        adviseError('SEXTANT_BODY_TOO_LARGE', `The body is larger than ${bytesMax} bytes`),
    },
  );
}

/** A refusal of a route, by the status that the table has for it. */
function failed<S extends number>(
  status: S,
  code: string,
  message: string,
): { readonly status: S; readonly error: ApiError } {
  return { status, error: { code, message } };
}

/** A drill breaks processes and has to bring them back, also when this one is among them. */
const noSupervisor = failed(
  409,
  'NO_SUPERVISOR',
  'No supervisor runs this gateway, so nobody here can break a process and start it again: run drills on a local deployment ' +
    '(`sextant up`), or `sextant drill switchover --on FILE` from a machine that reaches every gateway.',
);

function knownRegion(name: string, options: AdminOptions): RegionId | null {
  return options.view.regions.find((region) => region === name) ?? null;
}

function unknownRegion(name: string, options: AdminOptions) {
  return failed(
    404,
    'UNKNOWN_REGION',
    `There is no region ${JSON.stringify(name)}; there are ${options.view.regions.join(', ')}.`,
  );
}

/** A feed ends with the token that it was opened with. */
async function live(
  authorization: string | undefined,
  options: AdminOptions,
): Promise<ApiReply<'live', 'gateway'>> {
  const { auth, secret } = options;
  const grant = await adminGrant(authorization, auth, secret);
  const problem = grant.ok ? options.live.problem() : grant.error;
  if (problem === null && grant.ok)
    return {
      status: 200,
      feed: (to) => options.live.feed(to, () => auth.lapsed(grant.value) !== null),
    };
  const { code, message } = problem ?? adviseError('SEXTANT_LIMIT', 'The feed is not to be had now');
  const status = describeError(code).httpStatus;
  return failed(status === 401 || status === 503 ? status : 429, code, message);
}

type Move = Extract<AgentRequest, { kind: 'switchover' | 'failover' }>;

async function begin(move: Move, options: AdminOptions): Promise<ApiReply<'failover', 'gateway'>> {
  const region = knownRegion(move.target, options);
  if (region === null) return unknownRegion(move.target, options);
  const sacrifice = move.kind === 'failover' ? (move.sacrifice ?? []) : [];
  const stranger = sacrifice.find((name) => knownRegion(name, options) === null);
  if (stranger !== undefined) return unknownRegion(stranger, options);
  return answerOf(await options.agents.ask(region, move), region, 202);
}

/** Any agent may read and change the policy and the regions; this gateway's own region is asked first. */
function askAnyone(
  request: Extract<AgentRequest, { kind: 'policy' | 'change-policy' | 'change-regions' | 'delete-branch' }>,
  { agents, region, view }: AdminOptions,
): Promise<AgentAnswer> {
  return agents.askAny([region, ...view.regions.filter((name) => name !== region)], request);
}

async function changeRegions(
  change: Described<'RegionsChange'>,
  options: AdminOptions,
): Promise<ApiReply<'changeRegions', 'gateway'>> {
  const answer = await askAnyone({ kind: 'change-regions', change }, options);
  if (answer.kind === 'silent') return failed(503, 'AGENT_UNREACHABLE', unheard(answer, '/v1/status'));
  const { reply } = answer;
  if (reply.kind === 'regions') return { status: 200, body: reply.membership };
  if (reply.kind !== 'refused') return failed(503, 'AGENT_UNREACHABLE', 'An agent answered something else.');
  const { code, message } = reply;
  if (code === 'NO_CONTROL_RECORD') return failed(503, code, message);
  return failed(code === 'BAD_REQUEST' ? 400 : 409, code, message);
}

/** The agent of the primary region makes a branch: it knows what is durable there now. */
async function createBranch(
  branch: Described<'BranchCreate'>,
  options: AdminOptions,
): Promise<ApiReply<'createBranch', 'gateway'>> {
  const primary = options.view.record?.primary ?? options.region;
  const answer = await options.agents.ask(primary, { kind: 'create-branch', branch });
  if (answer.kind === 'silent') {
    const advice = answer.mayHaveActed
      ? 'It may have been made all the same: look at /v1/branches.'
      : 'None was made.';
    return failed(503, 'AGENT_UNREACHABLE', `${primary}: ${answer.reason}. ${advice}`);
  }
  const { reply } = answer;
  if (reply.kind === 'branch') return { status: 201, body: withUrl(reply.branch, options.base()) };
  if (reply.kind !== 'refused')
    return failed(503, 'AGENT_UNREACHABLE', `${primary} answered something else.`);
  return failed(branchStatus(reply.code), reply.code, reply.message);
}

async function deleteBranch(
  name: string,
  options: AdminOptions,
): Promise<ApiReply<'deleteBranch', 'gateway'>> {
  const answer = await askAnyone({ kind: 'delete-branch', name }, options);
  if (answer.kind === 'silent') return failed(503, 'AGENT_UNREACHABLE', unheard(answer, '/v1/branches'));
  const { reply } = answer;
  if (reply.kind === 'branch') return { status: 200, body: withUrl(reply.branch, options.base()) };
  if (reply.kind !== 'refused') return failed(503, 'AGENT_UNREACHABLE', 'An agent answered something else.');
  const status = branchStatus(reply.code);
  return failed(status === 400 ? 409 : status, reply.code, reply.message);
}

/** What is known when no agent has answered a request that does no harm when it is made again. */
function unheard(answer: Extract<AgentAnswer, { kind: 'silent' }>, lookAt: string): string {
  const advice = answer.mayHaveActed
    ? `It may have acted all the same: look at ${lookAt}, or ask again, which does no harm.`
    : 'Nothing has changed.';
  return `No agent answers: ${answer.reason}. ${advice}`;
}

async function changePolicy(
  change: Described<'PolicyChange'>,
  options: AdminOptions,
): Promise<ApiReply<'changePolicy', 'gateway'>> {
  const answer = await askAnyone({ kind: 'change-policy', change }, options);
  if (answer.kind === 'silent' || answer.reply.kind !== 'refused') return policyReply(answer);
  const { code, message } = answer.reply;
  if (code === 'NO_CONTROL_RECORD') return failed(503, code, message);
  return failed(code === 'BAD_REQUEST' ? 400 : 409, code, message);
}

function policyReply(answer: AgentAnswer): ApiReply<'policy', 'gateway'> {
  if (answer.kind === 'silent') return failed(503, 'AGENT_UNREACHABLE', unheard(answer, '/v1/policy'));
  const { reply } = answer;
  if (reply.kind === 'policy') return { status: 200, body: reply.policy };
  if (reply.kind === 'refused') return failed(503, reply.code, reply.message);
  return failed(503, 'AGENT_UNREACHABLE', 'An agent answered something else.');
}

/** The agent of the primary runs it: its nodes say what the place means. */
async function beginRewind(
  request: Described<'RewindRequest'>,
  options: AdminOptions,
): Promise<ApiReply<'beginRewind', 'gateway'>> {
  const { record } = options.view;
  if (record === null) return failed(503, 'NO_CONTROL_RECORD', 'The control record has not been seen yet.');
  const answer = await options.agents.ask(record.primary, { kind: 'begin-rewind', request });
  if (answer.kind === 'reply' && answer.reply.kind === 'rewind')
    return { status: 202, body: answer.reply.rewind };
  const refusal = answerOf(answer, record.primary, 202);
  if (!('error' in refusal))
    return failed(503, 'AGENT_UNREACHABLE', `${record.primary} answered something else.`);
  const { status, error } = refusal;
  return { status: status === 404 ? 409 : status, error };
}

async function rewind(id: string, options: AdminOptions): Promise<ApiReply<'rewind', 'gateway'>> {
  const name = operationRegion(id);
  const region = name === null ? null : knownRegion(name, options);
  if (region === null) return failed(404, 'UNKNOWN_REWIND', `There is no rewind ${JSON.stringify(id)}.`);
  const answer = await options.agents.ask(region, { kind: 'rewind', id });
  if (answer.kind === 'silent') return failed(503, 'AGENT_UNREACHABLE', `${region}: ${answer.reason}.`);
  const { reply } = answer;
  if (reply.kind === 'rewind') return { status: 200, body: reply.rewind };
  if (reply.kind === 'refused') return failed(404, reply.code, reply.message);
  return failed(503, 'AGENT_UNREACHABLE', `${region} answered something else.`);
}

/** Asks after an operation, or for its end. */
async function operation(
  kind: 'operation' | 'cancel',
  id: string,
  options: AdminOptions,
): Promise<ApiReply<'operation', 'gateway'>> {
  const name = operationRegion(id);
  const region = name === null ? null : knownRegion(name, options);
  if (region === null)
    return failed(
      404,
      'UNKNOWN_OPERATION',
      `There is no operation ${JSON.stringify(id)}: the answer that began it has its id, which begins with the region that it moves to.`,
    );
  return answerOf(await options.agents.ask(region, { kind, id }), region, 200);
}

/** Nodes are the business of their region's agent. */
async function members<S extends 200 | 202>(
  name: string,
  request: Extract<AgentRequest, { kind: 'members' | 'change-members' }>,
  options: AdminOptions,
  success: S,
) {
  const region = knownRegion(name, options);
  if (region === null) return unknownRegion(name, options);
  const answer = await options.agents.ask(region, request);
  if (answer.kind === 'silent') {
    const advice = answer.mayHaveActed
      ? 'It may have acted all the same: asking again does no harm.'
      : 'Nothing has begun. Ask again once that agent is back: /v1/status tells how its region is.';
    return failed(503, 'AGENT_UNREACHABLE', `${region}: ${answer.reason}. ${advice}`);
  }
  const { reply } = answer;
  if (reply.kind === 'members') return { status: success, body: reply.members };
  if (reply.kind === 'refused') return failed(409, reply.code, reply.message);
  return failed(503, 'AGENT_UNREACHABLE', `${region} answered something else.`);
}

async function losses(options: AdminOptions): Promise<ApiReply<'losses', 'gateway'>> {
  const { reports, unreachable, unanswered } = await askLosses(options);
  const summaries = reports.map(({ commits: _, ...summary }) => summary);
  return { status: 200, body: { losses: summaries, unreachable, unanswered } };
}

function askLosses(options: AdminOptions): ReturnType<AgentLink['losses']> {
  return options.agents.losses(options.view.regions, options.view.record?.epoch ?? 0);
}

async function loss(text: string, options: AdminOptions): Promise<ApiReply<'loss', 'gateway'>> {
  const epoch = Number(text);
  if (!/^\d{1,10}$/.test(text))
    return failed(400, 'BAD_REQUEST', `An epoch is a number, not ${JSON.stringify(text)}.`);
  const { reports, unreachable, unanswered } = await askLosses(options);
  const choice = chooseLoss(reports, epoch);
  if (choice.kind === 'found') return { status: 200, body: choice.report };
  const lines = [choice.reason, ...whoIsMissing(unreachable, unanswered)];
  return failed(404, 'UNKNOWN_LOSS', lines.map((line) => `${line}.`).join(' '));
}

function answerOf<S extends 200 | 202>(answer: AgentAnswer, region: RegionId, success: S) {
  if (answer.kind === 'silent') {
    const advice = answer.mayHaveActed
      ? 'It may have acted all the same: look at /v1/status before trying again.'
      : 'Nothing has begun. Ask again once that agent is back, or name another region: /v1/status tells how each is.';
    const message = `${region}: ${answer.reason}. ${advice}`;
    return failed(answer.mayHaveActed ? 504 : 503, 'AGENT_UNREACHABLE', message);
  }
  const { reply } = answer;
  switch (reply.kind) {
    case 'operation':
      return { status: success, body: reply.operation };
    case 'refused':
      return failed(refusalStatus(reply.code), reply.code, reply.message);
    case 'losses':
    case 'policy':
    case 'regions':
    case 'branch':
    case 'members':
    case 'rewind':
      return failed(503, 'AGENT_UNREACHABLE', `${region} answered something else.`);
  }
}

function refusalStatus(code: string): 400 | 404 | 409 | 503 {
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
