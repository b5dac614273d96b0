/**
 * How `sextant node`, `region`, `status` and `down` talk to a running supervisor: HTTP over a unix socket in the data directory
 * that only its owner may open.
 */
import { chmodSync, mkdirSync, rmSync } from 'node:fs';
import { createServer, type IncomingMessage, request, type Server } from 'node:http';
import { dirname } from 'node:path';
import { z } from 'zod';
import { regionSchema } from '../../storage/index.ts';
import type { metrics } from '../../telemetry/index.ts';

/** What can be done to a part of a deployment. `target` is a region, or a process such as `us-east-1/n1`. */
export const actionSchema = z.strictObject({
  action: z.enum([
    'kill',
    'start',
    'freeze',
    'thaw',
    'wipe',
    'isolate',
    'heal',
    // SIGKILL, and its supervisor starts it again, as after any crash.
    'crash',
    // A region's routes (each way), and a storage node's flushes, take `delayMs` longer. 0 ends it, and `heal` that of routes.
    'slow-link',
    'slow-disk',
  ]),
  target: z.string().max(128),
  delayMs: z.number().min(0).max(10_000).optional(),
});
export type Action = z.output<typeof actionSchema>;

/** Answer to an action: the processes (or, for isolate and heal, the region) it changed. */
export const actionResultSchema = z.union([
  z.object({ changed: z.array(z.string()) }),
  z.object({ error: z.string() }),
]);
export type ActionResult = z.output<typeof actionResultSchema>;

/** A region comes or goes, or gets a gateway more: the part of it that is processes, routes and files. */
export const regionChangeSchema = z.discriminatedUnion('act', [
  z.strictObject({ act: z.literal('add'), region: regionSchema, headless: z.boolean().optional() }),
  z.strictObject({ act: z.literal('remove'), region: regionSchema, deleteData: z.boolean().optional() }),
  z.strictObject({ act: z.literal('add-gateway'), region: regionSchema }),
]);
export type RegionChange = z.output<typeof regionChangeSchema>;

/** The processes that were started or stopped; none when it was so already. */
export const regionChangedSchema = z.union([
  z.object({
    changed: z.array(z.string()),
    /** A NATS server of the region's name goes on, since it keeps a copy of the control record. */
    keepsVote: z.boolean(),
  }),
  z.object({ error: z.string() }),
]);
export type RegionChanged =
  | { readonly changed: readonly string[]; readonly keepsVote: boolean }
  | { readonly error: string };

const processStatusSchema = z.object({
  id: z.string(),
  region: z.string(),
  role: z.enum(['prometheus', 'window', 'jaeger', 'nats', 'storage', 'agent', 'gateway', 'endpoint']),
  state: z.enum(['stopped', 'running', 'frozen', 'restarting', 'crash-looping']),
  pid: z.number().nullable(),
  ports: z.array(z.number()),
  restarts: z.number(),
  startedAtMs: z.number().nullable(),
  lastExit: z.string().nullable(),
  trouble: z.string().nullable().default(null),
  log: z.string(),
});

export const supervisorStatusSchema = z.object({
  pid: z.number(),
  phase: z.enum(['starting', 'ready', 'stopping']),
  isolated: z.array(z.string()),
  /** How far apart the regions are made to be; empty without `--wan`. */
  wan: z.array(z.object({ a: z.string(), b: z.string(), rttMs: z.number() })).default([]),
  /** Regions whose routes, and storage nodes whose flushes, are slowed down on purpose. */
  slowed: z.array(z.string()).default([]),
  processes: z.array(processStatusSchema),
});
/** What a supervisor knows: its own pid, and every process with its state. */
export type SupervisorStatus = z.output<typeof supervisorStatusSchema>;

/** A drill, and how it ended. */
export type EndedDrill = {
  readonly kind: (typeof metrics)['drills']['words']['kind'][number];
  readonly result: 'passed' | 'failed' | 'abandoned';
};

/** What else is served at the socket: answers with a status and a body, or undefined when the path is not its own. */
export type MoreRoutes = {
  /** Every drill of the deployment that has ended, for metrics. */
  endedDrills(): readonly EndedDrill[];
  answer(method: string, path: string, body: unknown): Promise<readonly [number, unknown]> | undefined;
  /** Ends what it runs. */
  close(): void;
};

/** What the socket serves. */
export type ControlHandlers = {
  readonly status: () => SupervisorStatus;
  readonly act: (action: Action) => Promise<ActionResult>;
  readonly changeRegions?: (change: RegionChange) => Promise<RegionChanged>;
  /** Makes and takes away storage nodes. */
  readonly nodes?: (request: unknown) => Promise<object>;
  readonly more?: MoreRoutes;
};

const bodyBytesMax = 16 * 1024;
/** Longest path that fits a socket address on every system. */
const socketPathMax = 100;

/** Why no socket can be bound at `path`, or undefined when one can. */
export function socketPathProblem(path: string): string | undefined {
  const bytes = Buffer.byteLength(path);
  return bytes > socketPathMax
    ? `the path of the control socket, ${path}, is ${bytes} bytes long and may have ${socketPathMax}: choose a shorter --data`
    : undefined;
}

