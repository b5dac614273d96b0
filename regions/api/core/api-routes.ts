/**
 * The one table of the admin API: every path, what it takes, and what it may answer. Gateways and agents serve what is theirs of it
 * (`mount.ts` holds them to it), and `/openapi.json` is made of it.
 */
import type { Described, SchemaName } from './api-schemas.ts';

/** Who serves a route. */
export type ApiServer = 'gateway' | 'agent';

export type ErrorStatus = 400 | 401 | 403 | 404 | 409 | 413 | 415 | 421 | 429 | 500 | 503 | 504;

/** One way to succeed: JSON of a schema, plain text, or nothing that a document could describe. */
export type Answer =
  | { readonly schema: SchemaName; readonly description: string }
  | { readonly text: true; readonly description: string }
  /** Server-sent events, each a JSON object of the schema. */
  | { readonly events: SchemaName; readonly description: string }
  | { readonly description: string };

export interface ApiRoute {
  readonly method: 'get' | 'post' | 'put' | 'delete';
  /**
   * `{name}` stands for what varies. What begins with `/v1/` asks for a token or the cluster's secret: `get` for any that holds,
   * what changes something for one with the scope `admin`.
   */
  readonly path: string;
  readonly summary: string;
  /** What the parts of the path mean that vary. */
  readonly parameters?: Readonly<Record<string, string>>;
  readonly body?: SchemaName;
  readonly answers: Readonly<Record<number, Answer>>;
  /** Who serves it, and with which statuses each may refuse. */
  readonly errors: { readonly [S in ApiServer]?: readonly ErrorStatus[] };
}

const json = <const N extends SchemaName>(schema: N, description: string) =>
  ({ schema, description }) as const;

/** A gateway refuses a token that is missing or bad, and too many to be checked at once. */
const guarded = [401, 421, 429] as const;
/** Nor is a token enough without the scope `admin`, nor, without any token, what a form could send. */
const guardedAct = [...guarded, 403, 415] as const;
const move = {
  gateway: [...guardedAct, 400, 404, 409, 413, 503, 504],
  agent: [401, 421, 400, 409, 413, 500],
} as const;

