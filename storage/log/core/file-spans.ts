/**
 * Which part of the history lies in which file of a node's log, told in one entry a file and epoch, so that what may be
 * dropped is found without a look at every frame.
 */
import type { EpochTree } from '../../history/epoch-tree.ts';
import { type Epoch, type Lsn, maxLsn, minLsn, zeroLsn } from '../../redo/ids.ts';
import type { HeldFrame } from './held-frames.ts';

interface Span {
  base: Lsn;
  end: Lsn;
}

export class FileSpans {
  private readonly files = new Map<number, Map<Epoch, Span>>();

  add({ epoch, base, end, position }: Pick<HeldFrame, 'epoch' | 'base' | 'end' | 'position'>): void {
    let spans = this.files.get(position.file);
    if (spans === undefined) {
      spans = new Map();
      this.files.set(position.file, spans);
    }
    const span = spans.get(epoch);
    if (span === undefined) {
      spans.set(epoch, { base, end });
      return;
    }
    span.base = minLsn(span.base, base);
    span.end = maxLsn(span.end, end);
  }

  /** Forgets the files up to `through`. */
  forget(through: number): void {
    for (const file of this.files.keys()) if (file <= through) this.files.delete(file);
  }

  /**
   * Where the newest frame of the path to `head` in this file ends; zero when it holds none of that path. Of a file that holds
   * frames on both sides of where the path leaves an epoch this may be that place: never too low.
   */
  endOn(tree: EpochTree, head: Epoch, file: number): Lsn {
    let end = zeroLsn;
    for (const { epoch, until } of tree.path(head)) {
      const span = this.files.get(file)?.get(epoch);
      if (span !== undefined && span.base < until) end = maxLsn(end, minLsn(span.end, until));
    }
    return end;
  }
}
