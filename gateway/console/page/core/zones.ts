/** A region's storage nodes by availability zone, and what its quorum can do. Pure. */
import type { Node, RegionStatus } from './api-types.ts';

/** Nodes that must store a write, and that must answer a recovery or a read. */
const writeQuorum = 4;
const readQuorum = 3;

export interface Zone {
  readonly name: string;
  /** What tells it from the other zones of its region. */
  readonly short: string;
  readonly nodes: readonly Node[];
}

/** @param region its name, which zones are usually named after. */
export function zonesOf(region: string, nodes: readonly Node[]): readonly Zone[] {
  const byName = new Map<string, Node[]>();
  for (const node of nodes) byName.set(node.az, [...(byName.get(node.az) ?? []), node]);
  return [...byName]
    .sort(([a], [b]) => a.localeCompare(b))
    .map(([name, inside]) => {
      const rest = name.startsWith(region) ? name.slice(region.length).replace(/^[-_.]/, '') : '';
      return { name, short: rest === '' ? name : rest, nodes: inside };
    });
}

export type QuorumHealth = 'whole' | 'degraded' | 'no-writes' | 'no-reads' | 'unknown';

export interface Quorum {
  readonly up: number;
  readonly of: number;
  readonly health: QuorumHealth;
  /** In words, with what may still fail. */
  readonly words: string;
}

export function quorumOf(region: Pick<RegionStatus, 'nodes' | 'role'>): Quorum {
  const of = region.nodes.length;
  if (of === 0 || region.role === 'offline')
    return { up: 0, of, health: 'unknown', words: 'not heard: the state of its nodes is not known' };
  const up = region.nodes.filter(({ state, trouble }) => state !== 'down' && trouble === undefined).length;
  const spare = up - writeQuorum;
  const nodes = `${up} of ${of} nodes up`;
  if (up === of) return { up, of, health: 'whole', words: `${nodes}: a whole zone may fail` };
  if (spare >= 0)
    return {
      up,
      of,
      health: 'degraded',
      words:
        spare === 0
          ? `${nodes}: writes go on, no other node may fail`
          : `${nodes}: writes go on, ${spare} more may fail`,
    };
  if (up >= readQuorum)
    return { up, of, health: 'no-writes', words: `${nodes}: reads go on, writes wait for ${-spare} more` };
  return {
    up,
    of,
    health: 'no-reads',
    words: `${nodes}: writes wait, and what restarts finds too few to read by`,
  };
}
