/**
 * The door to nodes' data folders, which commands open while no node runs on them. Apart, since it loads most of a storage node:
 * gateways and agents start without it.
 */

export { type Adoption, adoptNode, clusterOfData } from './node/adopt-node.ts';
export {
  FillError,
  type FilledAt,
  fillNode,
  type NodePlace,
  stageImages,
} from './restore/fill-node.ts';
export { PageFile } from './restore/page-file.ts';
