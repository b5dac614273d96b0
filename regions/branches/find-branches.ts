/** Asks a region's nodes which branches they know, for a control record that was lost. */
import { type FetchSource, wallUs } from '../../storage/index.ts';
import { foundBranches } from './core/found-branches.ts';

const answerMs = 1_500;

/** What the nodes that answer know; see `foundBranches`. */
export async function findBranches(region: FetchSource): Promise<ReturnType<typeof foundBranches>> {
  const replies = await Promise.all(
    region.nodes.map((node) => region.request(node, { kind: 'status', known: true }, answerMs)),
  );
  const nodes = replies.flatMap((reply) =>
    reply.kind === 'status' ? [{ live: reply.branches ?? [], forks: reply.known?.forks ?? [] }] : [],
  );
  return foundBranches(nodes, Math.floor(wallUs() / 1_000));
}