export const apiRoutes = {
  health: {
    method: 'get',
    path: '/healthz',
    summary: 'The process runs',
    answers: { 200: json('Health', 'It does.') },
    errors: { gateway: [], agent: [] },
  },
  ready: {
    method: 'get',
    path: '/readyz',
    summary: 'Whether SQL is served',
    answers: { 200: json('Ready', 'It is.'), 503: json('Ready', 'Not now; the reasons say why.') },
    errors: { gateway: [] },
  },
  agentReady: {
    method: 'get',
    path: '/readyz',
    summary: 'Whether the agent does its work',
    answers: {
      200: json('AgentReady', 'It does.'),
      503: json('AgentReady', 'Not now; the reason says why.'),
    },
    errors: { agent: [] },
  },
  metrics: {
    method: 'get',
    path: '/metrics',
    summary: 'Prometheus metrics',
    answers: { 200: { text: true, description: 'Prometheus text format 0.0.4.' } },
    errors: { gateway: [], agent: [] },
  },
  status: {
    method: 'get',
    path: '/v1/status',
    summary: 'The whole deployment',
    answers: { 200: json('Status', 'As last reported.') },
    errors: { gateway: guarded, agent: [401, 421] },
  },
  readiness: {
    method: 'get',
    path: '/v1/readiness',
    summary: 'Which region could take over now, at what loss and in what time',
    answers: { 200: json('Readiness', 'As this process sees it, by reports not older than 3 s.') },
    errors: { gateway: guarded, agent: [401, 421] },
  },
  endpoints: {
    method: 'get',
    path: '/v1/endpoints',
    summary: 'Where the gateways are, and which one writes',
    answers: { 200: json('Endpoints', 'As they last reported, at most 3 s ago.') },
    errors: { gateway: guarded, agent: [401, 421] },
  },
  backups: {
    method: 'get',
    path: '/v1/backups',
    summary: 'How far each region\u2019s backup is',
    answers: { 200: json('Backups', 'Of each region that has one, as it last told.') },
    errors: { gateway: guarded, agent: [401, 421] },
  },
  watch: {
    method: 'get',
    path: '/v1/watch',
    summary: 'Live feed: the status, pushed when it changes (WebSocket)',
    answers: { 101: { description: 'Messages are Status objects in JSON.' } },
    errors: { gateway: [...guarded, 400, 503] },
  },
  live: {
    method: 'get',
    path: '/v1/live',
    summary:
      'Live feed for pages: status, readiness, moves, history and the writer\u2019s totals (server-sent events)',
    answers: {
      200: {
        events: 'LiveEvent',
        description: 'One event at once, then one a few times a second, until the client goes or takes none.',
      },
    },
    errors: { gateway: [...guarded, 503] },
  },
  switchover: {
    method: 'post',
    path: '/v1/switchover',
    summary: 'Planned move of the primary, without loss',
    body: 'Switchover',
    answers: { 202: json('Operation', 'It has begun.') },
    errors: move,
  },
  failover: {
    method: 'post',
    path: '/v1/failover',
    summary: 'Move of the primary away from a lost region',
    body: 'Failover',
    answers: { 202: json('Operation', 'It has begun.') },
    errors: move,
  },
  operation: {
    method: 'get',
    path: '/v1/operations/{id}',
    summary: 'How a move is going',
    parameters: { id: 'As the move answered.' },
    answers: { 200: json('Operation', 'Its phases and its result.') },
    errors: { gateway: [...guarded, 400, 404, 409, 503, 504], agent: [401, 421, 404, 409, 500] },
  },
  cancel: {
    method: 'post',
    path: '/v1/operations/{id}/cancel',
    summary: 'Gives a move up, until its target has taken over',
    parameters: { id: 'As the move answered.' },
    answers: { 200: json('Operation', 'It is being given up, or is.') },
    errors: { gateway: [...guardedAct, 400, 404, 409, 503, 504], agent: [401, 421, 404, 409, 500] },
  },
  losses: {
    method: 'get',
    path: '/v1/losses',
    summary: 'What failovers left behind',
    answers: { 200: json('Losses', 'One entry per lost reign.') },
    errors: { gateway: guarded, agent: [401, 421, 404, 409, 500] },
  },
  loss: {
    method: 'get',
    path: '/v1/losses/{epoch}',
    summary: 'Every lost write of one reign',
    parameters: { epoch: 'The reign whose writes are concerned.' },
    answers: { 200: json('LossReport', 'Commit by commit.') },
    errors: { gateway: [...guarded, 400, 404] },
  },
  policy: {
    method: 'get',
    path: '/v1/policy',
    summary: 'What was decided about failovers and how far writes may run ahead of other regions',
    answers: { 200: json('Policy', 'As the control record has it now.') },
    errors: { gateway: [...guarded, 503], agent: [401, 421, 503] },
  },
  changePolicy: {
    method: 'put',
    path: '/v1/policy',
    summary: 'Replaces the fields of the policy that are given; the others stay',
    body: 'PolicyChange',
    answers: { 200: json('Policy', 'The whole policy after the change.') },
    errors: { gateway: [...guardedAct, 400, 409, 413, 503], agent: [401, 421, 400, 409, 413, 503] },
  },
  changeRegions: {
    method: 'post',
    path: '/v1/regions',
    summary: 'Takes a region in, or lets one go',
    body: 'RegionsChange',
    answers: { 200: json('Regions', 'The regions from now on, and how the one stood that left.') },
    errors: { gateway: [...guardedAct, 400, 409, 413, 503], agent: [401, 421, 400, 409, 413, 503] },
  },
  branches: {
    method: 'get',
    path: '/v1/branches',
    summary: 'The branches, how far each is in every region, and where clients reach it',
    answers: { 200: json('Branches', 'As the control record names them, and regions last told.') },
    errors: { gateway: guarded, agent: [401, 421] },
  },
  createBranch: {
    method: 'post',
    path: '/v1/branches',
    summary: 'Makes a branch: a database of its own, of which nothing is copied',
    body: 'BranchCreate',
    answers: { 201: json('Branch', 'It is there: clients may use it.') },
    errors: {
      gateway: [...guardedAct, 400, 404, 409, 413, 503],
      agent: [401, 421, 400, 404, 409, 413, 503],
    },
  },
  deleteBranch: {
    method: 'delete',
    path: '/v1/branches/{name}',
    summary: 'Deletes a branch',
    parameters: { name: 'As it was made.' },
    answers: { 200: json('Branch', 'As it was.') },
    errors: { gateway: [...guardedAct, 404, 409, 503], agent: [401, 421, 404, 409, 503] },
  },
  beginRewind: {
    method: 'post',
    path: '/v1/rewind',
    summary: 'Takes the database back, or forward again, to a place in its history, in every region',
    body: 'RewindRequest',
    answers: { 202: json('Rewind', 'It has begun, and may be over; ask again for how it ends.') },
    errors: {
      gateway: [...guardedAct, 400, 409, 413, 503, 504],
      agent: [401, 421, 400, 409, 413, 503],
    },
  },
  rewind: {
    method: 'get',
    path: '/v1/rewinds/{id}',
    summary: 'How a rewind is going',
    parameters: { id: 'As its beginning answered.' },
    answers: { 200: json('Rewind', 'Its place, its state and what it left.') },
    errors: { gateway: [...guarded, 404, 409, 503, 504], agent: [401, 421, 404] },
  },
  members: {
    method: 'get',
    path: '/v1/regions/{region}/members',
    summary: 'The storage nodes of a region, and the replacement of one that is under way',
    parameters: { region: 'Its name.' },
    answers: { 200: json('Members', 'As its agent knows them.') },
    errors: { gateway: [...guarded, 404, 409, 503], agent: [401, 421, 404, 409] },
  },
  changeMembers: {
    method: 'post',
    path: '/v1/regions/{region}/members',
    summary: 'Begins to replace a storage node, goes on with it, or gives it up',
    parameters: { region: 'Its name.' },
    body: 'MembersAct',
    answers: { 202: json('Members', 'It has begun; ask again for how it gets on.') },
    errors: { gateway: [...guardedAct, 400, 404, 409, 413, 503], agent: [401, 421, 400, 404, 409, 413] },
  },
  drills: {
    method: 'get',
    path: '/v1/drills',
    summary: 'The drills that were run',
    answers: { 200: json('Drills', 'One entry per drill.') },
    errors: { gateway: [...guarded, 409, 503] },
  },
  startDrill: {
    method: 'post',
    path: '/v1/drills',
    summary: 'Begins a drill on a local deployment',
    body: 'DrillRequest',
    answers: { 202: json('Drill', 'Its preflight has passed and it runs.') },
    errors: { gateway: [...guardedAct, 400, 409, 413, 503] },
  },
  drill: {
    method: 'get',
    path: '/v1/drills/{id}',
    summary: 'One drill',
    parameters: { id: 'As its beginning answered.' },
    answers: { 200: json('Drill', 'Its state, and its report once it has ended.') },
    errors: { gateway: [...guarded, 404, 409, 503] },
  },
  rebuild: {
    method: 'post',
    path: '/v1/control/rebuild',
    summary: 'Makes a lost control record anew',
    body: 'Rebuild',
    answers: { 200: json('Rebuilt', 'What was written, or would be.') },
    errors: { agent: [401, 421, 400, 409, 413] },
  },
} as const satisfies Readonly<Record<string, ApiRoute>>;

