/** A write on its way from one simulated gateway to the one that writes, and what became of it. */
import { z } from 'zod';
import { parseJson } from '../../../regions/bus/core/messages.ts';
import { epoch, lsn } from '../../../storage/redo/ids.ts';
import type { BusPayload, WriteOutcome } from '../deployment/sim-types.ts';

export const encodeJson = (value: unknown): Uint8Array => Buffer.from(JSON.stringify(value));

const forwardSchema = z.object({
  id: z.string(),
  write: z.object({
    writeId: z.string(),
    parts: z.array(z.object({ page: z.int(), offset: z.int(), whole: z.boolean() })),
  }),
});
const outcomeSchema = z.object({
  id: z.string(),
  outcome: z.discriminatedUnion('kind', [
    z.object({
      kind: z.literal('committed'),
      region: z.string(),
      epoch: z.int().transform(epoch),
      lsn: z.int().transform(lsn),
    }),
    z.object({ kind: z.literal('unknown') }),
    z.object({ kind: z.literal('refused') }),
    z.object({ kind: z.literal('retry') }),
  ]),
});

/** @throws Error when it is none. */
export function decodeForward(bytes: BusPayload): z.infer<typeof forwardSchema> {
  const parsed = parseJson(forwardSchema, Buffer.from(bytes).toString('utf8'));
  if (parsed.kind === 'malformed') throw new Error(`a forwarded write cannot be read: ${parsed.reason}`);
  return parsed.value;
}

/** @throws Error when it is none. */
export function decodeOutcome(bytes: BusPayload): {
  readonly id: string;
  readonly outcome: WriteOutcome;
} {
  const parsed = parseJson(outcomeSchema, Buffer.from(bytes).toString('utf8'));
  if (parsed.kind === 'malformed') throw new Error(`the outcome of a write cannot be read: ${parsed.reason}`);
  return parsed.value;
}
