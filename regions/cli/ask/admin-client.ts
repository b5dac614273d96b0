/**
 * The admin API as commands use it: finds a process that answers (any gateway, then any agent), and reads its answers strictly
 * in what they need and tolerantly in the rest.
 */
import { z } from 'zod';
import { requireDeployment } from '../../local/deployment-file.ts';
import type { Deployment } from '../../local/layout/local-layout.ts';
import { endpointsOf, type RegionEndpoints } from '../../local/places/region-endpoints.ts';
import { identityFilesOf, operatorOf } from '../../local/secure/local-certificates.ts';
import { actAs, operatorFilesIn, send } from './operator.ts';
import { CliError } from './output.ts';
import { whySilent } from './why-silent.ts';

/** Options that say which deployment is meant. */
export type TargetOptions = {
  readonly data: string;
  readonly url?: string;
  readonly token?: string;
  readonly identity?: string;
};

/** Certificates to show and to trust in what is asked of a deployment on this machine. @throws CliError when they are lost. */
export function actLocally(dataDir: string, { secure, regions }: Deployment): void {
  const [first] = regions;
  if (secure === true && first !== undefined) actAs(identityFilesOf(dataDir, operatorOf(first)));
}

/** A deployment to talk to: the local one, or that behind one gateway's URL. */
export type Target = {
  readonly local: Deployment | undefined;
  readonly endpoints: readonly RegionEndpoints[];
  /** Gateways to try, in order. */
  readonly gateways: readonly string[];
  readonly agents: readonly string[];
  /** For the admin API: the cluster secret on a local deployment, else the client's token. */
  readonly headers: Readonly<Record<string, string>>;
  /** For SQL: only ever the client's own token; null without one. */
  readonly clientToken: string | null;
};

const nodeStatusSchema = z.looseObject({
  id: z.string(),
  az: z.string().nullish(),
  state: z.string().nullish(),
  scl: z.number().nullish(),
  pid: z.number().nullish(),
  address: z.string().nullish(),
  trouble: z.string().nullish(),
  logBytes: z.number().nullish(),
  imageBytes: z.number().nullish(),
  floor: z.number().nullish(),
  needsImages: z.string().nullish(),
  role: z.string().nullish(),
  append: z.object({ p50Ms: z.number(), p99Ms: z.number(), slowMs: z.number() }).nullish(),
});

const regionStatusSchema = z.looseObject({
  name: z.string(),
  role: z.string(),
  vdl: z.number().nullish(),
  lagBytes: z.number().nullish(),
  lagMs: z.number().nullish(),
  rpoMs: z.number().nullish(),
  stalledMs: z.number().nullish(),
  ageMs: z.number().nullish(),
  ready: z.boolean().nullish(),
  headless: z.boolean().nullish(),
  gateway: z.string().nullish(),
  postgres: z.string().nullish(),
  gateways: z
    .array(
      z.looseObject({
        name: z.string(),
        address: z.string(),
        phase: z.string(),
        ready: z.boolean(),
        vdl: z.number(),
        pid: z.number(),
        awake: z.boolean().exactOptional(),
        postgres: z.string().exactOptional(),
      }),
    )
    .exactOptional(),
  agent: z.string().nullish(),
  trouble: z.string().nullish(),
  openBranches: z
    .array(
      z.object({
        branch: z.string(),
        awake: z.array(z.string()),
        resting: z.array(z.string()),
        writer: z.string().nullable(),
      }),
    )
    .optional(),
  versions: z.record(z.string(), z.string().nullable()).exactOptional(),
  needsImages: z.string().nullish(),
  retention: z
    .looseObject({
      held: z.array(z.object({ reason: z.string(), bytes: z.number() })).default([]),
      letGo: z.array(z.object({ region: z.string(), reason: z.string() })).default([]),
    })
    .nullish(),
  membershipEpoch: z.number().nullish(),
  backup: z.looseObject({ ageMs: z.number(), trouble: z.string().nullish() }).nullish(),
  nodes: z.array(nodeStatusSchema).default([]),
});
export type RegionStatus = z.output<typeof regionStatusSchema>;

/** Answer of `GET /v1/status`. */
export const statusSchema = z.looseObject({
  cluster: z.string(),
  engine: z.string().nullish(),
  epoch: z.number().nullish(),
  primary: z.string().nullish(),
  state: z.string(),
  policy: z.looseObject({ rpoMs: z.number().nullish() }).nullish(),
  failover: z
    .looseObject({
      automatic: z.boolean(),
      reason: z.string().nullish(),
      suspectedBy: z.array(z.string()).default([]),
    })
    .nullish(),
  hold: z
    .looseObject({
      answers: z.number(),
      forMs: z.number(),
      rpoMs: z.number().nullish(),
      waitsFor: z.array(z.string()).default([]),
    })
    .nullish(),
  regions: z.array(regionStatusSchema),
});
export type DeploymentStatus = z.output<typeof statusSchema>;

