/** Where a region's file names other storage nodes than the region has. The file is what a process begins with; what nodes keep wins. */
import type { Members } from '../../members/core/members-request.ts';
import type { Broken } from './region-rules.ts';

interface FileNode {
  readonly node: string;
  readonly az: string;
  readonly address: string;
}

/** @returns one line for each node of the file that is none any more, or listens elsewhere, with what to write there. */
export function membersBehind(
  nodes: readonly FileNode[],
  { epoch, nodes: now, joining }: Members,
): readonly Broken[] {
  const members = now.filter(({ role }) => role !== 'joining');
  const missing = members.filter(({ id }) => !nodes.some(({ node }) => node === id));
  const left = [...missing];
  return nodes.flatMap(({ node, az, address }, index): readonly Broken[] => {
    const same = members.find(({ id }) => id === node);
    if (same?.address === address) return [];
    if (same !== undefined) {
      const message = `${node} listens at ${same.address}, as the nodes of the region keep it (membership epoch ${epoch})`;
      return [{ path: ['nodes', index, 'address'], message }];
    }
    // A machine that is being prepared names the node that joins already.
    if (joining?.in === node) return [];
    const at = Math.max(
      left.findIndex((member) => member.az === az),
      0,
    );
    const [heir] = left.splice(at, 1);
    const instead =
      heir === undefined ? '' : `: write node ${heir.id}, az ${heir.az}, address ${heir.address} here`;
    return [
      { path: ['nodes', index], message: `${node} was replaced (membership epoch ${epoch})${instead}` },
    ];
  });
}
