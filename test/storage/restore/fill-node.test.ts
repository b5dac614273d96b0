import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { EpochTree, type Fork } from '../../../storage/history/epoch-tree.ts';
import { encodeFrame, splitFrames } from '../../../storage/redo/frame.ts';
import { epoch, lsn, mainBranch, pageNo, pgId } from '../../../storage/redo/ids.ts';
import { encodeMtr } from '../../../storage/redo/record.ts';
import { fillNode, stageImages } from '../../../storage/restore/fill-node.ts';
import { PageFile } from '../../../storage/restore/page-file.ts';
import { cluster, nodeIds, region, smallMtr, startRegion, TestWriter } from '../region-harness.ts';

let directory: string;
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'sextant-fill-'));
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

const fork = (of: number, parent: number, at: number): Fork => ({
  epoch: epoch(of),
  branch: mainBranch,
  parent: epoch(parent),
  forkLsn: lsn(at),
});
const forks = [fork(1, 0, 0), fork(1_001, 1, 5_000)];
const at = { epoch: epoch(1_001), lsn: lsn(5_000), forks };
const image = (fill: number): Uint8Array => new Uint8Array(4_096).fill(fill);

describe('a file of pages', () => {
  it('S23: folds images, changes and a shrink, and what is beyond the end is gone', () => {
    const file = new PageFile(join(directory, 'folded'));
    file.put(1, image(1));
    file.put(5, image(5));
    const commit = { kind: 'commit', commitTimeUs: 1, trace: null } as const;
    const parts = [
      encodeMtr(
        [{ kind: 'pageDelta', page: pageNo(1), runs: [{ offset: 7, bytes: image(9).subarray(0, 2) }] }],
        [commit],
        1 << 30,
      ),
      encodeMtr([], [commit], 1 << 30, { kind: 'shrink', pages: 2 }),
      encodeMtr([{ kind: 'pageImage', page: pageNo(3), bytes: image(3) }], [commit], 1 << 30),
    ].flatMap(({ runs }) => runs.map(({ bytes }) => bytes));
    const fields = { epoch: epoch(1), pg: pgId(0), base: lsn(100), prevPg: lsn(0) };
    const split = splitFrames(encodeFrame(fields, parts));
    const range = { tree: new EpochTree(forks), head: epoch(1_001), from: lsn(100) };
    const end = 100 + parts.reduce((sum, part) => sum + part.length, 0);
    const third = parts[2]?.length ?? 0;
    const frames = split.kind === 'frames' ? split.frames : [];
    expect(file.fold(frames, { ...range, until: lsn(end - third) })).toBeNull();
    expect([file.lastPage, file.pages, file.has(5)]).toEqual([1, 1, false]);
    expect(file.fold(frames, { ...range, until: lsn(end) })).toBeNull();
    file.flush();
    expect([...file.read(1).subarray(6, 10)]).toEqual([1, 9, 9, 1]);
    expect(file.read(3)).toEqual(image(3));
    expect([file.lastPage, file.has(2)]).toEqual([3, false]);
    file.close();
  });

  it('R67: records beyond the place, and of an epoch beyond its fork, are not folded', () => {
    const file = new PageFile(join(directory, 'beyond'));
    const mtr = smallMtr(1, 3);
    const bytes = mtr.runs[0]?.bytes ?? new Uint8Array(0);
    const fields = { epoch: epoch(1), pg: pgId(0), base: lsn(4_990), prevPg: lsn(0) };
    const split = splitFrames(encodeFrame(fields, [bytes]));
    const range = { tree: new EpochTree(forks), head: epoch(1_001), from: lsn(0), until: lsn(1e9) };
    file.fold(split.kind === 'frames' ? split.frames : [], range);
    expect(file.lastPage).toBe(0);
    file.close();
  });
});

describe('nodes that are filled before they run', () => {
  it('serve the pages, take a new writer, and are left alone when they are filled again', async () => {
    const file = new PageFile(join(directory, 'pages'));
    for (let page = 1; page <= 300; page += 1) if (page !== 17) file.put(page, image(page % 251));
    const staged = join(directory, 'staged');
    await stageImages(file, staged, at);
    file.close();
    const place = (node: string) => ({ cluster, region, node, dataDir: join(directory, node) });
    for (const node of nodeIds) {
      // What a fill that was cut off has left.
      mkdirSync(join(directory, `${node}.restoring`));
      writeFileSync(join(directory, `${node}.restoring`, 'state'), 'torn');
      expect(await fillNode(place(node), at, staged)).toBe('filled');
      expect(await fillNode(place(node), at, staged)).toBe('there');
    }
    expect(readdirSync(directory).filter((name) => name.includes('restoring'))).toEqual([]);
    await expect(fillNode(place('n1'), { ...at, lsn: lsn(6_000) }, staged)).rejects.toThrow(
      /holds something already/,
    );

    const six = await startRegion({ dataDir: (node) => join(directory, node) });
    const client = six.client();
    const writer = await TestWriter.open(client, 1_002);
    const read = await client.readPages(epoch(1_002), lsn(5_000), [1, 17, 300].map(pageNo));
    expect(read).toEqual({ kind: 'pages', pages: [image(1), null, image(49)] });
    await writer.untilDurable(writer.driver.commit(smallMtr(300, 8)) as never);
    for (const node of ['n1', 'n4']) await six.node(node).kill();
    const last = writer.driver.commit(smallMtr(300, 16)) as never;
    await writer.untilDurable(last);
    const after = await client.readPages(epoch(1_002), last, [pageNo(300)]);
    const page = after.kind === 'pages' ? after.pages[0] : null;
    expect([page?.[0], page?.[64], page?.[130]]).toEqual([49, 9, 17]);
    writer.driver.close();
    await six.close();
    expect(existsSync(join(directory, 'n1', 'state'))).toBe(true);
  }, 30_000);
});
