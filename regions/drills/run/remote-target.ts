/** A deployment elsewhere, named by a file: gateways of its regions and tokens for them. It can be asked and moved, never broken. */
import { z } from 'zod';
import { strictShape } from '../../../storage/index.ts';
import { AdminSight, type Ask } from './admin-sight.ts';
import type { DrillTarget } from './drill-target.ts';

const urlSchema = z
  .string()
  .regex(/^https?:\/\/\S+$/, "a gateway's address, such as https://eu.db.example.com")
  .transform((url) => url.replace(/\/+$/, ''));

/** What `--on FILE` holds: one gateway for each region, by the region's name, and the token that clients send there. */
export const remoteSchema = strictShape({
  /** For every region that has none of its own. */
  token: z.string().min(1).optional(),
  regions: z
    .record(z.string().min(1), strictShape({ gateway: urlSchema, token: z.string().min(1).optional() }))
    .refine((regions) => Object.keys(regions).length > 0, 'at least one region'),
});
export type Remote = z.output<typeof remoteSchema>;

export function remoteTarget(remote: Remote, ask: Ask): DrillTarget {
  const regions = Object.entries(remote.regions).map(([region, { gateway, token }]) => {
    const bearer = token ?? remote.token ?? null;
    return {
      region,
      gateway,
      agent: null,
      token: bearer,
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