async function bodyOf(message: IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of message) {
    const buffer: Buffer = Buffer.isBuffer(chunk) ? chunk : Buffer.from(String(chunk));
    bytes += buffer.length;
    if (bytes > bodyBytesMax) return undefined;
    chunks.push(buffer);
  }
  try {
    return JSON.parse(Buffer.concat(chunks).toString());
  } catch {
    return undefined;
  }
}

async function answer(
  message: IncomingMessage,
  handlers: ControlHandlers,
): Promise<readonly [number, unknown]> {
  if (message.method === 'GET' && message.url === '/status') return [200, handlers.status()];
  if (message.method === 'POST' && message.url === '/actions') {
    const action = actionSchema.safeParse(await bodyOf(message));
    if (!action.success) return [400, { error: z.prettifyError(action.error) }];
    const result = await handlers.act(action.data);
    return ['error' in result ? 409 : 200, result];
  }
  if (message.method === 'POST' && message.url === '/regions') {
    const change = regionChangeSchema.safeParse(await bodyOf(message));
    if (!change.success) return [400, { error: z.prettifyError(change.error) }];
    const result = (await handlers.changeRegions?.(change.data)) ?? { error: 'no region comes or goes here' };
    return ['error' in result ? 409 : 200, result];
  }
  if (message.method === 'POST' && message.url === '/nodes' && handlers.nodes !== undefined) {
    const result = await handlers.nodes(await bodyOf(message));
    return ['error' in result ? 409 : 200, result];
  }
  const { method = 'GET', url = '/' } = message;
  const body = method === 'GET' ? undefined : await bodyOf(message);
  const more = await handlers.more?.answer(method, url, body);
  if (more !== undefined) return more;
  return [404, { error: 'GET /status, POST /actions, POST /regions or POST /nodes' }];
}

/** Serves `handlers` at `path`, replacing a socket that a dead supervisor left. Resolves when it accepts connections. */
export async function serveControl(path: string, handlers: ControlHandlers): Promise<Server> {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  rmSync(path, { force: true });
  const server = createServer((message, response) => {
    answer(message, handlers)
      .catch((error: unknown): readonly [number, unknown] => [500, { error: String(error) }])
      .then(([code, body]) => {
        response.writeHead(code, { 'content-type': 'application/json' }).end(JSON.stringify(body));
      })
      .catch(() => response.destroy());
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(path, resolve);
  });
  chmodSync(path, 0o600);
  return server;
}

/** One request to the supervisor at `path`: the JSON it answers, or undefined when none answers within `timeoutMs`. */
export function callSupervisor(
  path: string,
  method: string,
  url: string,
  body: unknown,
  timeoutMs: number,
): Promise<unknown> {
  return new Promise((resolve) => {
    const outgoing = request({ socketPath: path, method, path: url, timeout: timeoutMs }, (response) => {
      bodyOfResponse(response).then(resolve, () => resolve(undefined));
    });
    outgoing.on('timeout', () => outgoing.destroy());
    outgoing.on('error', () => resolve(undefined));
    outgoing.end(body === undefined ? undefined : JSON.stringify(body));
  });
}

async function bodyOfResponse(response: IncomingMessage): Promise<unknown> {
  let text = '';
  for await (const chunk of response.setEncoding('utf8')) text += String(chunk);
  return JSON.parse(text);
}

const statusTimeoutMs = 2_000;
const actionTimeoutMs = 60_000;
/** Processes of a region stop one role after another, each with its grace, and come up on a machine that is busy. */
const regionTimeoutMs = 180_000;

/** Status of the supervisor at `path`, or undefined when none runs there. */
export async function supervisorStatus(path: string): Promise<SupervisorStatus | undefined> {
  const parsed = supervisorStatusSchema.safeParse(
    await callSupervisor(path, 'GET', '/status', undefined, statusTimeoutMs),
  );
  return parsed.success ? parsed.data : undefined;
}

/** Has the supervisor at `path` do something, and waits until it is done. */
export async function requestAction(path: string, action: Action): Promise<ActionResult> {
  const parsed = actionResultSchema.safeParse(
    await callSupervisor(path, 'POST', '/actions', action, actionTimeoutMs),
  );
  return parsed.success
    ? parsed.data
    : { error: 'no supervisor answers: is the deployment running? (`sextant up`, or another --data)' };
}

/** Has the supervisor at `path` let a region come or go, and waits until its processes have started or stopped. */
export async function requestRegionChange(
  path: string,
  change: z.input<typeof regionChangeSchema>,
): Promise<RegionChanged> {
  const parsed = regionChangedSchema.safeParse(
    await callSupervisor(path, 'POST', '/regions', change, regionTimeoutMs),
  );
  return parsed.success
    ? parsed.data
    : { error: 'no supervisor answers: is the deployment running? (`sextant up`, or another --data)' };
}
