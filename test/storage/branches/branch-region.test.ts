/** Three branches over six real nodes, written at the same time while nodes are killed and one comes back empty. */
import { rmSync } from 'node:fs';
import { afterEach, expect, it } from 'vitest';
import type { Fork } from '../../../storage/history/epoch-tree.ts';
import type { RegionClient } from '../../../storage/index.ts';
import { branchName, epoch, type Lsn, lsn, mainBranch, pageNo } from '../../../storage/redo/ids.ts';
import { Prng } from '../../simulation/world/prng.ts';
import {
  eventually,
  nodeIds,
  ReferencePages,
  startRegion,
  type TestRegion,
  TestWriter,
} from '../region-harness.ts';

let region: TestRegion | undefined;
afterEach(async () => {
  await region?.close();
  region = undefined;
});

const dev = branchName('dev');
const past = branchName('past');
const pages = [1, 2, 3, 4, 5, 6].map(pageNo);

interface Line {
  readonly writer: TestWriter;
  readonly reference: ReferencePages;
}

async function write({ writer, reference }: Line, count: number): Promise<void> {
  for (let written = 0; written < count; written++) {
    const end = writer.driver.commit(reference.change(pages.length));
    reference.committed(end);
    if (written % 10 === 9) await writer.untilDurable(end);
  }
  await writer.untilDurable(writer.driver.lastLsn);
}

/** Installs the fork that a branch begins with on every node that answers. @returns how long four of them took. */
async function begin(client: RegionClient, forks: readonly Fork[]): Promise<number> {
  const from = performance.now();
  const authority = forks.at(-1)?.epoch ?? epoch(0);
  let granted = 0;
  let tookMs = 0;
  await Promise.all(
    nodeIds.map(async (node) => {
      const answer = await client.request(node, { kind: 'fork', authority, forks }, 2_000);
      if (answer.kind === 'forked' && ++granted === 4) tookMs = performance.now() - from;
    }),
  );
  expect(granted).toBeGreaterThanOrEqual(4);
  return tookMs;
}

it('each holds what was written there, and none is fenced by another', { timeout: 120_000 }, async () => {
  region = await startRegion({ children: true });
  const { node } = region;
  const client = region.client();
  const dice = Prng.fromSeed(5);
  const main: Line = { writer: await TestWriter.open(client, 1), reference: new ReferencePages(1, 0.02) };
  await write(main, 80);
  const tip = main.writer.driver.vdl;
  const older = main.reference.versions[30]?.lsn ?? lsn(0);
  const root: Fork = { epoch: epoch(1), branch: mainBranch, parent: epoch(0), forkLsn: lsn(0) };
  const branchAt = (of: number, branch: typeof dev, forkLsn: Lsn): readonly Fork[] => [
    root,
    { epoch: epoch(of), branch, parent: epoch(1), forkLsn },
  ];
  await begin(client, branchAt(2, dev, tip));
  await begin(client, branchAt(3, past, older));
  const devLine: Line = {
    writer: await TestWriter.open(client, 4, {}, dev),
    reference: main.reference.branchAt(tip, 2),
  };
  const pastLine: Line = {
    writer: await TestWriter.open(client, 5, {}, past),
    reference: main.reference.branchAt(older, 3),
  };
  const lines = [main, devLine, pastLine];
  for (const victim of ['n2', 'n5']) {
    const writing = Promise.all(lines.map((line) => write(line, 60)));
    await node(victim).kill();
    await writing;
    await node(victim).start();
  }
  const check = async ({ writer, reference }: Line): Promise<void> => {
    for (let reads = 0; reads < 12; reads++) {
      const version = dice.pick(reference.versions);
      const read = await client.readPages(writer.epoch, version.lsn, pages, { timeoutMs: 20_000 });
      if (read.kind !== 'pages') throw new Error(read.reason);
      for (const [at, page] of read.pages.entries()) {
        const wanted = version.pages.get(pages[at] ?? pageNo(1));
        const isSame =
          page === null ? wanted === undefined : wanted !== undefined && Buffer.from(page).equals(wanted);
        expect(isSame, `page ${at + 1} of epoch ${writer.epoch} at ${version.lsn}`).toBe(true);
      }
    }
  };
  for (const line of lines) await check(line);
  // A new reign over one branch ends its old one, and no other.
  const second = await TestWriter.open(client, 6, {}, dev);
  const secondLine: Line = { writer: second, reference: devLine.reference.branchAt(second.driver.vdl, 4) };
  await Promise.all([write(secondLine, 30), write(main, 30), write(pastLine, 30)]);
  await devLine.writer.until(() => devLine.writer.fencedBy !== null);
  expect([devLine.writer.fencedBy, main.writer.fencedBy, pastLine.writer.fencedBy]).toEqual([6, null, null]);
  // Of branches without a writer, a node that comes back empty hears from the others; main goes on meanwhile.
  second.driver.close();
  pastLine.writer.driver.close();
  await node('n3').kill();
  rmSync(node('n3').config.dataDir, { recursive: true });
  await node('n3').start();
  await write(main, 20);
  const standing = async () => {
    const [n3] = (await client.status()).filter(({ node: name }) => name === 'n3');
    return (n3?.status?.branches ?? []).map(({ branch, scl, fresh }) => ({ branch, scl, fresh }));
  };
  await eventually(
    'the node that was emptied is whole again',
    async () => (await standing()).filter(({ fresh }) => !fresh).length === 2,
    60_000,
  );
  expect(await standing()).toEqual([
    { branch: dev, scl: second.driver.vdl, fresh: false },
    { branch: past, scl: pastLine.writer.driver.vdl, fresh: false },
  ]);
  for (const victim of ['n1', 'n2']) await node(victim).kill();
  for (const line of [main, secondLine, pastLine]) await check(line);
});