type Routes = typeof apiRoutes;
/** The routes that a gateway, or an agent, serves. */
export type RouteName<S extends ApiServer> = {
  [N in keyof Routes]: S extends keyof Routes[N]['errors'] ? N : never;
}[keyof Routes];

/** What is told of a refusal. `waitMs`: ask again after this long. */
export interface ApiError {
  readonly code: string;
  readonly message: string;
  readonly waitMs?: number;
}

/** Where server-sent events are written: the part of a response of `node:http` that is used for it. */
export interface EventSink {
  /** The client has gone. */
  readonly destroyed: boolean;
  /** Bytes that the client has not taken. */
  readonly writableLength: number;
  writeHead(status: number, headers: Readonly<Record<string, string>>): unknown;
  write(bytes: Uint8Array): unknown;
  end(): unknown;
  destroy(): unknown;
  on(event: 'close', listener: () => void): unknown;
}

/** What is said may be given as it is kept: unchangeable. */
type Given<T> = T extends readonly (infer E)[]
  ? readonly Given<E>[]
  : T extends object
    ? { readonly [K in keyof T]: Given<T[K]> }
    : T;
type AnswerBody<A> = A extends { readonly schema: infer N extends SchemaName }
  ? { readonly body: Given<Described<N>> }
  : A extends { readonly text: true }
    ? { readonly text: string; readonly contentType: string }
    : A extends { readonly events: SchemaName }
      ? { readonly feed: (to: EventSink) => void }
      : never;
type Success<Answers> = {
  [Status in keyof Answers]: { readonly status: Status } & AnswerBody<Answers[Status]>;
}[keyof Answers];
type StatusOf<List> = List extends readonly (infer Status)[] ? Status : never;

/** What a server may answer on a route: a status of the table, with what belongs to it. */
export type ApiReply<N extends keyof Routes, S extends ApiServer> =
  | Success<Routes[N]['answers']>
  | {
      readonly status: StatusOf<S extends keyof Routes[N]['errors'] ? Routes[N]['errors'][S] : never>;
      readonly error: ApiError;
    };

type Varying<Path> = Path extends `${string}{${infer Name}}${infer Rest}` ? Name | Varying<Rest> : never;
/** What a handler is given: the parts of the path that vary, and the body as its schema reads it. */
export interface ApiCall<N extends keyof Routes> {
  readonly params: Readonly<Record<Varying<Routes[N]['path']>, string>>;
  /** The header, for an answer that goes on for longer than a token may. */
  readonly authorization: string | undefined;
  readonly body: Routes[N] extends { readonly body: infer B extends SchemaName } ? Described<B> : undefined;
}
