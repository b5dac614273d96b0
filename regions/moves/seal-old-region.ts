/**
 * Seals the nodes of the region that a failover leaves, so that it need not wait for the lease there (`core/region-fence.ts`,
 * R28). The nodes are asked by their own region's agent: it has links to them and their addresses, which other regions need
 * not reach. That serves when the old region's writer is frozen, overloaded or gone and the rest of the region lives; when its
 * agent does not answer either, the failover waits for the lease as ever.
 */
import { z } from 'zod';
import {
  type Epoch,
  epoch,
  machine,
  mainBranch,
  type NodeLinks,
  nodesIn,
  type RegionId,
  type Runtime,
  setsOf,
} from '../../storage/index.ts';
import { parseJson, subjectsOf } from '../bus/core/messages.ts';
import type { NatsConnection } from '../bus/nats-connection.ts';
import { RegionFence, sealAgainst } from './core/region-fence.ts';

const fenceRequestSchema = z.object({ reign: z.int().min(0).max(0xffff_fffe) });
const fenceReplySchema = z.object({ reign: z.int(), fenced: z.boolean() });

/** The agent asks its nodes for so long; whoever asked the agent waits a little longer. */
const nodesMs = 800;
const wayMs = 700;

const bytesOf = (value: unknown): Uint8Array => Buffer.from(JSON.stringify(value));
const textOf = (bytes: Uint8Array): string => Buffer.from(bytes).toString('utf8');

/**
 * Asks the agent of `region` to seal its nodes against `reign`. `fenced` may be acted on for as long as the control record says
 * epoch `reign` (`isHolderFenced`). Ends that reign even if the move is given up: ask for it last. Resolves within 1.5 s.
 */
export async function sealOldRegion(options: {
  readonly connection: Pick<NatsConnection, 'request'>;
  readonly cluster: string;
  readonly region: RegionId;
  readonly reign: Epoch;
}): Promise<'fenced' | 'unreachable'> {
  const { connection, cluster, region, reign } = options;
  const answer = await connection.request(
    subjectsOf(cluster).fence(region),
    bytesOf({ reign }),
    nodesMs + wayMs,
  );
  if (answer.kind !== 'reply') return 'unreachable';
  const reply = parseJson(fenceReplySchema, textOf(answer.data));
  return reply.kind === 'ok' && reply.value.fenced && reply.value.reign === reign ? 'fenced' : 'unreachable';
}

/** Seals this region's nodes against `reign`: all that can be reached; resolves as soon as enough have. */
export function sealNodes(
  links: Pick<NodeLinks, 'membership' | 'ask'>,
  reign: Epoch,
  runtime: Runtime = machine,
): Promise<'fenced' | 'unreachable'> {
  return new Promise((resolve) => {
    const sets = setsOf(links.membership);
    const fence = new RegionFence(sets);
    const deadline = runtime.after(nodesMs, () => resolve('unreachable'));
    const request = { kind: 'seal', branch: mainBranch, epoch: sealAgainst(reign) } as const;
    for (const node of nodesIn(sets)) {
      links.ask(node, request, nodesMs, (answer) => {
        const verdict = fence.answered(node, answer.kind === 'sealed');
        if (verdict === 'waiting') return;
        deadline.stop();
        resolve(verdict);
      });
    }
  });
}

/** Answers such requests for this region's agent. @returns how to stop. */
export function serveSeals(options: {
  readonly connection: Pick<NatsConnection, 'subscribe'>;
  readonly cluster: string;
  readonly region: RegionId;
  readonly nodes: Pick<NodeLinks, 'membership' | 'ask'>;
  readonly onSealed: (reign: Epoch, outcome: 'fenced' | 'unreachable') => void;
  readonly runtime?: Runtime;
}): () => void {
  const { connection, cluster, region, nodes, onSealed, runtime } = options;
  return connection.subscribe(subjectsOf(cluster).fence(region), (message) => {
    const request = parseJson(fenceRequestSchema, textOf(message.data));
    // Nobody would hear whether it may be acted on.
    if (request.kind !== 'ok' || !message.wantsAnswer) return message.passOver();
    const reign = epoch(request.value.reign);
    void sealNodes(nodes, reign, runtime).then((outcome) => {
      onSealed(reign, outcome);
      message.respond(bytesOf({ reign, fenced: outcome === 'fenced' }));
    });
  });
}
