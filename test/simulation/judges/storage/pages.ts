/**
 * A model of plain pages: what every page is on every path of the history, from the changes that the writers made and nothing
 * else. Whoever reads a page at a read point, and whatever a disk says of one, has to show that.
 */
import { EpochTree, type Fork } from '../../../../storage/history/epoch-tree.ts';
import { type Epoch, type Lsn, minLsn, type PageNo } from '../../../../storage/redo/ids.ts';
import { redoLimits } from '../../../../storage/redo/limits.ts';
import type { PageChange } from '../../../../storage/redo/record.ts';
import type { FinalWrite } from '../durability.ts';
import type { Judge } from '../judge.ts';

/** A transaction as its writer made it. */
export type Committed = {
  readonly epoch: Epoch;
  /** Of its commit. */
  readonly lsn: Lsn;
  readonly writeId: string;
  readonly changes: readonly PageChange[];
};

/** A page as somebody showed it; null where there is none. */
export type ShownPage = {
  /** Who, such as `us-east-1/n1`. */
  readonly at: string;
  readonly head: Epoch;
  readonly readPoint: Lsn;
  readonly page: PageNo;
  readonly content: Uint8Array | null;
};

export class PagesJudge implements Judge {
  readonly name = 'pages';
  readonly verdict = 'correctness';
  private readonly tree = new EpochTree();
  private readonly commits = new Map<Epoch, Committed[]>();
  private readonly versions = new Map<PageNo, Map<Epoch, { lsn: Lsn; change: PageChange }[]>>();
  private readonly found: string[] = [];

  /** The path of a writer that begins. */
  forks(forks: readonly Fork[]): void {
    this.tree.addAll(forks);
  }

  committed(commit: Committed): void {
    const { epoch, lsn, changes } = commit;
    kept(this.commits, epoch, () => []).push(commit);
    for (const change of changes) {
      const ofPage = kept(this.versions, change.page, () => new Map());
      kept(ofPage, epoch, () => []).push({ lsn, change });
    }
  }

  /** A page was shown, along a path that the judge knows. */
  shown({ at, head, readPoint, page, content }: ShownPage): void {
    const wanted = this.pageAt(head, readPoint, page);
    if (wanted === null ? content === null : content !== null && Buffer.compare(wanted, content) === 0)
      return;
    const kind = content === null ? 'is not there' : wanted === null ? 'should not be there' : 'is another';
    this.found.push(`page ${page} at (${head}, ${readPoint}) ${kind} at ${at}`);
  }

  /** Whether paths to this epoch were told. */
  knows(head: Epoch): boolean {
    return this.tree.has(head);
  }

  /** Pages that were ever changed. */
  get pages(): readonly PageNo[] {
    return [...this.versions.keys()];
  }

  /** The writes on the path to `head` whose commit lies at or below `through`, in no order. */
  writesOn(head: Epoch, through: Lsn): readonly FinalWrite[] {
    const writes = new Map<string, FinalWrite>();
    for (const { epoch, until } of this.tree.path(head)) {
      for (const { lsn, writeId, changes } of this.commits.get(epoch) ?? []) {
        if (lsn > minLsn(until, through)) break;
        const times = (writes.get(writeId)?.times ?? 0) + 1;
        writes.set(writeId, { writeId, parts: changes.length, times, epoch, lsn });
      }
    }
    return [...writes.values()];
  }

  violations(): readonly string[] {
    return this.found;
  }

  private pageAt(head: Epoch, readPoint: Lsn, page: PageNo): Uint8Array | null {
    const ofPage = this.versions.get(page);
    let content: Uint8Array | null = null;
    for (const { epoch, until } of this.tree.path(head)) {
      for (const { lsn, change } of ofPage?.get(epoch) ?? []) {
        if (lsn > minLsn(until, readPoint)) break;
        content = changed(content, change);
      }
    }
    return content;
  }
}

/** The page after a change; a page that was not there is zeros. Changes `before`. */
export function changed(before: Uint8Array | null, change: PageChange): Uint8Array {
  if (change.kind === 'pageImage') return change.bytes.slice();
  const page = before ?? new Uint8Array(redoLimits.pageBytes);
  if (change.kind === 'pageAnew') page.fill(0);
  for (const { offset, bytes } of change.runs) page.set(bytes, offset);
  return page;
}

function kept<K, V>(of: Map<K, V>, key: K, make: () => V): V {
  const known = of.get(key);
  if (known !== undefined) return known;
  const made = make();
  of.set(key, made);
  return made;
}
