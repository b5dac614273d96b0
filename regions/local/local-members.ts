/**
 * The part of a local deployment's supervisor in replacing a storage node: it makes and starts the new one, and takes the old
 * one away at the end. What lies between is the region's agent's. Written down before anything is started, so that an `up` after
 * a crash in the middle runs both.
 */
import { rmSync } from 'node:fs';
import { z } from 'zod';
import { nodesPerRegion, strictShape } from '../../storage/index.ts';
import { CertificateError } from '../certs/certificate-store.ts';
import { busyPorts } from './busy-port.ts';
import type { KeptDeployment } from './deployment-file.ts';
import { processesWith } from './jaeger-processes.ts';
import { type Deployment, namesIn, nodeNames, nodesOfRegion } from './layout/local-layout.ts';
import type { ProcessSpec, Programs } from './layout/local-processes.ts';
import type { JaegerPrograms } from './programs/jaeger-programs.ts';
import { secureDeployment } from './secure/make-certificates.ts';
import type { Supervisor } from './supervisor.ts';
import { failureText } from './wait-until-up.ts';

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
  readonly kept: KeptDeployment;
  readonly dataDir: string;
  readonly supervisor: Pick<Supervisor, 'extend' | 'dismiss'>;
  readonly programs: Programs;
  /** Programs of Jaeger, when it runs beside the deployment. */
  readonly jaeger: JaegerPrograms | undefined;
  readonly onProgress: (line: string) => void;
}

const startTimeoutMs = 60_000;

export class LocalMembers {
  private readonly options: LocalMembersOptions;

  constructor(options: LocalMembersOptions) {
    this.options = options;
  }

  private get deployment(): Deployment {
    return this.options.kept.now;
  }

  async answer(body: unknown): Promise<NodesReply> {
    const request = nodesRequestSchema.safeParse(body);
    if (!request.success) return { error: z.prettifyError(request.error) };
    const { region } = request.data;
    if (!this.deployment.regions.some((name) => name === region))
      return { error: `no region ${region}; there are ${this.deployment.regions.join(', ')}` };
    const { data } = request;
    return this.options.kept.alone(() => this.carryOut(data));
  }

  private async carryOut(request: NodesRequest): Promise<NodesReply> {
    const { region } = request;
    try {
      return request.act === 'add'
        ? await this.add(region, request.out)
        : await this.settle(region, request.members);
    } catch (error) {
      if (error instanceof CertificateError) return { error: error.message };
      throw error;
    }
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
    const before = this.deployment;
    const after = begun === undefined ? withReplacing(before, region, { out, in: chosen }) : before;
    const spec = this.specOf(after, `${region}/${chosen}`);
    if (spec === undefined) return { error: `${region}/${chosen} cannot be run` };
    const { dataDir, supervisor, kept, onProgress } = this.options;
    if (begun === undefined) {
      const busy = await busyPorts([spec]);
      if (busy !== undefined) return { error: busy };
      // Whatever an earlier node of this name left is none of this one's.
      rmSync(spec.dir, { recursive: true, force: true });
      if (after.secure === true) await secureDeployment(dataDir, after, namesIn(after), onProgress);
      // Written down before it is started.
      kept.keep(after);
    }
    const failure = await supervisor.extend([spec], startTimeoutMs);
    if (failure === undefined) return { node: chosen, address: `127.0.0.1:${spec.ports[0]}` };
    kept.keep(before);
    return { error: failureText(failure) };
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
    this.options.kept.keep({ ...left, nodes: { ...left.nodes, [region]: [...after] } });
    await this.options.supervisor.dismiss([`${region}/${gone}`]);
    return { stopped: gone };
  }

  private specOf(deployment: Deployment, id: string): ProcessSpec | undefined {
    const { jaeger, dataDir, programs } = this.options;
    return processesWith(jaeger, deployment, dataDir, programs).find((spec) => spec.id === id);
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
