/** A secondary and an operator for tests of a writer under an RPO. */
import { z } from 'zod';
import type { RunningGateway } from '../../../gateway/process/gateway.ts';
import { encodeAck, subjectsOf } from '../../../regions/bus/core/messages.ts';
import { changeControl } from '../../../regions/control/control-link.ts';
import { setPolicy } from '../../../regions/control/core/control-record.ts';
import { epoch, lsn, regionId } from '../../../storage/redo/ids.ts';
import { cluster, eventually, region } from '../../storage/region-harness.ts';
import { type GatewayWorld, urlOf } from './gateway-harness.ts';

const eu = regionId('eu-west-1');

interface Policed {
  readonly one: GatewayWorld;
  readonly gateway: RunningGateway;
}

/** Puts a policy in force; resolves when the writer has it. */
export async function demand({ one, gateway }: Policed, rpoMs: number | null): Promise<void> {
  const store = one.store();
  const changed = await changeControl(store, ({ record }) => setPolicy(record, { rpoMs }));
  store.close();
  if (changed.kind !== 'changed') throw new Error(JSON.stringify(changed));
  await eventually('the gateway knows the policy', async () => {
    const status = z
      .object({ policy: z.object({ rpoMs: z.number().nullable() }) })
      .parse(await (await fetch(`${urlOf(gateway)}/v1/status`)).json());
    return status.policy.rpoMs === rpoMs;
  });
}

/** What a secondary says of the redo that was shipped to it; by default that it has all of it. */
export async function acknowledge(
  { one, gateway }: Policed,
  said: { vdl?: number; head?: number } = {},
): Promise<void> {
  const { vdl, epoch: reign } = gateway.report();
  const at = lsn(said.vdl ?? vdl);
  const ack = { region: eu, head: epoch(said.head ?? reign ?? 0), received: at, vcl: at, vdl: at };
  one.nats.publish(subjectsOf(cluster).ack(region), encodeAck({ ...ack, gap: false, ackSentAtUs: 0 }));
  await one.nats.flush(2_000);
}
