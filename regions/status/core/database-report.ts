/** Which branches the gateways of a region have opened, and which of them are awake. Pure. */
import { z } from 'zod';
import { mainBranch } from '../../../storage/core.ts';

/** Threads of a gateway that read a database. */
export const readerCountsSchema = z.object({
  threads: z.int().describe('There, or being started.'),
  busy: z.int().describe('With a statement that runs now.'),
  most: z.int().describe('There may be so many (`readerThreads`).'),
});

/** One database in the report of a gateway. */
export const databaseReportSchema = z.object({
  branch: z.string(),
  epoch: z.int().min(0),
  /** Durable in this region, as far as the gateway knows. */
  vdl: z.int().min(0),
  /** It has engines; false while it rests. */
  awake: z.boolean(),
  /** The gateway is its writer. */
  writes: z.boolean(),
  /** Left out by an older gateway. */
  readers: readerCountsSchema.exactOptional(),
});
export type DatabaseReport = z.infer<typeof databaseReportSchema>;

/** A branch in the gateways of a region, in `GET /v1/status`. */
export const openBranchSchema = z.object({
  branch: z.string(),
  awake: z.array(z.string()).describe('Gateways in which it has engines.'),
  resting: z.array(z.string()).describe('Gateways that opened it and gave its engines back.'),
  writer: z.string().nullable().describe('The gateway that writes it; null while none does.'),
});
export type OpenBranch = z.infer<typeof openBranchSchema>;

interface Said {
  readonly gateway: string;
  readonly databases?: readonly DatabaseReport[];
}

/** The branches that somebody has asked for at these gateways, by name; left out while there is none. */
export function openBranches(gateways: readonly Said[]): { readonly openBranches?: readonly OpenBranch[] } {
  const said = gateways.flatMap(({ gateway, databases = [] }) =>
    databases.filter(({ branch }) => branch !== mainBranch).map((database) => ({ ...database, gateway })),
  );
  const names = [...new Set(said.map(({ branch }) => branch))].sort();
  if (names.length === 0) return {};
  const open = names.map((branch) => {
    const here = said.filter((one) => one.branch === branch);
    return {
      branch,
      awake: here.filter(({ awake }) => awake).map(({ gateway }) => gateway),
      resting: here.filter(({ awake }) => !awake).map(({ gateway }) => gateway),
      writer: here.find(({ writes }) => writes)?.gateway ?? null,
    };
  });
  return { openBranches: open };
}
