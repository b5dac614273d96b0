/** What NATS says of the servers that keep the control stream, parsed. */
import { z } from 'zod';
import { parseReply, type Reply } from '../control-store-wire.ts';
import type { StreamGroup } from './core/leader-placement.ts';

const groupSchema = z.object({
  cluster: z.object({
    leader: z.string().default(''),
    replicas: z
      .array(
        z.object({
          name: z.string(),
          current: z.boolean().default(false),
          offline: z.boolean().default(false),
        }),
      )
      .default([]),
  }),
});

/** Answer to `STREAM.INFO`: which servers keep the stream. A server that stands alone names none. */
export function parseGroup(bytes: Uint8Array): Reply<StreamGroup> {
  const reply = parseReply(groupSchema, bytes);
  if (reply.kind !== 'ok') return reply;
  const { leader, replicas } = reply.value.cluster;
  return {
    kind: 'ok',
    value: {
      leader: leader === '' ? null : leader,
      replicas: replicas.map(({ name, current, offline }) => ({ name, isCurrent: current && !offline })),
    },
  };
}
