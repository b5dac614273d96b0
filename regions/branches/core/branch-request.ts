/** What `GET`, `POST` and `DELETE /v1/branches` take and give. */
import { z } from 'zod';
import { mainBranch } from '../../../storage/core.ts';

const namePattern = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;
/** A name is a label of a host name, since clients may call a branch by one. */
export const branchNameRule = '1 to 63 of a-z, 0-9 and -, with a letter or a digit first and last';

export const branchCreateSchema = z
  .strictObject({
    name: z
      .string()
      .regex(namePattern, `a branch is named by ${branchNameRule}`)
      .describe('A label of a host name.'),
    at: z
      .union([z.int().min(0), z.string().min(1).max(64)])
      .exactOptional()
      .describe('Where it leaves: an LSN, or a time by RFC 3339. Left out: all that is durable now.'),
    from: z.string().default(mainBranch).describe('The branch that it leaves.'),
  })
  .describe('Makes a branch: nothing is copied.');
export type BranchCreate = z.output<typeof branchCreateSchema>;

const branchRegionSchema = z.object({
  region: z.string(),
  epoch: z.int().describe('Its newest epoch there.'),
  lsn: z.int().describe('Durable there.'),
  lagBytes: z.number().nullable().describe('Null while unknown, as lagMs.'),
  lagMs: z.number().nullable(),
});

export const branchSchema = z.object({
  name: z.string(),
  epoch: z.int().describe('The newest that was allotted to it.'),
  lsn: z.int().nullable().describe('Durable in the primary region; null while that is not known.'),
  parent: z.int().nullable().describe('The epoch that it left, and where; null for main.'),
  forkLsn: z.int().nullable(),
  createdAtMs: z.number().nullable(),
  regions: z.array(branchRegionSchema).describe('The regions that have it, as they last said.'),
});
export type BranchStatus = z.output<typeof branchSchema>;

export const branchesSchema = z.object({
  branches: z
    .array(
      branchSchema.extend({ url: z.string().nullable().describe('For clients; null without a gateway.') }),
    )
    .describe('main is the first.'),
});

export type BranchWithUrl = BranchStatus & { readonly url: string | null };

/** Where PostgreSQL clients find a gateway, without the database. @param address host:port */
export const postgresBase = (address: string): string => `${postgresScheme}${address}`;
const postgresScheme = 'postgres://';

/**
 * With the address at which clients reach it; over HTTP they take a path for a folder only with the slash at its end, and PostgreSQL's
 * clients name it as their database. @param base of the gateway, or `postgresBase`; null where there is no gateway.
 */
export function withUrl(branch: BranchStatus, base: string | null): BranchWithUrl {
  const { name } = branch;
  if (base?.startsWith(postgresScheme) === true) return { ...branch, url: `${base}/${name}` };
  return { ...branch, url: base === null || name === mainBranch ? base : `${base}/branch/${name}/` };
}

export function withUrls(
  branches: readonly BranchStatus[],
  base: string | null,
): { readonly branches: BranchWithUrl[] } {
  return { branches: branches.map((branch) => withUrl(branch, base)) };
}

/** The HTTP status that belongs to a refusal. */
export function branchStatus(code: string): 400 | 404 | 409 | 503 {
  switch (code) {
    case 'BAD_REQUEST':
      return 400;
    case 'NO_BRANCH':
      return 404;
    case 'NO_CONTROL_RECORD':
      return 503;
    default:
      return 409;
  }
}
