/** Every procedure of `regions/DEPLOY.md`, in the order in which they are rehearsed. */
import { capture } from './capture.ts';
import { deploy } from './deploy.ts';
import { failover } from './failover.ts';
import type { Procedure } from './procedure.ts';
import { rebuild } from './rebuild.ts';
import { refusals } from './refusals.ts';
import { replaceNode } from './replace-node.ts';
import { rotateCertificates } from './rotate-certificates.ts';
import { rotateTokenKeys } from './rotate-token-keys.ts';
import { twoRegions } from './two-regions.ts';
import { upgrade } from './upgrade.ts';

export const procedures: readonly Procedure[] = [
  deploy,
  refusals,
  capture,
  rotateTokenKeys,
  rotateCertificates,
  upgrade,
  failover,
  replaceNode,
  rebuild,
  twoRegions,
];
