/**
 * Gateway, agent and NATS server of the primary stand still (SIGSTOP) for longer than the lease, while their storage nodes go on;
 * another region takes over; then they go on. A ledger of what clients were told is held against the data and the loss reports: what
 * the frozen side had acknowledged, or acknowledges as it wakes up, is there or named.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ask } from '../../../regions/cli/ask/admin-client.ts';
import { drillRequestSchema } from '../../../regions/drills/core/drill-kinds.ts';
import { accountFor, type LedgerAccount } from '../../../regions/drills/core/ledger-account.ts';
import { lossesSince } from '../../../regions/drills/core/losses-since.ts';
import { LoadLink } from '../../../regions/drills/load/load-link.ts';
import { localTarget } from '../../../regions/drills/run/local-target.ts';
import { prepare } from '../../../regions/drills/run/preflight.ts';
import { requireDeployment } from '../../../regions/local/deployment-file.ts';
import { TestDeployment } from '../local-deployment.ts';

const regions = ['us-east-1', 'eu-west-1', 'ap-northeast-1'] as const;
const [east, europe] = regions;
/** Its storage nodes are not among them: they would make durable whatever its writer still sends. */
const frozen = ['g1', 'agent', 'nats'] as const;
const steadyMs = 3_000;
/** What wakes up first is alone for so long. */
const apartMs = 2_000;
let deployment: TestDeployment;

beforeAll(async () => {
  deployment = await TestDeployment.start({ regions });
}, 300_000);

afterAll(() => deployment?.stop(), 60_000);

/** @param order who goes on when: those of a group at once, and the next group some time later. */
async function freezeAndThaw(
  round: string,
  order: readonly (readonly (typeof frozen)[number][])[],
): Promise<LedgerAccount & { readonly atWaking: number }> {
  await deployment.settled(120_000);
  const request = drillRequestSchema.parse({ kind: 'region-freeze', load: 90 });
  const target = localTarget(deployment.dataDir, requireDeployment(deployment.dataDir), ask, null);
  const { clients, table, losses, primary } = await prepare(round, request, target);
  expect(primary).toBe(east);
  const load = await LoadLink.open({ drill: round, table, clients, perSecond: 90, authority: null });
  try {
    load.run();
    await sleep(steadyMs);
    for (const name of frozen) await deployment.signal(`${east}/${name}`, 'SIGSTOP');
    await deployment.run('failover', '--to', europe, '--allow-data-loss');
    // Clients of the other regions write again, those of the frozen one still send.
    await sleep(apartMs);
    const wokenAtMs = Date.now();
    for (const names of order) {
      for (const name of names) await deployment.signal(`${east}/${name}`, 'SIGCONT');
      await sleep(apartMs);
    }
    await deployment.until(
      'every region ready, under load',
      (status) => status.state === 'stable' && status.regions.every(({ ready }) => ready),
      120_000,
    );
    const waiting = await load.pause();
    expect([load.dead, waiting]).toEqual([null, 0]);
    await deployment.settled(120_000);
    const after = await target.losses();
    const seen = await load.read();
    const { entries } = load;
    const account = accountFor({
      drill: round,
      clients,
      entries,
      regions: seen,
      losses: lossesSince(losses, after ?? { reports: [], unreachable: [...regions], unanswered: [] }),
    });
    const ofFrozen = entries.filter(
      ({ client, endedAtMs }) => clients[client]?.region === east && (endedAtMs ?? 0) >= wokenAtMs,
    );
    await load.end(account.discrepancies.length === 0);
    await deployment.run('switchover', '--to', east);
    return { ...account, atWaking: ofFrozen.length };
  } finally {
    load.kill();
  }
}

describe('a primary frozen for longer than its lease', { timeout: 400_000 }, () => {
  const orders = [
    ['the gateway goes on first, alone', [['g1'], ['agent'], ['nats']]],
    ['the gateway goes on last', [['nats', 'agent'], ['g1']]],
    ['all go on at once', [['nats', 'agent', 'g1']]],
  ] as const;
  for (const [index, [name, order]] of orders.entries())
    it(`leaves no acknowledged write unnamed when ${name}`, async () => {
      const account = await freezeAndThaw(`frozen-${index + 1}`, order);
      console.log(
        `${name}: ${account.acknowledged} acknowledged, ${account.refused} refused, ${account.unknown} unknown, ` +
          `${account.lost.length} lost, ${account.reportedLost} reported; ${account.atWaking} of the frozen side ended after it went on`,
      );
      expect(account.discrepancies).toEqual([]);
      expect(account.acknowledged).toBeGreaterThan(200);
      expect(account.atWaking).toBeGreaterThan(0);
    });
});
