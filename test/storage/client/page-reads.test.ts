import { describe, expect, it } from 'vitest';
import { lsn, pageNo, zeroLsn } from '../../../storage/redo/ids.ts';
import { eventually, nodeIds, ReferencePages, type TestRegion, TestWriter } from '../region-harness.ts';
import { open, untilComplete, writeSome } from './six-nodes.ts';

/** Nothing is folded until it is said that no reader needs what is durable by then. */
function heldLowWater() {
  const bounds = {
    readPointAgeMs: Number.POSITIVE_INFINITY,
    unfoldedBytesMax: Number.POSITIVE_INFINITY,
    lowWaterEveryMs: 10,
  };
  const raise = async (): Promise<void> => {
    bounds.readPointAgeMs = 0;
    await new Promise((resolve) => setTimeout(resolve, 250));
    bounds.readPointAgeMs = Number.POSITIVE_INFINITY;
  };
  return { bounds, raise };
}

/** Whether every node has folded something. */
async function haveFolded(region: TestRegion): Promise<boolean> {
  const told = region.nodes.map(async ({ config }) =>
    (await fetch(`http://${config.listen}/metrics`)).text(),
  );
  return (await Promise.all(told)).every((text) =>
    /^sextant_storage_pages_built_total(?:\{.*\})? [1-9]/m.test(text),
  );
}

describe('reading pages', () => {
  it('gives every page as it was at every read point, folded or not, before and after a restart', {
    timeout: 60_000,
  }, async () => {
    const { region, client } = await open();
    const lowWater = heldLowWater();
    const writer = await TestWriter.open(client, 1, { place: { lowWater: lowWater.bounds } });
    const reference = new ReferencePages(42);
    const pages = Array.from({ length: 8 }, (_, at) => pageNo(at + 1));
    const write = async (count: number): Promise<void> => {
      for (let at = 0; at < count; at++) {
        const last = writer.driver.commit(reference.change(pages.length));
        reference.committed(last);
        if (at % 7 === 0) await writer.untilDurable(last);
      }
      await writer.untilDurable(writer.driver.lastLsn);
    };
    const check = async (from: number): Promise<void> => {
      for (const version of reference.versions.slice(from).filter((_, at) => at % 9 === 0)) {
        const read = await client.readPages(writer.epoch, version.lsn, pages);
        if (read.kind !== 'pages') throw new Error(read.reason);
        read.pages.forEach((page, at) => {
          const wanted = version.pages.get(pages[at] ?? pageNo(1));
          expect(
            page === null ? null : Buffer.from(page).equals(wanted ?? Buffer.alloc(0)),
            `page ${at + 1} at ${version.lsn}`,
          ).toBe(wanted === undefined ? null : true);
        });
      }
    };
    await write(150);
    await check(0);
    const lowWaterAt = reference.versions.length - 1;
    await lowWater.raise();
    await write(60);
    await eventually('pages were folded', () => haveFolded(region));
    await check(lowWaterAt);
    for (const node of region.nodes) {
      await node.kill();
      await node.start();
    }
    await eventually('all six are up', () => client.upNodes.length === 6);
    await check(0);
  });

  it('serves what was folded away by reading the log again', { timeout: 60_000 }, async () => {
    const { region, client } = await open();
    const lowWater = heldLowWater();
    const writer = await TestWriter.open(client, 1, { place: { lowWater: lowWater.bounds } });
    const reference = new ReferencePages(7);
    for (let at = 0; at < 120; at++) reference.committed(writer.driver.commit(reference.change(2)));
    await writer.untilDurable(writer.driver.lastLsn);
    await lowWater.raise();
    for (let at = 0; at < 20; at++) reference.committed(writer.driver.commit(reference.change(2)));
    await writer.untilDurable(writer.driver.lastLsn);
    await eventually('pages were folded', () => haveFolded(region));
    const old = reference.versions[10];
    const read = await client.readPages(writer.epoch, old?.lsn ?? zeroLsn, [pageNo(1)], {
      timeoutMs: 10_000,
    });
    if (read.kind !== 'pages') throw new Error(read.reason);
    expect(Buffer.from(read.pages[0] ?? []).equals(old?.pages.get(pageNo(1)) ?? Buffer.alloc(1))).toBe(true);
  });

  it('tells of a read point that no node has reached', async () => {
    const { client } = await open();
    const writer = await TestWriter.open(client, 1);
    await writeSome(writer, 3);
    const read = await client.readPages(writer.epoch, lsn(writer.driver.lastLsn + 1_000), [pageNo(1)], {
      timeoutMs: 200,
    });
    expect(read).toMatchObject({ kind: 'unavailable', reason: expect.stringContaining('read point') });
  });

  it('asks a second node when the first does not answer', { timeout: 30_000 }, async () => {
    const { region, client } = await open({ children: true });
    const writer = await TestWriter.open(client, 1);
    const end = await writeSome(writer, 20);
    await untilComplete(client, nodeIds, end);
    region.node('n1').freeze();
    const startedAt = performance.now();
    for (let at = 0; at < 20; at++)
      expect((await client.readPages(writer.epoch, end, [pageNo(1)])).kind).toBe('pages');
    expect(performance.now() - startedAt).toBeLessThan(1_500);
    region.node('n1').thaw();
  });
});
