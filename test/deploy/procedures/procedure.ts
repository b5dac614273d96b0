/** One procedure of the runbook. It begins with three regions up and level, and leaves them so. */
import type { Network } from '../network.ts';
import type { Shop } from '../shop.ts';

export interface Rehearsal {
  readonly shop: Shop;
  readonly network: Network;
  /** A machine that has nothing on it yet. */
  readonly spare: Network['machines'][number];
}

export interface Procedure {
  readonly name: string;
  /** In one line, for `--list`. */
  readonly what: string;
  run(rehearsal: Rehearsal): Promise<void>;
}
