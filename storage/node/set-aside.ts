/**
 * What a node does about data that cannot be believed, such as a state file whose bytes have rotted: it moves all of it aside
 * and begins anew, as a node that was wiped, and its peers refill it. What was moved stays until the node is complete again, so
 * that nothing is thrown away while it may be the last copy; a second time before that is for an operator to look at.
 */
import { existsSync, mkdirSync, renameSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { machine, type Timer } from '../process/runtime.ts';
import type { StorageNode } from './core/node.ts';

const lookEveryMs = 10_000;
/** All that a node keeps, the state last: without it the rest says nothing to a start that comes between. */
const kept = ['log', 'images', 'state'] as const;

export const setAsideDir = (dataDir: string): string => join(dataDir, 'set-aside');

/** Moves a node's data aside. @returns false when something lies there already. */
export function setAside(dataDir: string): boolean {
  const aside = setAsideDir(dataDir);
  // A start that was killed half-way goes on where it stopped.
  if (kept.every((name) => existsSync(join(aside, name)))) return false;
  mkdirSync(aside, { recursive: true });
  for (const name of kept) {
    const from = join(dataDir, name);
    const to = join(aside, name);
    if (existsSync(from) && existsSync(to)) return false;
    if (existsSync(from)) renameSync(from, to);
  }
  return true;
}

/** Removes what was moved aside once the node holds everything again. */
export class SetAsideWatch {
  private readonly dataDir: string;
  private readonly node: Pick<StorageNode, 'care' | 'segment' | 'durable'>;
  private readonly onRemoved: () => void;
  private readonly timer: Timer;
  private removing = false;

  constructor(
    dataDir: string,
    node: Pick<StorageNode, 'care' | 'segment' | 'durable'>,
    onRemoved: () => void,
  ) {
    this.dataDir = dataDir;
    this.node = node;
    this.onRemoved = onRemoved;
    this.timer = machine.every(lookEveryMs, () => void this.look());
  }

  /** Resolves when it has looked. */
  async look(): Promise<void> {
    const aside = setAsideDir(this.dataDir);
    if (this.removing || !isWhole(this.node) || !existsSync(aside)) return;
    this.removing = true;
    try {
      await rm(aside, { recursive: true, force: true });
      this.onRemoved();
    } catch {
      // The next look may succeed.
    }
    this.removing = false;
  }

  close(): void {
    this.timer.stop();
  }
}

/** Whether a node holds everything that it knows to be durable, and is a witness of it (S6). */
function isWhole({ care, segment, durable }: Pick<StorageNode, 'care' | 'segment' | 'durable'>): boolean {
  return care.isWhole && segment.volumeEnd(durable.head) >= durable.vdl;
}
