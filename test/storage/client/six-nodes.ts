/** A region of six real nodes and a client of it, and what a test writes to them; closed after each test. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach } from 'vitest';
import type { RegionClient } from '../../../storage/index.ts';
import { parseFrame } from '../../../storage/redo/frame.ts';
import type { Lsn } from '../../../storage/redo/ids.ts';
import {
  eventually,
  smallMtr,
  startRegion,
  type TestNode,
  type TestRegion,
  type TestRegionOptions,
  type TestWriter,
} from '../region-harness.ts';

export const regions: TestRegion[] = [];
export const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
  for (const region of regions.splice(0)) await region.close();
});

export async function open(
  options: TestRegionOptions = {},
): Promise<{ region: TestRegion; client: RegionClient }> {
  const region = await startRegion(options);
  regions.push(region);
  const client = region.client();
  await eventually('all six are up', () => client.upNodes.length === 6);
  return { region, client };
}

export async function writeSome(writer: TestWriter, count: number, bytes = 160): Promise<Lsn> {
  let last = writer.driver.lastLsn;
  for (let at = 0; at < count; at++) {
    last = writer.driver.commit(smallMtr(1 + (at % 20), at, bytes));
    if (at % 5 === 0) await writer.untilDurable(last);
  }
  await writer.untilDurable(last);
  return last;
}

/** Every frame of a node's log by epoch and LSN, read from its files. */
export function framesOnDisk(node: TestNode): Map<string, string> {
  const directory = join(node.config.dataDir, 'log');
  const frames = new Map<string, string>();
  for (const name of readdirSync(directory)) {
    const file = readFileSync(join(directory, name));
    for (let at = 0; file.subarray(at).some((byte) => byte !== 0); ) {
      const parsed = parseFrame(file, at);
      if (parsed.kind !== 'frame') throw new Error(`${name}: ${parsed.kind} at ${at}`);
      const { header, length } = parsed;
      frames.set(`${header.epoch}/${header.base}`, file.toString('base64', at, at + length));
      at += length;
    }
  }
  return frames;
}

export async function untilComplete(client: RegionClient, ids: readonly string[], vdl: Lsn): Promise<void> {
  await eventually(`${ids.join(', ')} complete to ${vdl}`, async () => {
    const all = await client.status();
    return (
      all.filter(({ node, status }) => ids.includes(node) && (status?.scl ?? 0) >= vdl).length === ids.length
    );
  });
}
