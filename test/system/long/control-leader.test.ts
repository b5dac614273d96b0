/**
 * The NATS server that leads the control stream is killed under load, again and again: the survivors have to elect another one, which
 * takes longer than the writer's lease. Writes pause until then, and the reign goes on: the epoch stays, and so does every acknowledged
 * row. All three servers at once are killed in `regions.test.ts`.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { connect } from 'nats';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { controlStream } from '../../../regions/bus/core/control-subjects.ts';
import { regionOfServer } from '../../../regions/control/copies/core/leader-placement.ts';
import { parseGroup } from '../../../regions/control/copies/stream-group.ts';
import { portsOf } from '../../../regions/local/layout/core/local-ports.ts';
import { regionId } from '../../../storage/core.ts';
import { TestDeployment } from '../local-deployment.ts';
import { idsIn, SteadyWriter } from '../steady-writer.ts';

const regions = ['us-east-1', 'eu-west-1', 'ap-northeast-1'] as const;
const [east] = regions;
const rounds = 4;
let deployment: TestDeployment;

beforeAll(async () => {
  deployment = await TestDeployment.start({ regions });
}, 300_000);

afterAll(() => deployment?.stop(), 60_000);

/** The region whose NATS server leads the control stream, as any server says; null during an election. */
async function leader(): Promise<string | null> {
  const { cluster, natsToken, basePort } = z
    .object({ cluster: z.string(), natsToken: z.string(), basePort: z.number() })
    .parse(JSON.parse(readFileSync(join(deployment.dataDir, 'deployment.json'), 'utf8')));
  const servers = regions.map((_, index) => `127.0.0.1:${portsOf(basePort, index).nats}`);
  const connection = await connect({ servers, token: natsToken });
  try {
    const subject = `$JS.API.STREAM.INFO.${controlStream(cluster)}`;
    const { data } = await connection.request(subject, '{}', { timeout: 1_500 });
    const group = parseGroup(data);
    if (group.kind !== 'ok' || group.value.leader === null) return null;
    return regionOfServer(group.value.leader, regions.map(regionId));
  } catch {
    return null;
  } finally {
    await connection.close();
  }
}

/** Once it is elected, and in another region than the primary, where agents keep it. */
async function leaderElsewhere(): Promise<string> {
  const untilMs = performance.now() + 90_000;
  for (;;) {
    const now = await leader();
    if (now !== null && now !== east) return now;
    if (performance.now() > untilMs) throw new Error(`the control stream is led by ${now}`);
    await new Promise((resolve) => setTimeout(resolve, 250));
  }
}

describe('the NATS server that leads the control stream', { timeout: 400_000 }, () => {
  it('is killed: writes pause, and the epoch stays (R24)', async () => {
    await deployment.client(east).execute('CREATE TABLE numbered (id INTEGER PRIMARY KEY, text TEXT)');
    const { epoch } = await deployment.settled();
    for (let round = 1; round <= rounds; round += 1) {
      const killed = await leaderElsewhere();
      // A connection of its own: an idle one of HTTP may be closed as it is used again.
      const client = deployment.client(east, 'ws');
      const writer = new SteadyWriter(client, 'numbered', { perSecond: 50, firstId: round * 1_000_000 });
      await writer.acknowledges(50);
      await deployment.killNats([killed]);
      await writer.acknowledges(300, 60_000);
      await writer.nextAcknowledgement(30_000);
      const account = await writer.stop();
      console.log(
        `round ${round}: ${killed} led and was killed; ` +
          `${account.acknowledged.length} acknowledged, longest pause ${Math.round(account.longestPauseMs)} ms, failed ${JSON.stringify(account.failed.map(({ code }) => code))}`,
      );
      for (const { code } of account.failed)
        expect(['SEXTANT_COMMIT_UNKNOWN', 'SEXTANT_NO_WRITER']).toContain(code);
      const after = await deployment.settled(120_000);
      expect([after.epoch, after.primary]).toEqual([epoch, east]);
      for (const region of regions) {
        const there = await idsIn(deployment.client(region), 'numbered');
        expect(account.acknowledged.filter((id) => !there.has(id))).toEqual([]);
      }
    }
  });
});
