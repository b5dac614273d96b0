/**
 * The part of a local deployment's supervisor in replacing a storage node: it makes and starts the new one, and takes the old
 * one away at the end. What lies between is the region's agent's. Written down before anything is started, so that an `up` after
 * a crash in the middle runs both.
 */
import { rmSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import { nodesPerRegion, strictShape } from '../../storage/index.ts';
import { busyPorts } from './busy-port.ts';
import { addressesOf, processesWith } from './jaeger-processes.ts';
import type { JaegerPrograms } from './jaeger-programs.ts';
import {
  type Deployment,
  type DialledRoute,
  nodeNames,
  nodesOfRegion,
  type ProcessSpec,
  type Programs,
  runningNodes,
} from './local-layout.ts';
import { writeRegionFiles } from './region-files.ts';
import { secureDeployment } from './secure/make-certificates.ts';
import type { Supervisor } from './supervisor.ts';

/** What the command line asks of the supervisor, over its socket. */
export const nodesRequestSchema = z.discriminatedUnion('act', [
  /** Start a node that can take the place of `out`. Asked again, it answers with the same one. */
  strictShape({ act: z.literal('add'), region: z.string(), out: z.string() }),
  /** The replacement has ended, and the region has these nodes: the one of the two that is not among them is stopped. */
  strictShape({
    act: z.literal('settle'),
    region: z.string(),
    members: z.array(z.string()).length(nodesPerRegion),
  }),
]);
export type NodesRequest = z.output<typeof nodesRequestSchema>;

export const nodesReplySchema = z.union([
  z.object({ node: z.string(), address: z.string() }),
  z.object({ stopped: z.string().nullable() }),
  z.object({ error: z.string() }),
]);
export type NodesReply = z.output<typeof nodesReplySchema>;

export interface LocalMembersOptions {
  readonly deployment: Deployment;
  readonly dataDir: string;
  readonly supervisor: Pick<Supervisor, 'adopt' | 'release' | 'isUp'>;
  readonly programs: Programs;
  /** Programs of Jaeger, when it runs beside the deployment. */
  readonly jaeger: JaegerPrograms | undefined;
  /** Routes as they are dialled this time. */
  readonly proxies: readonly DialledRoute[];
  /** Writes the deployment down. */
  readonly write: (changed: Deployment) => void;
}

const startMs = 60_000;
const pollMs = 50;

export class LocalMembers {
  private readonly options: LocalMembersOptions;
  private deployment: Deployment;

  constructor(options: LocalMembersOptions) {
    this.options = options;
    this.deployment = options.deployment;
  }

  async answer(body: unknown): Promise<NodesReply> {
    const request = nodesRequestSchema.safeParse(body);
    if (!request.success) return { error: z.prettifyError(request.error) };
    const { region } = request.data;
    if (!this.deployment.regions.some((name) => name === region))
      return { error: `no region ${region}; there are ${this.deployment.regions.join(', ')}` };
    return request.data.act === 'add'
      ? this.add(region, request.data.out)
      : this.settle(region, request.data.members);
  }

  private async add(region: string, out: string): Promise<NodesReply> {
    const names = nodesOfRegion(this.deployment, region);
    const begun = this.deployment.replacing?.[region];
    if (begun !== undefined && begun.out !== out)
      return {
        error: `${begun.out} is being replaced by ${begun.in} already: bring that to its end with \`sextant node replace ${region}/${begun.out} --resume\`, or give it up with --cancel`,
      };
    if (!names.includes(out)) return { error: `no node ${region}/${out}; there are ${names.join(', ')}` };
    const chosen = begun?.in ?? freeName(names);
    if (chosen === undefined) return { error: 'no name is left for a new node' };
    if (begun === undefined) {
      const changed = withReplacing(this.deployment, region, { out, in: chosen });
      const spec = this.specOf(changed, `${region}/${chosen}`);
      if (spec === undefined) return { error: `${region}/${chosen} cannot be run` };
      const busy = await busyPorts([spec]);
      if (busy !== undefined) return { error: busy };
      // Whatever an earlier node of this name left is none of this one's.
      rmSync(spec.dir, { recursive: true, force: true });
      this.change(changed);
      const { dataDir } = this.options;
      await secureDeployment(
        dataDir,
        changed,
        (name) => runningNodes(changed, name),
        () => undefined,
      );
      this.options.supervisor.adopt(spec);
    }
    const id = `${region}/${chosen}`;
    const spec = this.specOf(this.deployment, id);
    for (const until = performance.now() + startMs; performance.now() < until; await sleep(pollMs))
      if (await this.options.supervisor.isUp(id))
        return { node: chosen, address: `127.0.0.1:${spec?.ports[0]}` };
    return { error: `${id} was not up within ${startMs / 1_000} s: see ${spec?.dir}/process.log` };
  }

  private async settle(region: string, members: readonly string[]): Promise<NodesReply> {
    const replacing = this.deployment.replacing?.[region];
    if (replacing === undefined) return { stopped: null };
    const isIn = members.includes(replacing.in);
    if (isIn === members.includes(replacing.out))
      return { error: `${replacing.out} is still being replaced by ${replacing.in} in ${region}` };
    const names = nodesOfRegion(this.deployment, region);
    const after = names.map((name) => (isIn && name === replacing.out ? replacing.in : name));
    const gone = isIn ? replacing.out : replacing.in;
    const left = withReplacing(this.deployment, region, undefined);
    this.change({ ...left, nodes: { ...left.nodes, [region]: [...after] } });
    await this.options.supervisor.release(`${region}/${gone}`);
    return { stopped: gone };
  }

  private specOf(deployment: Deployment, id: string): ProcessSpec | undefined {
    const { jaeger, dataDir, programs } = this.options;
    return processesWith(jaeger, deployment, dataDir, programs).find((spec) => spec.id === id);
  }

  /** Written down before anything is started or stopped. */
  private change(changed: Deployment): void {
    const { write, dataDir, proxies, jaeger } = this.options;
    write(changed);
    writeRegionFiles(changed, dataDir, proxies, jaeger && addressesOf(changed).ui);
    this.deployment = changed;
  }
}

/** A name that nobody has: one that never had a node here first, so that the data of a node taken out is kept for a while. */
const freeName = (names: readonly string[]): string | undefined => {
  const free = nodeNames.filter((name) => !names.includes(name));
  return free.find((name) => names.every((used) => used < name)) ?? free[0];
};

function withReplacing(
  deployment: Deployment,
  region: string,
  replacing: { readonly out: string; readonly in: string } | undefined,
): Deployment {
  const { [region]: _, ...others } = deployment.replacing ?? {};
  return { ...deployment, replacing: replacing === undefined ? others : { ...others, [region]: replacing } };
}
