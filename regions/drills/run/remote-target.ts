/** A deployment elsewhere, named by a file: gateways of its regions and tokens for them. It can be asked and moved, never broken. */
import { z } from 'zod';
import { strictShape } from '../../../storage/index.ts';
import { readPostgresUrl } from '../../postgres/core/postgres-url.ts';
import { AdminSight, type Ask } from './admin-sight.ts';
import type { DrillTarget } from './drill-target.ts';

const urlSchema = z
  .string()
  .regex(/^https?:\/\/\S+$/, "a gateway's address, such as https://eu.db.example.com")
  .transform((url) => url.replace(/\/+$/, ''));

const postgresSchema = z.string().refine((text) => {
  const place = readPostgresUrl(text);
  return place !== null && place.user !== null;
}, 'where PostgreSQL clients connect, such as postgres://app:PASSWORD@eu.db.example.com:5432/main?sslmode=verify-full');

/** What `--on FILE` holds: one gateway for each region, by the region's name, and the token that clients send there. */
const regionSchema = strictShape({
  gateway: urlSchema,
  token: z.string().min(1).optional(),
  /** Needed where PostgreSQL keeps the databases, with a user that may write and its password. */
  postgres: postgresSchema.optional(),
});

export const remoteSchema = strictShape({
  /** For every region that has none of its own. */
  token: z.string().min(1).optional(),
  regions: z
    .record(z.string().min(1), regionSchema)
    .refine((regions) => Object.keys(regions).length > 0, 'at least one region'),
});
export type Remote = z.output<typeof remoteSchema>;

export function remoteTarget(remote: Remote, ask: Ask): DrillTarget {
  const regions = Object.entries(remote.regions).map(([region, { gateway, token, postgres }]) => {
    const bearer = token ?? remote.token ?? null;
    return {
      region,
      gateway,
      agent: null,
      token: bearer,
      ...(postgres !== undefined && { postgres: { url: postgres, password: null } }),
      headers: bearer === null ? {} : { authorization: `Bearer ${bearer}` },
    };
  });
  const admin = new AdminSight(regions, ask);
  return {
    canBreak: false,
    regions,
    authority: null,
    status: (avoided) => admin.status(avoided),
    outside: async () => ({ dumb: await admin.dumb(), restarts: {} }),
    disorder: () => Promise.resolve([]),
    perform: (deed) => Promise.reject(new Error(`${deed.action} needs the supervisor of a local deployment`)),
    begin: (kind, to) => admin.begin(kind, to),
    operation: (id) => admin.operation(id),
    failsOverByItself: () => admin.failsOverByItself(),
    losses: (avoided) => admin.losses(avoided),
  };
}