const errorSchema = z.looseObject({
  error: z.union([z.string(), z.looseObject({ code: z.string().nullish(), message: z.string() })]).optional(),
  code: z.string().nullish(),
  message: z.string().optional(),
});

const requestTimeoutMs = 3_000;
const aliveMs = 1_000;

/** Whether the options, or the environment, name a gateway rather than a data directory. */
export function isElsewhere({ url = process.env.SEXTANT_URL }: TargetOptions): boolean {
  return url !== undefined && url !== '';
}

/** The deployment the options name. @throws CliError or DeploymentError when there is none. */
export function targetOf(options: TargetOptions): Target {
  const url = options.url ?? process.env.SEXTANT_URL;
  const token = options.token ?? process.env.SEXTANT_TOKEN;
  const operator = options.identity ?? process.env.SEXTANT_IDENTITY;
  if (operator !== undefined && operator !== '') actAs(operatorFilesIn(operator));
  const clientToken = token ?? null;
  if (url !== undefined && isElsewhere(options)) {
    if (!/^https?:\/\//.test(url))
      throw new CliError(`--url is a gateway's address, such as http://127.0.0.1:7011, not ${url}`);
    return {
      local: undefined,
      endpoints: [],
      gateways: [url.replace(/\/+$/, '')],
      agents: [],
      headers: clientToken === null ? {} : { authorization: `Bearer ${clientToken}` },
      clientToken,
    };
  }
  const local = requireDeployment(options.data);
  const endpoints = endpointsOf(local);
  actLocally(options.data, local);
  return {
    local,
    endpoints,
    gateways: endpoints.flatMap(({ gateways }) => gateways.map(({ url: at }) => at)),
    agents: endpoints.map(({ agent }) => agent),
    headers: { authorization: `Bearer ${token ?? local.secret}`, 'x-sextant-cluster': local.cluster },
    clientToken,
  };
}

/** What a process said. `unreachable` means that nothing is known about whether it acted. */
export type Answer =
  | { readonly kind: 'ok'; readonly body: unknown }
  | {
      readonly kind: 'refused';
      readonly status: number;
      readonly code: string | undefined;
      readonly message: string;
    }
  | { readonly kind: 'unreachable'; readonly message: string };

/** Every answer but a usable one. */
export type NoAnswer = Exclude<Answer, { kind: 'ok' }>;

/** One request with a JSON answer. */
export async function ask(
  base: string,
  path: string,
  headers: Readonly<Record<string, string>>,
  body?: unknown,
  timeoutMs: number = requestTimeoutMs,
  method: 'GET' | 'POST' | 'PUT' | 'DELETE' = body === undefined ? 'GET' : 'POST',
): Promise<Answer> {
  try {
    const { ok, status, text } = await send(new URL(path, base), {
      method,
      headers: { ...headers, ...(body !== undefined && { 'content-type': 'application/json' }) },
      ...(body !== undefined && { body: JSON.stringify(body) }),
      timeoutMs,
    });
    return ok ? { kind: 'ok', body: JSON.parse(text) } : refusal(status, text);
  } catch (error) {
    return { kind: 'unreachable', message: `${base} does not answer (${whySilent(error)})` };
  }
}

function refusal(status: number, text: string): Answer {
  let body: unknown;
  try {
    body = JSON.parse(text);
  } catch {
    body = undefined;
  }
  const parsed = errorSchema.safeParse(body);
  const inner = parsed.success ? parsed.data.error : undefined;
  const code =
    (typeof inner === 'object' ? inner.code : undefined) ?? (parsed.success ? parsed.data.code : undefined);
  const message =
    (typeof inner === 'object' ? inner.message : inner) ??
    (parsed.success ? parsed.data.message : undefined) ??
    `HTTP ${status} ${text.slice(0, 300)}`;
  return { kind: 'refused', status, code: code ?? undefined, message };
}

/** Throws what a refused or unanswered request means to the user. */
export function failWith(answer: NoAnswer): never {
  throw new CliError(answer.message, answer.kind === 'refused' ? answer.code : undefined);
}

/** The first usable answer of `bases`, in their order; else why the last one gave none. */
export async function askAny(
  bases: readonly string[],
  path: string,
  headers: Readonly<Record<string, string>>,
): Promise<Answer> {
  let last: Answer = { kind: 'unreachable', message: 'no gateway is known' };
  for (const base of bases) {
    const answer = await ask(base, path, headers);
    if (answer.kind === 'ok') return answer;
    // What one process refuses tells more than that another one is away.
    if (answer.kind === 'refused' || last.kind === 'unreachable') last = answer;
  }
  return last;
}

/** `GET /v1/status` from any gateway, or else any agent. */
export async function fetchStatus(
  target: Target,
): Promise<{ readonly kind: 'ok'; readonly status: DeploymentStatus } | NoAnswer> {
  const answer = await askAny([...target.gateways, ...target.agents], '/v1/status', target.headers);
  if (answer.kind !== 'ok') return answer;
  const parsed = statusSchema.safeParse(answer.body);
  if (!parsed.success)
    throw new CliError(`/v1/status gave an answer this version cannot read: ${parsed.error.message}`);
  return { kind: 'ok', status: parsed.data };
}

/** Names of all regions, asked of the deployment itself when it is not a local one. */
export async function regionsOf(target: Target): Promise<readonly RegionStatus[]> {
  const answer = await fetchStatus(target);
  return answer.kind === 'ok' ? answer.status.regions : failWith(answer);
}

/** A region's gateway speaks as the one that named it does: all have certificates, or none. */
const asUrl = (text: string, { gateways }: Target): string => {
  if (/^https?:\/\//.test(text)) return text;
  return `${gateways[0]?.startsWith('https:') === true ? 'https' : 'http'}://${text}`;
};

/** The first of several gateways that answers; the first of all when none does, or there is one. */
async function firstAlive(urls: readonly string[]): Promise<string | undefined> {
  if (urls.length < 2) return urls[0];
  for (const url of urls) {
    const answer = await ask(url, '/healthz', {}, undefined, aliveMs);
    if (answer.kind === 'ok') return url;
  }
  return urls[0];
}

/**
 * What is run with a deployment's files is not sent to another one that listens at the same address: SQL names no deployment, so
 * the gateway is asked first. One that does not answer is told of by who sends to it.
 * @throws CliError with the code OTHER_CLUSTER.
 */
async function checkMeant({ cluster, secret }: Deployment, gateway: string): Promise<void> {
  const headers = { authorization: `Bearer ${secret}`, 'x-sextant-cluster': cluster };
  const answer = await ask(gateway, '/v1/status', headers);
  if (answer.kind !== 'refused') return;
  if (answer.code === 'OTHER_CLUSTER') throw new CliError(answer.message, answer.code);
  if (answer.status === 401)
    throw new CliError(
      `${gateway} does not know the secret of the deployment ${cluster}: another deployment listens at this address. Name the data ` +
        'directory of the one that is meant (--data), or its address (--url); if it should listen here, stop the other one first.',
      'OTHER_CLUSTER',
    );
}

/**
 * URL of a gateway of `region` that lives, and is one of the deployment that is meant.
 * @throws CliError listing the regions there are.
 */
export async function gatewayOf(target: Target, region: string): Promise<string> {
  const known = target.endpoints.find((endpoint) => endpoint.region === region);
  if (known?.headless === true)
    throw headlessError(
      region,
      target.endpoints.flatMap((other) => (other.headless ? [] : [other.region])),
    );
  const alive = await firstAlive(known?.gateways.map(({ url }) => url) ?? []);
  if (alive !== undefined) {
    if (target.local !== undefined) await checkMeant(target.local, alive);
    return alive;
  }
  if (target.local !== undefined) throw unknownRegion(region, target.local.regions);
  const regions = await regionsOf(target);
  const found = regions.find(({ name }) => name === region);
  if (found === undefined) {
    throw unknownRegion(
      region,
      regions.map(({ name }) => name),
    );
  }
  if (found.headless === true)
    throw headlessError(
      region,
      regions.flatMap((other) => (other.headless === true ? [] : [other.name])),
    );
  const heard = (found.gateways ?? []).map(({ address }) => address);
  const named = heard.length > 0 ? heard : [found.gateway ?? []].flat();
  const url = await firstAlive(named.map((address) => asUrl(address, target)));
  if (url === undefined) throw new CliError(`${region} has no gateway that is known`);
  return url;
}

/** Nobody answers SQL in a region without a gateway: says who does. */
const headlessError = (region: string, others: readonly string[]): CliError =>
  new CliError(
    `${region} is headless: it keeps a copy and has no gateway. Ask ${others.join(' or ') || 'another region'}, or give it one ` +
      `(\`sextant gateway add ${region}\` on a local deployment, an entry in \`gateways\` of its region.yaml elsewhere)`,
  );

export const unknownRegion = (region: string, known: readonly string[]): CliError =>
  new CliError(`no region ${region}; there are ${known.join(', ')}`);
