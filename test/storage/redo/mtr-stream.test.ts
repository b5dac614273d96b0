import { describe, expect, test } from 'vitest';
import { type PgId, pageNo } from '../../../storage/redo/ids.ts';
import { redoLimits } from '../../../storage/redo/limits.ts';
import { MtrStream } from '../../../storage/redo/mtr-stream.ts';
import { encodeMtr, type PageChange, type Shrink, splitRun } from '../../../storage/redo/record.ts';
import { commitAt } from '../samples.ts';

const pgBytes = redoLimits.pgBytesMin;
const pagesOfPg = pgBytes / redoLimits.pageBytes;

interface Stretch {
  readonly pg: PgId;
  readonly bytes: Buffer;
}

function streamed(
  changes: readonly PageChange[],
  commits: number,
  shrink: Shrink | null,
  stretchBytesMax: number,
): readonly Stretch[] {
  const stretches: Stretch[] = [];
  const stream = new MtrStream({
    pgBytes,
    stretchBytesMax,
    shrink,
    onStretch: (pg, bytes) => stretches.push({ pg, bytes: Buffer.from(bytes) }),
  });
  for (const change of changes) stream.add(change);
  stream.finish(Array.from({ length: commits }, (_, at) => commitAt(at + 1)));
  expect(stream.byteLength).toBe(stretches.reduce((sum, { bytes }) => sum + bytes.length, 0));
  return stretches;
}

/** The same by way of memory. */
function whole(
  changes: readonly PageChange[],
  commits: number,
  shrink: Shrink | null,
  stretchBytesMax: number,
): readonly Stretch[] {
  const records = Array.from({ length: commits }, (_, at) => commitAt(at + 1));
  const { runs } = encodeMtr(changes, records, pgBytes, shrink);
  return runs.flatMap(({ pg, bytes }) =>
    splitRun(bytes, stretchBytesMax).map((part) => ({ pg, bytes: Buffer.from(part) })),
  );
}

const image = (page: number): PageChange => ({
  kind: 'pageImage',
  page: pageNo(page),
  bytes: Buffer.alloc(redoLimits.pageBytes, page % 251),
});
const delta = (page: number, length: number): PageChange => ({
  kind: 'pageDelta',
  page: pageNo(page),
  runs: [{ offset: 100, bytes: Buffer.alloc(length, 7) }],
});

const many = Array.from({ length: 700 }, (_, at) =>
  at % 3 === 0 ? delta(at + 1, 1 + (at % 900)) : image(at + 1),
);

describe('redo that is encoded page by page is the redo that would have been encoded at once', () => {
  test.each<readonly [string, readonly PageChange[], number, Shrink | null, number]>([
    ['one page', [delta(1, 3)], 1, null, 256 * 1024],
    ['more than one stretch, of three groups', many, 1, null, 64 * 1024],
    ['stretches that hold one record each', many.slice(0, 20), 1, null, redoLimits.recordBytesMax],
    ['the commits of a group', many, 40, null, 20_000],
    ['a shrink in the group of changes', many, 2, { kind: 'shrink', pages: 400 }, 64 * 1024],
    [
      'a shrink in a group of its own, between',
      [delta(1, 3), delta(3 * pagesOfPg, 3)],
      1,
      { kind: 'shrink', pages: pagesOfPg + 5 },
      64 * 1024,
    ],
    [
      'a shrink in a group of its own, behind',
      [delta(1, 3)],
      3,
      { kind: 'shrink', pages: 5 * pagesOfPg },
      64 * 1024,
    ],
    ['a shrink before everything', [delta(2 * pagesOfPg, 3)], 1, { kind: 'shrink', pages: 3 }, 64 * 1024],
  ])('%s', (_, changes, commits, shrink, bytesMax) => {
    expect(streamed(changes, commits, shrink, bytesMax)).toEqual(whole(changes, commits, shrink, bytesMax));
  });

  test('pages that come in disorder are a fault', () => {
    const stream = new MtrStream({
      pgBytes,
      stretchBytesMax: 9_000,
      shrink: null,
      onStretch: () => undefined,
    });
    stream.add(image(2 * pagesOfPg));
    expect(() => stream.add(image(1))).toThrow('ascending');
  });
});
