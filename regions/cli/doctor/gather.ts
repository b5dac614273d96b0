/** Looks at this machine and asks the deployment, for `core/diagnosis.ts` to say what it means. Every question has a time limit. */
import { readFileSync, statSync } from 'node:fs';
import { statfs } from 'node:fs/promises';
import { freemem } from 'node:os';
import { dirname, resolve } from 'node:path';
import { z } from 'zod';
import { sextantVersion } from '../../../telemetry/core.ts';
import { unansweredSchema } from '../../moves/core/loss-answers.ts';
import { findNatsServer } from '../../nats/nats-server.ts';
import { readinessSchema } from '../../readiness/core/readiness.ts';
import { askAny, type DeploymentStatus, fetchStatus, type Target } from '../ask/admin-client.ts';
import { whySilent } from '../ask/why-silent.ts';
import type { DeploymentFacts, MachineFacts } from './core/diagnosis.ts';

const answerMs = 3_000;

/** @param ownServers whether the deployment in `dataDir` runs NATS servers of its own, or would. */
export async function machineFacts(ownServers: boolean, dataDir: string): Promise<MachineFacts> {
  const directory = resolve(dataDir);
  // Who looks installs nothing.
  const nats = ownServers ? await findNatsServer() : null;
  return {
    nodeVersion: process.versions.node,
    diskFreeBytes: await freeBytes(directory),
    memoryFreeBytes: availableMemory() ?? freemem(),
    openFiles: openFilesMax(),
    dataDir: directory,
    dataMode: modeOf(directory),
    nats,
  };
}

/** Of the directory, or of the nearest one above it that is there. */
async function freeBytes(directory: string): Promise<number | null> {
  try {
    const { bavail, bsize } = await statfs(directory);
    return bavail * bsize;
  } catch {
    const above = dirname(directory);
    return above === directory ? null : freeBytes(above);
  }
}

function modeOf(directory: string): number | null {
  try {
    return statSync(directory).mode & 0o777;
  } catch {
    return null;
  }
}

/** What Linux says could be given out without swapping; page cache counts. */
function availableMemory(): number | null {
  const kib = /^MemAvailable:\s+(\d+) kB$/m.exec(readOrEmpty('/proc/meminfo'))?.[1];
  return kib === undefined ? null : Number(kib) * 1_024;
}

function openFilesMax(): number | null {
  const soft = /^Max open files\s+(\d+)/m.exec(readOrEmpty('/proc/self/limits'))?.[1];
  return soft === undefined ? null : Number(soft);
}

function readOrEmpty(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}

const lossesSchema = z.object({
  losses: z.array(z.looseObject({ count: z.int() })),
  unreachable: z.array(z.string()).default([]),
  unanswered: z.array(unansweredSchema).default([]),
});

/** What the deployment says of itself; null when nobody answers. */
export async function deploymentFacts(target: Target): Promise<DeploymentFacts | null> {
  const bases = [...target.gateways, ...target.agents];
  const [status, readiness, losses, gateways] = await Promise.all([
    fetchStatus(target),
    askAny(bases, '/v1/readiness', target.headers),
    askAny(bases, '/v1/losses', target.headers),
    Promise.all(target.gateways.map((url) => askGateway(url))),
  ]);
  if (status.kind !== 'ok') return null;
  const said = readiness.kind === 'ok' ? readinessSchema.safeParse(readiness.body) : null;
  const lost = losses.kind === 'ok' ? lossesSchema.safeParse(losses.body) : null;
  return {
    ...ofStatus(status.status),
    ownVersion: sextantVersion,
    takeover:
      said?.success === true ? said.data.regions.map(({ region, reasons }) => ({ region, reasons })) : null,
    lostWrites: lost?.success === true ? lost.data.losses.reduce((sum, { count }) => sum + count, 0) : 0,
    unheard:
      lost?.success === true
        ? [
            ...lost.data.unreachable,
            ...lost.data.unanswered.map(({ region, epoch, branches }) =>
              branches === undefined ? `${region} of epoch ${epoch}` : `${region} of ${branches.join(', ')}`,
            ),
          ]
        : [],
    clocks: gateways.flatMap(({ clock }) => (clock === null ? [] : [clock])),
    notReady: gateways.flatMap(({ notReady }) => (notReady === null ? [] : [notReady])),
  };
}

function ofStatus({ state, primary, failover, regions }: DeploymentStatus) {
  return {
    state,
    primary: primary ?? null,
    automatic: failover?.automatic === true,
    automaticRefusal: failover?.reason ?? null,
    regions: regions.map(({ name, role, ready, stalledMs, trouble, versions, nodes }) => ({
      name,
      role,
      ready: ready === true,
      stalledMs: stalledMs ?? null,
      trouble: trouble ?? null,
      versions: versions ?? {},
      nodes: nodes.map(({ id, state: node, role: part, append }) => ({
        id,
        state: node ?? null,
        role: part ?? null,
        append: append ?? null,
      })),
    })),
  };
}

type GatewayWord = {
  readonly clock: DeploymentFacts['clocks'][number] | null;
  readonly notReady: DeploymentFacts['notReady'][number] | null;
};

/** Its own word on whether it is ready, and its clock by the `Date` of the answer, which has whole seconds. */
async function askGateway(url: string): Promise<GatewayWord> {
  const sentAtMs = Date.now();
  try {
    const response = await fetch(new URL('/readyz', url), { signal: AbortSignal.timeout(answerMs) });
    const text = await response.text();
    const tookMs = Date.now() - sentAtMs;
    const dateMs = Date.parse(response.headers.get('date') ?? '');
    const clock = Number.isNaN(dateMs)
      ? null
      : { url, aheadMs: dateMs + 500 - (sentAtMs + tookMs / 2), errorMs: 500 + tookMs / 2 };
    const notReady = response.ok ? null : { url, reason: text.trim().slice(0, 500) };
    return { clock, notReady };
  } catch (error) {
    return { clock: null, notReady: { url, reason: `it does not answer (${whySilent(error)})` } };
  }
}
