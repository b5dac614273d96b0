/** What a drill and the process of its load say to each other, over the channel between parent and child. */
import { z } from 'zod';

/** How long a load waits until every client has been answered once, before it makes its table. */
export const reachMs = 60_000;

const clientSchema = z.object({
  region: z.string(),
  transport: z.enum(['http', 'ws', 'postgres']),
  /** Of the gateway, with `http:` or `https:`; with `postgres:` where that is the transport. */
  url: z.string(),
  /** What it proves itself with: a token, or the password of the user in a `postgres:` URL. */
  token: z.string().nullable(),
});
export type ClientAddress = z.infer<typeof clientSchema>;

export const toLoadSchema = z.discriminatedUnion('kind', [
  /** Wait until every client is answered, and make the table through the first of them. */
  z.object({
    kind: z.literal('open'),
    drill: z.string(),
    table: z.string(),
    clients: z.array(clientSchema),
    perSecond: z.number(),
    /** Trusted beside those that everybody trusts, in PEM. */
    authority: z.string().nullable(),
  }),
  /** Write until told to pause. */
  z.object({ kind: z.literal('run') }),
  /** Send nothing more, and say so when every answer is there, or after `patienceMs`. */
  z.object({ kind: z.literal('pause'), patienceMs: z.number() }),
  /** Read every row as each region has it. */
  z.object({ kind: z.literal('read') }),
  z.object({ kind: z.literal('end'), dropTable: z.boolean() }),
]);
export type ToLoad = z.infer<typeof toLoadSchema>;

export const ledgerEntrySchema = z.object({
  id: z.int(),
  client: z.int(),
  sentAtMs: z.number(),
  endedAtMs: z.number().nullable(),
  outcome: z.enum(['acknowledged', 'refused', 'unknown']),
  code: z.string().nullable(),
  traceId: z.string(),
});

export const fromLoadSchema = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('opened') }),
  z.object({ kind: z.literal('failed'), message: z.string() }),
  /** Writes that ended since the last message. After a pause also those without an answer, which may still end. */
  z.object({ kind: z.literal('wrote'), entries: z.array(ledgerEntrySchema) }),
  z.object({ kind: z.literal('paused'), waiting: z.int() }),
  z.object({
    kind: z.literal('rows'),
    regions: z.array(
      z.object({
        region: z.string(),
        /** Id and checksum of each row; null when the region could not be read, and `reason` says why. */
        rows: z.array(z.tuple([z.int(), z.int()])).nullable(),
        reason: z.string().nullable(),
      }),
    ),
  }),
  z.object({ kind: z.literal('ended') }),
]);
export type FromLoad = z.infer<typeof fromLoadSchema>;
