import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, it, test } from 'vitest';
import { runRecovery } from '../../../storage/index.ts';
import { nodeDisk } from '../../../storage/log/disk.ts';
import { StateFile } from '../../../storage/log/state-file.ts';
import { SetAsideWatch, setAsideDir } from '../../../storage/node/set-aside.ts';
import { epoch, mainBranch } from '../../../storage/redo/ids.ts';
import {
  eventually,
  nodeIds,
  ReferencePages,
  startRegion,
  type TestNode,
  type TestRegion,
  TestWriter,
} from '../region-harness.ts';

const regions: TestRegion[] = [];
afterEach(async () => {
  for (const region of regions.splice(0)) await region.close();
});

/** Changes one byte of a file. @param at from its end where it is negative. */
function flip(file: string, at: number): void {
  const bytes = readFileSync(file);
  const place = at < 0 ? bytes.length + at : at;
  bytes.writeUInt8(bytes.readUInt8(place) ^ 1, place);
  writeFileSync(file, bytes);
}

const stateOf = ({ config }: TestNode): string => join(config.dataDir, 'state');

async function written(): Promise<{ region: TestRegion; reference: ReferencePages; writer: TestWriter }> {
  const region = await startRegion();
  regions.push(region);
  const client = region.client();
  await eventually('all six are up', () => client.upNodes.length === 6);
  const writer = await TestWriter.open(client, 1);
  const reference = new ReferencePages(5);
  for (let count = 0; count < 60; count++) reference.committed(writer.driver.commit(reference.change(20)));
  await writer.untilDurable(writer.driver.lastLsn);
  return { region, reference, writer };
}

describe('a node whose state file has rotted', () => {
  test.each([
    ['in its envelope', 5],
    ['in its promises', -20],
  ])(
    '%s sets its data aside, is refilled by its peers, and lets go of what was aside when it is whole (S43)',
    async (_where, at) => {
      const { region, writer } = await written();
      const node = region.node('n2');
      await node.kill();
      flip(stateOf(node), at);
      await node.start();
      const aside = setAsideDir(node.config.dataDir);
      expect(readdirSync(aside).sort()).toEqual(['images', 'log', 'state']);
      const running = node.running?.node;
      if (running === undefined) throw new Error('it runs');
      const watch = new SetAsideWatch(node.config.dataDir, running, () => undefined);
      watch.close();
      await eventually(
        'it has everything again',
        () => running.segment.volumeEnd(running.head) === writer.driver.lastLsn,
      );
      await eventually('it is a witness', () => running.state.hydrated);
      expect(running.state.setAside).toBeUndefined();
      await eventually('nothing is aside any more', async () => {
        await watch.look();
        return !existsSync(aside);
      });
    },
  );

  it('is not believed a second time before it is whole', async () => {
    const { region } = await written();
    const [first, ...others] = region.nodes;
    if (first === undefined) throw new Error('there are six');
    for (const node of others) await node.kill();
    for (const wanted of ['begins empty', 'is refused'] as const) {
      await first.kill();
      flip(stateOf(first), -20);
      if (wanted === 'is refused')
        await expect(first.start()).rejects.toThrow(/the state file is damaged.*Wipe the node/);
      else await first.start();
    }
    expect(readdirSync(setAsideDir(first.config.dataDir)).sort()).toEqual(['images', 'log', 'state']);
  });

  it('does not make a new region of one that has lost all its copies at once (S43)', async () => {
    const { region, writer } = await written();
    writer.driver.close();
    for (const node of region.nodes) {
      await node.kill();
      flip(stateOf(node), -20);
      await node.start();
    }
    const client = region.client();
    await eventually('all six are up', () => client.upNodes.length === nodeIds.length);
    const result = await runRecovery(
      client,
      { kind: 'fork', branch: mainBranch, epoch: epoch(2) },
      { timeoutMs: 1_500 },
    );
    expect(result.kind).not.toBe('recovered');
    for (const { config } of region.nodes)
      expect(existsSync(join(setAsideDir(config.dataDir), 'log'))).toBe(true);
  });

  it('is whole, and the work of another version, is left where it is', async () => {
    const { region } = await written();
    const node = region.node('n3');
    await node.kill();
    const file = new StateFile<object>({
      disk: nodeDisk,
      path: stateOf(node),
      version: 1,
      parse: (body) => ({ kind: 'ok', value: body as object }),
      fallback: 'never',
    });
    const loaded = await file.load();
    if (loaded.kind !== 'value') throw new Error('it is whole');
    const { state, ...others } = loaded.value as { readonly state: object };
    await file.save({ ...others, state: { ...state, fromTheFuture: 1 } });
    await expect(node.start()).rejects.toThrow(
      /cannot be read.*fromTheFuture.*Start the version of Sextant that wrote it/s,
    );
    expect(existsSync(setAsideDir(node.config.dataDir))).toBe(false);
  });
});
