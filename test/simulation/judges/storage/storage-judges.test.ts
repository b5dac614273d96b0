import { describe, expect, it } from 'vitest';
import { epoch, lsn, mainBranch, pageNo } from '../../../../storage/redo/ids.ts';
import { redoLimits } from '../../../../storage/redo/limits.ts';
import { PagesJudge } from './pages.ts';
import { RetentionJudge } from './retention.ts';

const fork = (of: number, parent: number, at: number) =>
  ({ epoch: epoch(of), branch: mainBranch, parent: epoch(parent), forkLsn: lsn(at) }) as const;
const forks = [fork(1, 0, 0), fork(2, 1, 100)];

/** A page with `text` at its beginning. */
function pageOf(text: string): Uint8Array {
  const page = new Uint8Array(redoLimits.pageBytes);
  page.set(Buffer.from(text));
  return page;
}

describe('the judge of pages objects when', () => {
  const first = pageNo(1);
  const told = (): PagesJudge => {
    const judge = new PagesJudge();
    judge.forks(forks);
    const write = (of: number, at: number, text: string): void => {
      const change = {
        kind: 'pageDelta',
        page: first,
        runs: [{ offset: 0, bytes: Buffer.from(text) }],
      } as const;
      judge.committed({ epoch: epoch(of), lsn: lsn(at), writeId: text, changes: [change] });
    };
    write(1, 50, 'a');
    write(1, 100, 'b');
    // Left behind by the fork of epoch 2.
    write(1, 150, 'c');
    write(2, 150, 'd');
    return judge;
  };
  const shown = (head: number, readPoint: number, content: Uint8Array | null): readonly string[] => {
    const judge = told();
    judge.shown({ at: 'n1', head: epoch(head), readPoint: lsn(readPoint), page: first, content });
    return judge.violations();
  };

  it('a page is that of another point or another path', () => {
    expect(shown(1, 100, pageOf('b'))).toEqual([]);
    expect(shown(1, 149, pageOf('b'))).toEqual([]);
    expect(shown(2, 150, pageOf('d'))).toEqual([]);
    expect(shown(1, 100, pageOf('a'))).toEqual(['page 1 at (1, 100) is another at n1']);
    expect(shown(2, 150, pageOf('c'))).toEqual(['page 1 at (2, 150) is another at n1']);
  });

  it('a page is missing, or is there before anybody wrote it', () => {
    expect(shown(1, 40, null)).toEqual([]);
    expect(shown(1, 50, null)).toEqual(['page 1 at (1, 50) is not there at n1']);
    expect(shown(1, 40, pageOf(''))).toEqual(['page 1 at (1, 40) should not be there at n1']);
  });

  it('and tells the writes of a path, without those that a fork left behind', () => {
    const names = (through: number): readonly string[] =>
      told()
        .writesOn(epoch(2), lsn(through))
        .map(({ writeId }) => writeId);
    expect(names(149)).toEqual(['a', 'b']);
    expect(names(150)).toEqual(['a', 'b', 'd']);
  });
});

describe('the judge of retention objects when', () => {
  it('log is dropped where fewer than four disks have images, but for those that were destroyed', () => {
    const judge = new RetentionJudge(null);
    const drop = { at: 'n1', atUs: 1, end: lsn(100), floor: lsn(100) };
    judge.dropped({ ...drop, holding: 4, destroyed: 0 });
    judge.dropped({ ...drop, holding: 3, destroyed: 1 });
    expect(judge.violations()).toEqual([]);
    judge.dropped({ ...drop, holding: 3, destroyed: 0 });
    expect(judge.violations()).toHaveLength(1);
    // S20.
    judge.dropped({ ...drop, floor: lsn(99), holding: 6, destroyed: 0 });
    expect(judge.violations()).toHaveLength(2);
  });

  it('four nodes let go of what a young snapshot reads, unless the region was filled just now', () => {
    const judge = new RetentionJudge(null);
    const refused = { region: 'us-east-1', head: epoch(1), readPoint: lsn(100) };
    judge.refusedSnapshot({ ...refused, atUs: 30e6, nodes: 3 });
    const point = { epoch: epoch(1), vdl: lsn(100) };
    judge.filling({ to: 'us-east-1', atUs: 30e6, primary: point, holds: point });
    judge.refusedSnapshot({ ...refused, atUs: 31e6, nodes: 4 });
    expect(judge.violations()).toEqual([]);
    judge.refusedSnapshot({ ...refused, atUs: 60e6, nodes: 4 });
    expect(judge.violations()).toHaveLength(1);
  });

  it('a region is filled that lacks less than is kept for it, counted along the path of its primary', () => {
    const primary = { epoch: epoch(2), vdl: lsn(180) };
    const filled = (holds: {
      epoch: ReturnType<typeof epoch>;
      vdl: ReturnType<typeof lsn>;
    }): readonly string[] => {
      const judge = new RetentionJudge(60);
      judge.forks(forks);
      judge.filling({ to: 'eu-west-1', atUs: 1, primary, holds });
      return judge.violations();
    };
    expect(filled({ epoch: epoch(2), vdl: lsn(120) })).toEqual([]);
    // What it has of epoch 1 beyond the fork is no part of the path.
    expect(filled({ epoch: epoch(1), vdl: lsn(170) })).toEqual([]);
    expect(filled({ epoch: epoch(2), vdl: lsn(121) })).toHaveLength(1);
  });
});
