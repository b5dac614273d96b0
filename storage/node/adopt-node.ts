/** Hands the data of a node over to another cluster: what the state file calls its own is changed, and nothing else (R56). */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { nodeDisk } from '../log/disk.ts';
import type { MemberState } from '../members/core/member-state.ts';
import { heldMessage, lockDirectory } from '../process/directory-lock.ts';
import { nodeStateFile } from './node-data.ts';

export interface NodeToAdopt {
  readonly dataDir: string;
  readonly region: string;
  readonly node: string;
  /** All nodes of its region, by the file that it will run from. */
  readonly named: readonly string[];
}

/** `already`: it was done before. `absent`: no node has kept anything there. */
export type Adoption =
  | { readonly kind: 'adopted' | 'already' | 'absent' }
  | { readonly kind: 'refused'; readonly reason: string };

/**
 * From now on the node of cluster `from` is one of cluster `to`: processes of `from` refuse to open its data. Its log, images and
 * promises stay what they are. Its membership begins anew with what the file says (epoch 0): in another deployment the nodes have
 * other addresses. Refused while a process has the directory, for data of anybody else, and for a file that names other nodes.
 */
export async function adoptNode(
  { dataDir, region, node, named }: NodeToAdopt,
  { from, to }: { readonly from: string; readonly to: string },
): Promise<Adoption> {
  const refused = (reason: string): Adoption => ({ kind: 'refused', reason: `${dataDir}: ${reason}` });
  if (!existsSync(join(dataDir, 'state'))) return { kind: 'absent' };
  const locked = await lockDirectory(dataDir, `handing node ${node} over to ${to}`);
  if (locked.kind === 'held') return refused(heldMessage(dataDir, locked.holder));
  if (locked.kind === 'failed') return refused(`cannot be locked: ${locked.reason}`);
  try {
    const file = nodeStateFile(nodeDisk, dataDir);
    const loaded = await file.load();
    if (loaded.kind === 'absent') return { kind: 'absent' };
    if (loaded.kind === 'damaged') return refused(`the state file is damaged (${loaded.reason})`);
    const { value } = loaded;
    if (value.region !== region || value.node !== node)
      return refused(`it holds node ${value.region}/${value.node}, not ${region}/${node}`);
    if (value.cluster === to) return { kind: 'already' };
    if (value.cluster !== from) return refused(`it holds data of cluster ${value.cluster}, not of ${from}`);
    const { members, ...state } = value.state;
    const strange = members === undefined ? null : otherNodes(members, named);
    if (strange !== null) return refused(strange);
    const saved = await file.save({ ...value, cluster: to, state });
    return saved.kind === 'saved' ? { kind: 'adopted' } : refused(`cannot be written: ${saved.message}`);
  } finally {
    locked.lock.release();
  }
}

/** Why the file's nodes are not those that count by what the node knows, in words; null when they are. */
function otherNodes({ current }: MemberState, named: readonly string[]): string | null {
  if (current === null) return null;
  const { joining } = current;
  if (joining !== null)
    return (
      `${joining.out} is being replaced by ${joining.in.node}: start the region in its old deployment again until that has ended, ` +
      'or give it up with `sextant node replace --cancel`'
    );
  const counts = current.members.map((member) => String(member.node));
  if (counts.length === named.length && counts.every((name) => named.includes(name))) return null;
  return `its region has the storage nodes ${counts.join(', ')}, and the file names ${named.join(', ')}: write those that count into it`;
}

/** The cluster whose data lies in a node's directory; null where none can be read. */
export async function clusterOfData(dataDir: string): Promise<string | null> {
  if (!existsSync(join(dataDir, 'state'))) return null;
  const loaded = await nodeStateFile(nodeDisk, dataDir).load();
  return loaded.kind === 'value' || loaded.kind === 'previous' ? loaded.value.cluster : null;
}
